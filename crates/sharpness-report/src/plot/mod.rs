//! Charts as SVG, fit for a paper: colours that the colour-blind tell apart, and a dash and a marker
//! for each curve besides, so that they can be told apart in grey, too.

mod axis;
mod chart;
mod heat_map;

pub use axis::{Axis, Scale};
pub use chart::{Chart, Mark, Series, Style};
pub use heat_map::HeatMap;

use plotters::style::RGBColor;
use thiserror::Error;

/// The colours of Okabe and Ito that are dark enough for lines on white.
const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 94, 0),
];
const FONT: &str = "sans-serif";

/// A picture that could not be drawn.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("the plot \"{title}\" cannot be drawn: {reason}")]
pub struct PlotError {
    /// The title of the picture.
    pub title: String,
    /// What is wrong.
    pub reason: String,
}

impl PlotError {
    fn new(title: &str, reason: impl ToString) -> Self {
        Self {
            title: title.to_string(),
            reason: reason.to_string(),
        }
    }
}
