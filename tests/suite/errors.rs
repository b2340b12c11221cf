use sharpness_tests::prelude::*;
use std::error::Error;
use std::time::Duration;

#[track_caller]
fn assert_prints(error: impl Into<Box<dyn Error>>, sentence: &str) {
    assert_eq!(format!("{:?}", error.into()), sentence);
}

#[test]
fn every_error_prints_its_sentence() {
    let refused = |config: SharpnessConfig| SharpnessProbe::new(config).unwrap_err();
    let config = SharpnessConfig::new;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let _first = in_folder(1, folder.path());
    for error in [
        refused(config().with_every(0)),
        refused(config().with_every(10).with_dense_every(3)),
        refused(config().with_max_time_share(2.0)),
        refused(config().with_tolerance(7.0)),
        refused(config().with_warning_after(0)),
        refused(config().with_worker_limit(Duration::ZERO)),
        refused(config().with_directory(folder.path())),
        refused(config().with_directory(file.join("run"))),
    ] {
        let sentence = error.to_string();
        assert!(sentence.contains(": "), "it says what to do: {sentence}");
        assert_prints(error, &sentence);
    }
    let of_folder = refused(config().with_directory(file.join("run"))).to_string();
    let system = std::fs::create_dir(file.join("run")).unwrap_err();
    assert_says(&of_folder, &system.to_string());

    let lost = Err::<f64, _>("no shard left").into_loss().unwrap_err();
    assert_prints(lost, "no shard left");
    for error in [
        Box::<dyn Error>::from(FinderError::NoBatch),
        LossError::Empty.into(),
        DirectionError::NoGradient.into(),
        GradientError::SeveralDevices.into(),
        HessianError::NoStep.into(),
    ] {
        let sentence = error.to_string();
        assert_prints(error, &sentence);
    }
}

#[test]
fn unwrap_prints_it_too() {
    let refused = || SharpnessProbe::new(SharpnessConfig::new().with_every(0));
    let message = std::panic::catch_unwind(|| refused().unwrap()).unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert_says(message, "measuring every 0 steps is not an interval");
}
