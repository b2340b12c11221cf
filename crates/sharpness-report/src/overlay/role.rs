use ratatui::style::Color;

pub(super) const SHARPNESS_COLOR: Color = Color::Cyan;
pub(super) const PAST_EDGE_COLOR: Color = Color::LightRed;
pub(super) const THRESHOLD_COLOR: Color = Color::Yellow;
pub(super) const NO_NUMBER_COLOR: Color = Color::Yellow;
const TASK_COLORS: [Color; 8] = [
    Color::Magenta,
    Color::Green,
    Color::Blue,
    Color::LightMagenta,
    Color::LightGreen,
    Color::LightBlue,
    Color::White,
    Color::Gray,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// λ_c of the training.
    Sharpness,
    /// 2/η.
    Threshold,
    /// λ_c of a task, by its number.
    Task(usize),
}

impl Role {
    pub(super) fn color(self) -> Color {
        match self {
            Self::Sharpness => SHARPNESS_COLOR,
            Self::Threshold => THRESHOLD_COLOR,
            Self::Task(index) => TASK_COLORS[index % TASK_COLORS.len()],
        }
    }
}

/// A curve, which `None` interrupts. All curves of the training have the same places.
pub(super) struct Curve<'a> {
    pub(super) role: Role,
    pub(super) name: &'a str,
    pub(super) points: Vec<Option<(f64, f64)>>,
}
