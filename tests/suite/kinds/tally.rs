use super::fault::{Fault, Verdict};
use super::ways::WAYS;
use sharpness_tests::prelude::*;

#[derive(Clone, Default)]
pub struct Tally {
    pub measured: usize,
    pub bracketed: usize,
    searches: usize,
    evaluations: usize,
    faults: BTreeMap<Fault, usize>,
    outcomes: BTreeMap<String, usize>,
    off_64_bits: Vec<f64>,
    notes: BTreeMap<Fault, String>,
}

impl Tally {
    pub fn count(&mut self, measured: &Measurement, verdict: &Verdict) {
        self.measured += 1;
        let is_bracket = measured.outcome == Bracketed;
        self.bracketed += usize::from(is_bracket);
        if measured.first_crossing_verified != Some(true) {
            self.searches += 1;
            self.evaluations += measured.evaluations;
        }
        if !is_bracket {
            let outcome = measured.outcome.name().to_string();
            *self.outcomes.entry(outcome).or_default() += 1;
        }
        for fault in &verdict.faults {
            *self.faults.entry(*fault).or_default() += 1;
        }
        self.off_64_bits.extend(verdict.off_64_bits);
    }

    pub fn add_fault(&mut self, fault: Fault, note: String) {
        self.note(&[fault], || note.clone());
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Keeps the first example of each fault.
    pub fn note(&mut self, faults: &[Fault], note: impl Fn() -> String) {
        let mut faults = faults.iter();
        if let Some(fault) = faults.find(|fault| !self.notes.contains_key(fault)) {
            self.notes.insert(*fault, note());
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
        self.off_64_bits.extend(&other.off_64_bits);
        for (fault, note) in &other.notes {
            self.note(&[*fault], || note.clone());
        }
    }

    pub fn notes(&self) -> impl Iterator<Item = &String> {
        self.notes.values()
    }

    pub fn of(&self, fault: Fault) -> usize {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// Among few measurements a single fault, seen in all five ways, is allowed.
    pub fn exceeds(&self, fault: Fault, share: f64) -> bool {
        let of = match fault.is_of_brackets() {
            true => self.bracketed,
            false => self.measured,
        };
        let least = if share > 0.0 { WAYS.len() } else { 0 };
        self.of(fault) as f64 > (share * of as f64).ceil().max(least as f64)
    }

    pub fn header() -> String {
        let faults = Fault::ALL.map(|fault| format!("{fault:?}"));
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
        let outcomes = self.outcomes.iter();
        let outcomes = outcomes.map(|(outcome, count)| format!("{outcome} {count}"));
        let outcomes: Vec<String> = outcomes.collect();
        let mut off = self.off_64_bits.clone();
        off.sort_by(f64::total_cmp);
        let off_by = |part: usize| 100.0 * off[(off.len() - 1) * part / 100];
        let off = match off.len() {
            0 => String::new(),
            of => format!(
                "; of {of} η_c in 64 bits half are off by {:.2}% at most, 95 of 100 by {:.2}%",
                off_by(50),
                off_by(95)
            ),
        };
        let faults = Fault::ALL.map(|fault| {
            let width = format!("{fault:?}").len();
            format!("{:width$}", self.of(fault))
        });
        format!(
            "{name:34} {:8} {:9} {:>6} {:>7} {:11.2} | {} | {}{off}",
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
