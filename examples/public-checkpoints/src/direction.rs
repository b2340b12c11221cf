#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The update that AdamW would make next.
    AdamW,
    Gradient,
}

/// The steps that make AdamW's moments, which are not published.
#[derive(Clone, Copy, Debug)]
pub struct Warming {
    /// Without steps, the update is AdamW's first.
    pub steps: u64,
    pub weight_decay: f32,
}
