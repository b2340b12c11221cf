use sharpness_tests::prelude::*;
use std::error::Error;
use std::time::Duration;

#[track_caller]
fn assert_prints(error: impl Into<Box<dyn Error>>, sentence: &str) {
    assert_eq!(format!("{:?}", error.into()), sentence);
}

/// Returns the message.
#[track_caller]
fn assert_refused(config: SharpnessConfig, words: &str) -> String {
    let error = SharpnessProbe::new(config).unwrap_err();
    let sentence = error.to_string();
    assert_says(&sentence, words);
    let remedies = [": ", "but the search needs"];
    let has_remedy = remedies.iter().any(|part| sentence.contains(part));
    assert!(has_remedy, "it says what to do: {sentence}");
    assert_prints(error, &sentence);
    sentence
}

#[test]
fn nonsense_in_the_configuration_is_refused_with_the_value() {
    let config = SharpnessConfig::new;
    for (config, words) in [
        (config().with_every(0), "every 0 steps is not an interval"),
        (config().with_tolerance(1.5), "1.5"),
        (config().with_max_evaluations(1), "budget is 1"),
        (config().with_learning_rate_limits(1.0, 0.5), "1 to 0.5"),
        (config().with_warning_after(0), "after 0 measurements"),
        (config().with_worker_limit(Duration::ZERO), "waiting 0ns"),
        (config().with_task_batches(0), "tasks on 0 batches"),
    ] {
        assert_refused(config, words);
    }
    for dense in [0, 3, 20] {
        let words = format!("every {dense} steps near the edge does not fit into every 10");
        assert_refused(config().with_every(10).with_dense_every(dense), &words);
    }
    for share in [0.0, -1.0, 1.5, f64::NAN] {
        let words = format!("a share of {share} of the time");
        assert_refused(config().with_max_time_share(share), &words);
    }
    for fraction in [0.0, -0.3, 1.5, f64::NAN, f64::INFINITY] {
        let words = format!("a cap at {fraction}");
        assert_refused(config().with_edge_cap(fraction), &words);
    }
    let heavy_ball = |momentum, dampening| Thresholds::HeavyBall {
        momentum,
        dampening,
    };
    for (thresholds, words) in [
        (heavy_ball(1.0, 0.0), "momentum of 1"),
        (heavy_ball(f64::NAN, 0.0), "momentum of NaN"),
        (heavy_ball(0.9, -0.1), "dampening of -0.1"),
        (Thresholds::Adam { beta_1: 1.5 }, "β₁ of 1.5"),
    ] {
        assert_refused(config().with_thresholds(thresholds), words);
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let _first = in_folder(1, folder.path());
    let in_use = SharpnessConfig::new().with_directory(folder.path());
    assert_refused(in_use, "belongs to another run");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below_a_file = SharpnessConfig::new().with_directory(file.join("run"));
    let sentence = assert_refused(below_a_file, "cannot be created");
    let system = std::fs::create_dir(file.join("run")).unwrap_err();
    assert_says(&sentence, &system.to_string());
}

#[test]
fn every_error_prints_its_sentence() {
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
