mod kind;
mod layers;
mod learner;
mod more;
mod network;
mod objective;
mod sample;

pub use kind::{Kind, Network, Objective};
pub use network::{Block, Zoo};
pub use sample::Sample;
