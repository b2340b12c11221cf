//! Implements `sharpness tail`.

use crate::flags::Format;
use crate::following::{Following, News, PAUSE, check_followed, is_pipe};
use anstyle::{AnsiColor, Style};
use anyhow::Result;
use sharpness_record::Measurement;
use sharpness_record::Quantity::{CriticalSharpness, EdgeRatio, EdgeThreshold};
use sharpness_record::shown::{number, one_line};
use sharpness_report::terminal::print_in;
use std::path::Path;

pub fn tail(path: &Path, follow: bool, format: Format) -> Result<()> {
    check_followed(path, follow)?;
    let follow = follow && !is_pipe(path);
    let mut following = Following::new(path);
    loop {
        following.hear(follow, |news| match news {
            News::Measured(measurement) => print_line(measurement, format),
            news => {
                news.warn();
                Ok(())
            }
        })?;
        if !follow {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
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
            let mut said = said.join(" ");
            if measurement.learning_rate_used.is_some() {
                said += &format!(" capped to {}", number(measurement.learning_rate_used));
            }
            (style, said.trim_end().to_string())
        }
        Some(why) => {
            let name = measurement.outcome.name();
            let result = match why.starts_with(name) {
                true => why,
                false => format!("{name}: {why}"),
            };
            (in_color(AnsiColor::Yellow), result)
        }
    };
    let (step, task) = (measurement.step, &measurement.task);
    let loss = number(measurement.base_loss);
    let line = format!("step {step:>7}  {task:<10} loss {loss:<9} {result}");
    (style, one_line(&line).into_owned())
}
