use super::Sweep;
use crate::point::{Point, quantile, show_rate};
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
            let mut series = Series::new(name, Vec::new());
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
            let is_hurt = |p: &&Point| p.median(task) == Some(f64::INFINITY);
            let hurt = self.points.iter().filter(is_hurt);
            let hurt: Vec<(f64, f64)> = hurt.map(|p| (p.ratio, 1.5 * highest)).collect();
            if !hurt.is_empty() {
                let name = format!("{name} rises at once");
                let mut series = Series::new(name, hurt).with_style(Style::Points);
                series.belongs_to = Some(task);
                chart = chart.with_series(series);
            }
        }
        let Some(spot) = self.sweet_spot() else {
            return chart;
        };
        let (ratio, rate) = (spot.ratio, spot.learning_rate);
        let label = format!("sweet spot: r = {ratio:.2}, η up to {rate:.1e}");
        chart.with_mark(ratio, &label)
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
            let (task, outcome, failed) = (&first.task, &first.outcome, failed.len());
            let why = first.reason.iter().map(|why| format!(" ({why})"));
            let why = why.collect::<String>();
            writeln!(
                f,
                "{failed} of {all} measurements of the tasks say nothing, the first of {task}: {outcome}{why}"
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
                let best = self.points.iter();
                let best = best.filter_map(|p| Some((p.limit()?, p.ratio)));
                match best.max_by(|a, b| a.0.0.total_cmp(&b.0.0)) {
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
