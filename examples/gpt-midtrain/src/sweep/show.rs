use super::Sweep;
use crate::point::{quantile, show_rate};
use sharpness_report::plot::{Axis, Chart, Series, Style};
use std::fmt::{Display, Formatter};

impl Sweep {
    pub(super) fn chart(&self) -> Chart {
        let names = ["pre-training loss", "target loss"];
        let mut chart = Chart::new(
            "Relative critical sharpness along the updates of a mix",
            Axis::linear("fraction r of pre-training text in the mix").with_range(-0.02, 1.02),
            Axis::log("critical sharpness λ_c (median, middle half)"),
        );
        let finite = |value: f64| value.is_finite() && value > 0.0;
        for (task, name) in names.into_iter().enumerate() {
            let mut series = Series {
                name: name.to_string(),
                ..Series::default()
            };
            for point in &self.points {
                let values = point.sharpness(task);
                let at = |share| quantile(&values, share).unwrap_or(f64::NAN);
                series.points.push((point.ratio, at(0.5)));
                if finite(at(0.25)) {
                    series.band.push((point.ratio, at(0.25), at(0.75)));
                }
            }
            chart = chart.with_series(series);
        }
        let drawn = chart.series.iter().flat_map(|series| &series.points);
        let highest = drawn.map(|point| point.1).filter(|y| y.is_finite());
        let highest = highest.fold(0.0, f64::max);
        for (task, name) in names.into_iter().enumerate() {
            let hurt = self
                .points
                .iter()
                .filter(|p| p.median(task) == Some(f64::INFINITY));
            let hurt: Vec<(f64, f64)> = hurt.map(|p| (p.ratio, 1.5 * highest)).collect();
            if !hurt.is_empty() {
                chart = chart.with_series(Series {
                    name: format!("{name} rises at once"),
                    points: hurt,
                    style: Style::Points,
                    belongs_to: Some(task),
                    ..Series::default()
                });
            }
        }
        match self.sweet_spot() {
            Some(spot) => chart.with_mark(
                spot.ratio,
                &format!(
                    "sweet spot: r = {:.2}, η up to {:.1e}",
                    spot.ratio, spot.learning_rate
                ),
            ),
            None => chart,
        }
    }
}

impl Display for Sweep {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{:>5}  {:<32}  {:<32}  largest learning rate",
            "ratio", "λ_c of the pre-training loss", "λ_c of the target loss"
        )?;
        for point in &self.points {
            writeln!(f, "{}", point.line())?;
        }
        writeln!(
            f,
            "(median over the batches, with the quartiles; `hurt`: the update raises the loss at once)"
        )?;
        let (all, failed) = self.counts();
        if let Some(first) = failed.first() {
            write!(
                f,
                "{} of {all} measurements of the tasks say nothing, the first of {}: {}",
                failed.len(),
                first.task,
                first.outcome
            )?;
            writeln!(
                f,
                "{}",
                first
                    .reason
                    .iter()
                    .map(|why| format!(" ({why})"))
                    .collect::<String>()
            )?;
        }
        match self.sweet_spot() {
            Some(spot) => {
                write!(
                    f,
                    "sweet spot: r = {:.2}, where neither task forbids a learning rate up to {}",
                    spot.ratio,
                    show_rate(spot.learning_rate)
                )?;
                let crossings = self.crossings_of_batches();
                let spread = [0.25, 0.75].map(|share| quantile(&crossings, share));
                if let [Some(low), Some(high)] = spread {
                    write!(f, " (single batches: r = {low:.2} … {high:.2})")?;
                }
                writeln!(f)
            }
            None => {
                let best = self
                    .points
                    .iter()
                    .filter_map(|p| Some((p.limit()?, p.ratio)));
                let best = best.max_by(|a, b| a.0.0.total_cmp(&b.0.0));
                match best {
                    Some(((rate, _), ratio)) => writeln!(
                        f,
                        "sweet spot: the curves do not cross; the largest learning rate that neither task forbids is {}, at r = {ratio:.2}",
                        show_rate(rate)
                    ),
                    None => writeln!(f, "sweet spot: none, since neither task was measured"),
                }
            }
        }
    }
}
