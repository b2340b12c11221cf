use burn::tensor::FloatDType;

/// What is trained: a network, and the loss that it learns by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    /// The network.
    pub network: Network,
    /// The loss.
    pub objective: Objective,
}

/// A small network: what people train, each with one peculiarity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// Two residual blocks with tanh.
    Plain,
    /// The same with kinks.
    Relu,
    /// An output layer that starts at zero.
    ZeroHead,
    /// Dropout, which validation leaves out.
    Dropout,
    /// Batch norm, with its running statistics in validation.
    BatchNorm,
    /// Group norm.
    GroupNorm,
    /// Residual branches that start at zero.
    ZeroResidual,
    /// Residual branches of which training drops some.
    StochasticDepth,
    /// Residual branches that start with this factor.
    LayerScale(f32),
    /// Weights that are a direction and a length.
    WeightNorm,
    /// Weights divided by their largest singular value.
    SpectralNorm,
    /// One layer used twice in each block.
    Tied,
    /// A parameter without elements, and one of a single element.
    OddParameters,
    /// Weights rounded to multiples of a step, or of a 127th of the largest where none is given; gradients pass through.
    Quantized(Option<f32>),
    /// The best of four experts for each example, weighted by its probability.
    Mixture {
        /// Whether the loss asks for experts that are used alike.
        balanced: bool,
    },
    /// Hidden values replaced by the nearest entry of a code book; gradients pass through.
    CodeBook,
    /// A recurrent network over three vectors.
    Recurrent,
    /// An embedding of tokens, most of which are rare.
    Tokens,
    /// Pictures: a convolution, batch norm and dropout.
    Convolution,
    /// Weights of 32 bits, which the forward pass rounds to this type.
    Mixed(FloatDType),
    /// An output layer in this type.
    HalfHead(FloatDType),
    /// All weights in this type, and the loss in 32 bits.
    Half(FloatDType),
    /// All weights and the loss in this type.
    HalfLoss(FloatDType),
}

impl Network {
    /// The type that a part of the network is computed in, if it has 16 bits.
    pub fn sixteen_bits(self) -> Option<FloatDType> {
        match self {
            Self::Mixed(dtype)
            | Self::HalfHead(dtype)
            | Self::Half(dtype)
            | Self::HalfLoss(dtype) => Some(dtype),
            _ => None,
        }
    }

    /// With the loss of a classifier.
    pub fn kind(self) -> Kind {
        self.with(Objective::CrossEntropy)
    }

    /// With another loss.
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
    /// The cross entropies of the examples.
    Examples,
    /// Cross entropy with smoothed labels.
    SmoothLabels,
    /// The mean squared distance to one-hot targets.
    OneHot,
    /// The mean squared error of a regression.
    Squared,
    /// A million times it.
    Huge,
    /// Huber's loss.
    Huber,
    /// A quantile regression, which is made of straight pieces.
    Quantile,
    /// Cross entropies between two limits.
    Clamped,
    /// Cross entropy and the sum of all absolute weights.
    Sparse,
    /// Cross entropy and a penalty that the loss that is reported lacks.
    HiddenPenalty,
    /// Cross entropy and a constant.
    Offset(f32),
    /// Two views of an example against those of all others.
    Contrastive,
    /// The negative logarithm of a density, which falls without limit.
    LogDensity,
    /// Ratios of probabilities to those of an older network, clipped.
    Clipped,
    /// The gain of a policy: a loss around 0.
    Advantage,
    /// Squared distances of probabilities.
    Brier,
    /// A margin between the right class and all others.
    Hinge,
    /// The cross entropy of the worst example.
    Worst,
    /// A value that is to be that of the next state, whose gradient is stopped.
    Bootstrapped,
    /// Counts, by the logarithm of their rate: overflows.
    Poisson,
    /// A regression with a wall, beyond which it is NaN.
    Barrier,
    /// Cross entropy and waves over the scores.
    Ripples,
    /// A generator and a critic, in turns, both without limit.
    Adversarial,
}

impl Objective {
    /// The numbers that the network gives for each example.
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
