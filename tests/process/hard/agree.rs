//! Whether L(θ) is taken from the training step, as `attach` may, or always evaluated, as by `attach_with`, η_c
//! is the same.

use super::alone;
use super::network::{Network, Traits};
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::FloatDType;
use burn_sharpness::{Measurement, SharpnessConfig, SharpnessProbe};
use sharpness_tests::{Batch, Training, device, measurements};
use std::path::Path;

/// By how much two brackets of one η_c, each of the default tolerance, may have their numbers apart.
const APART: f64 = 0.08;

fn measured(folder: &Path, traits: Traits, is_evaluated: bool) -> Vec<Measurement> {
    device::plain().seed(11);
    let config = SharpnessConfig::new().with_every(1).with_directory(folder);
    let probe = SharpnessProbe::new(config).unwrap();
    let model = traits.init(&device::autodiff());
    let model = if is_evaluated {
        probe.attach_with(model, |model: &Network, batch: Batch| model.loss(&batch))
    } else {
        probe.attach(model)
    };
    let optim: ModuleOptimizer = AdamConfig::new().init();
    Training::new(folder).launch(model, optim, 1e-2, Some(&probe));
    measurements(folder)
}

fn agree(traits: Traits, dtype: Option<FloatDType>) {
    if let Some(dtype) = dtype
        && !device::use_floats(dtype)
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let attached = measured(&folder.path().join("attach"), traits, false);
    let evaluated = measured(&folder.path().join("attach_with"), traits, true);
    assert_eq!(attached.len(), 14);
    for (attached, evaluated) in attached.iter().zip(&evaluated) {
        match (attached.critical_lr, evaluated.critical_lr) {
            (Some(a), Some(b)) => {
                let apart = (a / b - 1.0).abs();
                assert!(apart < APART, "{apart}: {attached:?} {evaluated:?}");
            }
            _ => assert_eq!(
                attached.outcome, evaluated.outcome,
                "{attached:?} {evaluated:?}"
            ),
        }
    }
}

alone! {
    with_dropout => agree(Traits::default(), None);
    with_dropout_under_a_zero_head => {
        agree(Traits { has_zero_head: true, dropout: 0.4, ..Traits::default() }, None);
    };
    with_batch_norm_under_a_zero_head => {
        agree(Traits { has_zero_head: true, batch_norm: true, dropout: 0.0, ..Traits::default() }, None);
    };
    with_dropout_in_f16 => agree(Traits::default(), Some(FloatDType::F16));
    with_dropout_in_bf16 => agree(Traits::default(), Some(FloatDType::BF16));
}
