//! Tests the overlay on screens of several sizes.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use sharpness_report::Run;
use sharpness_report::overlay::{Overlay, Window};

mod common;

/// A warmup to 0.01; λ_c rises past 2/η; some steps have no number; a task.
fn run(steps: u64) -> Run {
    let mut run = Run::default();
    for step in (0..=steps).step_by(10) {
        let rate = 0.01 * ((step + 10) as f64 / 200.0).min(1.0);
        let sharpness = 20.0 * (step.min(500) as f64 / 150.0).exp();
        let is_known = !(300..360).contains(&step);
        let sharpness = (is_known.then_some(sharpness), Some(8.0 * sharpness));
        run.extend([
            common::line(step, "train", rate, sharpness.0),
            common::line(step, "pretrain", rate, sharpness.1),
        ]);
    }
    run
}

fn screen(run: &Run, window: Window, (width, height): (u16, u16)) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| frame.render_widget(Overlay::new(run, window), frame.area()))
        .unwrap();
    terminal.backend().clone()
}

fn drawn(run: &Run, window: Window, size: (u16, u16)) -> String {
    screen(run, window, size).to_string()
}

fn columns_in(color: Color, run: &Run) -> Vec<u16> {
    let screen = screen(run, Window::Full, (80, 24));
    let colored = |column: &u16| (1..24).any(|row| screen.buffer()[(*column, row)].fg == color);
    (0..80).filter(colored).collect()
}

#[test]
fn a_crossing_is_seen_on_screens_of_any_size() {
    let run = run(500);
    insta::assert_snapshot!("80x24", drawn(&run, Window::Full, (80, 24)));
    insta::assert_snapshot!("140x40", drawn(&run, Window::Full, (140, 40)));
    insta::assert_snapshot!("40x10", drawn(&run, Window::Full, (40, 10)));
    insta::assert_snapshot!("30x4", drawn(&run, Window::Full, (30, 4)));
}

#[test]
fn before_the_crossing_and_near_it_the_first_line_says_so() {
    insta::assert_snapshot!("before", drawn(&run(200), Window::Full, (80, 24)));
    let near = drawn(&run(290), Window::Full, (80, 24));
    assert!(near.contains("near the edge"), "{near}");
    let unknown = drawn(&run(330), Window::Full, (80, 24));
    let since = "no number since step 300: no increase";
    assert!(unknown.contains(since), "{unknown}");
}

#[test]
fn critical_sharpness_is_red_past_the_edge_alone() {
    assert!(columns_in(Color::LightRed, &run(290)).is_empty());
    // λ_c passes 2/η at step 346, and is measured again from 360 on, of 500.
    let past = columns_in(Color::LightRed, &run(500));
    assert!(*past.first().unwrap() > 50, "{past:?}");
}

#[test]
fn a_stretch_that_was_not_measured_has_no_line() {
    let mut run = run(500);
    run.measurements.retain(|m| !(300..=400).contains(&m.step));
    let screen = screen(&run, Window::Full, (80, 24));
    // The chart begins in column 8 and ends in column 69.
    let column = |step: u16| 8 + step * 62 / 500;
    for row in 1..21 {
        for column in column(300) + 1..column(400) - 1 {
            let symbol = screen.buffer()[(column, row)].symbol();
            assert_eq!(symbol, " ", "{column}, {row}");
        }
    }
}

#[test]
fn curves_are_told_apart_by_what_they_are_and_not_by_their_names() {
    let mut run = run(290);
    for (task, last) in [("λ_c", 1e4), ("2/η", 1.0)] {
        let steps = (0..=290).step_by(10);
        run.extend(steps.map(|step| common::line(step, task, 0.01, Some(last))));
    }
    // A task above the threshold is not past the edge, nor is the training above a task of that name.
    assert!(columns_in(Color::LightRed, &run).is_empty());
}

#[test]
fn names_of_many_tasks_differ_on_the_screen() {
    let mut run = run(290);
    for task in 0..10 {
        let task = format!("a long name of a validation task, number {task}");
        let steps = (0..=290).step_by(10);
        run.extend(steps.map(|step| common::line(step, &task, 0.01, Some(50.0))));
    }
    let drawn = drawn(&run, Window::Full, (80, 24));
    for task in 0..10 {
        assert!(drawn.contains(&format!("a long …mber {task}")), "{drawn}");
    }
}

#[test]
fn the_recent_window_starts_later() {
    let run = run(2000);
    let full = drawn(&run, Window::Full, (80, 24));
    let recent = drawn(&run, Window::Recent, (80, 24));
    assert!(full.contains(" 500 "), "{full}");
    assert!(!recent.contains(" 500 "), "{recent}");
    assert!(recent.contains("1200"), "{recent}");
}

#[test]
fn no_run_and_no_size_makes_it_panic() {
    let [mut once, mut unmeasured] = [Run::default(), Run::default()];
    once.extend([common::line(7, "train", 0.1, Some(5.0))]);
    unmeasured.extend([common::line(7, "train", 0.0, None)]);
    for run in [Run::default(), once, unmeasured, run(500)] {
        for size in (1..60).flat_map(|width| (1..20).map(move |height| (width, height))) {
            drawn(&run, Window::Full, size);
            drawn(&run, Window::Recent, size);
        }
    }
}
