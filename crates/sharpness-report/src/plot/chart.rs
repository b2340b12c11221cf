use super::axis::Axis;
use super::legend::{Entry, Legend};
use super::look::{Look, dash, looks};
use super::series::{Series, Style};
use super::{Area, PlotError, SCALE, font, px, svg, text};
use plotters::prelude::*;

/// A dotted vertical line.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Mark {
    /// Its x.
    pub x: f64,
    /// Its name in the legend.
    pub label: String,
}

/// Curves over a common axis.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
    /// Width and height in pixels, with one row of the legend.
    pub size: (i32, i32),
}

const SAMPLE: i32 = 35;
const MARK_SAMPLE: i32 = 12;
impl Chart {
    /// Creates an empty chart.
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

    /// Adds a curve.
    #[must_use]
    pub fn with_series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// Adds a vertical line.
    #[must_use]
    pub fn with_mark(mut self, x: f64, label: &str) -> Self {
        let label = label.to_string();
        self.marks.push(Mark { x, label });
        self
    }

    /// Draws the chart as an SVG document.
    ///
    /// # Errors
    ///
    /// Fails if there is nothing to draw.
    pub fn svg(&self) -> Result<String, PlotError> {
        let draw = |area: &Area<'_>, legend: &Legend| self.draw(area, legend);
        svg(&self.title, self.entries(), self.size, draw)
            .map_err(|reason| PlotError::new(&self.title, reason))
    }

    fn named(&self) -> impl Iterator<Item = usize> {
        let all = self.series.iter().enumerate();
        all.filter(|(_, series)| !series.name.is_empty())
            .map(|(index, _)| index)
    }

    fn entries(&self) -> Vec<Entry> {
        let curves = self.named();
        let curves = curves.map(|index| Entry::new(SAMPLE, &self.series[index].name));
        let marks = self.marks.iter();
        let marks = marks.map(|mark| Entry::new(MARK_SAMPLE, &mark.label));
        curves.chain(marks).collect()
    }

    fn draw(&self, area: &Area<'_>, legend: &Legend) -> Result<(), String> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let bands = || self.series.iter().flat_map(|series| &series.band);
        let places = points().map(|point| point.0);
        let (left, right) = self.x.ends(places).ok_or("it has no point")?;
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
        for (series, look) in self.series.iter().zip(looks(&self.series)) {
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
        for (series, look) in self.series.iter().zip(looks(&self.series)) {
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
        let looks = looks(&self.series);
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
}

/// Whether a point has gaps on both sides, so that no line shows it.
fn is_alone<T>(points: &[Option<T>], index: usize) -> bool {
    let is_gap = |index: Option<usize>| {
        let neighbour = index.and_then(|index| points.get(index));
        neighbour.is_none_or(Option::is_none)
    };
    is_gap(index.checked_sub(1)) && is_gap(Some(index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_its_curves_and_skips_what_has_no_place() {
        const HEIGHTS: [f64; 5] = [1.0, f64::NAN, 0.0, 100.0, 50.0];
        let series = |name: &str, style| Series {
            band: vec![(3.0, 90.0, 110.0), (4.0, 40.0, 60.0)],
            style,
            ..Series::new(name, (0..5u8).map(f64::from).zip(HEIGHTS).collect())
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
        // Three points of the curve, its sample, and the first point of the threshold, which no line shows.
        assert_eq!(svg.matches("<circle").count(), 5);
    }

    #[test]
    fn a_chart_without_points_says_so() {
        let error = Chart::new("Empty", Axis::linear("x"), Axis::linear("y")).svg();
        assert!(error.unwrap_err().to_string().contains("no point"));
    }
}
