use burn::tensor::FloatDType;

/// A network and its loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    /// The network.
    pub network: Network,
    /// The loss.
    pub objective: Objective,
}

/// A small network with one peculiarity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// Two residual blocks with tanh.
    Plain,
    /// Two residual blocks with ReLU.
    Relu,
    /// An output layer that starts at zero.
    ZeroHead,
    /// Dropout.
    Dropout,
    /// Batch norm.
    BatchNorm,
    /// Group norm.
    GroupNorm,
    /// Residual branches that start at zero.
    ZeroResidual,
    /// Residual branches, some of which training drops.
    StochasticDepth,
    /// Residual branches scaled by this factor at first.
    LayerScale(f32),
    /// Weights given by a direction and a length.
    WeightNorm,
    /// Weights divided by their largest singular value.
    SpectralNorm,
    /// One layer used twice in each block.
    Tied,
    /// A parameter without elements, and one of a single element.
    OddParameters,
    /// Weights rounded to multiples of a step (by default 1/127 of the largest weight); gradients pass through.
    Quantized(Option<f32>),
    /// The best of four experts for each example, weighted by its probability.
    Mixture {
        /// Whether the loss favours an even use of the experts.
        balanced: bool,
    },
    /// Hidden values replaced by the nearest entry of a code book; gradients pass through.
    CodeBook,
    /// A recurrent network over three vectors.
    Recurrent,
    /// An embedding of mostly rare tokens.
    Tokens,
    /// Pictures: a convolution, batch norm and dropout.
    Convolution,
    /// 32-bit weights that the forward pass rounds to this type.
    Mixed(FloatDType),
    /// An output layer in this type.
    HalfHead(FloatDType),
    /// All weights in this type, and the loss in 32 bits.
    Half(FloatDType),
    /// All weights and the loss in this type.
    HalfLoss(FloatDType),
}

impl Network {
    /// Returns the type of the parts that have 16 bits, if any.
    pub fn sixteen_bits(self) -> Option<FloatDType> {
        match self {
            Self::Mixed(dtype)
            | Self::HalfHead(dtype)
            | Self::Half(dtype)
            | Self::HalfLoss(dtype) => Some(dtype),
            _ => None,
        }
    }

    /// Returns the kind with a classifier's loss.
    pub fn kind(self) -> Kind {
        self.with(Objective::CrossEntropy)
    }

    /// Returns the kind with another loss.
    pub fn with(self, objective: Objective) -> Kind {
        Kind {
            network: self,
            objective,
        }
    }
}

/// A loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// Cross entropy.
    CrossEntropy,
    /// The cross entropy of each example.
    Examples,
    /// Cross entropy with smoothed labels.
    SmoothLabels,
    /// The mean squared distance to one-hot targets.
    OneHot,
    /// A regression's mean squared error.
    Squared,
    /// A million times the squared error.
    Huge,
    /// Huber's loss.
    Huber,
    /// A quantile regression, piecewise linear.
    Quantile,
    /// Cross entropy clamped between two limits.
    Clamped,
    /// Cross entropy plus the sum of all absolute weights.
    Sparse,
    /// Cross entropy plus a penalty missing from the reported loss.
    HiddenPenalty,
    /// Cross entropy plus a constant.
    Offset(f32),
    /// Two views of an example against all other examples.
    Contrastive,
    /// The negative logarithm of a density, without a lower bound.
    LogDensity,
    /// Clipped ratios of probabilities to an older network's.
    Clipped,
    /// A policy's gain: a loss around 0.
    Advantage,
    /// Squared distances of probabilities.
    Brier,
    /// A margin between the right class and all others.
    Hinge,
    /// The cross entropy of the worst example.
    Worst,
    /// The squared distance of a value to the next state's value, with a stopped gradient.
    Bootstrapped,
    /// Counts by the logarithm of their rate, which overflows.
    Poisson,
    /// A regression with a wall; the loss is NaN beyond.
    Barrier,
    /// Cross entropy plus waves over the scores.
    Ripples,
    /// A generator and a critic in turns, both unbounded.
    Adversarial,
}

impl Objective {
    /// Returns the number of outputs for each example.
    pub fn outputs(self) -> usize {
        match self {
            Self::Squared | Self::Huge | Self::Huber | Self::Quantile | Self::Barrier => 2,
            Self::Poisson => 2,
            Self::LogDensity => 4,
            Self::Adversarial => 6,
            Self::Contrastive => 8,
            _ => 3,
        }
    }
}
