use crate::scatter::Scatter;
use crate::shape::{Crossing, Point};

/// Half the width of a 95% interval, in standard errors.
pub(crate) const INTERVAL: f64 = 1.96;

/// The rise of the loss at one learning rate, f(η) = L(θ − ηΔθ) − L(θ), as an objective gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rise {
    /// f(η). NaN or infinite where the loss is.
    pub value: f64,
    /// The standard error of f(η) as a mean over examples, where the objective knows it.
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
    /// f(η) = L(θ − ηΔθ) − L(θ). A loss that is NaN or infinite counts as a rise, `f64::INFINITY`.
    pub rise: f64,
    /// The standard error of the rise, where the objective knows it.
    pub standard_error: Option<f64>,
}

impl Evaluation {
    /// Whether the loss rose: f(η) > 0.
    pub fn is_rise(&self) -> bool {
        self.rise > 0.0
    }

    /// The point of h(η) = f(η)/η.
    pub(crate) fn point(&self) -> Point {
        Point {
            eta: self.learning_rate,
            h: self.rise / self.learning_rate,
        }
    }
}

/// Two evaluated learning rates with f(lower) ≤ 0 < f(upper), so that η_c lies between them, and the
/// η_c that they and the other evaluations give.
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
    /// Only the search makes brackets, from evaluations that happened.
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

    /// f′(η_c), where the loss does not explode within the bracket.
    pub(crate) fn steepness(&self) -> Option<f64> {
        self.steepness
    }

    /// The largest evaluated learning rate below the bracket's upper end at which the loss does
    /// not rise.
    pub fn lower(&self) -> f64 {
        self.lower
    }

    /// The smallest evaluated learning rate at which the loss rises by more than rounding can do.
    pub fn upper(&self) -> f64 {
        self.upper
    }

    /// The relative width 1 − lower/upper, in (0, 1).
    pub fn width(&self) -> f64 {
        1.0 - self.lower / self.upper
    }

    /// Whether the search looked below the bracket for an earlier crossing, as
    /// [`verification`](crate::SearchConfig::verification) asks, and saw none.
    pub fn is_verified(&self) -> bool {
        self.verified_from.is_some()
    }

    /// The learning rate down to which a verified search looked for an earlier crossing, at ratios of 2: from
    /// there to [`lower`](Self::lower) it has missed none that lasts for a factor of 2.
    pub fn verified_from(&self) -> Option<f64> {
        self.verified_from
    }

    /// Whether the loss at [`upper`](Self::upper) is NaN or infinite: it explodes before it is seen to rise.
    pub fn explodes(&self) -> bool {
        self.explodes
    }

    /// The critical learning rate η_c, between [`lower`](Self::lower) and [`upper`](Self::upper).
    ///
    /// The [guided](crate::Method::Guided) search reports the root interpolated from its evaluations,
    /// the [published](crate::Method::Published) estimator the middle of the bracket.
    pub fn critical_lr(&self) -> f64 {
        self.critical_lr
    }

    /// The critical sharpness λ_c = 2 / η_c, with the same relative error.
    pub fn critical_sharpness(&self) -> f64 {
        2.0 / self.critical_lr
    }

    /// The stated relative error of η_c, at least 0: 0.01 says that η_c is known to about a per cent.
    ///
    /// It is an estimate and no bound. Evaluations at reported roots check it during the run and widen it
    /// ([`algorithm`](crate::algorithm)), so that 95 of 100 true roots lie within it and nearly all within three times it. It is about
    /// this batch's η_c; what the examples' spread makes of it is the [`standard_error`](Self::standard_error).
    pub fn relative_error(&self) -> f64 {
        self.relative_error
    }

    /// The 95% interval for η_c that the spread over the examples of the batch allows, where the
    /// objective knows the standard error of f: η_c ± 1.96 s/f′(η_c). It says how much of η_c is
    /// batch noise; the [`relative_error`](Self::relative_error) says how well this batch's η_c is
    /// known.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let half_width = INTERVAL * self.standard_error?;
        Some((self.critical_lr - half_width, self.critical_lr + half_width))
    }

    /// The standard error of η_c by the spread over the examples: s/f′(η_c), as in
    /// [`interval`](Self::interval).
    pub fn standard_error(&self) -> Option<f64> {
        self.standard_error
    }
}

/// How a search ended. Only [`Bracketed`](Self::Bracketed) carries a measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// η_c is enclosed to the tolerance and known to the accuracy, unless rounding forbids the latter.
    Bracketed(Bracket),
    /// The loss does not rise at any learning rate evaluated, up to the limit.
    NoIncrease {
        /// The largest learning rate evaluated.
        limit: f64,
    },
    /// The loss does not fall along this direction: it rises from where rounding lets it be seen, or at the smallest
    /// learning rate allowed. An evaluation has shown that, whatever the slope says.
    NotDescent,
    /// The loss changes too little along this direction to show where it rises: no fall was seen that
    /// is larger than rounding, or rounding makes η_c uncertain by half of it, or the spread over the
    /// examples does so by all of it.
    BelowResolution,
    /// The loss L(θ) itself is NaN or infinite, so no loss can be compared with it.
    NonFiniteBaseLoss,
    /// The known slope g·Δθ is NaN or infinite, and so is the direction.
    NonFiniteSlope,
    /// The budget of evaluations was spent before the bracket was narrow enough.
    BudgetExhausted {
        /// The largest evaluated learning rate below `upper` at which the loss does not rise.
        lower: Option<f64>,
        /// The smallest evaluated learning rate at which the loss rises.
        upper: Option<f64>,
    },
}

impl Outcome {
    /// The certified bracket, if the search found one.
    pub fn bracket(&self) -> Option<&Bracket> {
        match self {
            Self::Bracketed(bracket) => Some(bracket),
            _ => None,
        }
    }

    /// The name of the outcome in records: `bracketed`, `no_increase`, and so on.
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

/// How a search ended, and every evaluation that it made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SearchResult {
    /// How it ended.
    pub outcome: Outcome,
    /// The evaluations, in the order in which they were made.
    pub trace: Vec<Evaluation>,
    /// The change of the loss below which a difference was taken for rounding: that of the line, or more
    /// where evaluations have shown that rounding does more.
    pub resolution: f64,
    /// How the evaluations around the crossing scatter, where the search has looked at it: see
    /// [`with_unknown_rounding`](crate::LossLine::with_unknown_rounding).
    pub scatter: Option<Scatter>,
    /// By how many times its estimated error the root was off that the search would have reported earlier, if it has
    /// evaluated more since.
    pub(crate) claim_ratio: Option<f64>,
    /// Whether the slope that was said to be known is that of the loss, where the search has tested it.
    pub(crate) slope_holds: Option<bool>,
}

impl SearchResult {
    /// The deepest fall that was seen; 0 if none was.
    pub(crate) fn deepest_fall(&self) -> f64 {
        let falls = self.trace.iter().map(|seen| -seen.rise);
        falls.fold(0.0, f64::max)
    }

    /// Whether the line falls from η = 0 on by another slope than the one that was said to be
    /// [known](crate::LossLine::with_slope). The search took it for a [hint](crate::LossLine::with_slope_hint) then.
    pub fn is_slope_refuted(&self) -> bool {
        self.slope_holds == Some(false)
    }
}
