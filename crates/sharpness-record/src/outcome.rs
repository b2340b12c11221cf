use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::{Display, Formatter};

/// Names how a measurement ended. Only [`Bracketed`](Self::Bracketed) comes with a critical sharpness.
///
/// Its serialized form is its [`name`](Self::name), such as `no_increase`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MeasurementOutcome {
    /// The critical learning rate is known to the tolerance.
    Bracketed,
    /// The loss did not rise at any learning rate up to the limit, which is in `lower`.
    NoIncrease,
    /// The loss does not fall along the update: its slope is not positive, or it rises from the start.
    NotDescent,
    /// The loss changes too little along the update: rounding hides where it rises.
    BelowResolution,
    /// The loss at the current weights is NaN or infinite.
    NonFiniteBaseLoss,
    /// The update direction is NaN or infinite.
    NonFiniteSlope,
    /// The search spent its evaluations; `lower` and `upper` hold its last state.
    BudgetExhausted,
    /// Another failure, explained in `reason`.
    Failed,
    /// An outcome of a later version of the record, by its name. This version only reads it.
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

    /// Explains the outcome to a reader, such as `not a descent direction`.
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
        let all = [
            MeasurementOutcome::Bracketed,
            MeasurementOutcome::NoIncrease,
            MeasurementOutcome::NotDescent,
            MeasurementOutcome::BelowResolution,
            MeasurementOutcome::NonFiniteBaseLoss,
            MeasurementOutcome::NonFiniteSlope,
            MeasurementOutcome::BudgetExhausted,
            MeasurementOutcome::Failed,
            MeasurementOutcome::Other("a_later_one".to_string()),
        ];
        for outcome in all {
            let json = serde_json::to_string(&outcome).unwrap();
            assert_eq!(json, format!("\"{}\"", outcome.name()));
            let read: MeasurementOutcome = serde_json::from_str(&json).unwrap();
            assert_eq!(read, outcome);
        }
        let later = MeasurementOutcome::Other("a_later_one".to_string());
        assert_eq!(later.to_string(), "a later one");
    }
}
