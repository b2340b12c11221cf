//! What can be wrong with a measurement.

/// What can be wrong with a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The true η_c is off by more than the stated error.
    Outside,
    /// It is off by more than three times the stated error.
    Off3,
    /// It is off by more than 5%.
    Off5,
    /// No fall before it but that of rounding.
    Rounding,
    /// The loss rises clearly before it.
    Later,
    /// The same, though it was verified to be the first.
    Verified,
    /// It is above the learning rate in use, at which the loss clearly rises.
    Side,
    /// The loss falls and rises, and there is no number.
    Missed,
    /// The loss rises at once, and that is not what it is said to do.
    Misnamed,
    /// The loss falls, though it is said not to.
    NotDescent,
    /// The loss rises, though it is said not to.
    NoIncrease,
    /// The agreement of a step is off by more than its stated error.
    Agreement,
    /// It is off by more than three times that.
    Agreement3,
    /// Weights of 16 bits whose η_c is another one than in 64 bits.
    Far64,
    /// Another task is limiting than the one that is named.
    Limiting,
    /// The weights are others than without the probe.
    Bits,
    /// Something panicked.
    Panic,
}

impl Fault {
    pub const ALL: [Self; 17] = [
        Self::Outside,
        Self::Off3,
        Self::Off5,
        Self::Rounding,
        Self::Later,
        Self::Verified,
        Self::Side,
        Self::Missed,
        Self::Misnamed,
        Self::NotDescent,
        Self::NoIncrease,
        Self::Agreement,
        Self::Agreement3,
        Self::Far64,
        Self::Limiting,
        Self::Bits,
        Self::Panic,
    ];

    /// Whether its share is one of the brackets, and not of all measurements.
    pub fn is_of_brackets(self) -> bool {
        self <= Self::Side || self == Self::Far64
    }

    /// The share that a kind may have of it.
    pub fn share(self) -> f64 {
        match self {
            Self::Outside => 0.05,
            Self::Off3 | Self::Off5 => 0.005,
            Self::Agreement => 0.05,
            Self::Agreement3 => 0.01,
            Self::Far64 => 0.01,
            // The smallest crossing is looked for, not proved; and no number is no wrong number.
            Self::Later | Self::Side | Self::Missed | Self::Misnamed => 1.0,
            _ => 0.0,
        }
    }
}

/// The faults of a measurement, and what is to be known of them.
#[derive(Default)]
pub struct Verdict {
    pub faults: Vec<Fault>,
    /// By what part η_c is another one in 64 bits.
    pub off_64_bits: Option<f64>,
    pub note: String,
}

impl Verdict {
    pub fn add(&mut self, fault: Fault, note: String) {
        self.faults.push(fault);
        self.note += &format!("{fault:?}: {note}; ");
    }
}
