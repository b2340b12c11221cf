use super::role::{Curve, NO_NUMBER_COLOR, PAST_EDGE_COLOR, Role};
use crate::plot::{Axis, shortened};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{self, Canvas};

pub(super) const X_LABEL: &str = "step";
const AXIS_COLOR: Color = Color::DarkGray;
const TICK_WIDTH: u16 = 7;
const NAME_WIDTH: usize = 14;

pub(super) fn frame_area(body: Rect, curves: &[Curve<'_>]) -> Rect {
    let names = curves.iter().map(|curve| curve.name.chars().count());
    let names = names.max().unwrap_or(0).clamp(X_LABEL.len(), NAME_WIDTH) as u16;
    let [body, _] = Layout::vertical([Constraint::Min(0), Constraint::Length(2)]).areas(body);
    let [_, area, _] = Layout::horizontal([
        Constraint::Length(TICK_WIDTH + 1),
        Constraint::Min(0),
        Constraint::Length(names + 1),
    ])
    .areas(body);
    area
}

pub(super) struct Frame {
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
    pub(super) area: Rect,
}

impl Frame {
    fn column(&self, step: f64) -> u16 {
        let share = (step - self.x.0) / (self.x.1 - self.x.0);
        self.area.x + (share * f64::from(self.area.width - 1)).round() as u16
    }

    fn row(&self, place: f64) -> u16 {
        let share = (self.y.1 - place) / (self.y.1 - self.y.0);
        self.area.y + (share * f64::from(self.area.height - 1)).round() as u16
    }

    pub(super) fn draw_axes(&self, (x, y): (&Axis, &Axis), buffer: &mut Buffer) {
        let (area, style) = (self.area, Style::new().fg(AXIS_COLOR));
        let corner = area.x - 1;
        for row in area.top()..area.bottom() {
            buffer.set_string(corner, row, "│", style);
        }
        let baseline = "─".repeat(usize::from(area.width));
        buffer.set_string(corner, area.bottom(), format!("└{baseline}"), style);

        let mut free = area.bottom();
        for tick in y.ticked(self.y).ticks {
            let row = self.row(tick);
            if row < free {
                free = row;
                let label = format!("{:>1$}", y.tick_label(tick), usize::from(TICK_WIDTH));
                buffer.set_string(corner - TICK_WIDTH, row, label, style);
                buffer.set_string(corner, row, "┤", style);
            }
        }
        let mut free = corner;
        for tick in x.ticked(self.x).ticks {
            let label = x.tick_label(tick);
            let width = label.len() as u16;
            let column = self.column(tick);
            let start = column.saturating_sub(width / 2).min(area.right() - width);
            if start >= free {
                free = start + width + 1;
                buffer.set_string(start, area.bottom() + 1, label, style);
                buffer.set_string(column, area.bottom(), "┴", style);
            }
        }
        buffer.set_string(area.right() + 1, area.bottom() + 1, X_LABEL, style);
    }

    pub(super) fn draw_curves(&self, curves: &[Curve<'_>], buffer: &mut Buffer) {
        let threshold = curves.iter().find(|curve| curve.role == Role::Threshold);
        let is_past = |curve: &Curve<'_>, index: usize| {
            let above = |threshold: &Curve<'_>| {
                Some(curve.points[index]?.1 > (*threshold.points.get(index)?)?.1)
            };
            curve.role == Role::Sharpness && threshold.and_then(above).unwrap_or(false)
        };
        Canvas::default()
            .marker(Marker::Braille)
            .x_bounds([self.x.0, self.x.1])
            .y_bounds([self.y.0, self.y.1])
            .paint(|context| {
                for curve in curves {
                    let mut before: Option<(f64, f64)> = None;
                    for (index, point) in curve.points.iter().enumerate() {
                        if let Some((x, y)) = *point {
                            let (from_x, from_y) = before.unwrap_or((x, y));
                            let color = match is_past(curve, index) {
                                true => PAST_EDGE_COLOR,
                                false => curve.role.color(),
                            };
                            context.draw(&canvas::Line::new(from_x, from_y, x, y, color));
                        }
                        before = *point;
                    }
                    context.layer();
                }
            })
            .render(self.area, buffer);
    }

    pub(super) fn draw_names(&self, curves: &[Curve<'_>], buffer: &mut Buffer) {
        let mut taken: Vec<u16> = Vec::new();
        for curve in curves.iter().rev() {
            let Some((_, place)) = curve.points.iter().flatten().last() else {
                continue;
            };
            let wanted = self.row(*place);
            let rows = self.area.top()..self.area.bottom();
            let free = rows.filter(|row| !taken.contains(row));
            let Some(row) = free.min_by_key(|row| row.abs_diff(wanted)) else {
                continue;
            };
            taken.push(row);
            let name = match curve.name.chars().count() > NAME_WIDTH {
                true => &shortened(curve.name, NAME_WIDTH - 1),
                false => curve.name,
            };
            buffer.set_string(self.area.right() + 1, row, name, curve.role.color());
        }
    }

    pub(super) fn draw_unmeasured(&self, steps: impl Iterator<Item = f64>, buffer: &mut Buffer) {
        for step in steps {
            buffer.set_string(self.column(step), self.area.bottom(), "×", NO_NUMBER_COLOR);
        }
    }
}
