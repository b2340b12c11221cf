use crate::scatter::Scatter;
use crate::shape::{Crossing, Point};

/// Half the width of a 95% interval, in standard errors.
pub(crate) const INTERVAL: f64 = 1.96;

/// The rise of the loss at one learning rate, f(η) = L(θ − ηΔθ) − L(θ), from an objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rise {
    /// f(η). NaN or infinite if the loss is.
    pub value: f64,
    /// The standard error of f(η) as a mean over examples, if the objective knows it.
    pub standard_error: Option<f64>,
}

impl From<f64> for Rise {
    fn from(value: f64) -> Self {
        Self {
            value,
            standard_error: None,
        }
    }
}

/// One evaluation of the loss along a line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// The learning rate η.
    pub learning_rate: f64,
    /// f(η) = L(θ − ηΔθ) − L(θ), or `f64::INFINITY` if the loss is NaN or infinite, which counts as a rise.
    pub rise: f64,
    /// The standard error of the rise, if the objective knows it.
    pub standard_error: Option<f64>,
}

impl Evaluation {
    /// Whether the loss rose: f(η) > 0.
    pub fn is_rise(&self) -> bool {
        self.rise > 0.0
    }

    pub(crate) fn point(&self) -> Point {
        Point {
            eta: self.learning_rate,
            h: self.rise / self.learning_rate,
        }
    }
}

/// Encloses η_c between two evaluated learning rates, f(lower) ≤ 0 < f(upper), with the η_c that all evaluations give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    lower: f64,
    upper: f64,
    critical_lr: f64,
    relative_error: f64,
    steepness: Option<f64>,
    verified_from: Option<f64>,
    explodes: bool,
    standard_error: Option<f64>,
}

impl Bracket {
    /// Creates a bracket. Only the search does so, from evaluations that it made.
    pub(crate) fn new(lower: f64, upper: f64, crossing: &Crossing, relative_error: f64) -> Self {
        Self {
            lower,
            upper,
            critical_lr: crossing.root,
            relative_error,
            steepness: crossing.steepness,
            verified_from: None,
            explodes: false,
            standard_error: None,
        }
    }

    pub(crate) fn with_verified_from(self, verified_from: Option<f64>) -> Self {
        Self {
            verified_from,
            ..self
        }
    }

    pub(crate) fn with_explosion(self, explodes: bool) -> Self {
        Self { explodes, ..self }
    }

    pub(crate) fn with_standard_error(self, standard_error: Option<f64>) -> Self {
        Self {
            standard_error,
            ..self
        }
    }

    /// Returns f′(η_c), unless the loss explodes within the bracket.
    pub(crate) fn steepness(&self) -> Option<f64> {
        self.steepness
    }

    /// Returns the largest evaluated learning rate below the upper end at which the loss does not rise.
    pub fn lower(&self) -> f64 {
        self.lower
    }

    /// Returns the smallest evaluated learning rate at which the loss rises beyond rounding.
    pub fn upper(&self) -> f64 {
        self.upper
    }

    /// Returns the relative width 1 − lower/upper, in (0, 1).
    pub fn width(&self) -> f64 {
        1.0 - self.lower / self.upper
    }

    /// Whether the search looked below the bracket for an earlier crossing, as
    /// [`verification`](crate::SearchConfig::verification) asks, and saw none.
    pub fn is_verified(&self) -> bool {
        self.verified_from.is_some()
    }

    /// Returns the learning rate down to which a verified search looked for an earlier crossing, at ratios of
    /// 2: from there to [`lower`](Self::lower) it has missed none that lasts for a factor of 2.
    pub fn verified_from(&self) -> Option<f64> {
        self.verified_from
    }

    /// Whether the loss at [`upper`](Self::upper) is NaN or infinite: it explodes before it is seen to rise.
    pub fn explodes(&self) -> bool {
        self.explodes
    }

    /// Returns the critical learning rate η_c, between [`lower`](Self::lower) and
    /// [`upper`](Self::upper).
    ///
    /// The [guided](crate::Method::Guided) search interpolates the root from its evaluations; the
    /// [published](crate::Method::Published) estimator takes the middle of the bracket.
    pub fn critical_lr(&self) -> f64 {
        self.critical_lr
    }

    /// Returns the critical sharpness λ_c = 2 / η_c, with the same relative error.
    pub fn critical_sharpness(&self) -> f64 {
        2.0 / self.critical_lr
    }

    /// Returns the stated relative error of η_c, at least 0: 0.01 means that η_c is known to about a per cent.
    ///
    /// It is an estimate and no bound. Evaluations at reported roots check it during the run and widen it
    /// ([`algorithm`](crate::algorithm)), so that 95 of 100 true roots lie within it and nearly all within three times it. It
    /// concerns this batch's η_c; the [`standard_error`](Self::standard_error) gives the effect of the examples' spread.
    pub fn relative_error(&self) -> f64 {
        self.relative_error
    }

    /// Returns the 95% interval of η_c by the spread over the examples of the batch, η_c ± 1.96
    /// s/f′(η_c), if the objective knows the standard error of f. It shows how much of η_c is batch
    /// noise; the [`relative_error`](Self::relative_error) shows how well this batch's η_c is known.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let half_width = INTERVAL * self.standard_error?;
        Some((self.critical_lr - half_width, self.critical_lr + half_width))
    }

    /// Returns the standard error of η_c by the spread over the examples: s/f′(η_c), as in
    /// [`interval`](Self::interval).
    pub fn standard_error(&self) -> Option<f64> {
        self.standard_error
    }
}

/// Names how a search ended. Only [`Bracketed`](Self::Bracketed) carries a measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// η_c is enclosed to the tolerance and known to the accuracy, unless rounding prevents the latter.
    Bracketed(Bracket),
    /// The loss does not rise at any learning rate evaluated, up to the limit.
    NoIncrease {
        /// The largest learning rate evaluated.
        limit: f64,
    },
    /// The loss does not fall along this direction: it rises from the first rate that rounding lets the search see,
    /// or at the smallest learning rate allowed. An evaluation has shown this, whatever the slope says.
    NotDescent,
    /// The loss changes too little along this direction to show a crossing: no fall was larger than
    /// rounding, rounding makes η_c uncertain by half of it, or the spread over the examples by all of it.
    BelowResolution,
    /// The loss L(θ) itself is NaN or infinite, so it compares with no other loss.
    NonFiniteBaseLoss,
    /// The known slope g·Δθ is NaN or infinite, and so is the direction.
    NonFiniteSlope,
    /// The search spent its evaluations before the bracket was narrow enough.
    BudgetExhausted {
        /// The largest evaluated learning rate below `upper` at which the loss does not rise.
        lower: Option<f64>,
        /// The smallest evaluated learning rate at which the loss rises.
        upper: Option<f64>,
    },
}

impl Outcome {
    /// Returns the certified bracket, if the search found one.
    pub fn bracket(&self) -> Option<&Bracket> {
        match self {
            Self::Bracketed(bracket) => Some(bracket),
            _ => None,
        }
    }

    /// Returns the name of the outcome in records: `bracketed`, `no_increase`, and so on.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bracketed(_) => "bracketed",
            Self::NoIncrease { .. } => "no_increase",
            Self::NotDescent => "not_descent",
            Self::BelowResolution => "below_resolution",
            Self::NonFiniteBaseLoss => "non_finite_base_loss",
            Self::NonFiniteSlope => "non_finite_slope",
            Self::BudgetExhausted { .. } => "budget_exhausted",
        }
    }
}

/// Reports how a search ended, and every evaluation that it made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SearchResult {
    /// How the search ended.
    pub outcome: Outcome,
    /// The evaluations, in the order of the search.
    pub trace: Vec<Evaluation>,
    /// The change of the loss below which a difference counted as rounding: the line's resolution, or
    /// more if evaluations have found more rounding.
    pub resolution: f64,
    /// The scatter of the evaluations around the crossing, if the search looked at it: see
    /// [`with_unknown_rounding`](crate::LossLine::with_unknown_rounding).
    pub scatter: Option<Scatter>,
    /// The error of the root that the search could have reported earlier, in units of its estimated error, if it has
    /// evaluated more since.
    pub(crate) claim_ratio: Option<f64>,
    /// Whether the known slope belongs to the loss, if the search has tested it.
    pub(crate) slope_holds: Option<bool>,
}

impl SearchResult {
    pub(crate) fn deepest_fall(&self) -> f64 {
        let falls = self.trace.iter().map(|seen| -seen.rise);
        falls.fold(0.0, f64::max)
    }

    /// Whether the line falls from η = 0 by another slope than the [known](crate::LossLine::with_slope) slope. The
    /// search then took that slope for a [hint](crate::LossLine::with_slope_hint).
    pub fn is_slope_refuted(&self) -> bool {
        self.slope_holds == Some(false)
    }
}
