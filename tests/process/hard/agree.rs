//! η_c is the same if L(θ) comes from the training step, as with `attach`, or from an evaluation, as with
//! `attach_with`.

use super::alone;
use sharpness_tests::prelude::*;

const APART: f64 = 0.08;

fn measured(folder: &Path, network: &MlpConfig, is_evaluated: bool) -> Vec<Measurement> {
    device::plain().seed(11);
    let probe = in_folder(1, folder);
    let model = match is_evaluated {
        true => probe.attach_with(network.start(), task_loss),
        false => probe.attach(network.start()),
    };
    Training::new(folder).launch(model, adam(), 1e-2, Some(&probe));
    measurements(folder)
}

fn agree(network: MlpConfig, dtype: Option<FloatDType>) {
    if !dtype.is_none_or(device::use_floats) {
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
