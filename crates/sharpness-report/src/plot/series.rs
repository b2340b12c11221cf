/// Selects how a series is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Style {
    /// A line, with markers if the points are few.
    #[default]
    Line,
    /// A dashed line without markers, black unless it belongs to a curve.
    Threshold,
    /// Markers only.
    Points,
}

/// A curve of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend, which omits a curve without a name.
    pub name: String,
    /// (x, y); a point without a place on the axes interrupts the line.
    pub points: Vec<(f64, f64)>,
    /// (x, low, high) of a band around the curve.
    pub band: Vec<(f64, f64, f64)>,
    /// The style.
    pub style: Style,
    /// The number, from 0, of the curve whose colour it shares; thresholds do not count.
    pub belongs_to: Option<usize>,
}

impl Series {
    /// Creates a curve through these points.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.into(),
            points,
            ..Self::default()
        }
    }

    /// Sets the style.
    #[must_use]
    pub fn with_style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }
}
