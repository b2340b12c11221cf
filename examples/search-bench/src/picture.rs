use crate::workload::{Step, Workload, train};
use anyhow::{Context, Result};
use burn::module::Module;
use burn_sharpness::{Linearity, UpdateDirection};
use critical_search::{CriticalSearch, Guess, LossLine, SearchConfig, SearchResult};
use sharpness_report::plot::{Axis, Chart, Series, Style};

/// The places at which the line itself is drawn, over its critical learning rate.
const PLACES: usize = 60;
const FARTHEST: f64 = 1.6;

/// A picture of one guided search on one real line: that of the workload's last measured step on
/// which the search took three evaluations.
pub fn draw<W: Workload>(workload: &W) -> Result<String> {
    let search = CriticalSearch::new(SearchConfig::default())?;
    let mut guess = Guess::new(0.01);
    let mut drawn: Option<(u64, Vec<(f64, f64)>, SearchResult)> = None;
    train(workload, |at: Step<'_, W>| {
        if !at.index.is_multiple_of(workload.every()) {
            return;
        }
        let model = at.model.valid();
        let loss = |model: &W::Model| {
            let loss = workload.loss(model, at.batch);
            loss.try_into_scalar::<f64>().unwrap_or(f64::NAN)
        };
        let rate = at.learning_rate.into();
        let direction =
            UpdateDirection::new(&model, at.optim, &rate, at.grads, 1.0, Linearity::Linear);
        let Ok(direction) = direction else { return };
        let base_loss = loss(&model);
        let loss_at = |eta: f64| loss(&direction.apply(model.clone(), eta));
        let line = LossLine::new(base_loss).with_slope(direction.slope());
        let result = search.run(&line, guess, loss_at);
        guess = guess.learn(&line, &result);
        if let (Some(bracket), 3) = (result.outcome.bracket(), result.trace.len()) {
            let place = |index: usize| {
                FARTHEST * bracket.critical_lr() * index as f64 / (PLACES - 1) as f64
            };
            let points = (0..PLACES).map(place);
            let points = points.map(|eta| (eta, loss_at(eta) - base_loss)).collect();
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
