use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::{Display, Formatter};

/// Names how a measurement ended. Only [`Bracketed`](Self::Bracketed) comes with a critical sharpness.
///
/// Its serialized form is its [`name`](Self::name).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MeasurementOutcome {
    /// The critical learning rate is known to the tolerance.
    Bracketed,
    /// The loss did not rise up to the limit, which is in `lower`.
    NoIncrease,
    /// The loss does not fall along the update.
    NotDescent,
    /// Rounding, or the spread over the examples, hides the crossing.
    BelowResolution,
    /// The loss at the current weights is NaN or infinite.
    NonFiniteBaseLoss,
    /// The update direction is NaN or infinite.
    NonFiniteSlope,
    /// The search spent its evaluations, and ended between `lower` and `upper`.
    BudgetExhausted,
    /// Another failure, explained in `reason`.
    Failed,
    /// An outcome from a later version of the record, by its name.
    #[serde(untagged)]
    Other(String),
}

impl MeasurementOutcome {
    /// Returns the name in the record, such as `no_increase`.
    pub fn name(&self) -> &str {
        match self {
            Self::Bracketed => "bracketed",
            Self::NoIncrease => "no_increase",
            Self::NotDescent => "not_descent",
            Self::BelowResolution => "below_resolution",
            Self::NonFiniteBaseLoss => "non_finite_base_loss",
            Self::NonFiniteSlope => "non_finite_slope",
            Self::BudgetExhausted => "budget_exhausted",
            Self::Failed => "failed",
            Self::Other(name) => name,
        }
    }

    /// Explains the outcome, for example as `not a descent direction`.
    pub fn reason(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Bracketed => "the critical learning rate is known",
            Self::NoIncrease => "no increase of the loss",
            Self::NotDescent => "not a descent direction",
            Self::BelowResolution => "below the resolution of the loss",
            Self::NonFiniteBaseLoss => "the loss is not finite",
            Self::NonFiniteSlope => "the update is not finite",
            Self::BudgetExhausted => "evaluation budget exhausted",
            Self::Failed => "failed",
            Self::Other(name) => return Cow::Owned(name.replace('_', " ")),
        })
    }
}

impl Display for MeasurementOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serialized_form_is_the_name_and_unknown_names_are_kept() {
        let later = MeasurementOutcome::Other("a_later_one".to_string());
        assert_eq!(later.to_string(), "a later one");
        for outcome in [
            MeasurementOutcome::Bracketed,
            MeasurementOutcome::NoIncrease,
            MeasurementOutcome::NotDescent,
            MeasurementOutcome::BelowResolution,
            MeasurementOutcome::NonFiniteBaseLoss,
            MeasurementOutcome::NonFiniteSlope,
            MeasurementOutcome::BudgetExhausted,
            MeasurementOutcome::Failed,
            later,
        ] {
            let json = serde_json::to_string(&outcome).unwrap();
            assert_eq!(json, format!("\"{}\"", outcome.name()));
            let read: MeasurementOutcome = serde_json::from_str(&json).unwrap();
            assert_eq!(read, outcome);
        }
    }
}
