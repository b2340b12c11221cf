//! The probe never changes the run: the trained weights are equal to the bit with and without it.

use burn::module::Module;
use burn::optim::{AdamWConfig, ModuleOptimizer, SgdConfig, momentum::MomentumConfig};
use burn_sharpness::{SharpnessConfig, SharpnessProbe};
use sharpness_tests::{MlpConfig, Training, device, weights};

fn sgd() -> ModuleOptimizer {
    SgdConfig::new()
        .with_momentum(Some(MomentumConfig::new()))
        .init()
}

fn adamw() -> ModuleOptimizer {
    AdamWConfig::new().with_weight_decay(0.1).init()
}

fn assert_identical(
    config: MlpConfig,
    optim: &dyn Fn() -> ModuleOptimizer,
    accumulation: Option<usize>,
) {
    let device = device::autodiff();
    let model = config.init(&device);
    let folder = tempfile::tempdir().unwrap();
    let training = || Training {
        accumulation,
        ..Training::new(folder.path())
    };
    let before = weights(&model);
    // A clone would share the running statistics of batch norm.
    let twin = config.init(&device);
    let twin = twin.load_record(model.clone().into_record());
    let (bare, _) = training().launch(twin, optim(), 0.05, None);

    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(1)).unwrap();
    let probed = probe.attach(model);
    let (probed, _) = training().launch(probed, optim(), 0.05, Some(&probe));

    assert!(probe.summary().measurements >= 6);
    assert_ne!(weights(&bare), before, "the run trains");
    assert_eq!(weights(&probed.into_inner()), weights(&bare));
}

#[test]
fn weights_trained_by_sgd_are_bit_identical() {
    for accumulation in [None, Some(3)] {
        assert_identical(MlpConfig::for_data(), &sgd, accumulation);
    }
}

#[test]
fn weights_trained_by_adamw_are_bit_identical() {
    for accumulation in [None, Some(3)] {
        assert_identical(MlpConfig::for_data(), &adamw, accumulation);
    }
}

#[test]
fn running_statistics_of_batch_norm_are_bit_identical() {
    assert_identical(MlpConfig::for_data().with_batch_norm(), &adamw, None);
}
