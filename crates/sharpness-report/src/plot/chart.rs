use super::axis::Axis;
use super::legend::{Entry, Legend, legend};
use super::{Area, PALETTE, PlotError, SCALE, font, px, svg, text};
use plotters::prelude::*;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// A line, with a marker at each point where they are few.
    #[default]
    Line,
    /// A dashed line without markers: a threshold. It is black unless it belongs to a curve.
    Threshold,
    /// Markers only.
    Points,
}

/// A curve of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend, which passes over a curve without a name.
    pub name: String,
    /// (x, y); a point that is not finite, or cannot be on a logarithmic axis, interrupts the line.
    pub points: Vec<(f64, f64)>,
    /// (x, low, high) of a band around the curve.
    pub band: Vec<(f64, f64, f64)>,
    /// How it is drawn.
    pub style: Style,
    /// The number of the curve, from 0, thresholds not counted, whose colour it has.
    pub belongs_to: Option<usize>,
}

/// A place on the horizontal axis that a dotted line marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Its x.
    pub x: f64,
    /// What it is, for the legend.
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
    /// Width and height, in pixels. A legend of more than one row adds to the height.
    pub size: (i32, i32),
}

/// The width of a curve's sample in the legend, and of a mark's.
const SAMPLE: i32 = 35;
const MARK_SAMPLE: i32 = 12;
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
        let (width, height) = self.size;
        let legend = legend(&self.title, self.entries(), width)?;
        let size = (width, height + legend.more_height());
        svg(&self.title, size, |area| self.draw(area, &legend))
    }

    /// The curves in the legend, by their numbers.
    fn named(&self) -> impl Iterator<Item = usize> {
        let all = self.series.iter().enumerate();
        all.filter(|(_, series)| !series.name.is_empty())
            .map(|(index, _)| index)
    }

    fn entries(&self) -> Vec<Entry> {
        let curves = self.named().map(|index| Entry {
            sample: SAMPLE,
            name: self.series[index].name.clone(),
        });
        let marks = self.marks.iter().map(|mark| Entry {
            sample: MARK_SAMPLE,
            name: mark.label.clone(),
        });
        curves.chain(marks).collect()
    }

    fn draw(&self, area: &Area<'_>, legend: &Legend) -> Result<(), String> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let bands = || self.series.iter().flat_map(|series| &series.band);
        let (left, right) = self
            .x
            .ends(points().map(|point| point.0))
            .ok_or("it has no point")?;
        let heights = points().map(|point| point.1);
        let heights = heights.chain(bands().flat_map(|(_, low, high)| [*low, *high]));
        let (bottom, top) = self.y.ends(heights).ok_or("it has no point")?;

        let (header, body) = area.split_vertically(px(legend.height()));
        self.draw_header(&header, legend)?;
        let mut chart = ChartBuilder::on(&body)
            .margin(px(14))
            .margin_top(px(4))
            .x_label_area_size(px(48))
            .y_label_area_size(px(72))
            .build_cartesian_2d(self.x.ticked((left, right)), self.y.ticked((bottom, top)))
            .map_err(text)?;
        chart
            .configure_mesh()
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .axis_desc_style(font(15))
            .label_style(font(13))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.08).stroke_width(SCALE as u32))
            .axis_style(BLACK.stroke_width(SCALE as u32))
            .set_all_tick_mark_size(px(5))
            .x_label_formatter(&|place| self.x.tick_label(*place))
            .y_label_formatter(&|place| self.y.tick_label(*place))
            .draw()
            .map_err(text)?;

        for mark in &self.marks {
            let Some(x) = self.x.place(mark.x).filter(|x| (left..=right).contains(x)) else {
                continue;
            };
            let (on, off) = dash((2, 3));
            let style = BLACK.mix(0.6).stroke_width(SCALE as u32);
            let line = DashedLineSeries::new([(x, bottom), (x, top)], on, off, style);
            chart.draw_series(line).map_err(text)?;
        }
        for (series, look) in self.series.iter().zip(self.looks()) {
            let band = series.band.iter().filter_map(|(x, low, high)| {
                // A band may be open: it ends at the edge.
                let edge = |value: f64| if value > 0.0 { top } else { bottom };
                let place = |value: f64| match self.y.place(value) {
                    Some(place) => place.clamp(bottom, top),
                    None => edge(value),
                };
                Some((self.x.place(*x)?, place(*low), place(*high)))
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
                    let style = look.color.stroke_width(px(look.width) as u32);
                    match look.dash {
                        None => chart.draw_series(LineSeries::new(line, style)).map(drop),
                        Some(lengths) => {
                            let (on, off) = dash(lengths);
                            let line = DashedLineSeries::new(line, on, off, style);
                            chart.draw_series(line).map(drop)
                        }
                    }
                    .map_err(text)?;
                }
            }
            for (index, at) in placed.iter().enumerate() {
                let Some(at) = at else { continue };
                let is_inside = (left..=right).contains(&at.0) && (bottom..=top).contains(&at.1);
                if is_inside && (look.has_markers || is_alone(&placed, index)) {
                    look.draw_marker(area, chart.backend_coord(at))?;
                }
            }
        }
        Ok(())
    }

    fn draw_header(&self, header: &Area<'_>, legend: &Legend) -> Result<(), String> {
        let looks = self.looks();
        let curves: Vec<(&Series, &Look)> =
            self.named().map(|i| (&self.series[i], &looks[i])).collect();
        legend.draw(header, |index, (x, y)| match curves.get(index) {
            Some((series, look)) => look.draw_sample(header, series.style, (x, y)),
            None => {
                for from in [-9, -4, 1, 6] {
                    let line = vec![(x + px(4), y + px(from)), (x + px(4), y + px(from + 2))];
                    let line = PathElement::new(line, BLACK.mix(0.6).stroke_width(SCALE as u32));
                    header.draw(&line).map_err(text)?;
                }
                Ok(())
            }
        })
    }

    /// How each curve looks: thresholds are dashed and thin, all others differ in colour, dash and marker,
    /// but for the colour of one that belongs to another.
    fn looks(&self) -> Vec<Look> {
        let mut kinds = 0..;
        let color_of = |kind: usize| PALETTE[kind % PALETTE.len()];
        let look = |series: &Series| match series.style {
            Style::Threshold => Look {
                color: series.belongs_to.map_or(BLACK, color_of),
                dash: Some((9, 4)),
                width: if series.belongs_to.is_some() { 1 } else { 2 },
                has_markers: false,
                kind: 0,
            },
            style => {
                let kind = kinds.next().unwrap_or(0);
                Look {
                    color: color_of(series.belongs_to.unwrap_or(kind)),
                    dash: [None, Some((6, 3)), Some((2, 2)), Some((12, 4))][kind % 4],
                    width: 2,
                    has_markers: style == Style::Points || series.points.len() <= FEW_POINTS,
                    kind,
                }
            }
        };
        self.series.iter().map(look).collect()
    }
}

/// Whether a point has a gap on either side, so that no line shows it.
fn is_alone<T>(points: &[Option<T>], index: usize) -> bool {
    let is_gap = |index: Option<usize>| {
        let neighbour = index.and_then(|index| points.get(index));
        neighbour.is_none_or(Option::is_none)
    };
    is_gap(index.checked_sub(1)) && is_gap(Some(index + 1))
}

struct Look {
    color: RGBColor,
    /// Lengths of the line and of the gap, if it is dashed.
    dash: Option<(i32, i32)>,
    width: i32,
    has_markers: bool,
    kind: usize,
}

impl Look {
    fn draw_sample(&self, area: &Area<'_>, style: Style, (x, y): (i32, i32)) -> Result<(), String> {
        if style != Style::Points {
            let (on, off) = self.dash.unwrap_or((28, 0));
            for from in (0..28).step_by((on + off) as usize) {
                let to = (from + on).min(28);
                let line = vec![(x + px(from), y), (x + px(to), y)];
                let stroke = self.color.stroke_width(px(self.width) as u32);
                area.draw(&PathElement::new(line, stroke)).map_err(text)?;
            }
        }
        if self.has_markers {
            self.draw_marker(area, (x + px(14), y))?;
        }
        Ok(())
    }

    fn draw_marker(&self, area: &Area<'_>, at: (i32, i32)) -> Result<(), String> {
        let filled = self.color.filled();
        let outlined = self.color.stroke_width(px(2) as u32);
        let (x, y) = at;
        let half = px(4);
        match self.kind % 4 {
            0 => area.draw(&Circle::new(at, half, filled)),
            1 => area.draw(&Rectangle::new(
                [(x - half, y - half), (x + half, y + half)],
                filled,
            )),
            2 => area.draw(&TriangleMarker::new(at, px(6), filled)),
            _ => area.draw(&Cross::new(at, half, outlined)),
        }
        .map_err(text)
    }
}

/// The lengths of a dash and of the gap after it.
fn dash((on, off): (i32, i32)) -> (u32, u32) {
    (px(on) as u32, px(off) as u32)
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
            belongs_to: None,
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
        // Three points of the curve have a place on the axis, the legend has a sample, and the first point
        // of the threshold has gaps on both sides, so that no line shows it.
        assert_eq!(svg.matches("<circle").count(), 5);
    }

    #[test]
    fn a_chart_without_points_says_so() {
        let error = Chart::new("Empty", Axis::linear("x"), Axis::linear("y")).svg();
        assert!(error.unwrap_err().to_string().contains("no point"));
    }
}
