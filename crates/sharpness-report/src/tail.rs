//! `sharpness tail`: measurements as lines, as they are made.

use crate::flags::Format;
use crate::following::{PAUSE, check_followed};
use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};
use anyhow::Result;
use sharpness_record::{Followed, Follower, Measurement};
use sharpness_report::told;
use std::io::Write;
use std::path::Path;

/// Prints what is recorded, and goes on as long as the run may, unless `follow` says otherwise.
pub fn tail(path: &Path, follow: bool, format: Format) -> Result<()> {
    check_followed(path, follow)?;
    let mut follower = Follower::new(path);
    let mut followed = Vec::new();
    let mut said = None;
    loop {
        match follower.next_event() {
            Ok(Some(Followed::Measurement(measurement))) => {
                print_line(&measurement, format)?;
                followed.push(*measurement);
                continue;
            }
            Ok(Some(Followed::WentBack { kept, cause, .. })) => {
                note(&told(cause, &followed, kept));
                followed.truncate(kept);
                continue;
            }
            Ok(Some(Followed::Note(text))) => {
                note(&text);
                continue;
            }
            Ok(_) => say_once(&mut said, follower.missing().map(waiting)),
            // It may come back, such as a folder on a network.
            Err(error) if follow => say_once(&mut said, Some(error.to_string())),
            Err(error) => return Err(error.into()),
        }
        if !follow {
            return Ok(());
        }
        std::io::stdout().flush()?;
        std::thread::sleep(PAUSE);
    }
}

fn waiting(missing: String) -> String {
    format!("waiting: {missing}")
}

/// Says what holds now, unless it was said last.
fn say_once(said: &mut Option<String>, now: Option<String>) {
    if *said != now {
        if let Some(text) = &now {
            note(text);
        }
        *said = now;
    }
}

fn note(text: &str) {
    eprintln!("note: {text}");
}

fn print_line(measurement: &Measurement, format: Format) -> Result<()> {
    if format == Format::Json {
        println!("{}", serde_json::to_string(measurement)?);
        return Ok(());
    }
    let number =
        |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.4}"));
    let ratio = measurement.edge_ratio();
    let (style, result) = match (measurement.critical_sharpness, measurement.no_number()) {
        (Some(sharpness), _) => {
            let style = match measurement.is_past_edge() {
                true => Style::new().fg_color(Some(AnsiColor::Red.into())),
                false => Style::new(),
            };
            let threshold = number(measurement.edge_threshold());
            let ratio = number(ratio);
            (
                style,
                format!("λc {sharpness:<11.4} 2/η {threshold:<11} η/η_c {ratio}"),
            )
        }
        (None, why) => (
            Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            format!(
                "{}: {}",
                measurement.outcome.name(),
                why.unwrap_or_default()
            ),
        ),
    };
    println!(
        "step {:>7}  {:<10} loss {:<9} {style}{result}{style:#}",
        measurement.step,
        measurement.task,
        number(measurement.base_loss)
    );
    Ok(())
}
