/// Describes the loss along an update before any evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossLine {
    pub(crate) base_loss: f64,
    pub(crate) slope: Slope,
    update_norm: Option<f64>,
    pub(crate) rate_in_use: Option<f64>,
    pub(crate) resolution: f64,
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

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Slope {
    Known(f64),
    Hint(f64),
    Unknown,
}

impl LossLine {
    /// The rounding of a loss, in units in the last place.
    pub const ROUNDING_UNITS: f64 = 4.0;

    /// Creates a line from the loss L(θ), with an unknown slope and the [resolution](Self::with_loss_epsilon) of a loss
    /// computed in 32-bit floats.
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
    /// g must be the gradient of the evaluated loss. The search tests the slope now and then, and treats a
    /// [refuted](crate::SearchResult::is_slope_refuted) slope as a hint from then on.
    #[must_use]
    pub fn with_slope(mut self, slope: f64) -> Self {
        self.slope = Slope::Known(slope);
        self
    }

    /// Sets the slope g·Δθ of a similar loss, such as the training loss with dropout if the evaluated loss has none.
    ///
    /// The slope guides the search and proves nothing. The search ignores a hint that is not positive and finite.
    #[must_use]
    pub fn with_slope_hint(mut self, slope: f64) -> Self {
        self.slope = Slope::Hint(slope);
        self
    }

    /// Sets the Euclidean norm ‖Δθ‖ of the update direction.
    ///
    /// On a parabola η_c = 2 g·Δθ/(q‖Δθ‖²), with the curvature q = Δθ·HΔθ/‖Δθ‖² along the update. So g·Δθ/‖Δθ‖²
    /// predicts η_c as far as q stays the same from line to line. The search ignores a norm that is not
    /// positive and finite.
    #[must_use]
    pub fn with_update_norm(mut self, norm: f64) -> Self {
        self.update_norm = Some(norm).filter(|norm| *norm > 0.0 && norm.is_finite());
        self
    }

    /// Sets the learning rate η of the training step along this line.
    ///
    /// If η_c lies above this rate, the search now and then evaluates f(η) too, since the loss may already rise at η.
    /// The search ignores a rate that is not positive and finite.
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

    pub(crate) fn with_seen_resolution(self, resolution: f64) -> Self {
        Self {
            resolution: resolution.max(0.0),
            ..self
        }
    }

    /// Declares that rounding may exceed the resolution, as in a 32-bit loss with parts computed in 16 bits.
    ///
    /// The search then [looks at rounding](crate::algorithm#unknown-rounding) around the crossing, with six evaluations
    /// on the first line. [`Guess::learn`](crate::Guess::learn) keeps the resolution found.
    #[must_use]
    pub fn with_unknown_rounding(mut self) -> Self {
        self.rounding = Trust::Unknown;
        self
    }

    /// Declares that the resolution most likely covers all rounding, as in a loss and a model with 32 bits.
    ///
    /// The search then looks at rounding from the second line on, and closer to the crossing.
    #[must_use]
    pub fn with_likely_rounding(mut self) -> Self {
        self.rounding = Trust::Likely;
        self
    }

    pub(crate) fn has_found_rounding(&self) -> bool {
        self.resolution > self.own_resolution() * (1.0 + f64::EPSILON)
    }

    /// Returns the resolution without rounding found by looks.
    pub(crate) fn own_resolution(&self) -> f64 {
        Self::ROUNDING_UNITS * self.grain
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

    pub(crate) fn predictor(&self) -> Option<f64> {
        let slope = self.slope().or(self.slope_hint())?;
        Some(slope / self.update_norm.unwrap_or(1.0).powi(2))
    }

    /// Returns the change of the loss below which a difference counts as rounding.
    pub fn resolution(&self) -> f64 {
        self.resolution
    }
}
