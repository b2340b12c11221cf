//! `?` in `main`, `unwrap` and `expect` print an error's sentence.

use sharpness_tests::prelude::*;
use std::error::Error;
use std::time::Duration;

fn printed(error: impl Into<Box<dyn Error>>) -> String {
    format!("{:?}", error.into())
}

#[test]
fn every_error_prints_its_sentence() {
    let refused = |config: SharpnessConfig| SharpnessProbe::new(config).unwrap_err();
    let config = SharpnessConfig::new;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let _first = SharpnessProbe::new(config().with_directory(folder.path())).unwrap();
    let errors: Vec<ConfigError> = vec![
        refused(config().with_every(0)),
        refused(config().with_every(10).with_dense_every(3)),
        refused(config().with_max_time_share(2.0)),
        refused(config().with_tolerance(7.0)),
        refused(config().with_warning_after(0)),
        refused(config().with_worker_limit(Duration::ZERO)),
        refused(config().with_directory(folder.path())),
        refused(config().with_directory(file.join("run"))),
    ];
    for error in errors {
        assert_eq!(format!("{error:?}"), error.to_string());
        let sentence = error.to_string();
        assert_eq!(printed(error), sentence);
        assert!(sentence.contains(": "), "it says what to do: {sentence}");
    }
    let of_folder = refused(config().with_directory(file.join("run"))).to_string();
    let system = std::fs::create_dir(file.join("run"))
        .unwrap_err()
        .to_string();
    assert!(of_folder.contains(&system), "{of_folder}");

    let lost = Err::<f64, _>("no shard left").into_loss().unwrap_err();
    assert_eq!(printed(lost), "no shard left");
    for (printed, error) in [
        (
            printed(FinderError::NoBatch),
            FinderError::NoBatch.to_string(),
        ),
        (printed(LossError::Empty), LossError::Empty.to_string()),
        (
            printed(DirectionError::NoGradient),
            DirectionError::NoGradient.to_string(),
        ),
        (
            printed(GradientError::SeveralDevices),
            GradientError::SeveralDevices.to_string(),
        ),
        (
            printed(HessianError::NoStep),
            HessianError::NoStep.to_string(),
        ),
    ] {
        assert_eq!(printed, error);
    }
}

#[test]
fn unwrap_prints_it_too() {
    let refused = || SharpnessProbe::new(SharpnessConfig::new().with_every(0));
    let message = std::panic::catch_unwind(|| refused().unwrap()).unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(
        message.contains("measuring every 0 steps is not an interval"),
        "{message}"
    );
}
