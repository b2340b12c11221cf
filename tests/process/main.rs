//! Tests of burn's random state and the log, which exist once per process: the tests take turns.

mod hard;
mod killed;
mod ports;

use sharpness_tests::prelude::*;
use std::io::Write;
use std::sync::PoisonError;

static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_model_with_dropout_is_measured_without_it_and_draws_no_random_number() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let device = device::autodiff();
    let train = |probe: Option<&SharpnessProbe>| {
        device.seed(7);
        let model = MlpConfig::for_data().with_dropout(0.5).init(&device);
        let (model, _) = Training::new(folder.path()).fit(model, sgd(), 0.1, probe);
        weights(&model)
    };
    let config = SharpnessConfig::new().with_every(1);
    let config = config.with_curvature(CurvatureConfig::new(3));
    let batches = Data::new(2, 16, &device).loader();
    let of_batches = BatchSharpnessConfig::new(4).with_batches(2);
    let probe = SharpnessProbe::builder(config)
        .with_batch_sharpness(of_batches, batches, task_loss)
        .with_group("head", ParamGroup::from_predicate("layers.1"))
        .build()
        .unwrap();
    let bare = train(None);
    let probed = train(Some(&probe));

    let summary = probe.summary();
    assert_eq!(summary.measurements, 14);
    let last = probe.latest("train").unwrap();
    assert!(last.batch_sharpness.is_some() || !last.step.is_multiple_of(4));
    assert!(summary.bracketed >= 10, "{summary:?}");
    assert_eq!(probed, bare);
}

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
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
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
