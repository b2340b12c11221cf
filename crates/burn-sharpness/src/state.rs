use crate::measure::Memory;
use crate::probe::SharpnessProbe;
use crate::schedule::Schedule;
use xxhash_rust::xxh3::xxh3_64;

/// Another version may have learned other lessons.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const AFRESH: &str = "the run resumes without what its measurements had taught, so that the first ones may take more evaluations and differ within their error";

impl SharpnessProbe {
    /// Returns the lessons of the measurements so far, as a text of some kilobytes to save with a checkpoint of a
    /// hand-written loop.
    ///
    /// Only [`resume`](Self::resume) of the same version reads it. With burn's `Learner` and a
    /// [directory](crate::SharpnessConfig::with_directory), the probe saves and reads it by itself.
    pub fn state(&self) -> String {
        // Always lock these two in this order.
        let measuring = self.measuring();
        let run = self.run();
        let learned = (&measuring.memory, &run.schedule, run.journal.edge.past_edge);
        let text = serde_json::to_string(&learned).unwrap_or_default();
        format!("{VERSION} {:016x} {text}", xxh3_64(text.as_bytes()))
    }

    /// Continues a run like [`set_step`](Self::set_step), and from its [`state`](Self::state) at that step.
    ///
    /// The measurements then equal the measurements of an uninterrupted run, except that the curvature starts from
    /// another vector and agrees within its tolerance. If the probe cannot read the text, it continues without, and the
    /// summary says so.
    pub fn resume(&self, step: u64, state: &str) {
        self.set_step(step);
        self.continue_from(state);
    }

    pub(crate) fn continue_from(&self, state: &str) {
        let learned = read(state);
        if learned.is_none() {
            self.tell(AFRESH.to_string());
        }
        let (memory, schedule, past_edge) = learned.unwrap_or_default();
        let mut measuring = self.measuring();
        measuring.memory = memory;
        let mut run = self.run();
        run.schedule = schedule;
        run.journal.edge.past_edge = past_edge;
    }
}

fn read(state: &str) -> Option<(Memory, Schedule, u64)> {
    let (version, state) = state.split_once(' ')?;
    let (hash, text) = state.split_once(' ')?;
    let is_whole =
        version == VERSION && u64::from_str_radix(hash, 16) == Ok(xxh3_64(text.as_bytes()));
    is_whole.then(|| serde_json::from_str(text).ok()).flatten()
}
