//! The directions along which the loss of a checkpoint is measured.

/// The directions along which the loss is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The update that AdamW would make next.
    AdamW,
    /// The gradient.
    Gradient,
}

/// How AdamW's moments are made, which are not published: by so many steps at the checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct Warming {
    /// The steps; without any, the update is AdamW's first.
    pub steps: u64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f32,
}
