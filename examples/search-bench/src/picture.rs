use crate::workload::{Step, Workload, train};
use anyhow::{Context, Result};
use critical_search::{CriticalSearch, Guess, LossLine, SearchConfig};
use sharpness_report::plot::{Axis, Chart, Series, Style};

/// The places at which the line itself is drawn, over its critical learning rate.
const PLACES: usize = 60;
const FARTHEST: f64 = 1.6;

/// A picture of one guided search on one real line: that of the workload's last measured step on
/// which the search took three evaluations.
pub fn draw<W: Workload>(workload: &W) -> Result<String> {
    let search = CriticalSearch::new(SearchConfig::default())?;
    let mut guess = Guess::new(0.01);
    let mut drawn = None;
    train(workload, |at: Step<'_, W>| {
        if !at.index.is_multiple_of(workload.every()) {
            return;
        }
        let Some(real) = at.line(workload) else {
            return;
        };
        let line = LossLine::new(real.base_loss).with_slope(real.slope);
        let result = search.run(&line, guess, |eta| real.loss(eta));
        guess = guess.learn(&line, &result);
        if let (Some(bracket), 3) = (result.outcome.bracket(), result.trace.len()) {
            let place = |index: usize| {
                FARTHEST * bracket.critical_lr() * index as f64 / (PLACES - 1) as f64
            };
            let points = (0..PLACES).map(place);
            let points: Vec<(f64, f64)> = points.map(|eta| (eta, real.rise(eta))).collect();
            drawn = Some((at.index, points, result));
        }
    })?;
    let (step, points, result) = drawn.context("no search took three evaluations")?;
    let bracket = result.outcome.bracket().context("it found no bracket")?;

    let title = format!("A search on a real line: {}, step {step}", workload.name());
    let mut chart = Chart::new(
        &title,
        Axis::linear("learning rate η"),
        Axis::linear("rise of the loss f(η) = L(θ − ηΔθ) − L(θ)"),
    )
    .with_series(Series {
        name: "f".to_string(),
        points: points.clone(),
        ..Series::default()
    })
    .with_series(Series {
        name: "0".to_string(),
        points: points.iter().map(|(eta, _)| (*eta, 0.0)).collect(),
        style: Style::Threshold,
        ..Series::default()
    });
    for (index, evaluation) in result.trace.iter().enumerate() {
        chart = chart.with_series(Series {
            name: format!("evaluation {}", index + 1),
            points: vec![(evaluation.learning_rate, evaluation.rise)],
            style: Style::Points,
            ..Series::default()
        });
    }
    chart = chart.with_mark(bracket.critical_lr(), "η_c");
    Ok(chart.svg()?)
}
