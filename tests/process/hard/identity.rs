//! In burn's `Learner`, the probe changes no bit of weights, running statistics, checkpoints and the random stream.

use super::alone;
use super::next_draws;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::exponential::ExponentialLrSchedulerConfig;
use burn::lr_scheduler::noam::NoamLrSchedulerConfig;
use burn::lr_scheduler::step::StepLrSchedulerConfig;
use sharpness_tests::prelude::*;

struct Case {
    dtype: Option<FloatDType>,
    network: MlpConfig,
    prepare: fn(Mlp) -> Mlp,
    optim: ModuleOptimizer,
    scheduler: ModuleLrScheduler,
    accumulation: Option<usize>,
    gradient_checkpointing: bool,
    batch_statistics: bool,
    step_first: bool,
    every: u64,
    is_told: bool,
}

#[derive(PartialEq)]
struct Left {
    weights: Weights,
    checkpoints: Vec<Weights>,
    draws: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        Self {
            dtype: None,
            network: MlpConfig::random(),
            prepare: |network| network,
            optim: adam(),
            scheduler: 1e-2.into(),
            accumulation: None,
            gradient_checkpointing: false,
            batch_statistics: false,
            step_first: true,
            every: 3,
            is_told: false,
        }
    }

    fn device(&self) -> Device {
        let device = device::autodiff();
        if self.gradient_checkpointing {
            device.gradient_checkpointing()
        } else {
            device
        }
    }

    fn train(&self, folder: &Path, probe: Option<&SharpnessProbe>) -> Left {
        device::plain().seed(11);
        let model = (self.prepare)(self.network.init(&self.device()));
        let training = Training {
            accumulation: self.accumulation,
            ..Training::new(folder)
        };
        let (optim, scheduler) = (self.optim.clone(), self.scheduler.clone());
        let model = match probe {
            None => training.launch(model, optim, scheduler, None).0,
            Some(probe) => {
                let model = probe.attach(model);
                let (model, _) = training.launch(model, optim, scheduler, Some(probe));
                model.into_inner()
            }
        };
        let draws = next_draws();
        let checkpoints = (1..=2).map(|epoch| {
            let file = format!("model-{epoch}.bpk");
            let file = folder.join("checkpoint").join(file);
            let empty = (self.prepare)(self.network.init(&self.device()));
            weights(&empty.try_load_file(file).unwrap())
        });
        Left {
            weights: weights(&model),
            checkpoints: checkpoints.collect(),
            draws,
        }
    }

    fn assert_identical(&self) {
        if let Some(dtype) = self.dtype
            && !device::use_floats(dtype)
        {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let [of_bare, of_probed] = ["bare", "probed"].map(|name| folder.path().join(name));
        let bare = self.train(&of_bare, None);
        let config = SharpnessConfig::new()
            .with_every(self.every)
            .with_directory(&of_probed)
            .with_batch_statistics(self.batch_statistics)
            .with_step_first(self.step_first);
        let probe = SharpnessProbe::new(config).unwrap();
        let probed = self.train(&of_probed, Some(&probe));
        let bare = if probed != bare && device::tries_kernels_out() {
            self.train(&of_bare, None)
        } else {
            bare
        };
        if probed != bare {
            let again = self.train(&of_bare, None);
            assert!(again == bare, "the case itself does not repeat");
            assert_eq!(probed.draws, bare.draws, "the random stream");
            for (probed, bare) in probed.weights.iter().zip(&bare.weights) {
                assert_eq!(probed, bare, "the weights");
            }
            panic!("the checkpoints differ");
        }
        let start = (self.prepare)(self.network.init(&self.device()));
        assert!(weights(&start) != bare.weights, "the run trains");
        let measured = measurements(&of_probed);
        assert!(measured.len() as u64 * self.every >= 6, "{measured:?}");
        let failed = measured.iter().find(|m| m.outcome == Failed);
        assert!(failed.is_none(), "{failed:?}");
        // Beyond its cap, all steps of Adafactor are equal.
        let says_something = measured
            .iter()
            .any(|m| m.critical_sharpness.is_some() || m.outcome == NoIncrease);
        assert!(says_something, "{measured:#?}");
        let notices = probe.summary().notices;
        let tells = |notice: &String| notice.contains("copying the running statistics");
        assert_eq!(notices.iter().any(tells), self.is_told, "{notices:?}");
    }
}

fn identical(change: impl FnOnce(&mut Case)) {
    let mut case = Case::new();
    change(&mut case);
    case.assert_identical();
}

fn of_fixed_weights(optim: ModuleOptimizer, accumulation: Option<usize>) -> impl FnOnce(&mut Case) {
    move |case| {
        case.network = MlpConfig::for_data();
        case.optim = optim;
        case.scheduler = 0.05.into();
        case.accumulation = accumulation;
        case.every = 1;
    }
}

fn momentum() -> ModuleOptimizer {
    let momentum = Some(MomentumConfig::new());
    SgdConfig::new().with_momentum(momentum).init()
}

fn decaying() -> ModuleOptimizer {
    AdamWConfig::new().with_weight_decay(0.1).init()
}

fn clipping(config: GradientClippingConfig) -> ModuleOptimizer {
    AdamWConfig::new().with_grad_clipping(Some(config)).init()
}

alone! {
    plain => identical(|_| {});
    with_momentum => identical(of_fixed_weights(momentum(), None));
    with_momentum_and_accumulation => identical(of_fixed_weights(momentum(), Some(3)));
    with_weight_decay => identical(of_fixed_weights(decaying(), None));
    with_weight_decay_and_accumulation => identical(of_fixed_weights(decaying(), Some(3)));
    with_weight_decay_and_batch_norm => identical(|case| {
        of_fixed_weights(decaying(), None)(case);
        case.network.batch_norm = true;
    });
    batch_norm => identical(|case| case.network.batch_norm = true);
    dropout_with_accumulation => identical(|case| case.accumulation = Some(2));
    batch_norm_with_accumulation => identical(|case| {
        case.network.batch_norm = true;
        case.accumulation = Some(2);
    });
    gradients_clipped_by_norm => identical(|case| case.optim = clipping(GradientClippingConfig::Norm(0.05)));
    gradients_clipped_by_value => identical(|case| case.optim = clipping(GradientClippingConfig::Value(0.01)));
    groups => identical(|case| {
        let momentum = SgdConfig::new().with_momentum(Some(MomentumConfig::new()));
        let head = ParamGroup::from_predicate("layers.3");
        case.optim = adam().with_group(head, momentum.build(), None);
        let first = ParamGroup::from_predicate("layers.0");
        case.scheduler = ModuleLrScheduler::new(1e-2).with_group(first, 1e-3);
    });
    a_frozen_layer => identical(|case| case.prepare = |mut network| {
        network.layers[0] = network.layers[0].clone().no_grad();
        network
    });
    a_frozen_batch_norm => identical(|case| {
        case.network.batch_norm = true;
        case.prepare = |network| network.freeze_group(ParamGroup::from_predicate("norm"));
    });
    all_frozen_but_the_head => identical(|case| {
        case.prepare = |network| network.freeze().unfreeze_group(ParamGroup::from_predicate("layers.3"));
    });
    lora => identical(|case| case.prepare = |network| network.apply_lora(Lora::new(2, 4.0)));
    bf16 => identical(|case| case.dtype = Some(FloatDType::BF16));
    f16 => identical(|case| case.dtype = Some(FloatDType::F16));
    f64 => identical(|case| case.dtype = Some(FloatDType::F64));
    weights_clipped_by_the_model => identical(|case| {
        case.network.clips = true;
        case.network.batch_norm = true;
    });
    a_penalty_in_training_only => identical(|case| {
        case.network.penalty = 1e-2;
        case.network.dropout = 0.0;
    });
    a_layer_that_is_never_made => identical(|case| case.network.has_spare = true);
    noam => identical(|case| {
        let config = NoamLrSchedulerConfig::new(0.2).with_warmup_steps(10).with_model_size(24);
        case.scheduler = config.init().unwrap();
    });
    cosine => identical(|case| {
        case.scheduler = CosineAnnealingLrSchedulerConfig::new(1e-2, 60).init().unwrap();
    });
    exponential => identical(|case| {
        case.scheduler = ExponentialLrSchedulerConfig::new(1e-2, 0.97).init().unwrap();
    });
    steps => identical(|case| {
        case.scheduler = StepLrSchedulerConfig::new(1e-2, 20).init().unwrap();
    });
    a_warmup_from_almost_nothing => identical(|case| {
        case.scheduler = LinearLrSchedulerConfig::new(1e-10, 1e-2, 30).init().unwrap();
    });
    far_too_fast => identical(|case| {
        case.optim = sgd();
        case.scheduler = 1e3.into();
    });
    adafactor => identical(|case| case.optim = AdafactorConfig::new().init());
    adafactor_at_an_absolute_rate => identical(|case| {
        case.optim = AdafactorConfig::new().with_relative_step(false).init();
    });
    lion => identical(|case| {
        case.optim = LionConfig::new().init();
        case.scheduler = 1e-3.into();
    });
    lamb => identical(|case| case.optim = LambConfig::new().init());
    adan => identical(|case| case.optim = AdanConfig::new().init());
    adagrad => identical(|case| case.optim = AdaGradConfig::new().init());
    muon_beside_adamw => identical(|case| {
        let weights = ParamGroup::from_regex("weight$").unwrap();
        case.optim = AdamWConfig::new().init().with_group(weights, MuonConfig::new().build(), None);
    });
    gradient_checkpointing => identical(|case| case.gradient_checkpointing = true);
    a_zero_head_over_dropout => identical(|case| {
        case.network.zero_head = true;
        case.network.dropout = 0.4;
    });
    a_zero_head_over_batch_norm => identical(|case| {
        case.network.zero_head = true;
        case.network.dropout = 0.0;
        case.network.batch_norm = true;
    });
    batch_statistics => identical(|case| {
        case.network.batch_norm = true;
        case.network.dropout = 0.0;
        case.batch_statistics = true;
    });
    batch_statistics_with_dropout_above => identical(|case| {
        case.network.batch_norm = true;
        case.batch_statistics = true;
    });
    batch_statistics_of_a_model_that_clips => identical(|case| {
        case.network.batch_norm = true;
        case.network.clips = true;
        case.batch_statistics = true;
    });
    batch_statistics_with_accumulation => identical(|case| {
        case.network.batch_norm = true;
        case.accumulation = Some(2);
        case.batch_statistics = true;
    });
    // The pending statistics of the last forward pass cannot be repeated without its random numbers.
    batch_statistics_with_dropout_below => identical(|case| {
        case.network.batch_norm = true;
        case.network.drops_inputs = true;
        case.batch_statistics = true;
        case.is_told = true;
    });
    before_the_step => identical(|case| case.step_first = false);
    before_the_step_with_accumulation => identical(|case| {
        case.step_first = false;
        case.network.batch_norm = true;
        case.accumulation = Some(2);
    });
    before_the_step_with_batch_statistics => identical(|case| {
        case.step_first = false;
        case.network.batch_norm = true;
        case.network.dropout = 0.0;
        case.batch_statistics = true;
    });
    before_the_step_of_a_model_that_clips => identical(|case| {
        case.step_first = false;
        case.network.clips = true;
        case.network.batch_norm = true;
    });
    batch_statistics_with_lora => identical(|case| {
        case.network.batch_norm = true;
        case.batch_statistics = true;
        case.prepare = |network| network.apply_lora(Lora::new(2, 4.0));
    });
    batch_statistics_in_bf16 => identical(|case| {
        case.network.batch_norm = true;
        case.batch_statistics = true;
        case.dtype = Some(FloatDType::BF16);
        case.is_told = !device::repeats_in_16_bits();
    });
    batch_statistics_with_gradient_checkpointing => identical(|case| {
        case.network.batch_norm = true;
        case.batch_statistics = true;
        case.gradient_checkpointing = true;
    });
    batch_statistics_with_a_layer_that_is_never_made => identical(|case| {
        case.network.batch_norm = true;
        case.network.has_spare = true;
        case.batch_statistics = true;
    });
    batch_statistics_of_a_frozen_batch_norm => identical(|case| {
        case.network.batch_norm = true;
        case.batch_statistics = true;
        case.prepare = |network| network.freeze_group(ParamGroup::from_predicate("norm"));
    });
}
