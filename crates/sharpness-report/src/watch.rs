//! `sharpness watch`: a run under way as a chart on the terminal.

use crate::following::{PAUSE, check_followed};
use anyhow::{Context, Result, ensure};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::Stylize;
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders};
use sharpness_record::shown::one_line;
use sharpness_record::{Followed, Follower, Measurement};
use sharpness_report::overlay::{Overlay, Window};
use sharpness_report::terminal::can_draw;
use sharpness_report::{Run, told};
use std::path::Path;

/// Shows a run and what is added to it, until a key ends it. The run need not have begun.
pub fn watch(path: &Path) -> Result<()> {
    check_followed(path, true)?;
    ensure!(
        can_draw(),
        "a chart needs a terminal that can draw (not TERM=dumb): `sharpness tail` prints lines, `sharpness plot` draws a file"
    );
    let mut terminal = ratatui::try_init().context("the terminal cannot be drawn on")?;
    let result = show(&mut terminal, Watched::new(path));
    ratatui::try_restore().context("the terminal cannot be given back")?;
    result
}

/// A run, as far as it was followed.
struct Watched {
    follower: Follower,
    run: Run,
    /// The measurements in the order of the record.
    followed: Vec<Measurement>,
    /// What happened last that the chart does not show.
    message: Option<String>,
}

impl Watched {
    fn new(path: &Path) -> Self {
        let follower = Follower::new(path);
        Self {
            run: Run::of_file(&follower.file()),
            follower,
            followed: Vec::new(),
            message: None,
        }
    }

    /// Takes in all that happened.
    fn update(&mut self) {
        let mut shown = self.followed.len();
        loop {
            match self.follower.next_event() {
                Ok(Some(Followed::Measurement(measurement))) => self.followed.push(*measurement),
                Ok(Some(Followed::WentBack { kept, cause, .. })) => {
                    self.message = Some(told(cause, &self.followed, kept));
                    self.followed.truncate(kept);
                    self.run.measurements.clear();
                    shown = 0;
                }
                Ok(Some(Followed::Note(text))) => self.message = Some(text),
                Ok(_) => break,
                // It may come back, such as a folder on a network.
                Err(error) => {
                    self.message = Some(error.to_string());
                    break;
                }
            }
        }
        if shown < self.followed.len() {
            self.run.extend(self.followed[shown..].iter().cloned());
        }
    }

    fn message(&self) -> Option<String> {
        let missing = self.follower.missing();
        let waiting = missing.map(|missing| format!("waiting: {missing}"));
        waiting.or_else(|| self.message.clone())
    }
}

fn show(terminal: &mut DefaultTerminal, mut watched: Watched) -> Result<()> {
    let mut window = Window::default();
    loop {
        watched.update();
        terminal.draw(|frame| {
            let message = watched.message();
            let heights = [
                Constraint::Min(0),
                Constraint::Length(u16::from(message.is_some())),
                Constraint::Length(1),
            ];
            let [chart, said, keys] = Layout::vertical(heights).areas(frame.area());
            let block = Block::new()
                .borders(Borders::TOP)
                .title(format!(" {} ", watched.run.name).bold());
            frame.render_widget(Overlay::new(&watched.run, window), block.inner(chart));
            frame.render_widget(block, chart);
            if let Some(message) = message {
                let message = format!(" {}", one_line(&message));
                frame.render_widget(Line::from(message).yellow(), said);
            }
            frame.render_widget(keys_of(window), keys);
        })?;
        if !event::poll(PAUSE)? {
            continue;
        }
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            if is_quit(key) {
                return Ok(());
            }
            if matches!(key.code, KeyCode::Up | KeyCode::Down) {
                window = window.other();
            }
        }
    }
}

fn is_quit(key: KeyEvent) -> bool {
    let is_interrupt =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

/// The keys of burn's dashboard, as far as they apply.
fn keys_of(window: Window) -> Line<'static> {
    let other = match window {
        Window::Full => "recent history",
        Window::Recent => "full history",
    };
    Line::from(format!(" ↑ ↓ {other}   q quit")).dim()
}
