//! Fuzzes records and charts: nothing panics, every chart is valid XML, no control character is printed.
//!
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` choose more cases and another seed.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget};
use resvg::usvg::roxmltree::Document;
use serde_json::{Value, json};
use sharpness_record::{Follower, parse};
use sharpness_report::line::Line;
use sharpness_report::overlay::{Overlay, Window};
use sharpness_report::plot::{Axis, Chart, HeatMap, Series, Style, png};
use sharpness_report::tensorboard::EventFiles;
use sharpness_report::{Run, diff, export, figure, report, table};
use std::path::Path;

fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if let RngSeed::Random = config.rng_seed {
        config.rng_seed = RngSeed::Fixed(26);
    }
    config
}

fn line(step: u64, task: &str) -> Value {
    let curvature = json!({"outcome": "measured", "value": 7.5, "relative_error": 0.1, "residual": 0.01, "reason": null,
        "gradients": 4, "seconds": 0.5});
    json!({
        "version": 1, "step": step, "epoch": 1, "task": task, "limiting_task": "code", "learning_rate": 0.01,
        "base_loss": 4.5, "base_loss_source": "training", "batch_fraction": 1.0, "slope": 5.5, "slope_source": "known",
        "update_norm": 6.5, "outcome": "bracketed", "reason": null, "lower": 0.125, "upper": 0.25,
        "critical_lr": 0.1875, "critical_lr_error": 0.0625, "critical_sharpness": 10.6,
        "critical_lr_interval": [0.11, 0.22], "critical_lr_spread": 0.33, "first_crossing_verified": true,
        "batch_statistics": true, "evaluations": 7, "seconds": 8.5,
        "curvature": {"directional_sharpness": curvature, "hessian_sharpness": curvature,
            "preconditioned_sharpness": curvature},
        "line": [{"learning_rate": 0.25, "rise": 0.5, "error": 0.01}, {"learning_rate": 1e3, "rise": null},
            {"learning_rate": 0.125, "rise": -0.5, "error": 0.01}],
    })
}

fn number() -> impl Strategy<Value = f64> {
    const ENDS: [f64; 13] = [
        0.0, -0.0, -1.0, 1e-320, 5e-324, 1e-300, 1e300, 1.7e308, -1.7e308, 1e19, 0.5, 1.0, ABOVE_1,
    ];
    const ABOVE_1: f64 = 1.0 + f64::EPSILON;
    let ends = select(&ENDS[..]);
    prop_oneof![3 => ends, 1 => any::<f64>(), 2 => 1e-3..1e3]
}

fn text() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "train",
        "code",
        "",
        "</script>",
        "]]>",
        "&amp;",
        "a\u{1b}[31mb",
        "\u{7}",
        "two\nlines",
        "\u{9b}",
        "\u{202e}x",
        "\u{ffff}",
        "\u{0}",
        "{{data}}",
        "NaN",
        "λ",
        "failed",
        "no_increase",
    ]);
    prop_oneof![4 => odd.prop_map(String::from), 1 => ".{0,30}", 1 => any::<String>()]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => number().prop_map(|number| json!(number)),
        3 => text().prop_map(Value::from),
        2 => select(vec![0, 1, 2, 5, u64::MAX, 1 << 63, 1 << 53]).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(json!([null, 1])),
        1 => Just(json!({"outcome": "later", "value": 1})),
    ]
}

fn changed_line() -> impl Strategy<Value = String> {
    let step = prop_oneof![3 => 0..20_u64, 1 => select(vec![u64::MAX, 1 << 60, 1_000_000])];
    let task = prop_oneof![3 => Just("train".to_string()), 1 => text()];
    let changes = prop::collection::vec((any::<Index>(), value()), 0..4);
    (step, task, changes).prop_map(|(step, task, changes)| {
        let mut line = line(step, &task);
        for (field, value) in changes {
            let fields = line.as_object_mut().unwrap();
            let names: Vec<String> = fields.keys().cloned().collect();
            *fields.get_mut(&names[field.index(names.len())]).unwrap() = value;
        }
        line.to_string()
    })
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(changed_line(), 0..30);
    let damage = prop::collection::vec((any::<Index>(), any::<u8>()), 0..3);
    (lines, damage, any::<bool>()).prop_map(|(lines, damage, is_ended)| {
        let end = if is_ended { "\n" } else { "" };
        let mut bytes = (lines.join("\n") + end).into_bytes();
        for (place, byte) in damage {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes
    })
}

#[track_caller]
fn assert_is_printable(text: &str) {
    let mut texts = text.chars().filter(|c| !matches!(c, '\n' | '\t'));
    assert!(!texts.any(char::is_control), "{text:?}");
}

#[track_caller]
fn assert_is_drawing(svg: &str) {
    let document = Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    for node in document.descendants() {
        for attribute in node.attributes() {
            let of_numbers = [
                "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "points", "width", "height",
            ];
            if of_numbers.contains(&attribute.name()) {
                let numbers = attribute.value().split([' ', ',']);
                for number in numbers.filter(|part| !part.is_empty()) {
                    let number = number.parse::<f64>();
                    assert!(number.is_ok_and(f64::is_finite), "{attribute:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn fuzz_records(
        records in prop::collection::vec((text(), record()), 1..3),
        (width, height) in (0..100_u16, 0..40_u16),
    ) {
        let runs: Vec<Run> = records
            .iter()
            .filter_map(|(name, bytes)| {
                let reading = parse(Path::new(name), bytes).ok()?;
                let mut run = Run::of_file(&Path::new(name).join("measurements.jsonl"));
                run.extend(reading.measurements);
                run.notes = reading.notes;
                run.config = Some(name.clone());
                Some(run)
            })
            .collect();
        assert_is_printable(&table::summary(&runs));
        let rows: Vec<table::Row> = runs.iter().map(table::Row::new).collect();
        serde_json::to_string(&rows).unwrap();
        let page = report::html(&runs);
        prop_assert_eq!(page.matches("</script>").count(), 3);
        let mut exported = Vec::new();
        export::csv(&runs, &mut exported).unwrap();
        exported.clear();
        export::json(&runs, &mut exported).unwrap();
        serde_json::from_slice::<Value>(&exported).unwrap();
        if let Ok(svg) = figure::chart(&runs).svg() {
            assert_is_drawing(&svg);
            png(&svg, 0.1).unwrap();
        }
        for run in &runs {
            for comparison in diff::diff(run, &runs[0]) {
                assert_is_printable(&comparison.to_string());
            }
            assert_is_printable(&run.no_number().unwrap_or_default());
            let mut files = EventFiles::new(Path::new("out"), &run.name, &[]);
            for measurement in &run.measurements {
                files.push(measurement);
                match Line::of(run, &measurement.task, measurement.step) {
                    Ok(line) => {
                        assert_is_printable(&line.table());
                        if let Ok(svg) = line.chart().svg() {
                            assert_is_drawing(&svg);
                        }
                    }
                    Err(error) => assert_is_printable(&error.to_string()),
                }
            }
            for window in [Window::Full, Window::Recent] {
                let area = Rect::new(0, 0, width, height);
                Overlay::new(run, window).render(area, &mut Buffer::empty(area));
            }
        }
    }

    #[test]
    fn fuzz_followed_records(parts in prop::collection::vec(record(), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("measurements.jsonl");
        let mut follower = Follower::new(&file);
        for part in parts {
            std::fs::write(&file, part).unwrap();
            let events = (0..100).take_while(|_| follower.next_event().unwrap().is_some());
            prop_assert!(events.count() < 40);
        }
    }

    #[test]
    fn fuzz_svg(
        title in text(),
        series in prop::collection::vec(
            (text(), prop::collection::vec((number(), number()), 0..50), 0..3_usize, any::<bool>()),
            0..5,
        ),
        marks in prop::collection::vec((number(), text()), 0..3),
        are_logarithmic in any::<(bool, bool)>(),
        cells in prop::collection::vec(prop::option::of(number()), 12),
    ) {
        let axis = |label: &str, is_logarithmic| match is_logarithmic {
            true => Axis::log(label),
            false => Axis::linear(label),
        };
        let (x, y) = (axis(&title, are_logarithmic.0), axis("y", are_logarithmic.1));
        let mut chart = Chart::new(&title, x, y);
        let columns: Vec<f64> = series.iter().flat_map(|(_, points, ..)| points).map(|p| p.0).collect();
        for (name, points, style, has_band) in series {
            let band = points.iter().map(|(x, y)| (*x, 0.5 * y, 2.0 * y));
            chart = chart.with_series(Series {
                name,
                band: band.filter(|_| has_band).collect(),
                points,
                style: [Style::Line, Style::Threshold, Style::Points][style],
                belongs_to: None,
            });
        }
        for (x, name) in marks {
            chart = chart.with_mark(x, &name);
        }
        if let Ok(svg) = chart.svg() {
            assert_is_drawing(&svg);
            png(&svg, 0.1).unwrap();
        }
        let map = HeatMap {
            title: title.clone(),
            x_label: title.clone(),
            y_label: "y".to_string(),
            columns: columns.iter().copied().chain([1.0, 2.0, 3.0]).take(3).collect(),
            rows: vec![0.001, 0.01, 0.1, 1.0],
            cells: cells.chunks(3).map(<[_]>::to_vec).collect(),
            value_label: title,
            curves: vec![("curve".to_string(), columns.iter().map(|x| (*x, 0.5)).collect())],
        };
        if let Ok(svg) = map.svg() {
            assert_is_drawing(&svg);
        }
    }
}
