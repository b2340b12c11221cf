/// What is known of the loss along an update direction before any evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossLine {
    pub(crate) base_loss: f64,
    pub(crate) slope: Option<f64>,
    pub(crate) resolution: f64,
}

impl LossLine {
    /// How many units in the last place the rounding of a loss may amount to: a loss is a long sum,
    /// and both ends of a difference are rounded.
    pub const ROUNDING_UNITS: f64 = 4.0;

    /// A line that starts at the loss L(θ).
    ///
    /// The resolution is that of a loss computed in 32-bit floats; see
    /// [`with_loss_epsilon`](Self::with_loss_epsilon).
    pub fn new(base_loss: f64) -> Self {
        Self {
            base_loss,
            slope: None,
            resolution: 0.0,
        }
        .with_loss_epsilon(f64::from(f32::EPSILON))
    }

    /// The slope g·Δθ, the rate at which the loss falls at η = 0: f(η) ≈ −(g·Δθ) η.
    ///
    /// It is known for free wherever the gradient and the update are.
    pub fn with_slope(mut self, slope: f64) -> Self {
        self.slope = Some(slope);
        self
    }

    /// The machine epsilon of the type that the loss is computed in, such as
    /// [`f32::EPSILON`]. Differences of up to [`ROUNDING_UNITS`](Self::ROUNDING_UNITS) in the last
    /// place of the base loss are taken for rounding.
    pub fn with_loss_epsilon(self, epsilon: f64) -> Self {
        let resolution = Self::ROUNDING_UNITS * epsilon * self.base_loss.abs();
        self.with_resolution(resolution)
    }

    /// The absolute change of the loss below which a difference is taken for rounding.
    ///
    /// A negative or NaN resolution counts as 0.
    pub fn with_resolution(mut self, resolution: f64) -> Self {
        self.resolution = resolution.max(0.0);
        self
    }

    /// The loss L(θ) at which the line starts.
    pub fn base_loss(&self) -> f64 {
        self.base_loss
    }

    /// The slope g·Δθ at which it starts to fall, where it is known.
    pub fn slope(&self) -> Option<f64> {
        self.slope
    }

    /// The change of the loss below which a difference is taken for rounding.
    pub fn resolution(&self) -> f64 {
        self.resolution
    }
}
