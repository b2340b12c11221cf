//! `sharpness tail`: measurements as lines, as they are made.

use crate::flags::Format;
use crate::following::{PAUSE, check_followed, is_pipe};
use anstyle::{AnsiColor, Style};
use anyhow::Result;
use sharpness_record::Quantity::{CriticalSharpness, EdgeRatio, EdgeThreshold};
use sharpness_record::shown::{number, one_line};
use sharpness_record::{Followed, Follower, Measurement};
use sharpness_report::terminal::{print_in, warn};
use sharpness_report::told;
use std::path::Path;

/// Prints what is recorded, and goes on as long as the run may, unless `follow` says otherwise.
pub fn tail(path: &Path, follow: bool, format: Format) -> Result<()> {
    check_followed(path, follow)?;
    let follow = follow && !is_pipe(path);
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
    warn(format_args!("note: {text}"));
}

fn print_line(measurement: &Measurement, format: Format) -> Result<()> {
    let (style, line) = match format {
        Format::Json => (Style::new(), serde_json::to_string(measurement)?),
        Format::Text => line(measurement),
    };
    Ok(print_in(style, &format!("{line}\n"))?)
}

fn line(measurement: &Measurement) -> (Style, String) {
    let number = |value: Option<f64>| value.map_or("–".to_string(), number);
    let in_color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
    let (style, result) = match measurement.no_number() {
        None => {
            let style = match measurement.is_past_edge() {
                true => in_color(AnsiColor::Red),
                false => Style::new(),
            };
            let said = [CriticalSharpness, EdgeThreshold, EdgeRatio].map(|quantity| {
                let value = number(quantity.of(measurement));
                format!("{} {value:<11}", quantity.about().symbol)
            });
            (style, said.join(" ").trim_end().to_string())
        }
        Some(why) => {
            let name = measurement.outcome.name();
            // An outcome that has no words but its name says it once.
            let result = match why.starts_with(name) {
                true => why,
                false => format!("{name}: {why}"),
            };
            (in_color(AnsiColor::Yellow), result)
        }
    };
    let line = format!(
        "step {:>7}  {:<10} loss {:<9} {result}",
        measurement.step,
        measurement.task,
        number(measurement.base_loss)
    );
    (style, one_line(&line).into_owned())
}
