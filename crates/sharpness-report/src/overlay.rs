//! Critical sharpness and 2/η in one chart of a terminal, on a logarithmic scale, so that the crossing
//! is seen: a ratatui widget, and what `sharpness watch` shows.
//!
//! ```
//! use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget};
//! use sharpness_report::Run;
//! use sharpness_report::overlay::{Overlay, Window};
//!
//! let area = Rect::new(0, 0, 80, 24);
//! let mut screen = Buffer::empty(area);
//! Overlay::new(&Run::default(), Window::Full).render(area, &mut screen);
//! assert_eq!(screen[(0, 0)].symbol(), "n"); // nothing was measured yet
//! ```

use crate::plot::{Axis, format_number};
use crate::{Measurement, Run, TRAIN_TASK};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{self, Canvas};
use sharpness_record::Edge;

const SHARPNESS_COLOR: Color = Color::Cyan;
const PAST_EDGE_COLOR: Color = Color::LightRed;
const THRESHOLD_COLOR: Color = Color::Yellow;
const NO_NUMBER_COLOR: Color = Color::Yellow;
const TASK_COLORS: [Color; 4] = [
    Color::Magenta,
    Color::Green,
    Color::Blue,
    Color::LightMagenta,
];
const X_LABEL: &str = "step";
const AXIS_COLOR: Color = Color::DarkGray;

/// The measurements of the training loss that [`Window::Recent`] shows.
const RECENT: usize = 100;
/// The columns for the labels of the vertical axis.
const TICK_WIDTH: u16 = 7;
/// The most columns for the names at the ends of the curves.
const NAME_WIDTH: usize = 14;
/// The smallest area that has room for a chart below its line of text.
const SMALLEST: (u16, u16) = (34, 8);

/// Which part of a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// All of it.
    #[default]
    Full,
    /// The last hundred measurements of the training loss.
    Recent,
}

impl Window {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Full => Self::Recent,
            Self::Recent => Self::Full,
        }
    }
}

/// λ_c, 2/η and the relative critical sharpness of each task over the steps of a run.
///
/// The first line says where the run stands; an area too small for a chart has nothing else. λ_c is
/// red where it is above 2/η. A line is interrupted where a measurement gave no number, and a × on the
/// horizontal axis marks the measurements of the training loss that gave none.
#[derive(Clone, Copy, Debug)]
pub struct Overlay<'a> {
    run: &'a Run,
    window: Window,
}

/// A curve; `None` interrupts its line.
struct Curve<'a> {
    name: &'a str,
    color: Color,
    points: Vec<Option<(f64, f64)>>,
}

impl<'a> Overlay<'a> {
    /// The chart of this part of a run.
    pub fn new(run: &'a Run, window: Window) -> Self {
        Self { run, window }
    }

    fn first_step(&self) -> u64 {
        let recent = match self.window {
            Window::Full => None,
            Window::Recent => {
                let training: Vec<u64> = self.run.training().map(|m| m.step).collect();
                training.iter().rev().nth(RECENT - 1).copied()
            }
        };
        recent.unwrap_or(0)
    }

    fn shown(&self, task: &'a str) -> impl Iterator<Item = &'a Measurement> {
        let first = self.first_step();
        self.run.of_task(task).filter(move |m| m.step >= first)
    }

    fn curve(
        &self,
        (name, color): (&'a str, Color),
        task: &'a str,
        of: impl Fn(&Measurement) -> Option<f64>,
    ) -> Curve<'a> {
        let point = |m: &Measurement| Some((m.step as f64, Axis::log("").place(of(m)?)?));
        let points = self.shown(task).map(point).collect();
        Curve {
            name,
            color,
            points,
        }
    }

    /// What is drawn, the most important last: it is drawn over the rest.
    fn curves(&self) -> Vec<Curve<'a>> {
        let tasks = self.run.tasks().into_iter().enumerate();
        let mut curves: Vec<Curve<'_>> = tasks
            .map(|(index, task)| {
                let color = TASK_COLORS[index % TASK_COLORS.len()];
                self.curve((task, color), task, |m| m.critical_sharpness)
            })
            .collect();
        curves.push(self.curve(
            ("2/η", THRESHOLD_COLOR),
            TRAIN_TASK,
            Measurement::edge_threshold,
        ));
        curves.push(self.curve(("λc", SHARPNESS_COLOR), TRAIN_TASK, |m| {
            m.critical_sharpness
        }));
        curves
    }
}

/// Where a run stands, in a line.
fn state_of(run: &Run) -> Line<'static> {
    let Some(last) = run.training().last() else {
        return Line::from("nothing was measured yet");
    };
    let mut spans = vec![Span::from(format!("step {}", last.step)).bold()];
    let mut number = |name: &str, value: Option<f64>, color: Color| {
        if let Some(value) = value {
            let text = format!("  {name} {}", format_number(value));
            spans.push(Span::styled(text, color));
        }
    };
    number("λc", last.critical_sharpness, SHARPNESS_COLOR);
    number("2/η", last.edge_threshold(), THRESHOLD_COLOR);
    let (text, color) = match last.edge_ratio() {
        Some(ratio) => {
            let edge = Edge::of(ratio).unwrap_or(Edge::Below);
            let color = match edge {
                Edge::Past => PAST_EDGE_COLOR,
                Edge::Near => Color::Yellow,
                Edge::Below => Color::Green,
            };
            (format!("  η/η_c {}: {edge}", format_number(ratio)), color)
        }
        None => (format!("  no number: {}", last.outcome), NO_NUMBER_COLOR),
    };
    spans.push(Span::styled(text, color));
    Line::from(spans)
}

impl Widget for Overlay<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        let [head, body] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
        state_of(self.run).render(head, buffer);
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            return;
        }

        let curves = self.curves();
        let points = || {
            curves
                .iter()
                .flat_map(|curve| curve.points.iter().flatten())
        };
        let (x, y) = (Axis::linear(X_LABEL), Axis::log("sharpness"));
        let Some((bottom, top)) = y.ends(points().map(|point| 10f64.powf(point.1))) else {
            return;
        };
        let steps = self.shown(TRAIN_TASK).map(|m| m.step as f64);
        let (first, last) = steps.fold((f64::INFINITY, 0f64), |(first, last), step| {
            (first.min(step), last.max(step))
        });
        let frame = Frame {
            x: (first, last.max(first + 1.0)),
            y: (bottom, top),
            area: frame_area(body, &curves),
        };

        frame.draw_axes((&x, &y), buffer);
        frame.draw_curves(&curves, buffer);
        frame.draw_names(&curves, buffer);
        let unmeasured = self
            .shown(TRAIN_TASK)
            .filter(|m| m.critical_sharpness.is_none());
        frame.draw_unmeasured(unmeasured.map(|m| m.step as f64), buffer);
    }
}

/// Where the curves are drawn: left of it are the labels of the vertical axis, right of it the names of
/// the curves, below it the horizontal axis and its labels.
fn frame_area(body: Rect, curves: &[Curve<'_>]) -> Rect {
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

/// The ranges of the axes, the vertical one as logarithms, and the cells that they cover.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    area: Rect,
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

    fn draw_axes(&self, (x, y): (&Axis, &Axis), buffer: &mut Buffer) {
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
            // From below: a row has one label.
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

    fn draw_curves(&self, curves: &[Curve<'_>], buffer: &mut Buffer) {
        let threshold = curves.iter().find(|curve| curve.name == "2/η");
        let is_past = |curve: &Curve<'_>, index: usize| {
            let above = |threshold: &Curve<'_>| {
                Some(curve.points[index]?.1 > (*threshold.points.get(index)?)?.1)
            };
            curve.name == "λc" && threshold.and_then(above).unwrap_or(false)
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
                                false => curve.color,
                            };
                            context.draw(&canvas::Line::new(from_x, from_y, x, y, color));
                        }
                        before = *point;
                    }
                    // What is drawn later covers the cells of what was drawn before.
                    context.layer();
                }
            })
            .render(self.area, buffer);
    }

    /// Each curve's name, right of its last point or in the nearest row that is free.
    fn draw_names(&self, curves: &[Curve<'_>], buffer: &mut Buffer) {
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
            let at = (self.area.right() + 1, row);
            buffer.set_stringn(at.0, at.1, curve.name, NAME_WIDTH, curve.color);
        }
    }

    fn draw_unmeasured(&self, steps: impl Iterator<Item = f64>, buffer: &mut Buffer) {
        for step in steps {
            let at = (self.column(step), self.area.bottom());
            buffer.set_string(at.0, at.1, "×", NO_NUMBER_COLOR);
        }
    }
}
