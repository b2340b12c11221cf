//! Checkpoints written with the probe attached, and runs resumed from them.

use burn::module::Module;
use burn::optim::{AdamWConfig, ModuleOptimizer};
use burn_sharpness::{ConfigError, SharpnessConfig, SharpnessProbe};
use sharpness_tests::{Mlp, Training, measurements, model, weights};
use std::path::Path;

fn adamw() -> ModuleOptimizer {
    AdamWConfig::new().init()
}

fn probe(directory: &Path) -> SharpnessProbe {
    let config = SharpnessConfig::new()
        .with_every(2)
        .with_directory(directory);
    SharpnessProbe::new(config).unwrap()
}

fn run(folder: &Path, epochs: usize, checkpoint: Option<usize>) -> Mlp {
    let training = Training {
        epochs,
        checkpoint,
        ..Training::new(folder)
    };
    let probe = probe(folder);
    let (model, _) = training.launch(probe.attach(model()), adamw(), 0.01, Some(&probe));
    model.into_inner()
}

#[test]
fn a_checkpoint_loads_into_the_bare_model() {
    let folder = tempfile::tempdir().unwrap();
    let trained = run(folder.path(), 1, None);

    let checkpoint = folder.path().join("checkpoint").join("model-1.bpk");
    let loaded = model().try_load_file(checkpoint).unwrap();
    assert_eq!(weights(&loaded), weights(&trained));
}

#[test]
fn a_resumed_run_continues_the_run_wide_step() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 1, None);
    run(folder.path(), 3, Some(1));

    let measured = measurements(folder.path());
    let steps: Vec<_> = measured
        .iter()
        .map(|m| (m.step, m.epoch.unwrap()))
        .collect();
    // Seven updates an epoch; the second run starts at step 7.
    let expected: Vec<_> = (0..21)
        .step_by(2)
        .map(|step| (step, step / 7 + 1))
        .collect();
    assert_eq!(steps, expected);
}

#[test]
fn a_run_resumed_from_an_earlier_checkpoint_holds_each_step_once() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, None);
    run(folder.path(), 3, Some(1));

    let steps: Vec<_> = measurements(folder.path()).iter().map(|m| m.step).collect();
    assert_eq!(steps, (0..21).step_by(2).collect::<Vec<_>>());
    // The first run's measurements after this checkpoint have moved.
    let superseded = folder.path().join("measurements-superseded.jsonl");
    let superseded = std::fs::read_to_string(superseded).unwrap();
    assert_eq!(superseded.lines().count(), 3, "steps 8, 10 and 12");
}

#[test]
fn a_line_cut_short_by_a_crash_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 1, None);
    let path = folder.path().join("measurements.jsonl");
    let mut content = std::fs::read_to_string(&path).unwrap();
    content.push_str("{\"version\":1,\"step\":6,\"epo");
    std::fs::write(&path, content).unwrap();

    run(folder.path(), 2, Some(1));
    let steps: Vec<_> = measurements(folder.path()).iter().map(|m| m.step).collect();
    assert_eq!(steps, (0..14).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_second_probe_on_a_folder_is_refused_unless_the_first_run_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let first = probe(folder.path());
    // Both exist before the training, as for two models that train against each other.
    let config = SharpnessConfig::new().with_directory(folder.path());
    let refused = SharpnessProbe::new(config).err().unwrap();
    assert!(
        matches!(refused, ConfigError::DirectoryInUse { .. }),
        "{refused}"
    );
    let training = Training {
        epochs: 1,
        ..Training::new(folder.path())
    };
    training.launch(first.attach(model()), adamw(), 0.01, Some(&first));

    // The run resumes in the same program, and the first probe still exists.
    run(folder.path(), 2, Some(1));
    let steps: Vec<_> = measurements(folder.path()).iter().map(|m| m.step).collect();
    assert_eq!(steps, (0..14).step_by(2).collect::<Vec<_>>());
}
