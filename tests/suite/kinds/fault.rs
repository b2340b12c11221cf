#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The true η_c is off by more than the stated error.
    Outside,
    Off3,
    Off5,
    /// The loss does not fall below η_c by more than rounding.
    Rounding,
    Later,
    /// The loss clearly rises below an η_c that was verified as the first.
    Verified,
    /// η_c is above the current learning rate, but the loss clearly rises there.
    Side,
    Missed,
    /// The outcome has the wrong name for a line that rises from 0 on.
    Misnamed,
    NotDescent,
    NoIncrease,
    Agreement,
    Agreement3,
    /// η_c differs from the value in 64 bits.
    Far64,
    Limiting,
    Bits,
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

    pub fn is_of_brackets(self) -> bool {
        self <= Self::Side || self == Self::Far64
    }

    pub fn share(self) -> f64 {
        match self {
            Self::Outside => 0.05,
            Self::Off3 | Self::Off5 => 0.005,
            Self::Agreement => 0.05,
            Self::Agreement3 => 0.01,
            Self::Far64 => 0.01,
            // The search does not prove the smallest crossing, and a missing number is not a wrong number.
            Self::Later | Self::Side | Self::Missed | Self::Misnamed => 1.0,
            _ => 0.0,
        }
    }
}

#[derive(Default)]
pub struct Verdict {
    pub faults: Vec<Fault>,
    pub off_64_bits: Option<f64>,
    pub note: String,
}

impl Verdict {
    pub fn add(&mut self, fault: Fault, note: String) {
        self.faults.push(fault);
        self.note += &format!("{fault:?}: {note}; ");
    }
}
