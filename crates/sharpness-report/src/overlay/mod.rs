//! Draws λ_c and 2/η in one chart of a terminal: a ratatui widget, which `sharpness watch` uses.
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

mod frame;
mod role;

use crate::curve::places;
use crate::plot::{Axis, format_number};
use crate::{Measurement, Run, TRAIN_TASK};
use frame::{Frame, X_LABEL, frame_area};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use role::{Curve, NO_NUMBER_COLOR, PAST_EDGE_COLOR, Role, SHARPNESS_COLOR, THRESHOLD_COLOR};
use sharpness_record::Edge;
use sharpness_record::Quantity::{self, CriticalSharpness, EdgeRatio, EdgeThreshold};

const RECENT: usize = 100;
const SMALLEST: (u16, u16) = (34, 8);

/// Selects the part of a run to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// The whole run.
    #[default]
    Full,
    /// The last hundred measurements of the training loss.
    Recent,
}

impl Window {
    /// Returns the other window.
    pub fn other(self) -> Self {
        match self {
            Self::Full => Self::Recent,
            Self::Recent => Self::Full,
        }
    }
}

/// Draws λ_c of each task and 2/η over the steps of a run, on a logarithmic scale.
///
/// The first line gives the state of the run; a small area shows nothing else. λ_c is red above 2/η. A measurement of
/// the training without a number is a × on the axis.
#[derive(Clone, Copy, Debug)]
pub struct Overlay<'a> {
    run: &'a Run,
    window: Window,
}

impl<'a> Overlay<'a> {
    /// Creates the chart of this part of a run.
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

    fn curve(&self, role: Role, name: &'a str, task: &'a str, quantity: Quantity) -> Curve<'a> {
        let point =
            |step: u64, m: &Measurement| Some((step as f64, Axis::log("").place(quantity.of(m)?)?));
        let places = places(self.shown(task)).into_iter();
        let points = places.map(|(step, m)| point(step, m?)).collect();
        Curve { role, name, points }
    }

    fn curves(&self) -> Vec<Curve<'a>> {
        let tasks = self.run.tasks().into_iter().enumerate();
        let mut curves: Vec<Curve<'_>> = tasks
            .map(|(index, task)| self.curve(Role::Task(index), task, task, CriticalSharpness))
            .collect();
        for (role, quantity) in [
            (Role::Threshold, EdgeThreshold),
            (Role::Sharpness, CriticalSharpness),
        ] {
            curves.push(self.curve(role, quantity.about().symbol, TRAIN_TASK, quantity));
        }
        curves
    }
}

fn state_of(run: &Run) -> Line<'static> {
    let Some(last) = run.training().last() else {
        return Line::from("nothing was measured yet");
    };
    let mut spans = vec![Span::from(format!("step {}", last.step)).bold()];
    for (quantity, color) in [
        (CriticalSharpness, SHARPNESS_COLOR),
        (EdgeThreshold, THRESHOLD_COLOR),
    ] {
        if let Some(value) = quantity.of(last) {
            let text = format!("  {} {}", quantity.about().symbol, format_number(value));
            spans.push(Span::styled(text, color));
        }
    }
    let (text, color) = match (last.edge_ratio(), run.no_number()) {
        (_, Some(since)) => (format!("  {since}"), NO_NUMBER_COLOR),
        (Some(ratio), None) => {
            let edge = Edge::of(ratio).unwrap_or(Edge::Below);
            let color = match edge {
                Edge::Past => PAST_EDGE_COLOR,
                Edge::Near => Color::Yellow,
                Edge::Below => Color::Green,
            };
            let (symbol, ratio) = (EdgeRatio.about().symbol, format_number(ratio));
            (format!("  {symbol} {ratio}: {edge}"), color)
        }
        (None, None) => return Line::from(spans),
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
        let points = curves
            .iter()
            .flat_map(|curve| curve.points.iter().flatten());
        let (x, y) = (Axis::linear(X_LABEL), Axis::log("sharpness"));
        let Some((bottom, top)) = y.ends(points.map(|point| 10f64.powf(point.1))) else {
            return;
        };
        let steps = || self.shown(TRAIN_TASK).map(|m| m.step as f64);
        let (first, last) = (
            steps().fold(f64::INFINITY, f64::min),
            steps().fold(0.0, f64::max),
        );
        let frame = Frame {
            x: (first, last.max(first + 1.0)),
            y: (bottom, top),
            area: frame_area(body, &curves),
        };

        frame.draw_axes((&x, &y), buffer);
        frame.draw_curves(&curves, buffer);
        frame.draw_names(&curves, buffer);
        let unmeasured = self.shown(TRAIN_TASK);
        let unmeasured = unmeasured.filter(|m| m.critical_sharpness.is_none());
        frame.draw_unmeasured(unmeasured.map(|m| m.step as f64), buffer);
    }
}
