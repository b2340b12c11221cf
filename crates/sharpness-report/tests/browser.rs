//! Tests the report in Chromium (`$CHROMIUM`). Ignored by default:
//!
//! ```sh
//! cargo test -p sharpness-report --test browser -- --ignored
//! ```

use serde::Deserialize;
use sharpness_report::{Measurement, Run, report};
use std::process::Command;

mod common;

const WATCH: &str = r#"<script>
  const errors = [];
  addEventListener("error", (event) => errors.push(event.message));
  console.error = (...words) => errors.push(words.join(" "));
</script>"#;

/// Hovers over the middle of the first chart, and stores the findings in the page.
const HOVER: &str = r#"<script>
  addEventListener("load", () => {
    const loaded = performance.now();
    const over = document.querySelector(".u-over");
    if (over) {
      const box = over.getBoundingClientRect();
      const at = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, bubbles: true };
      over.dispatchEvent(new MouseEvent("mouseenter", at));
      over.dispatchEvent(new MouseEvent("mousemove", at));
    }
    const values = over ? [...over.closest(".uplot").querySelectorAll(".u-value")] : [];
    // The part of a hundred columns of the first chart in which there is a curve's colour.
    const canvas = document.querySelector(".uplot canvas");
    const box = over ? over.getBoundingClientRect() : null;
    const edge = canvas ? canvas.getBoundingClientRect() : null;
    const scale = canvas ? canvas.width / edge.width : 1;
    const isColored = (column) => {
      const width = Math.max(1, Math.floor((box.width * scale) / 100) - 2);
      const left = Math.round((box.left - edge.left + (column * box.width) / 100) * scale) + 1;
      const pixels = canvas.getContext("2d").getImageData(left, 0, width, canvas.height).data;
      for (let i = 0; i < pixels.length; i += 4) {
        const [r, g, b, a] = pixels.slice(i, i + 4);
        if (a > 40 && Math.max(r, g, b) - Math.min(r, g, b) > 60) return true;
      }
      return false;
    };
    const seen = {
      colored: over ? [...Array(100).keys()].filter(isColored) : [],
      overflow: document.documentElement.scrollWidth - innerWidth,
      errors,
      loaded,
      charts: document.querySelectorAll(".uplot").length,
      hovered: values.map((value) => value.textContent),
      text: document.body.innerText.slice(0, 2000),
    };
    // Without characters that HTML writes otherwise.
    const escape = (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0");
    const place = document.createElement("pre");
    place.id = "seen";
    place.textContent = JSON.stringify(seen).replace(/[<>&\u00a0]/g, escape);
    document.body.append(place);
  });
</script>"#;

#[derive(Debug, Deserialize)]
struct Seen {
    errors: Vec<String>,
    /// In milliseconds.
    loaded: f64,
    charts: usize,
    /// The hundredths of the first chart's width that contain a curve's colour.
    colored: Vec<u32>,
    /// In pixels.
    overflow: f64,
    hovered: Vec<String>,
    text: String,
}

fn measurement(step: u64, task: &str) -> Measurement {
    let is_known = !step.is_multiple_of(7);
    let sharpness = 50.0 + (step as f64 / 50.0).sin() * 20.0;
    common::line(step, task, 0.01, is_known.then_some(sharpness))
}

fn run(name: &str, steps: impl Iterator<Item = u64>) -> Run {
    Run {
        name: name.to_string(),
        measurements: steps.map(|step| measurement(step, "train")).collect(),
        ..Run::default()
    }
}

fn open(runs: &[Run]) -> Seen {
    open_at(runs, 1100)
}

fn open_at(runs: &[Run], width: u32) -> Seen {
    let html = report::html(runs);
    assert!(html.len() < 20_000_000, "{} bytes", html.len());
    let watched = html.replacen("<head>", &format!("<head>{WATCH}"), 1);
    let watched = watched.replacen("</body>", &format!("{HOVER}</body>"), 1);
    assert!(watched.contains(WATCH) && watched.contains(HOVER));
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    std::fs::write(&page, watched).unwrap();

    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_string());
    let output = Command::new(&browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--window-size={width},900"))
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap_or_else(|error| panic!("{browser} does not start: {error}"));
    let page = String::from_utf8_lossy(&output.stdout);
    let seen = page
        .split_once("<pre id=\"seen\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .unwrap_or_else(|| panic!("{browser} did not load the page: {output:?}"));
    let seen: Seen = serde_json::from_str(seen.0).unwrap();
    println!("{seen:?}");
    assert!(seen.errors.is_empty(), "{:?}", seen.errors);
    seen
}

#[test]
#[ignore = "needs Chromium"]
fn hovering_shows_values() {
    let seen = open(&[run("one", 1..500), run("two", 1..300)]);
    assert!(seen.charts >= 4, "{seen:?}");
    assert_eq!(seen.hovered.len(), 5, "{seen:?}");
    let step: f64 = seen.hovered[0].replace(',', "").parse().unwrap();
    assert!((step - 250.0).abs() < 20.0, "{seen:?}");
    assert_eq!(seen.hovered[2], "200", "{seen:?}");
}

#[test]
#[ignore = "needs Chromium"]
fn no_measurement_and_one_make_a_page() {
    let none = open(&[run("none", 0..0)]);
    assert_eq!(none.charts, 0);
    assert!(none.text.contains("Nothing was measured"), "{none:?}");
    let one = open(&[run("one", 1..2)]);
    assert!(one.charts >= 1, "{one:?}");
}

fn with_gaps(name: &str, is_measured: impl Fn(u64) -> bool, gives: impl Fn(u64) -> bool) -> Run {
    let steps = (0..=1000).step_by(10);
    let mut run = run(name, steps.filter(|step| is_measured(*step)));
    for measurement in &mut run.measurements {
        let sharpness = gives(measurement.step).then_some(50.0);
        measurement.critical_sharpness = sharpness;
        measurement.critical_lr = sharpness.map(|sharpness| 2.0 / sharpness);
    }
    run
}

#[test]
#[ignore = "needs Chromium"]
fn a_gap_in_the_measurements_is_a_gap_in_the_chart() {
    let within = |seen: &Seen, from: u32, to: u32| {
        let colored = seen.colored.iter();
        colored.filter(|column| (from..to).contains(column)).count()
    };
    let is_outside = |step: u64| !(300..=600).contains(&step);
    let none = open(&[with_gaps("a", |_| true, is_outside)]);
    assert_eq!(within(&none, 31, 59), 0, "{none:?}");
    let around = (within(&none, 2, 28), within(&none, 62, 98));
    assert!(around.0 > 20 && around.1 > 30, "{none:?}");
    // The other run gave no number there, at steps of its own.
    let mut other = with_gaps("b", |_| true, |step| step < 100);
    for measurement in &mut other.measurements {
        measurement.learning_rate = None;
    }
    let missing = open(&[with_gaps("a", is_outside, |_| true), other]);
    assert_eq!(within(&missing, 31, 59), 0, "{missing:?}");
    assert!(within(&missing, 2, 28) > 20, "{missing:?}");
    let alone = open(&[with_gaps("a", |_| true, |step| step == 500)]);
    assert_eq!(alone.colored.len(), within(&alone, 48, 52), "{alone:?}");
    assert!(!alone.colored.is_empty(), "a point between gaps is seen");
}

#[test]
#[ignore = "needs Chromium"]
fn long_names_and_many_tasks_fit_a_phone() {
    let name = |seed| format!("gpt-pretrain-adamw-lr3e-4-wd0.1-warmup400-seed{seed}");
    let mut runs: Vec<Run> = (0..5).map(|seed| run(&name(seed), 1..50)).collect();
    for task in 0..10 {
        let task = format!("a-very-long-name-of-a-validation-task-number-{task}");
        runs[0].extend((1..50).map(|step| measurement(step, &task)));
    }
    let last = runs[4].measurements.last_mut().unwrap();
    last.critical_sharpness = None;
    last.outcome = sharpness_report::MeasurementOutcome::NonFiniteBaseLoss;
    // Chromium opens no narrower window.
    for width in [500, 1100] {
        let seen = open_at(&runs, width);
        assert!(seen.overflow <= 0.0, "{} pixels at {width}", seen.overflow);
        let said = "seed4: no number since step 49: the loss is not finite";
        assert!(seen.text.contains(said), "{}", seen.text);
    }
}

#[test]
#[ignore = "needs Chromium"]
fn a_hundred_thousand_measurements_load_in_three_seconds() {
    let seen = open(&[run("long", 1..100_001)]);
    assert!(seen.loaded < 3000.0, "{} ms", seen.loaded);
    assert!(!seen.hovered.contains(&String::new()), "{seen:?}");
}
