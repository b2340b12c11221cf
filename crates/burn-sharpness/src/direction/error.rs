use thiserror::Error;

/// Explains why there is no update direction.
#[derive(Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DirectionError {
    /// No parameter of the model has a gradient.
    #[error(
        "no parameter of the model has a gradient: pass the gradients of this very model, made by GradientsParams::from_grads"
    )]
    NoGradient,
    /// No parameter of a group has a gradient.
    #[error(
        "no parameter of the group has a gradient: check its predicate against the paths of the model's parameters"
    )]
    NothingInGroup,
    /// A learning rate is negative, NaN or infinite.
    #[error(
        "the learning rate of parameter {parameter} is {learning_rate}: give a finite number, 0 or more"
    )]
    LearningRate {
        /// The path of the parameter.
        parameter: String,
        /// Its learning rate.
        learning_rate: f64,
    },
    /// Two steps from the same weights at the same rate differ.
    #[error(
        "the optimizer's step is not repeatable, so the probe stops measuring: two steps of copies from the same weights differ; use an optimizer that draws no random numbers"
    )]
    NotRepeatable,
    /// A finished step shows only the update of all parameters together.
    #[error(
        "a finished step shows the update of all parameters together, and a group may move too little to show: measure groups before the step, by `measure`"
    )]
    StepMade,
    /// A step has replaced parameters instead of moving them.
    #[error(
        "parameters that have a gradient are gone after the step, or have another shape: `with_step_first(false)` measures the optimizer's update alone"
    )]
    Replaced,
    /// The device returned no number.
    #[error("the update direction could not be read from the device: {0}")]
    Read(String),
}

debug_is_the_sentence!(DirectionError);
