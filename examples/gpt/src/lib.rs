//! What the GPT examples share: the model, the text that it reads, its tokens, the learning-rate
//! schedule, and progress for terminals and pipes.

pub mod device;
pub mod model;
pub mod progress;
pub mod schedule;
pub mod text;
pub mod tokenizer;
pub mod tokens;
