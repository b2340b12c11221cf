//! What is wrong with measurements, counted.

use burn_sharpness::{Measurement, MeasurementOutcome};
use std::collections::BTreeMap;

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
    pub const ALL: [Self; 15] = [
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
        Self::Far64,
        Self::Limiting,
        Self::Bits,
        Self::Panic,
    ];

    /// Whether its share is one of the brackets, and not of all measurements.
    fn is_of_brackets(self) -> bool {
        self <= Self::Side || self == Self::Far64
    }

    /// The share that a kind may have of it.
    pub fn share(self) -> f64 {
        match self {
            Self::Outside => 0.05,
            Self::Off3 | Self::Off5 => 0.005,
            Self::Far64 => 0.01,
            // The smallest crossing is looked for, not proved; and no number is no wrong number.
            Self::Later | Self::Side | Self::Missed | Self::Misnamed => 1.0,
            _ => 0.0,
        }
    }
}

/// How the measurements of a kind have ended.
#[derive(Clone, Default)]
pub struct Tally {
    pub measured: usize,
    pub bracketed: usize,
    /// Those whose evaluations count: without a verification.
    searches: usize,
    evaluations: usize,
    faults: BTreeMap<Fault, usize>,
    outcomes: BTreeMap<String, usize>,
    pub notes: Vec<String>,
}

const NOTES: usize = 3;

impl Tally {
    pub fn count(&mut self, measured: &Measurement, faults: &[Fault]) {
        self.measured += 1;
        let is_bracket = measured.outcome == MeasurementOutcome::Bracketed;
        self.bracketed += usize::from(is_bracket);
        if measured
            .first_crossing_verified
            .is_none_or(|verified| !verified)
        {
            self.searches += 1;
            self.evaluations += measured.evaluations;
        }
        if !is_bracket {
            let outcome = measured.outcome.name().to_string();
            *self.outcomes.entry(outcome).or_default() += 1;
        }
        for fault in faults {
            self.add_fault(*fault);
        }
    }

    pub fn add_fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub fn note(&mut self, note: String) {
        if self.notes.len() < NOTES {
            self.notes.push(note);
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.measured += other.measured;
        self.bracketed += other.bracketed;
        self.searches += other.searches;
        self.evaluations += other.evaluations;
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        for note in &other.notes {
            self.note(note.clone());
        }
    }

    pub fn of(&self, fault: Fault) -> usize {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// Whether there is more of a fault than a share allows.
    pub fn exceeds(&self, fault: Fault, share: f64) -> bool {
        let of = if fault.is_of_brackets() {
            self.bracketed
        } else {
            self.measured
        };
        self.of(fault) as f64 > share * of as f64
    }

    pub fn header() -> String {
        let faults: Vec<String> = Fault::ALL.map(|fault| format!("{fault:?}")).to_vec();
        format!(
            "{:34} measured bracketed within within3 evaluations | {} | others",
            "kind",
            faults.join(" ")
        )
    }

    pub fn line(&self, name: &str) -> String {
        let within = |outside: usize| match self.bracketed - self.of(Fault::Rounding) {
            0 => "-".to_string(),
            of => format!("{:.1}", 100.0 - 100.0 * outside as f64 / of as f64),
        };
        let outcomes: Vec<String> = self
            .outcomes
            .iter()
            .map(|(outcome, count)| format!("{outcome} {count}"))
            .collect();
        let faults: Vec<String> = Fault::ALL
            .into_iter()
            .zip(Fault::ALL.map(|fault| format!("{fault:?}").len()))
            .map(|(fault, width)| format!("{:width$}", self.of(fault)))
            .collect();
        format!(
            "{name:34} {:8} {:9} {:>6} {:>7} {:11.2} | {} | {}",
            self.measured,
            self.bracketed,
            within(self.of(Fault::Outside)),
            within(self.of(Fault::Off3)),
            self.evaluations as f64 / self.searches.max(1) as f64,
            faults.join(" "),
            outcomes.join(", "),
        )
    }
}
