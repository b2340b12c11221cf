use crate::workload::{Step, Workload, train};
use anyhow::{Context, Result};
use critical_search::{CriticalSearch, Guess, LossLine, SearchConfig};
use sharpness_report::plot::{Axis, Chart, Series, Style};

const PLACES: usize = 60;
const FARTHEST: f64 = 1.6;

/// The minimum, which most searches take.
const EVALUATIONS: usize = 2;

/// Draws the last search of two evaluations on a workload.
pub fn draw<W: Workload>(workload: &W) -> Result<String> {
    let search = CriticalSearch::new(SearchConfig::default())?;
    let mut guess = Guess::unknown();
    let mut drawn = None;
    train(workload, None, |at: Step<'_, W>| {
        if !at.index.is_multiple_of(workload.every()) {
            return;
        }
        let Some(real) = at.line(workload) else {
            return;
        };
        let line = LossLine::new(real.base_loss)
            .with_slope(real.slope)
            .with_update_norm(real.update_norm);
        let result = search.run(&line, guess, |eta| real.loss(eta));
        guess = guess.learn(&line, &result);
        if let (Some(bracket), EVALUATIONS) =
            (result.outcome.bracket().copied(), result.trace.len())
        {
            let place = |index: usize| {
                FARTHEST * bracket.critical_lr() * index as f64 / (PLACES - 1) as f64
            };
            let points: Vec<(f64, f64)> = (0..PLACES)
                .map(place)
                .map(|eta| (eta, real.rise(eta)))
                .collect();
            drawn = Some((at.index, points, real.slope, result, bracket));
        }
    })?;
    let (step, points, slope, result, bracket) = drawn.context("no search took two evaluations")?;
    let title = format!("A search on a real line: {}, step {step}", workload.name());
    let lowest = points.iter().map(|(_, rise)| *rise).fold(0.0, f64::min);
    let series = |name: &str, points: Vec<(f64, f64)>, style| Series {
        name: name.to_string(),
        points,
        style,
        ..Series::default()
    };
    let zero = points.iter().map(|(eta, _)| (*eta, 0.0)).collect();
    let evaluations = result.trace.iter();
    let evaluations = evaluations.map(|seen| (seen.learning_rate, seen.rise));
    let certificate = vec![(bracket.lower(), 0.0), (bracket.upper(), 0.0)];
    let root = vec![(bracket.critical_lr(), 0.0)];
    let root_name = format!(
        "η_c, interpolated to {:.1}%",
        100.0 * bracket.relative_error()
    );
    let chart = Chart::new(
        &title,
        Axis::linear("learning rate η"),
        Axis::linear("rise of the loss f(η) = L(θ − ηΔθ) − L(θ)"),
    )
    .with_series(series("f", points, Style::Line))
    .with_series(series("0", zero, Style::Threshold))
    .with_series(series(
        "slope at 0, known",
        vec![(0.0, 0.0), (-lowest / slope, lowest)],
        Style::Line,
    ))
    .with_series(series("evaluations", evaluations.collect(), Style::Points))
    .with_series(series("bracket, the certificate", certificate, Style::Line))
    .with_series(series(&root_name, root, Style::Points))
    .with_mark(bracket.critical_lr(), "η_c");
    Ok(chart.svg()?)
}
