use super::axis::Axis;
use super::{FONT, PALETTE, PlotError};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Display;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// A line, with a marker at each point where they are few.
    #[default]
    Line,
    /// A dashed line without markers, in black: a threshold.
    Threshold,
    /// Markers only.
    Points,
}

/// A curve of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// (x, y); a point that is not finite, or cannot be on a logarithmic axis, interrupts the line.
    pub points: Vec<(f64, f64)>,
    /// (x, low, high) of a band around the curve.
    pub band: Vec<(f64, f64, f64)>,
    /// How it is drawn.
    pub style: Style,
}

/// A place on the horizontal axis that a vertical line marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Its x.
    pub x: f64,
    /// What it is.
    pub label: String,
}

/// Curves over a common axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// The title.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The curves.
    pub series: Vec<Series>,
    /// Vertical lines.
    pub marks: Vec<Mark>,
    /// Width and height, in pixels.
    pub size: (u32, u32),
}

/// The height of title and legend.
const HEADER: u32 = 62;
/// Lines with no more points than this have markers.
const FEW_POINTS: usize = 40;

impl Chart {
    /// An empty chart.
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        Self {
            title: title.to_string(),
            x,
            y,
            series: Vec::new(),
            marks: Vec::new(),
            size: (860, 520),
        }
    }

    /// The chart with one more curve.
    pub fn with_series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// The chart with a vertical line.
    pub fn with_mark(mut self, x: f64, label: &str) -> Self {
        self.marks.push(Mark {
            x,
            label: label.to_string(),
        });
        self
    }

    /// The picture as an SVG document.
    ///
    /// # Errors
    ///
    /// If there is nothing to draw.
    pub fn svg(&self) -> Result<String, PlotError> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, self.size).into_drawing_area();
            self.draw(&area)
                .map_err(|reason| PlotError::new(&self.title, reason))?;
            area.present()
                .map_err(|error| PlotError::new(&self.title, error))?;
        }
        Ok(svg)
    }

    fn draw(&self, area: &Area<'_>) -> Result<(), String> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let bands = || self.series.iter().flat_map(|series| &series.band);
        let (left, right) = self
            .x
            .ends(points().map(|point| point.0))
            .ok_or("it has no point")?;
        let heights = points().map(|point| point.1);
        let heights = heights.chain(bands().flat_map(|(_, low, high)| [*low, *high]));
        let (bottom, top) = self.y.ends(heights).ok_or("it has no point")?;

        area.fill(&WHITE).map_err(text)?;
        let (header, body) = area.split_vertically(HEADER);
        self.draw_header(&header)?;
        let mut chart = ChartBuilder::on(&body)
            .margin(14)
            .margin_top(4)
            .x_label_area_size(48)
            .y_label_area_size(72)
            .build_cartesian_2d(self.x.ticked((left, right)), self.y.ticked((bottom, top)))
            .map_err(text)?;
        chart
            .configure_mesh()
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .axis_desc_style((FONT, 15))
            .label_style((FONT, 13))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.08))
            .x_label_formatter(&|place| self.x.tick_label(*place))
            .y_label_formatter(&|place| self.y.tick_label(*place))
            .draw()
            .map_err(text)?;

        for mark in &self.marks {
            let Some(x) = self.x.place(mark.x).filter(|x| (left..=right).contains(x)) else {
                continue;
            };
            let line = DashedLineSeries::new([(x, bottom), (x, top)], 2, 3, BLACK.mix(0.6).into());
            chart.draw_series(line).map_err(text)?;
            let (x, y) = chart.backend_coord(&(x, bottom));
            let label = Text::new(mark.label.clone(), (x + 5, y - 20), (FONT, 13));
            area.draw(&label).map_err(text)?;
        }
        for (series, look) in self.series.iter().zip(self.looks()) {
            let band = series.band.iter().filter_map(|(x, low, high)| {
                Some((self.x.place(*x)?, self.y.place(*low)?, self.y.place(*high)?))
            });
            let band: Vec<(f64, f64, f64)> = band.collect();
            let lower = band.iter().map(|(x, low, _)| (*x, *low));
            let upper = band.iter().rev().map(|(x, _, high)| (*x, *high));
            let outline: Vec<(f64, f64)> = lower.chain(upper).collect();
            let polygon = Polygon::new(outline, look.color.mix(0.18));
            chart.draw_series([polygon]).map_err(text)?;
        }
        for (series, look) in self.series.iter().zip(self.looks()) {
            let place = |point: &(f64, f64)| Some((self.x.place(point.0)?, self.y.place(point.1)?));
            let placed: Vec<Option<(f64, f64)>> = series.points.iter().map(place).collect();
            if series.style != Style::Points {
                for line in placed.split(Option::is_none) {
                    let line: Vec<(f64, f64)> = line.iter().flatten().copied().collect();
                    let style = look.color.stroke_width(2);
                    match look.dash {
                        None => chart.draw_series(LineSeries::new(line, style)).map(drop),
                        Some((on, off)) => chart
                            .draw_series(DashedLineSeries::new(line, on, off, style))
                            .map(drop),
                    }
                    .map_err(text)?;
                }
            }
            if look.has_markers {
                for at in placed.iter().flatten() {
                    let is_inside =
                        (left..=right).contains(&at.0) && (bottom..=top).contains(&at.1);
                    if is_inside {
                        look.draw_marker(area, chart.backend_coord(at))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The title, and a legend where there are several curves.
    fn draw_header(&self, header: &Area<'_>) -> Result<(), String> {
        let title = Text::new(self.title.clone(), (86, 10), (FONT, 18));
        header.draw(&title).map_err(text)?;
        let mut x = 86;
        for (series, look) in self.series.iter().zip(self.looks()) {
            let y = 44;
            if series.style != Style::Points {
                let (on, off) = look.dash.unwrap_or((28, 0));
                for from in (0..28).step_by((on + off) as usize) {
                    let to = (from + on as i32).min(28);
                    let line = vec![(x + from, y), (x + to, y)];
                    let line = PathElement::new(line, look.color.stroke_width(2));
                    header.draw(&line).map_err(text)?;
                }
            }
            if look.has_markers {
                look.draw_marker(header, (x + 14, y))?;
            }
            let style = TextStyle::from((FONT, 14));
            let (width, _) = header
                .estimate_text_size(&series.name, &style)
                .map_err(text)?;
            let name = Text::new(series.name.clone(), (x + 35, y - 8), style);
            header.draw(&name).map_err(text)?;
            x += 35 + width as i32 + 30;
        }
        Ok(())
    }

    /// How each curve looks: thresholds are black, all others differ in colour, dash and marker.
    fn looks(&self) -> Vec<Look> {
        let mut kinds = 0..;
        let look = |series: &Series| match series.style {
            Style::Threshold => Look {
                color: BLACK,
                dash: Some((9, 4)),
                has_markers: false,
                kind: 0,
            },
            style => {
                let kind = kinds.next().unwrap_or(0);
                Look {
                    color: PALETTE[kind % PALETTE.len()],
                    dash: [None, Some((6, 3)), Some((2, 2)), Some((12, 4))][kind % 4],
                    has_markers: style == Style::Points || series.points.len() <= FEW_POINTS,
                    kind,
                }
            }
        };
        self.series.iter().map(look).collect()
    }
}

struct Look {
    color: RGBColor,
    /// Lengths of the line and of the gap, if it is dashed.
    dash: Option<(u32, u32)>,
    has_markers: bool,
    kind: usize,
}

impl Look {
    fn draw_marker(&self, area: &Area<'_>, at: (i32, i32)) -> Result<(), String> {
        let filled = self.color.filled();
        let outlined = self.color.stroke_width(2);
        let (x, y) = at;
        match self.kind % 4 {
            0 => area.draw(&Circle::new(at, 4, filled)),
            1 => area.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], filled)),
            2 => area.draw(&TriangleMarker::new(at, 6, filled)),
            _ => area.draw(&Cross::new(at, 4, outlined)),
        }
        .map_err(text)
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_its_curves_and_skips_what_has_no_place() {
        let series = |name: &str, style| Series {
            name: name.to_string(),
            points: vec![
                (0.0, 1.0),
                (1.0, f64::NAN),
                (2.0, 0.0),
                (3.0, 100.0),
                (4.0, 50.0),
            ],
            band: vec![(3.0, 90.0, 110.0), (4.0, 40.0, 60.0)],
            style,
        };
        let chart = Chart::new("Sharpness", Axis::linear("step"), Axis::log("λ"))
            .with_series(series("measured", Style::Line))
            .with_series(series("2/η", Style::Threshold))
            .with_mark(2.0, "end of warmup");
        let svg = chart.svg().unwrap();
        for text in ["Sharpness", "step", "λ", "measured", "2/η", "end of warmup"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        // Three points have a place on the axis, and the legend has a sample.
        assert_eq!(svg.matches("<circle").count(), 4);
    }

    #[test]
    fn a_chart_without_points_says_so() {
        let error = Chart::new("Empty", Axis::linear("x"), Axis::linear("y")).svg();
        assert!(error.unwrap_err().to_string().contains("no point"));
    }
}
