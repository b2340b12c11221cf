//! The report in a browser. Ignored by default, since it needs Chromium:
//!
//! ```sh
//! cargo test -p sharpness-report --test browser -- --ignored
//! ```
//!
//! The program is that of the environment variable `CHROMIUM`, or else `chromium`.

use serde::Deserialize;
use sharpness_report::{Measurement, Run, report};
use std::process::Command;

/// Notes every error from the first script on.
const WATCH: &str = r#"<script>
  const errors = [];
  addEventListener("error", (event) => errors.push(event.message));
  console.error = (...words) => errors.push(words.join(" "));
</script>"#;

/// Hovers over the middle of the first chart, and leaves what it saw in the page.
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
    const seen = {
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
    /// When everything was drawn, in milliseconds after the page was asked for.
    loaded: f64,
    charts: usize,
    hovered: Vec<String>,
    text: String,
}

fn measurement(step: u64, task: &str) -> Measurement {
    let is_known = !step.is_multiple_of(7);
    let sharpness = 50.0 + (step as f64 / 50.0).sin() * 20.0;
    let record = serde_json::json!({
        "version": 1,
        "step": step,
        "task": task,
        "learning_rate": 0.01,
        "base_loss": 3.0,
        "outcome": if is_known { "bracketed" } else { "no_increase" },
        "critical_lr": is_known.then_some(2.0 / sharpness),
        "critical_sharpness": is_known.then_some(sharpness),
        "evaluations": 3,
        "seconds": 0.1,
    });
    serde_json::from_value(record).unwrap()
}

fn run(name: &str, steps: impl Iterator<Item = u64>) -> Run {
    Run {
        name: name.to_string(),
        measurements: steps.map(|step| measurement(step, "train")).collect(),
        ..Run::default()
    }
}

/// Opens the report of these runs in a browser.
fn open(runs: &[Run]) -> Seen {
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
    println!(
        "{} charts after {:.0} ms, hovered {:?}",
        seen.charts, seen.loaded, seen.hovered
    );
    assert!(seen.errors.is_empty(), "{:?}", seen.errors);
    seen
}

#[test]
#[ignore = "needs Chromium"]
fn hovering_shows_values() {
    let seen = open(&[run("one", 1..500), run("two", 1..300)]);
    assert!(seen.charts >= 4, "{seen:?}");
    // The step, then a value a curve: λc and 2/η of both runs.
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

#[test]
#[ignore = "needs Chromium"]
fn a_hundred_thousand_measurements_load_in_three_seconds() {
    let seen = open(&[run("long", 1..100_001)]);
    assert!(seen.loaded < 3000.0, "{} ms", seen.loaded);
    assert!(
        seen.hovered.iter().all(|value| !value.is_empty()),
        "{seen:?}"
    );
}
