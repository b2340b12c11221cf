use burn::tensor::FloatDType;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    pub network: Network,
    pub objective: Objective,
}

/// A small network with one peculiarity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    Plain,
    Relu,
    ZeroHead,
    Dropout,
    BatchNorm,
    GroupNorm,
    ZeroResidual,
    /// Training drops some residual branches.
    StochasticDepth,
    LayerScale(f32),
    WeightNorm,
    SpectralNorm,
    /// One layer used twice in each block.
    Tied,
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
    Recurrent,
    Tokens,
    Convolution,
    /// 32-bit weights that the forward pass rounds to this type.
    Mixed(FloatDType),
    HalfHead(FloatDType),
    /// All weights in this type, and the loss in 32 bits.
    Half(FloatDType),
    HalfLoss(FloatDType),
    /// Hidden values of −1 and 1; gradients pass through.
    Binary,
    /// Hidden values rounded to 1/7 of the largest in the batch; gradients pass through.
    FourBits,
    /// Scores of length 1 times a learned scale.
    LogitScale,
}

impl Network {
    pub fn sixteen_bits(self) -> Option<FloatDType> {
        match self {
            Self::Mixed(dtype)
            | Self::HalfHead(dtype)
            | Self::Half(dtype)
            | Self::HalfLoss(dtype) => Some(dtype),
            _ => None,
        }
    }

    pub fn kind(self) -> Kind {
        self.with(Objective::CrossEntropy)
    }

    pub fn with(self, objective: Objective) -> Kind {
        Kind {
            network: self,
            objective,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    CrossEntropy,
    Examples,
    SmoothLabels,
    OneHot,
    Squared,
    Huge,
    Huber,
    Quantile,
    Clamped,
    /// Cross entropy plus the sum of all absolute weights.
    Sparse,
    /// Cross entropy plus a penalty missing from the reported loss.
    HiddenPenalty,
    Offset(f32),
    /// Two views of an example against all other examples.
    Contrastive,
    /// The negative logarithm of a density, without a lower bound.
    LogDensity,
    /// Clipped ratios of probabilities to an older network's.
    Clipped,
    /// A policy's gain: a loss around 0.
    Advantage,
    Brier,
    Hinge,
    Worst,
    /// A value against the next state's value, with a stopped gradient.
    Bootstrapped,
    Poisson,
    /// A regression with a wall; the loss is NaN beyond.
    Barrier,
    /// Cross entropy plus waves over the scores.
    Ripples,
    /// A generator and a critic in turns.
    Adversarial,
    /// The farthest example of the same class against the nearest of another class.
    Triplet,
    /// One view of an example towards another, with a stopped gradient.
    Distilled,
    /// Cross entropy without the examples of a large loss.
    Trimmed,
    /// The overlap of probabilities and classes, over the whole batch.
    Dice,
}

impl Objective {
    pub fn outputs(self) -> usize {
        match self {
            Self::Squared | Self::Huge | Self::Huber | Self::Quantile | Self::Barrier => 2,
            Self::Poisson => 2,
            Self::LogDensity => 4,
            Self::Adversarial => 6,
            Self::Contrastive | Self::Triplet | Self::Distilled => 8,
            _ => 3,
        }
    }
}
