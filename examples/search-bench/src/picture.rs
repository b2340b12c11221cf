use crate::workload::{Workload, train};
use anyhow::{Context, Result};
use burn::module::Module;
use critical_search::{CriticalSearch, Guess, LossLine, SearchConfig};
use sharpness_report::plot::{Axis, Chart, Series, Style};

const PLACES: usize = 60;
const FARTHEST: f64 = 1.6;

/// The minimum, which most searches take.
const EVALUATIONS: usize = 2;

/// Draws the last search of two evaluations on a workload.
pub fn draw<M: Module + 'static, B>(workload: Workload<M, B>) -> Result<String> {
    let (name, every) = (workload.name, workload.every);
    let search = CriticalSearch::new(SearchConfig::default())?;
    let mut guess = Guess::unknown();
    let mut drawn = None;
    train(workload, None, |at| {
        let is_due = at.index.is_multiple_of(every);
        let Some(real) = is_due.then(|| at.line()).flatten() else {
            return;
        };
        let line = LossLine::new(real.base_loss)
            .with_slope(real.slope)
            .with_update_norm(real.update_norm);
        let result = search.run(&line, guess, |eta| real.loss(eta));
        guess = guess.learn(&line, &result);
        let bracket = result.outcome.bracket().copied();
        if let (Some(bracket), EVALUATIONS) = (bracket, result.trace.len()) {
            let points = (0..PLACES).map(|index| {
                let eta = FARTHEST * bracket.critical_lr() * index as f64 / (PLACES - 1) as f64;
                (eta, real.rise(eta))
            });
            let points: Vec<(f64, f64)> = points.collect();
            drawn = Some((at.index, points, real.slope, result, bracket));
        }
    })?;
    let (step, points, slope, result, bracket) = drawn.context("no search took two evaluations")?;
    let title = format!("A search on a real line: {name}, step {step}");
    let lowest = points.iter().map(|(_, rise)| *rise).fold(0.0, f64::min);
    let zero = points.iter().map(|(eta, _)| (*eta, 0.0)).collect();
    let evaluations = result.trace.iter();
    let evaluations = evaluations.map(|seen| (seen.learning_rate, seen.rise));
    let certificate = vec![(bracket.lower(), 0.0), (bracket.upper(), 0.0)];
    let root = vec![(bracket.critical_lr(), 0.0)];
    let error = 100.0 * bracket.relative_error();
    let root_name = format!("η_c, interpolated to {error:.1}%");
    let y = Axis::linear("rise of the loss f(η) = L(θ − ηΔθ) − L(θ)");
    let slope = vec![(0.0, 0.0), (-lowest / slope, lowest)];
    let evaluations = Series::new("evaluations", evaluations.collect());
    let chart = Chart::new(&title, Axis::linear("learning rate η"), y)
        .with_series(Series::new("f", points))
        .with_series(Series::new("0", zero).with_style(Style::Threshold))
        .with_series(Series::new("slope at 0, known", slope))
        .with_series(evaluations.with_style(Style::Points))
        .with_series(Series::new("bracket, the certificate", certificate))
        .with_series(Series::new(root_name, root).with_style(Style::Points))
        .with_mark(bracket.critical_lr(), "η_c");
    Ok(chart.svg()?)
}
