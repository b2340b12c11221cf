//! Recorded lines: the rise of the loss along real updates, every tenth of a GPT's 800, and 200 each
//! of a fully connected network's (`cargo run -p search-bench -- --lines FILE` records such lines).

use critical_search::{CriticalSearch, Guess, LossLine, SearchResult};
use serde::Deserialize;

/// The rise of the loss along one real update.
#[derive(Deserialize)]
pub struct Line {
    /// The training that it is of.
    pub workload: String,
    slope: f64,
    base_loss: f64,
    /// (η, f(η)), by rising η.
    pub points: Vec<(f64, f64)>,
}

/// The lines of a workload whose name contains this word, in the order of training.
pub fn lines(workload: &str) -> Vec<Line> {
    let lines: Vec<Line> = serde_json::from_str(include_str!("lines.json")).unwrap();
    let lines = lines.into_iter();
    lines
        .filter(|line| line.workload.contains(workload))
        .collect()
}

impl Line {
    /// f(η), with f(η)/η interpolated between the points.
    fn rise(&self, eta: f64) -> f64 {
        let h = |(eta, rise): (f64, f64)| rise / eta;
        let next = self.points.partition_point(|(at, _)| *at <= eta);
        let (from, to) = match next {
            0 => ((0.0, -self.slope), (self.points[0].0, h(self.points[0]))),
            _ if next == self.points.len() => return eta * h(self.points[next - 1]),
            _ => {
                let [a, b] = [self.points[next - 1], self.points[next]];
                ((a.0, h(a)), (b.0, h(b)))
            }
        };
        eta * (from.1 + (to.1 - from.1) * (eta - from.0) / (to.0 - from.0))
    }

    /// The slope at η = 0.
    pub fn slope(&self) -> f64 {
        self.slope
    }

    /// The line as a search is told of it, with its slope known.
    pub fn known(&self) -> LossLine {
        self.unknown().with_slope(self.slope)
    }

    /// The line without its slope.
    pub fn unknown(&self) -> LossLine {
        LossLine::new(self.base_loss)
    }

    /// What a search finds on this line, told of in this way, and its guess for the next one.
    pub fn search_as(
        &self,
        line: &LossLine,
        search: &CriticalSearch,
        guess: Guess,
    ) -> (SearchResult, Guess) {
        let result = search.run(line, guess, |eta| self.base_loss + self.rise(eta));
        let guess = guess.learn(line, &result);
        (result, guess)
    }

    /// The same with the slope known.
    pub fn search(&self, search: &CriticalSearch, guess: Guess) -> (SearchResult, Guess) {
        self.search_as(&self.known(), search, guess)
    }
}
