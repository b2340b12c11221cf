//! Tests of what a process has once: burn's random state, the log, its own life.

mod hard;
mod killed;
mod ports;

use sharpness_tests::prelude::*;
use std::io::Write;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_measurement_is_logged_and_those_past_the_edge_warn() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let config = SharpnessConfig::new().with_every(2).with_warning_after(2);
        let probe = probe_of(config).on_edge({
            let calls = calls.clone();
            move |measurement| {
                calls.lock().unwrap().push(measurement.step);
                panic!("on purpose")
            }
        });
        Training::new(folder.path()).fit(model(), sgd(), 50.0, Some(&probe));
    });

    let log = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(count("measured critical sharpness"), 7, "{log}");
    assert_eq!(count("gauge.sharpness.edge_threshold="), 7, "{log}");
    assert_eq!(count("monotonic_counter.sharpness.measurements=1"), 7);
    // The second measurement in a row warns; later crossings are isolated.
    assert_eq!(count("past the critical one"), 1, "{log}");
    assert_eq!(count("function to call at the edge panicked"), 1, "{log}");
    assert_eq!(*calls.lock().unwrap(), [2]);
    assert_eq!(count("step=2 "), 2, "{log}");
}
