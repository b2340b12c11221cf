use thiserror::Error;

/// Sets how fine, how far and how long a [`CriticalSearch`](crate::CriticalSearch) searches.
///
/// The [defaults](Self::default) suit measurements during training. Lower the accuracy for more digits of η_c, raise it
/// for cheaper measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SearchConfig {
    /// The relative width ε of a certified bracket, in (0, 1): 1 − lower/upper ≤ ε.
    pub tolerance: f64,
    /// The relative error of η_c within that bracket, in (0, 1). If rounding prevents it, the bracket states a larger
    /// [`relative_error`](crate::Bracket::relative_error). The [published](crate::Method::Published) estimator ignores
    /// it.
    pub accuracy: f64,
    /// The largest number of evaluations per search, at least 2.
    pub max_evaluations: usize,
    /// The smallest learning rate to evaluate, positive and finite.
    pub min_learning_rate: f64,
    /// The largest learning rate to evaluate, above the smallest and finite.
    pub max_learning_rate: f64,
    /// The number of halvings below the bracket that look for an earlier crossing, one evaluation each. At 0, the
    /// default, η_c is the smallest crossing *seen*.
    pub verification: usize,
}

impl Default for SearchConfig {
    /// Returns a tolerance of 1/3, an accuracy of 1.5%, learning rates from 1e-12 to 1e6, and 64 evaluations.
    fn default() -> Self {
        Self {
            tolerance: Self::DEFAULT_TOLERANCE,
            accuracy: 0.015,
            max_evaluations: 64,
            min_learning_rate: 1e-12,
            max_learning_rate: 1e6,
            verification: 0,
        }
    }
}

impl SearchConfig {
    /// The [default](Self::default) tolerance: 1/3.
    pub const DEFAULT_TOLERANCE: f64 = 1.0 / 3.0;

    /// Sets the [`tolerance`](Self::tolerance).
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the [`accuracy`](Self::accuracy).
    #[must_use]
    pub fn with_accuracy(mut self, accuracy: f64) -> Self {
        self.accuracy = accuracy;
        self
    }

    /// Sets the budget of evaluations, at least 2.
    #[must_use]
    pub fn with_max_evaluations(mut self, evaluations: usize) -> Self {
        self.max_evaluations = evaluations;
        self
    }

    /// Sets the limits of the learning rate: 0 < `min` < `max`, both finite.
    #[must_use]
    pub fn with_learning_rate_limits(mut self, min: f64, max: f64) -> Self {
        self.min_learning_rate = min;
        self.max_learning_rate = max;
        self
    }

    /// Sets the [`verification`](Self::verification).
    #[must_use]
    pub fn with_verification(mut self, evaluations: usize) -> Self {
        self.verification = evaluations;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), SearchConfigError> {
        use SearchConfigError::{Accuracy, LearningRateLimits, MaxEvaluations, Tolerance};
        let ensure = |holds: bool, error| if holds { Ok(()) } else { Err(error) };
        // NaN is no fraction.
        let is_fraction = |value: f64| value > 0.0 && value < 1.0;
        ensure(is_fraction(self.tolerance), Tolerance(self.tolerance))?;
        ensure(is_fraction(self.accuracy), Accuracy(self.accuracy))?;
        let evaluations = self.max_evaluations;
        ensure(evaluations >= 2, MaxEvaluations(evaluations))?;
        let (min, max) = (self.min_learning_rate, self.max_learning_rate);
        let are_ordered = min > 0.0 && min < max && max.is_finite();
        ensure(are_ordered, LearningRateLimits { min, max })
    }
}

/// Selects how a search chooses its learning rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Interpolates the root η_c of the rise per learning rate, and certifies it by two evaluations around it.
    ///
    /// A warm search takes two or three evaluations. [`algorithm`](crate::algorithm) gives the worst case.
    #[default]
    Guided,
    /// Doubles or halves from the guess until the sign of the rise changes, bisects to the tolerance, and reports the
    /// middle of the bracket: the published estimator (arXiv 2601.16979, with a tolerance of 1/16), as a baseline.
    Published,
}

/// Names an invalid value of a [`SearchConfig`].
#[derive(Clone, Copy, PartialEq, Error)]
#[non_exhaustive]
pub enum SearchConfigError {
    /// The tolerance is not a fraction.
    #[error(
        "the tolerance is {0}, but it is the relative width of a bracket: choose one above 0 and below 1, such as 0.25"
    )]
    Tolerance(f64),
    /// The accuracy is not a fraction.
    #[error(
        "the accuracy is {0}, but it is the relative error of the critical learning rate: choose one above 0 and below 1, such as 0.015"
    )]
    Accuracy(f64),
    /// The budget is too small for a bracket.
    #[error(
        "the evaluation budget is {0}, but a bracket needs both of its ends evaluated: allow at least 2"
    )]
    MaxEvaluations(usize),
    /// The limits on the learning rate are not an interval of positive numbers.
    #[error(
        "the learning-rate limits are {min} to {max}, but the search needs 0 < smallest < largest, both finite"
    )]
    LearningRateLimits {
        /// The given smallest learning rate.
        min: f64,
        /// The given largest learning rate.
        max: f64,
    },
}

impl std::fmt::Debug for SearchConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
