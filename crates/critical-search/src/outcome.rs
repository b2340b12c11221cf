use crate::scatter::Scatter;
use crate::shape::{Crossing, Point};

pub(crate) const INTERVAL: f64 = 1.96;

/// Holds the rise of the loss at one learning rate, f(η) = L(θ − ηΔθ) − L(θ).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rise {
    /// f(η), NaN or infinite if the loss is.
    pub value: f64,
    /// The standard error of f(η) as a mean over examples, if known.
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

/// Records one evaluation of the loss along a line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// The learning rate η.
    pub learning_rate: f64,
    /// f(η), or `f64::INFINITY` for a NaN or infinite loss, which counts as a rise.
    pub rise: f64,
    /// The standard error of the rise, if known.
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

/// Encloses η_c between two evaluated learning rates, f(lower) ≤ 0 < f(upper), and estimates it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    lower: f64,
    upper: f64,
    critical_lr: f64,
    relative_error: f64,
    pub(crate) steepness: Option<f64>,
    pub(crate) verified_from: Option<f64>,
    pub(crate) explodes: bool,
    pub(crate) standard_error: Option<f64>,
}

impl Bracket {
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

    /// Returns the lower end: the largest evaluated learning rate below `upper` without a rise.
    pub fn lower(&self) -> f64 {
        self.lower
    }

    /// Returns the upper end: the smallest evaluated learning rate with a rise beyond rounding.
    pub fn upper(&self) -> f64 {
        self.upper
    }

    /// Returns the relative width 1 − lower/upper, in (0, 1).
    pub fn width(&self) -> f64 {
        1.0 - self.lower / self.upper
    }

    /// Whether a [`verification`](crate::SearchConfig::verification) saw no earlier crossing below the bracket.
    pub fn is_verified(&self) -> bool {
        self.verified_from.is_some()
    }

    /// Returns the smallest learning rate of a verified search: no rise from here to [`lower`](Self::lower) lasts for a
    /// factor of 2.
    pub fn verified_from(&self) -> Option<f64> {
        self.verified_from
    }

    /// Whether the loss at [`upper`](Self::upper) is NaN or infinite.
    pub fn explodes(&self) -> bool {
        self.explodes
    }

    /// Returns the critical learning rate η_c within the bracket: the interpolated root, or the middle for the
    /// [published](crate::Method::Published) estimator.
    pub fn critical_lr(&self) -> f64 {
        self.critical_lr
    }

    /// Returns the critical sharpness λ_c = 2 / η_c, with the same relative error.
    pub fn critical_sharpness(&self) -> f64 {
        2.0 / self.critical_lr
    }

    /// Returns the stated relative error of η_c, at least 0: 0.01 means about one per cent.
    ///
    /// It is an [estimate](crate::algorithm#the-stated-error): 95 of 100 true roots lie within it, and nearly all
    /// within three times it. It concerns this batch's η_c; the [`standard_error`](Self::standard_error) gives the
    /// spread over examples.
    pub fn relative_error(&self) -> f64 {
        self.relative_error
    }

    /// Returns the 95% interval η_c ± 1.96 s/f′(η_c) by the spread over the examples of the batch, if the objective
    /// knows the standard error s of f.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let half_width = INTERVAL * self.standard_error?;
        Some((self.critical_lr - half_width, self.critical_lr + half_width))
    }

    /// Returns the standard error of η_c by the spread over the examples, s/f′(η_c).
    pub fn standard_error(&self) -> Option<f64> {
        self.standard_error
    }
}

/// Names how a search ended. Only [`Bracketed`](Self::Bracketed) carries a measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The search enclosed η_c to the tolerance, and to the accuracy unless rounding prevents that.
    Bracketed(Bracket),
    /// The loss rises at no evaluated learning rate, up to the limit.
    NoIncrease {
        /// The largest evaluated learning rate.
        limit: f64,
    },
    /// The loss does not fall along this direction: it rises from the first rate that rounding leaves visible, or at
    /// the smallest allowed learning rate, whatever the slope says.
    NotDescent,
    /// The loss changes too little to show a crossing: no fall exceeded rounding, or η_c is uncertain by a quarter of it
    /// from rounding, or by all of it from the spread over the examples.
    BelowResolution,
    /// The loss L(θ) itself is NaN or infinite.
    NonFiniteBaseLoss,
    /// The known slope g·Δθ is NaN or infinite.
    NonFiniteSlope,
    /// The search spent its evaluations before the bracket was narrow enough.
    BudgetExhausted {
        /// The largest evaluated learning rate below `upper` without a rise.
        lower: Option<f64>,
        /// The smallest evaluated learning rate with a rise.
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

    /// Returns the outcome's name in records: `bracketed`, `no_increase`, and so on.
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

/// Reports how a search ended, and all its evaluations.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SearchResult {
    /// How the search ended.
    pub outcome: Outcome,
    /// The evaluations, in the order of the search.
    pub trace: Vec<Evaluation>,
    /// The change of the loss below which a difference counted as rounding: the line's resolution,
    /// or more if evaluations found more.
    pub resolution: f64,
    /// The scatter of the evaluations around the crossing, if the search [looked at
    /// it](crate::LossLine::with_unknown_rounding).
    pub scatter: Option<Scatter>,
    /// The error of the first reportable root, in units of its estimate, if the search evaluated more since.
    pub(crate) claim_ratio: Option<f64>,
    pub(crate) slope_holds: Option<bool>,
}

impl SearchResult {
    pub(crate) fn deepest_fall(&self) -> f64 {
        deepest_fall(self.trace.iter())
    }

    /// Whether the line falls from η = 0 by another slope than its [known](crate::LossLine::with_slope) slope, which
    /// then became a [hint](crate::LossLine::with_slope_hint).
    pub fn is_slope_refuted(&self) -> bool {
        self.slope_holds == Some(false)
    }
}

pub(crate) fn deepest_fall<'a>(seen: impl Iterator<Item = &'a Evaluation>) -> f64 {
    seen.map(|seen| -seen.rise).fold(0.0, f64::max)
}
