use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::{Display, Formatter};

/// How a measurement ended. Only [`Bracketed`](Self::Bracketed) comes with a critical sharpness.
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
    /// The loss does not fall along the update: its slope is not positive, or it rises at once.
    NotDescent,
    /// The loss changes too little along the update for its rounding to show where it rises.
    BelowResolution,
    /// The loss at the current weights is NaN or infinite.
    NonFiniteBaseLoss,
    /// The update direction is NaN or infinite.
    NonFiniteSlope,
    /// The budget of evaluations was spent; what is known is in `lower` and `upper`.
    BudgetExhausted,
    /// Something else went wrong, said in `reason`.
    Failed,
    /// An outcome that a later version of the record has added, by its name. It is only read, never
    /// written anew.
    #[serde(untagged)]
    Other(String),
}

impl MeasurementOutcome {
    /// Its name in the record, such as `no_increase`.
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

    /// What it means, for a reader, such as `not a descent direction`.
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
    /// Its [`reason`](Self::reason).
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
