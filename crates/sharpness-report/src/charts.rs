//! Groups quantities into charts: those with the same reference share a chart.

use serde::{Serialize, Serializer};
use sharpness_record::{Against, Quantity};

/// The quantities that lead the first charts, with the titles of these.
const FIRST: [Quantity; 4] = [
    Quantity::CriticalSharpness,
    Quantity::EdgeRatio,
    Quantity::BaseLoss,
    Quantity::CriticalLearningRate,
];
const TITLES: [&str; 4] = [
    "Critical sharpness λ_c, and the edge 2/η",
    "Edge ratio η/η_c: above 1, the step raises the loss",
    "Loss",
    "Learning rate η, and the critical one η_c",
];

#[derive(Debug, Serialize)]
pub(crate) struct Chart {
    pub(crate) title: String,
    #[serde(serialize_with = "abouts")]
    pub(crate) curves: Vec<Quantity>,
    #[serde(serialize_with = "abouts")]
    pub(crate) threshold: Vec<Quantity>,
    pub(crate) line: Option<(f64, &'static str)>,
}

fn abouts<S: Serializer>(quantities: &[Quantity], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(quantities.iter().map(Quantity::about))
}

pub(crate) fn charts() -> Vec<Chart> {
    let drawn = Quantity::TABLE
        .iter()
        .filter(|quantity| quantity.about().scale.is_some());
    let others = drawn.map(|quantity| (*quantity, quantity.about().title()));
    let first = FIRST.into_iter().zip(TITLES.map(str::to_string));
    let mut charts: Vec<Chart> = Vec::new();
    for (lead, title) in first.chain(others) {
        let mut shown = charts
            .iter()
            .flat_map(|chart| chart.curves.iter().chain(&chart.threshold));
        if shown.any(|quantity| *quantity == lead) {
            continue;
        }
        let against = lead.about().against;
        let is_beside = |quantity: &&Quantity| {
            let is_compared = matches!(against, Some(Against::Quantity(_)));
            **quantity != lead && is_compared && quantity.about().against == against
        };
        let beside = Quantity::TABLE.iter().filter(is_beside).copied();
        let mut chart = Chart {
            title,
            curves: std::iter::once(lead).chain(beside).collect(),
            threshold: Vec::new(),
            line: None,
        };
        match against {
            Some(Against::Quantity(other)) => chart.threshold.push(other),
            Some(Against::Line(value, name)) => chart.line = Some((value, name)),
            None => {}
        }
        for threshold in chart.curves.iter().flat_map(Quantity::thresholds) {
            if !chart.threshold.contains(threshold) {
                chart.threshold.push(*threshold);
            }
        }
        charts.push(chart);
    }
    charts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quantity_that_is_drawn_is_in_one_chart() {
        let charts = charts();
        let all = charts
            .iter()
            .flat_map(|chart| chart.curves.iter().chain(&chart.threshold));
        let mut shown: Vec<&Quantity> = all.collect();
        let is_drawn = |quantity: &&Quantity| quantity.about().scale.is_some();
        for quantity in Quantity::TABLE.iter().filter(is_drawn) {
            let place = shown.iter().position(|other| *other == quantity);
            shown.remove(place.unwrap_or_else(|| panic!("{quantity:?} is in no chart")));
        }
        assert!(shown.is_empty(), "{shown:?}: in two, or without axis");
    }
}
