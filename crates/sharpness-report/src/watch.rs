//! Implements `sharpness watch`.

use crate::following::{Following, News, PAUSE, check_followed};
use anyhow::{Context, Result, ensure};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::Stylize;
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders};
use sharpness_record::shown::one_line;
use sharpness_report::Run;
use sharpness_report::overlay::{Overlay, Window};
use sharpness_report::terminal::can_draw;
use std::path::Path;

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

struct Watched {
    following: Following,
    run: Run,
    message: Option<String>,
}

impl Watched {
    fn new(path: &Path) -> Self {
        let following = Following::new(path);
        Self {
            run: following.run(),
            following,
            message: None,
        }
    }

    fn update(&mut self) -> Result<()> {
        let (mut new, mut went_back) = (Vec::new(), false);
        self.following.hear(true, |news| {
            match news {
                News::Measured(measurement) => new.push(measurement.clone()),
                News::WentBack(_) => went_back = true,
                News::Note(text) => self.message = Some(text),
                News::Standing(_) => {}
            }
            Ok(())
        })?;
        if went_back {
            self.run.measurements.clear();
            new = self.following.followed().to_vec();
        }
        self.run.extend(new);
        Ok(())
    }

    fn message(&self) -> Option<&str> {
        self.following.standing().or(self.message.as_deref())
    }
}

fn show(terminal: &mut DefaultTerminal, mut watched: Watched) -> Result<()> {
    let mut window = Window::default();
    loop {
        watched.update()?;
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
                let message = format!(" {}", one_line(message));
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

fn keys_of(window: Window) -> Line<'static> {
    let other = match window {
        Window::Full => "recent history",
        Window::Recent => "full history",
    };
    Line::from(format!(" ↑ ↓ {other}   q quit")).dim()
}
