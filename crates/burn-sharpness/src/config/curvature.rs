//! Configures the measurement of [curvature](crate::hessian).

/// Sets which curvature a probe measures besides λ_c, and how often.
///
/// ```
/// use burn_sharpness::hessian::{AdamPreconditioner, CurvatureConfig, SpectrumConfig};
/// use burn_sharpness::{SharpnessConfig, SharpnessProbe};
///
/// // The values that the optimizer, Adam or AdamW, was made with.
/// let adam = AdamPreconditioner { beta_1: 0.9, beta_2: 0.95, epsilon: 1e-8 };
/// let curvature = CurvatureConfig::new(100)
///     .with_preconditioner(adam)
///     .with_spectrum(SpectrumConfig { tolerance: 0.001, ..SpectrumConfig::default() });
/// let config = SharpnessConfig::new().with_every(10).with_curvature(curvature);
/// SharpnessProbe::new(config)?;
/// # Ok::<(), burn_sharpness::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct CurvatureConfig {
    /// The interval in run-wide steps, at least 1. It takes effect at steps that measure critical sharpness.
    pub every: u64,
    /// The search for the largest eigenvalue.
    pub spectrum: SpectrumConfig,
    /// The preconditioner, to measure the preconditioned sharpness.
    pub preconditioner: Option<AdamPreconditioner>,
}

impl CurvatureConfig {
    /// Measures the directional and the Hessian sharpness at this interval, at least 1.
    pub fn new(every: u64) -> Self {
        Self {
            every,
            spectrum: SpectrumConfig::default(),
            preconditioner: None,
        }
    }

    /// Also measures the preconditioned sharpness.
    pub fn with_preconditioner(mut self, preconditioner: AdamPreconditioner) -> Self {
        self.preconditioner = Some(preconditioner);
        self
    }

    /// Sets the search for the largest eigenvalue.
    pub fn with_spectrum(mut self, spectrum: SpectrumConfig) -> Self {
        self.spectrum = spectrum;
        self
    }
}

/// Sets how often, and over how many batches, to measure [batch
/// sharpness](crate::SharpnessProbeBuilder::with_batch_sharpness).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct BatchSharpnessConfig {
    /// The interval in run-wide steps, at least 1. It takes effect at steps that measure critical sharpness.
    pub every: u64,
    /// The number of batches of each measurement, at least 1; one batch gives no standard error.
    pub batches: usize,
}

impl BatchSharpnessConfig {
    /// Measures over eight batches at this interval, at least 1.
    pub fn new(every: u64) -> Self {
        Self { every, batches: 8 }
    }

    /// Sets the number of batches, at least 1. Twice as many cost twice as much, and divide the standard error by √2.
    pub fn with_batches(mut self, batches: usize) -> Self {
        self.batches = batches;
        self
    }
}

/// Sets how far the Lanczos iteration goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpectrumConfig {
    /// The number of largest eigenvalues, at least 1.
    pub largest: usize,
    /// The residual ‖Hu − λu‖/|λ| of a converged eigenvalue, in (0, 1), which bounds the relative error of λ.
    pub tolerance: f64,
    /// The largest number of Hessian products, at least 1.
    pub max_products: usize,
}

impl Default for SpectrumConfig {
    /// The largest eigenvalue, to a residual of 1%, in at most 60 products.
    fn default() -> Self {
        Self {
            largest: 1,
            tolerance: 0.01,
            max_products: 60,
        }
    }
}

/// The preconditioner of Adam and AdamW, P = (1 − β₁ᵗ)(√(ν/(1 − β₂ᵗ)) + ε), with the optimizer's second moment ν and
/// step count t of each parameter (arXiv 2601.16979; Cohen et al., arXiv 2207.14484).
///
/// Give the optimizer's own β₁, β₂ and ε: its record does not contain them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamPreconditioner {
    /// β₁, in [0, 1).
    pub beta_1: f64,
    /// β₂, in [0, 1).
    pub beta_2: f64,
    /// ε, above 0.
    pub epsilon: f64,
}
