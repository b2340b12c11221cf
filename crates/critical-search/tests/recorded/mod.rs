//! Reads `lines.json`, the rises of the loss along real updates: every tenth of a GPT's 800, the first 200 of a fully
//! connected network's by full batches, and the last 300 of 600 by mini-batches and momentum. `cargo run -p
//! search-bench -- --gpt-steps 800 --gpt-every 10 --lines FILE` records such lines; `lines.json` has them without the
//! step, rounded to six or seven digits.

#![allow(dead_code, reason = "each test and the benchmark use a part")]

use critical_search::{CriticalSearch, Guess, LossLine, SearchResult};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Line {
    pub workload: String,
    slope: f64,
    update_norm: f64,
    base_loss: f64,
    /// (η, f(η)), by rising η.
    pub points: Vec<(f64, f64)>,
}

/// Returns the lines of a workload whose name contains this word.
pub fn lines(workload: &str) -> Vec<Line> {
    let lines: Vec<Line> = serde_json::from_str(include_str!("lines.json")).unwrap();
    let is_named = |line: &Line| line.workload.contains(workload);
    lines.into_iter().filter(is_named).collect()
}

impl Line {
    /// Interpolates h = f(η)/η by a cubic with the slopes of quadratics: straight pieces would have kinks.
    fn rise(&self, eta: f64) -> f64 {
        let start = std::iter::once((0.0, -self.slope));
        let of_points = self.points.iter().map(|(eta, rise)| (*eta, rise / eta));
        let h: Vec<(f64, f64)> = start.chain(of_points).collect();
        let chord = |i: usize| (h[i + 1].1 - h[i].1) / (h[i + 1].0 - h[i].0);
        let slope = |i: usize| match i {
            0 => chord(0),
            _ if i + 1 == h.len() => chord(i - 1),
            _ => {
                let (before, after) = (h[i].0 - h[i - 1].0, h[i + 1].0 - h[i].0);
                (chord(i - 1) * after + chord(i) * before) / (before + after)
            }
        };
        let next = h.partition_point(|(at, _)| *at <= eta);
        let Some(&(to, h_to)) = h.get(next) else {
            return eta * h[next - 1].1;
        };
        let (from, h_from) = h[next - 1];
        let (width, t) = (to - from, (eta - from) / (to - from));
        let s = 1.0 - t;
        let bent =
            t * s * (s * (slope(next - 1) - chord(next - 1)) - t * (slope(next) - chord(next - 1)));
        eta * (s * h_from + t * h_to + width * bent)
    }

    pub fn slope(&self) -> f64 {
        self.slope
    }

    pub fn known(&self) -> LossLine {
        self.unknown().with_slope(self.slope)
    }

    pub fn unknown(&self) -> LossLine {
        LossLine::new(self.base_loss).with_update_norm(self.update_norm)
    }

    /// Returns the result and the next guess.
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

    pub fn search(&self, search: &CriticalSearch, guess: Guess) -> (SearchResult, Guess) {
        self.search_as(&self.known(), search, guess)
    }
}
