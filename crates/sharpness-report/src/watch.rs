//! `sharpness watch`: a run under way as a chart on the terminal.

use crate::PAUSE;
use anyhow::{Context, Result, ensure};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::Stylize;
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders};
use sharpness_report::overlay::{Overlay, Window};
use sharpness_report::{Follower, Run};
use std::io::IsTerminal;
use std::path::Path;

/// Shows a run and what is added to it, until a key ends it.
pub fn watch(path: &Path) -> Result<()> {
    let run = Run::open(path)?;
    let follower = Follower::open(path)?;
    ensure!(
        std::io::stdout().is_terminal(),
        "a chart needs a terminal: `sharpness tail` prints to a pipe, `sharpness plot` draws a file"
    );
    let mut terminal = ratatui::try_init().context("the terminal cannot be drawn on")?;
    let result = show(&mut terminal, run, follower);
    ratatui::try_restore().context("the terminal cannot be given back")?;
    result
}

fn show(terminal: &mut DefaultTerminal, mut run: Run, mut follower: Follower) -> Result<()> {
    let mut window = Window::default();
    loop {
        while let Some(measurement) = follower.next_measurement()? {
            run.push(measurement);
        }
        terminal.draw(|frame| {
            let [chart, keys] =
                Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
            let block = Block::new()
                .borders(Borders::TOP)
                .title(format!(" {} ", run.name).bold());
            frame.render_widget(Overlay::new(&run, window), block.inner(chart));
            frame.render_widget(block, chart);
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
