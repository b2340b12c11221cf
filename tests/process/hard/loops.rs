use super::alone;
use super::next_draws;
use burn::store::ModuleRecord;
use sharpness_tests::prelude::*;

const BATCHES: usize = 7;
const STEPS: usize = 21;
const EVERY: u64 = 5;
const RATE: f64 = 1e-2;

struct Loop {
    network: MlpConfig,
    clips: bool,
    /// Whether it saves right after the last step, which is measured, and loads for inference.
    saves: bool,
    batch_statistics: bool,
    makes_steps: bool,
    first_step: u64,
    loss: fn(&Mlp, &Mlp, &Batch) -> Tensor<1>,
}

impl Default for Loop {
    fn default() -> Self {
        Self {
            network: MlpConfig::random().with_dropout(0.4),
            clips: false,
            saves: false,
            batch_statistics: false,
            makes_steps: false,
            first_step: 0,
            loss: |moved, _, batch| moved.loss(batch),
        }
    }
}

impl Loop {
    fn probe(&self) -> SharpnessProbe {
        let config = SharpnessConfig::new().with_every(EVERY);
        let probe = probe_of(config.with_batch_statistics(self.batch_statistics));
        probe.set_step(self.first_step);
        probe
    }

    fn left(&self, probe: Option<&SharpnessProbe>) -> (Weights, Vec<u8>) {
        device::plain().seed(11);
        let data = Data::new(BATCHES, 16, &device::autodiff());
        let (mut model, mut optim) = (self.network.start(), adam());
        for step in 0..STEPS {
            let mut at = AtStep::new(model, optim, RATE, data.batch(step % BATCHES));
            (model, optim) = match probe {
                Some(probe) if self.makes_steps => {
                    let loss = |moved: &Mlp| moved.loss(&at.batch);
                    let model = probe.optimize(at.model, &mut at.optim, RATE, at.grads, loss);
                    (model, at.optim)
                }
                Some(probe) => {
                    let loss = |moved: &Mlp| (self.loss)(moved, &at.model, &at.batch);
                    probe.measure_update(at.update(), loss);
                    at.step()
                }
                None => at.step(),
            };
            if self.clips && step + 1 < STEPS {
                model = clipped(model);
            }
        }
        if !self.saves {
            return (weights(&model), next_draws());
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model");
        model.into_record().save(&file).unwrap();
        let draws = next_draws();
        let record = ModuleRecord::load(&file).unwrap();
        let loaded = self.network.init(&device::plain()).load_record(record);
        (weights(&loaded), draws)
    }

    fn assert_identical(self) -> SharpnessProbe {
        let probe = self.probe();
        let bare = self.left(None);
        assert!(self.left(Some(&probe)) == bare, "{}", probe.summary());
        assert!(probe.summary().measurements >= 1);
        probe
    }
}

fn refused_at_once(loss: fn(&Mlp, &Mlp, &Batch) -> Tensor<1>) {
    let wrong = Loop {
        loss,
        ..Loop::default()
    };
    let probe = wrong.probe();
    wrong.left(Some(&probe));
    let summary = probe.summary();
    let counts = (summary.measurements, summary.bracketed);
    assert_eq!(counts, (1, 0), "{summary}");
    assert_says(&summary.notices[0], "not repeatable");
}

fn with_batch_norm() -> Loop {
    let mut with = Loop::default();
    with.network.batch_norm = true;
    with
}

fn with_batch_statistics() -> Loop {
    let mut with = with_batch_norm();
    with.network.dropout = 0.0;
    with.batch_statistics = true;
    with
}

alone! {
    plain => assert!(Loop::default().assert_identical().summary().bracketed >= 3);
    with_statistics => assert!(with_batch_norm().assert_identical().summary().measurements == 5);
    clipped_after_each_step => {
        Loop { clips: true, ..with_batch_norm() }.assert_identical();
    };
    saved_right_after_a_measured_step => {
        Loop { saves: true, ..with_batch_norm() }.assert_identical();
    };
    steps_of_the_probe => {
        let probe = Loop { makes_steps: true, ..Loop::default() }.assert_identical();
        assert!(probe.summary().bracketed >= 3);
    };
    steps_of_the_probe_saved_right_after_a_measured_one => {
        Loop { makes_steps: true, saves: true, ..with_batch_norm() }.assert_identical();
    };
    steps_of_the_probe_with_batch_statistics_clipped_after_each => {
        assert_silent(&Loop { makes_steps: true, clips: true, ..with_batch_statistics() }.assert_identical());
    };
    a_layer_that_is_never_made => {
        let network = MlpConfig { has_spare: true, dropout: 0.4, ..MlpConfig::random() };
        Loop { network, ..Loop::default() }.assert_identical();
    };
    first_measured_at_a_later_step => {
        Loop { first_step: 3, ..with_batch_norm() }.assert_identical();
    };
    batch_statistics_clipped_after_each_step => {
        assert_silent(&Loop { clips: true, ..with_batch_statistics() }.assert_identical());
    };
    batch_statistics_saved_right_after_a_measured_step => {
        assert_silent(&Loop { saves: true, ..with_batch_statistics() }.assert_identical());
    };
    // The loss ignores its argument and uses the training model, dropout included, so it draws.
    a_loss_of_the_wrong_model_is_refused_at_once => refused_at_once(|_, trained, batch| trained.loss(batch));
    a_loss_in_training_mode_is_refused_at_once => {
        refused_at_once(|moved, _, batch| moved.clone().train().loss(batch));
    };
}
