use super::axis::{Ticked, format_number};
use super::legend::{Entry, Legend};
use super::{Area, PALETTE, PlotError, SCALE, font, px, svg, text};
use plotters::prelude::*;

/// Draws a grid of coloured cells with their values; high values are dark.
///
/// Curves may lie over the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// The title.
    pub title: String,
    /// The label of the columns, with the unit.
    pub x_label: String,
    /// The label of the rows, with the unit.
    pub y_label: String,
    /// The values of the columns, rising.
    pub columns: Vec<f64>,
    /// The values of the rows, rising and positive: curves use their logarithm.
    pub rows: Vec<f64>,
    /// The value in each row and column, if any.
    pub cells: Vec<Vec<Option<f64>>>,
    /// The label of the values, with the unit.
    pub value_label: String,
    /// Curves (column value, row value) with their names.
    pub curves: Vec<(String, Vec<(f64, f64)>)>,
}

const SIZE: (i32, i32) = (860, 560);
const SAMPLE: i32 = 33;

impl HeatMap {
    /// Draws the picture as an SVG document.
    ///
    /// # Errors
    ///
    /// Fails if the grid has no value, or a row of another length.
    pub fn svg(&self) -> Result<String, PlotError> {
        let mut entries = vec![Entry::new(0, &self.value_label)];
        let curves = self.curves.iter();
        entries.extend(curves.map(|(name, _)| Entry::new(SAMPLE, name)));
        let draw = |area: &Area<'_>, legend: &Legend| self.draw(area, legend);
        svg(&self.title, entries, SIZE, draw).map_err(|reason| PlotError::new(&self.title, reason))
    }

    fn draw(&self, area: &Area<'_>, legend: &Legend) -> Result<(), String> {
        let (columns, rows) = (self.columns.len(), self.rows.len());
        let is_full = self.cells.len() == rows && self.cells.iter().all(|row| row.len() == columns);
        if columns == 0 || rows == 0 || !is_full {
            return Err("its grid is not full".to_string());
        }
        let values = || self.cells.iter().flatten().flatten().copied();
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return Err("it has no value".to_string());
        }

        let (header, body) = area.split_vertically(px(legend.height()));
        legend.draw(&header, |index, (x, y)| {
            let Some(curve) = index.checked_sub(1) else {
                return Ok(());
            };
            let line = vec![(x, y), (x + px(26), y)];
            let line = PathElement::new(line, curve_color(curve).stroke_width(px(4) as u32));
            header.draw(&line).map_err(text)
        })?;

        let mut chart = ChartBuilder::on(&body)
            .margin(px(14))
            .margin_top(px(4))
            .x_label_area_size(px(48))
            .y_label_area_size(px(78))
            .build_cartesian_2d(middles(columns), middles(rows))
            .map_err(text)?;
        let label = |values: &[f64], place: f64| {
            let value = values.get(place as usize).copied();
            value.map(format_number).unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_mesh()
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .axis_desc_style(font(15))
            .label_style(font(13))
            .axis_style(BLACK.stroke_width(SCALE as u32))
            .set_all_tick_mark_size(px(5))
            .x_label_formatter(&|place| label(&self.columns, *place))
            .y_label_formatter(&|place| label(&self.rows, *place))
            .draw()
            .map_err(text)?;

        let span = (high - low).max(f64::MIN_POSITIVE);
        let share = |value: Option<f64>| value.map(|value| (value - low) / span);
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, value) in cells.iter().enumerate() {
                let (x, y) = (column as f64, row as f64);
                let fill = share(*value).map_or(WHITE, shade);
                let cell = Rectangle::new([(x, y), (x + 1.0, y + 1.0)], fill.filled());
                let frame = Rectangle::new([(x, y), (x + 1.0, y + 1.0)], WHITE);
                chart.draw_series([cell, frame]).map_err(text)?;
            }
        }
        for (index, (_, curve)) in self.curves.iter().enumerate() {
            let points = curve.iter().filter_map(|(x, y)| {
                let x = place(&self.columns, *x, |value| value)?;
                Some((x, place(&self.rows, *y, f64::ln)?.clamp(0.0, rows as f64)))
            });
            let points: Vec<(f64, f64)> = points.collect();
            let rim = LineSeries::new(points.clone(), WHITE.stroke_width(px(6) as u32));
            chart.draw_series(rim).map_err(text)?;
            let line = LineSeries::new(points, curve_color(index).stroke_width(px(3) as u32));
            chart.draw_series(line).map_err(text)?;
        }
        // Numbers last, so that no curve hides a number.
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, value) in cells.iter().enumerate() {
                let share = share(*value);
                let ink = match share {
                    Some(share) if share > 0.55 => WHITE,
                    _ => BLACK,
                };
                let number = value.map_or("–".to_string(), |value| format!("{value:+.3}"));
                let style = TextStyle::from(font(14)).color(&ink);
                let (width, height) = area.estimate_text_size(&number, &style).map_err(text)?;
                let (x, y) = chart.backend_coord(&(column as f64 + 0.5, row as f64 + 0.5));
                let at = (x - width as i32 / 2, y - height as i32 / 2);
                area.draw(&Text::new(number, at, style)).map_err(text)?;
            }
        }
        Ok(())
    }
}

fn middles(cells: usize) -> Ticked {
    Ticked {
        ends: (0.0, cells as f64),
        ticks: (0..cells).map(|cell| cell as f64 + 0.5).collect(),
    }
}

/// One hue, so that grey keeps the order.
fn shade(share: f64) -> RGBColor {
    let mix = |light: f64, dark: f64| (light + share * (dark - light)).round() as u8;
    RGBColor(mix(240.0, 30.0), mix(246.0, 62.0), mix(252.0, 96.0))
}

fn curve_color(index: usize) -> RGBColor {
    PALETTE[(index + 1) % PALETTE.len()]
}

fn place(values: &[f64], value: f64, scale: impl Fn(f64) -> f64) -> Option<f64> {
    let value = scale(value);
    let scaled: Vec<f64> = values.iter().map(|value| scale(*value)).collect();
    if !value.is_finite() || scaled.len() < 2 {
        return None;
    }
    let after = scaled.partition_point(|other| *other < value);
    let after = after.clamp(1, scaled.len() - 1);
    let (from, to) = (scaled[after - 1], scaled[after]);
    Some(after as f64 - 0.5 + (value - from) / (to - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_show_their_values_and_gaps() {
        let map = HeatMap {
            title: "Change of the loss".to_string(),
            x_label: "ratio".to_string(),
            y_label: "η".to_string(),
            columns: vec![0.0, 0.5, 1.0],
            rows: vec![0.001, 0.01],
            cells: vec![
                vec![Some(0.25), Some(-0.5), None],
                vec![Some(1.0), Some(0.0), Some(0.125)],
            ],
            value_label: "nats".to_string(),
            curves: vec![("limit".to_string(), vec![(0.0, 0.001), (1.0, 0.01)])],
        };
        let svg = map.svg().unwrap();
        for text in ["+0.250", "-0.500", "–", "0.01", "limit", "nats"] {
            assert!(svg.contains(text), "{text}");
        }
        let empty = HeatMap {
            cells: vec![vec![None; 3]; 2],
            ..map
        };
        assert!(empty.svg().unwrap_err().to_string().contains("no value"));
    }

    #[test]
    fn a_value_lies_between_the_middles_of_its_neighbours() {
        let ln = |value: f64| value.ln();
        assert_eq!(place(&[0.0, 0.5, 1.0], 0.5, |value| value), Some(1.5));
        assert!((place(&[0.001, 0.1], 0.01, ln).unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(place(&[0.001, 0.1], 0.0, ln), None);
    }
}
