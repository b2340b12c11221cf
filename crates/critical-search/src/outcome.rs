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
}

/// Two evaluated learning rates with f(lower) ≤ 0 < f(upper), so that η_c lies between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    lower: f64,
    upper: f64,
    verified: bool,
    standard_error: Option<f64>,
}

impl Bracket {
    /// Only the search makes brackets, from evaluations that happened.
    pub(crate) fn new(lower: f64, upper: f64) -> Self {
        Self {
            lower,
            upper,
            verified: false,
            standard_error: None,
        }
    }

    pub(crate) fn with_verified(self, verified: bool) -> Self {
        Self { verified, ..self }
    }

    pub(crate) fn with_standard_error(self, standard_error: Option<f64>) -> Self {
        Self {
            standard_error,
            ..self
        }
    }

    /// The largest evaluated learning rate below the bracket's upper end at which the loss does
    /// not rise.
    pub fn lower(&self) -> f64 {
        self.lower
    }

    /// The smallest evaluated learning rate at which the loss rises.
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
        self.verified
    }

    /// The 95% interval for η_c that the spread over the examples of the batch allows, where the
    /// objective knows the standard error of f: η_c ± 1.96 s/f′(η_c). It says how much of η_c is
    /// batch noise; the bracket says how well this batch's η_c is known.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let half_width = INTERVAL * self.standard_error?;
        let middle = self.critical_lr();
        Some((middle - half_width, middle + half_width))
    }

    /// The standard error of η_c by the spread over the examples: s/f′(η_c), as in
    /// [`interval`](Self::interval).
    pub fn standard_error(&self) -> Option<f64> {
        self.standard_error
    }

    /// The critical learning rate η_c, as the middle of the bracket.
    pub fn critical_lr(&self) -> f64 {
        0.5 * (self.lower + self.upper)
    }

    /// The critical sharpness λ_c = 2 / η_c.
    pub fn critical_sharpness(&self) -> f64 {
        2.0 / self.critical_lr()
    }
}

/// How a search ended. Only [`Bracketed`](Self::Bracketed) carries a measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// η_c is known to the tolerance.
    Bracketed(Bracket),
    /// The loss does not rise at any learning rate evaluated, up to the limit.
    NoIncrease {
        /// The largest learning rate evaluated.
        limit: f64,
    },
    /// The loss does not fall along this direction: the slope g·Δθ is zero or negative; or, where it
    /// is not known, the loss rises from where rounding lets it be seen, or at the smallest learning
    /// rate allowed.
    NotDescent,
    /// The loss changes too little along this direction to show where it rises: no more than its
    /// rounding, or so little against its spread over the examples that η_c might as well be 0.
    BelowResolution,
    /// The loss L(θ) itself is NaN or infinite, so no loss can be compared with it.
    NonFiniteBaseLoss,
    /// The slope g·Δθ is NaN or infinite, and so is the direction.
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
pub struct SearchResult {
    /// How it ended.
    pub outcome: Outcome,
    /// The evaluations, in the order in which they were made.
    pub trace: Vec<Evaluation>,
}
