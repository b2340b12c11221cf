//! η_c is the same if L(θ) comes from the training step, as with `attach`, or from an evaluation, as with
//! `attach_with`.

use super::alone;
use sharpness_tests::prelude::*;

const APART: f64 = 0.08;

fn measured(folder: &Path, network: &MlpConfig, is_evaluated: bool) -> Vec<Measurement> {
    device::plain().seed(11);
    let probe = in_folder(1, folder);
    let model = network.init(&device::autodiff());
    let model = if is_evaluated {
        probe.attach_with(model, |model: &Mlp, batch: Batch| model.loss(&batch))
    } else {
        probe.attach(model)
    };
    Training::new(folder).launch(model, adam(), 1e-2, Some(&probe));
    measurements(folder)
}

fn agree(network: MlpConfig, dtype: Option<FloatDType>) {
    if let Some(dtype) = dtype
        && !device::use_floats(dtype)
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let attached = measured(&folder.path().join("attach"), &network, false);
    let evaluated = measured(&folder.path().join("attach_with"), &network, true);
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
    with_dropout => agree(MlpConfig::random(), None);
    with_dropout_under_a_zero_head => {
        agree(MlpConfig::random().with_zero_head().with_dropout(0.4), None);
    };
    with_batch_norm_under_a_zero_head => {
        agree(MlpConfig::random().with_zero_head().with_batch_norm().with_dropout(0.0), None);
    };
    with_dropout_in_f16 => agree(MlpConfig::random(), Some(FloatDType::F16));
    with_dropout_in_bf16 => agree(MlpConfig::random(), Some(FloatDType::BF16));
}
