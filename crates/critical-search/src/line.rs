/// What is known of the loss along an update direction before any evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossLine {
    pub(crate) base_loss: f64,
    pub(crate) slope: Slope,
    update_norm: Option<f64>,
    /// The learning rate of the step that is made along this line.
    pub(crate) rate_in_use: Option<f64>,
    pub(crate) resolution: f64,
    /// The units that the loss comes in, as far as its type tells.
    pub(crate) grain: f64,
    pub(crate) rounding: Trust,
}

/// Whether a line's resolution is all that rounding does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It is.
    #[default]
    Known,
    /// It most likely is.
    Likely,
    /// Nothing tells.
    Unknown,
}

/// What is known of the slope g·Δθ at which the loss falls at η = 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Slope {
    /// It is the slope of the very loss that is evaluated.
    Known(f64),
    /// It is the slope of a loss that resembles it.
    Hint(f64),
    /// Nothing.
    Unknown,
}

impl LossLine {
    /// How many units in the last place the rounding of a loss may amount to: a loss is a long sum,
    /// and both ends of a difference are rounded.
    pub const ROUNDING_UNITS: f64 = 4.0;

    /// A line that starts at the loss L(θ), with an unknown slope.
    ///
    /// The resolution is that of a loss computed in 32-bit floats; see
    /// [`with_loss_epsilon`](Self::with_loss_epsilon).
    pub fn new(base_loss: f64) -> Self {
        Self {
            base_loss,
            slope: Slope::Unknown,
            update_norm: None,
            rate_in_use: None,
            resolution: 0.0,
            grain: 0.0,
            rounding: Trust::Known,
        }
        .with_loss_epsilon(f64::from(f32::EPSILON))
    }

    /// The slope g·Δθ, the rate at which the loss falls at η = 0: f(η) ≈ −(g·Δθ) η.
    ///
    /// It is known for free if g is the gradient of the very loss that is evaluated. Then h(0) is a point of the line. The
    /// search tests it near 0 now and then; a slope of another loss is [refuted](crate::SearchResult::is_slope_refuted) and taken
    /// for a hint from then on.
    #[must_use]
    pub fn with_slope(mut self, slope: f64) -> Self {
        self.slope = Slope::Known(slope);
        self
    }

    /// The slope g·Δθ of a loss that resembles the one evaluated: the training loss with dropout or
    /// with the batch's own statistics, where the loss evaluated is without.
    ///
    /// It says where to look and proves nothing, neither that the loss falls nor that it rises. One
    /// that is NaN, infinite, 0 or negative says nothing at all.
    #[must_use]
    pub fn with_slope_hint(mut self, slope: f64) -> Self {
        self.slope = Slope::Hint(slope);
        self
    }

    /// The Euclidean norm ‖Δθ‖ of the update direction.
    ///
    /// For a parabola η_c = 2 g·Δθ/(q‖Δθ‖²), where q = Δθ·HΔθ/‖Δθ‖² is the curvature in the direction of the
    /// update. So g·Δθ/‖Δθ‖² predicts η_c as far as q stays as it was on the lines before, which the
    /// [`Guess`](crate::Guess) learns. It proves nothing. A norm that is NaN, infinite, 0 or negative says nothing.
    #[must_use]
    pub fn with_update_norm(mut self, norm: f64) -> Self {
        self.update_norm = Some(norm).filter(|norm| *norm > 0.0 && norm.is_finite());
        self
    }

    /// The learning rate η of the step that training makes along this line.
    ///
    /// Now and then, and always on a loss that was seen to jump, a search that finds η_c above it looks at f(η) as well:
    /// if the loss rises there, that is the earlier crossing. A rate that is NaN, infinite, 0 or negative says nothing.
    #[must_use]
    pub fn with_rate_in_use(mut self, rate: f64) -> Self {
        self.rate_in_use = Some(rate).filter(|rate| *rate > 0.0 && rate.is_finite());
        self
    }

    /// The machine epsilon of the type that the loss is computed in, such as
    /// [`f32::EPSILON`]. Differences of up to [`ROUNDING_UNITS`](Self::ROUNDING_UNITS) in the last
    /// place of the base loss are taken for rounding.
    #[must_use]
    pub fn with_loss_epsilon(self, epsilon: f64) -> Self {
        let resolution = Self::ROUNDING_UNITS * epsilon * self.base_loss.abs();
        self.with_resolution(resolution)
    }

    /// The absolute change of the loss below which a difference is taken for rounding.
    ///
    /// A negative or NaN resolution counts as 0.
    #[must_use]
    pub fn with_resolution(self, resolution: f64) -> Self {
        let line = self.with_seen_resolution(resolution);
        Self {
            grain: line.resolution / Self::ROUNDING_UNITS,
            ..line
        }
    }

    /// The same where it was seen, and the type of the loss told another.
    pub(crate) fn with_seen_resolution(self, resolution: f64) -> Self {
        Self {
            resolution: resolution.max(0.0),
            ..self
        }
    }

    /// Says that rounding may do more than the resolution tells, as in a loss that is returned in 32-bit floats and has parts
    /// computed in 16: the search looks at it around the crossing, at the first line with six evaluations and again as
    /// [`algorithm`](crate::algorithm) tells.
    ///
    /// What the looks show is the [`resolution`](crate::SearchResult::resolution) from then on;
    /// [`Guess::learn`](crate::Guess::learn) keeps it for the lines after this one.
    #[must_use]
    pub fn with_unknown_rounding(mut self) -> Self {
        self.rounding = Trust::Unknown;
        self
    }

    /// Says that rounding most likely does no more than the resolution tells, as in a loss and a model that have 32 bits: the
    /// search looks at it closer to the crossing, first at the second line, and then if something is unusual: a loss of
    /// another size, a fall near the resolution, a surprising η_c.
    #[must_use]
    pub fn with_likely_rounding(mut self) -> Self {
        self.rounding = Trust::Likely;
        self
    }

    /// Whether looks at rounding have found more of it than the type of the loss tells.
    pub(crate) fn has_found_rounding(&self) -> bool {
        self.resolution > Self::ROUNDING_UNITS * self.grain * (1.0 + f64::EPSILON)
    }

    /// The loss L(θ) at which the line starts.
    pub fn base_loss(&self) -> f64 {
        self.base_loss
    }

    /// The slope g·Δθ at which the loss starts to fall, where it is known.
    pub fn slope(&self) -> Option<f64> {
        match self.slope {
            Slope::Known(slope) => Some(slope),
            Slope::Hint(_) | Slope::Unknown => None,
        }
    }

    /// The slope of a loss that resembles this one, where there is one that says something: positive
    /// and finite.
    pub fn slope_hint(&self) -> Option<f64> {
        match self.slope {
            Slope::Hint(slope) if slope > 0.0 && slope.is_finite() => Some(slope),
            _ => None,
        }
    }

    /// What η_c goes with, as far as it is known: g·Δθ/‖Δθ‖², or g·Δθ where the norm is not known.
    pub(crate) fn predictor(&self) -> Option<f64> {
        let slope = self.slope().or(self.slope_hint())?;
        Some(slope / self.update_norm.unwrap_or(1.0).powi(2))
    }

    /// The change of the loss below which a difference is taken for rounding.
    pub fn resolution(&self) -> f64 {
        self.resolution
    }
}
