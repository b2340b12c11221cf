/// Describes the loss along an update before any evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossLine {
    pub(crate) base_loss: f64,
    pub(crate) slope: Slope,
    update_norm: Option<f64>,
    pub(crate) rate_in_use: Option<f64>,
    pub(crate) resolution: f64,
    /// The unit of the loss, by its type.
    pub(crate) grain: f64,
    pub(crate) rounding: Trust,
}

/// How surely a line's resolution covers all rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trust {
    #[default]
    Known,
    Likely,
    Unknown,
}

/// The slope g·Δθ of the fall at η = 0, and how far to trust it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Slope {
    /// The slope of the evaluated loss itself.
    Known(f64),
    /// The slope of a similar loss.
    Hint(f64),
    Unknown,
}

impl LossLine {
    /// The rounding of a loss, in units in the last place: a loss is a long sum, and both ends of a difference round.
    pub const ROUNDING_UNITS: f64 = 4.0;

    /// Creates a line from the loss L(θ), with an unknown slope and the resolution of a loss computed in 32-bit floats
    /// (see [`with_loss_epsilon`](Self::with_loss_epsilon)).
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

    /// Sets the slope g·Δθ of the fall at η = 0: f(η) ≈ −(g·Δθ) η.
    ///
    /// If g is the gradient of the evaluated loss, h(0) is a point of the line that costs nothing. The search tests the
    /// slope near 0 now and then. It [refutes](crate::SearchResult::is_slope_refuted) the slope of another loss, and
    /// treats it as a hint from then on.
    #[must_use]
    pub fn with_slope(mut self, slope: f64) -> Self {
        self.slope = Slope::Known(slope);
        self
    }

    /// Sets the slope g·Δθ of a similar loss, such as the training loss with dropout if the evaluated loss has none.
    ///
    /// The slope guides the search and proves nothing, neither a fall of the loss nor a rise. The search ignores a hint
    /// that is NaN, infinite, 0 or negative.
    #[must_use]
    pub fn with_slope_hint(mut self, slope: f64) -> Self {
        self.slope = Slope::Hint(slope);
        self
    }

    /// Sets the Euclidean norm ‖Δθ‖ of the update direction.
    ///
    /// For a parabola η_c = 2 g·Δθ/(q‖Δθ‖²), with the curvature q = Δθ·HΔθ/‖Δθ‖² along the update. So g·Δθ/‖Δθ‖²
    /// predicts η_c as far as q stays the same from line to line, which the [`Guess`](crate::Guess) learns. The search
    /// ignores a norm that is NaN, infinite, 0 or negative.
    #[must_use]
    pub fn with_update_norm(mut self, norm: f64) -> Self {
        self.update_norm = Some(norm).filter(|norm| *norm > 0.0 && norm.is_finite());
        self
    }

    /// Sets the learning rate η of the training step along this line.
    ///
    /// A search that finds η_c above this rate evaluates f(η) too, now and then, and always on a loss that has jumped:
    /// if the loss rises there, the crossing is earlier. The search ignores a rate that is NaN, infinite, 0 or
    /// negative.
    #[must_use]
    pub fn with_rate_in_use(mut self, rate: f64) -> Self {
        self.rate_in_use = Some(rate).filter(|rate| *rate > 0.0 && rate.is_finite());
        self
    }

    /// Sets the machine epsilon of the loss's type, such as [`f32::EPSILON`]. Differences of up to
    /// [`ROUNDING_UNITS`](Self::ROUNDING_UNITS) in the last place of the base loss then count as rounding.
    #[must_use]
    pub fn with_loss_epsilon(self, epsilon: f64) -> Self {
        let resolution = Self::ROUNDING_UNITS * epsilon * self.base_loss.abs();
        self.with_resolution(resolution)
    }

    /// Sets the absolute change of the loss below which a difference counts as rounding. A negative or NaN resolution
    /// counts as 0.
    #[must_use]
    pub fn with_resolution(self, resolution: f64) -> Self {
        let line = self.with_seen_resolution(resolution);
        Self {
            grain: line.resolution / Self::ROUNDING_UNITS,
            ..line
        }
    }

    /// Sets a resolution found by evaluations, in place of the resolution of the loss's type.
    pub(crate) fn with_seen_resolution(self, resolution: f64) -> Self {
        Self {
            resolution: resolution.max(0.0),
            ..self
        }
    }

    /// Declares that rounding may exceed the resolution, as in a loss returned in 32-bit floats with parts computed in
    /// 16.
    ///
    /// The search then looks at rounding around the crossing, on the first line with six evaluations and again on the
    /// schedule of [`algorithm`](crate::algorithm). The looks determine the
    /// [`resolution`](crate::SearchResult::resolution); [`Guess::learn`](crate::Guess::learn) keeps it for later lines.
    #[must_use]
    pub fn with_unknown_rounding(mut self) -> Self {
        self.rounding = Trust::Unknown;
        self
    }

    /// Declares that the resolution most likely covers all rounding, as in a loss and a model with 32 bits.
    ///
    /// The search then looks closer to the crossing, first on the second line, and again if something is unusual: a
    /// loss of another size, a fall near the resolution, a surprising η_c.
    #[must_use]
    pub fn with_likely_rounding(mut self) -> Self {
        self.rounding = Trust::Likely;
        self
    }

    /// Whether looks found more rounding than the type of the loss suggests.
    pub(crate) fn has_found_rounding(&self) -> bool {
        self.resolution > Self::ROUNDING_UNITS * self.grain * (1.0 + f64::EPSILON)
    }

    /// Returns the loss L(θ) at the start of the line.
    pub fn base_loss(&self) -> f64 {
        self.base_loss
    }

    /// Returns the slope g·Δθ at the start of the line, if it is known.
    pub fn slope(&self) -> Option<f64> {
        match self.slope {
            Slope::Known(slope) => Some(slope),
            Slope::Hint(_) | Slope::Unknown => None,
        }
    }

    /// Returns the slope of a similar loss, if it is positive and finite.
    pub fn slope_hint(&self) -> Option<f64> {
        match self.slope {
            Slope::Hint(slope) if slope > 0.0 && slope.is_finite() => Some(slope),
            _ => None,
        }
    }

    /// Returns the known predictor of η_c: g·Δθ/‖Δθ‖², or g·Δθ if the norm is unknown.
    pub(crate) fn predictor(&self) -> Option<f64> {
        let slope = self.slope().or(self.slope_hint())?;
        Some(slope / self.update_norm.unwrap_or(1.0).powi(2))
    }

    /// Returns the change of the loss below which a difference counts as rounding.
    pub fn resolution(&self) -> f64 {
        self.resolution
    }
}
