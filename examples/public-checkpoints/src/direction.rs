//! Defines the directions along which a checkpoint's loss is measured.

/// A direction of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The update that AdamW would make next.
    AdamW,
    /// The gradient.
    Gradient,
}

/// The steps at a checkpoint that make AdamW's moments, which are not published.
#[derive(Clone, Copy, Debug)]
pub struct Warming {
    /// The number of steps; without any, the update is AdamW's first.
    pub steps: u64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f32,
}
