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
    /// Whether the probe measures all that it can.
    measures_all: bool,
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
            measures_all: false,
            every: 3,
            is_told: false,
        }
    }

    fn start(&self) -> Mlp {
        let device = match self.gradient_checkpointing {
            true => device::autodiff().gradient_checkpointing(),
            false => device::autodiff(),
        };
        (self.prepare)(self.network.init(&device))
    }

    fn train(&self, folder: &Path, probe: Option<&SharpnessProbe>) -> Left {
        device::plain().seed(11);
        let training = Training::new(folder).with(|run| run.accumulation = self.accumulation);
        let (optim, scheduler) = (self.optim.clone(), self.scheduler.clone());
        let (model, _) = training.fit(self.start(), optim, scheduler, probe);
        let draws = next_draws();
        let checkpoints = (1..=2).map(|epoch| {
            let file = folder.join(format!("checkpoint/model-{epoch}.bpk"));
            weights(&self.start().try_load_file(file).unwrap())
        });
        Left {
            weights: weights(&model),
            checkpoints: checkpoints.collect(),
            draws,
        }
    }

    fn assert_identical(&self) {
        if !self.dtype.is_none_or(device::use_floats) {
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
        let probe = match self.measures_all {
            true => with_all(config),
            false => probe_of(config),
        };
        let probed = self.train(&of_probed, Some(&probe));
        let bare = match probed != bare && device::tries_kernels_out() {
            true => self.train(&of_bare, None),
            false => bare,
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
        assert!(weights(&self.start()) != bare.weights, "the run trains");
        let measured = measurements(&of_probed);
        assert!(measured.len() as u64 * self.every >= 6, "{measured:?}");
        let failed = measured.iter().find(|m| m.outcome == Failed);
        assert!(failed.is_none(), "{failed:?}");
        // Beyond its cap, all steps of Adafactor are equal.
        let says_something =
            |m: &Measurement| m.critical_sharpness.is_some() || m.outcome == NoIncrease;
        assert!(measured.iter().any(says_something), "{measured:#?}");
        let has_batches = measured.iter().any(|m| m.batch_sharpness.is_some());
        assert_eq!(has_batches, self.measures_all, "{measured:#?}");
        let told = says(&probe, "copying the running statistics");
        assert_eq!(told, self.is_told, "{}", probe.summary());
    }
}

fn with_all(config: SharpnessConfig) -> SharpnessProbe {
    let batches = Data::new(2, 16, &device::autodiff()).loader();
    let of_batches = BatchSharpnessConfig::new(4).with_batches(2);
    SharpnessProbe::builder(config.with_curvature(CurvatureConfig::new(3)))
        .with_batch_sharpness(of_batches, batches, task_loss)
        .with_group("head", ParamGroup::from_predicate("layers.3"))
        .build()
        .unwrap()
}

type Change = fn(&mut Case);

fn identical(changes: &[Change]) {
    let mut case = Case::new();
    changes.iter().for_each(|change| change(&mut case));
    case.assert_identical();
}

mod with {
    use super::*;

    pub fn fixed_weights(case: &mut Case) {
        case.network = MlpConfig::for_data();
        case.scheduler = 0.05.into();
        case.every = 1;
    }

    pub fn batch_norm(case: &mut Case) {
        case.network.batch_norm = true;
    }

    pub fn no_dropout(case: &mut Case) {
        case.network.dropout = 0.0;
    }

    pub fn zero_head(case: &mut Case) {
        case.network.zero_head = true;
    }

    pub fn clips(case: &mut Case) {
        case.network.clips = true;
    }

    pub fn spare(case: &mut Case) {
        case.network.has_spare = true;
    }

    pub fn accumulation(case: &mut Case) {
        case.accumulation = Some(2);
    }

    pub fn batch_statistics(case: &mut Case) {
        batch_norm(case);
        case.batch_statistics = true;
    }

    pub fn frozen_batch_norm(case: &mut Case) {
        batch_norm(case);
        case.prepare = |network| network.freeze_group(ParamGroup::from_predicate("norm"));
    }

    pub fn lora(case: &mut Case) {
        case.prepare = |network| network.apply_lora(Lora::new(2, 4.0));
    }

    pub fn step_last(case: &mut Case) {
        case.step_first = false;
    }
}

fn clipping(config: GradientClippingConfig) -> ModuleOptimizer {
    AdamWConfig::new().with_grad_clipping(Some(config)).init()
}

alone! {
    plain => identical(&[]);
    with_curvature_of_batches_and_of_a_group => identical(&[|case| {
        (case.measures_all, case.every, case.network.dropout) = (true, 1, 0.5);
    }]);
    with_momentum => identical(&[with::fixed_weights, |case| case.optim = momentum()]);
    with_momentum_and_accumulation => {
        identical(&[with::fixed_weights, |case| case.optim = momentum(), |case| case.accumulation = Some(3)]);
    };
    with_weight_decay => identical(&[with::fixed_weights, |case| case.optim = adamw()]);
    with_weight_decay_and_accumulation => {
        identical(&[with::fixed_weights, |case| case.optim = adamw(), |case| case.accumulation = Some(3)]);
    };
    with_weight_decay_and_batch_norm => identical(&[with::fixed_weights, |case| case.optim = adamw(), with::batch_norm]);
    batch_norm => identical(&[with::batch_norm]);
    dropout_with_accumulation => identical(&[with::accumulation]);
    batch_norm_with_accumulation => identical(&[with::batch_norm, with::accumulation]);
    gradients_clipped_by_norm => identical(&[|case| case.optim = clipping(GradientClippingConfig::Norm(0.05))]);
    gradients_clipped_by_value => identical(&[|case| case.optim = clipping(GradientClippingConfig::Value(0.01))]);
    groups => identical(&[|case| {
        let momentum = SgdConfig::new().with_momentum(Some(MomentumConfig::new()));
        let head = ParamGroup::from_predicate("layers.3");
        case.optim = adam().with_group(head, momentum.build(), None);
        let first = ParamGroup::from_predicate("layers.0");
        case.scheduler = ModuleLrScheduler::new(1e-2).with_group(first, 1e-3);
    }]);
    a_frozen_layer => identical(&[|case| case.prepare = |mut network| {
        network.layers[0] = network.layers[0].clone().no_grad();
        network
    }]);
    a_frozen_batch_norm => identical(&[with::frozen_batch_norm]);
    all_frozen_but_the_head => identical(&[|case| {
        case.prepare = |network| network.freeze().unfreeze_group(ParamGroup::from_predicate("layers.3"));
    }]);
    lora => identical(&[with::lora]);
    bf16 => identical(&[|case| case.dtype = Some(FloatDType::BF16)]);
    f16 => identical(&[|case| case.dtype = Some(FloatDType::F16)]);
    f64 => identical(&[|case| case.dtype = Some(FloatDType::F64)]);
    weights_clipped_by_the_model => identical(&[with::clips, with::batch_norm]);
    a_penalty_in_training_only => identical(&[with::no_dropout, |case| case.network.penalty = 1e-2]);
    a_layer_that_is_never_made => identical(&[with::spare]);
    noam => identical(&[|case| {
        let config = NoamLrSchedulerConfig::new(0.2).with_warmup_steps(10).with_model_size(24);
        case.scheduler = config.init().unwrap();
    }]);
    cosine => identical(&[|case| case.scheduler = CosineAnnealingLrSchedulerConfig::new(1e-2, 60).init().unwrap()]);
    exponential => identical(&[|case| case.scheduler = ExponentialLrSchedulerConfig::new(1e-2, 0.97).init().unwrap()]);
    steps => identical(&[|case| case.scheduler = StepLrSchedulerConfig::new(1e-2, 20).init().unwrap()]);
    a_warmup_from_almost_nothing => {
        identical(&[|case| case.scheduler = LinearLrSchedulerConfig::new(1e-10, 1e-2, 30).init().unwrap()]);
    };
    far_too_fast => identical(&[|case| case.optim = sgd(), |case| case.scheduler = 1e3.into()]);
    adafactor => identical(&[|case| case.optim = AdafactorConfig::new().init()]);
    adafactor_at_an_absolute_rate => {
        identical(&[|case| case.optim = AdafactorConfig::new().with_relative_step(false).init()]);
    };
    lion => identical(&[|case| case.optim = LionConfig::new().init(), |case| case.scheduler = 1e-3.into()]);
    lamb => identical(&[|case| case.optim = LambConfig::new().init()]);
    adan => identical(&[|case| case.optim = AdanConfig::new().init()]);
    adagrad => identical(&[|case| case.optim = AdaGradConfig::new().init()]);
    muon_beside_adamw => identical(&[|case| {
        let weights = ParamGroup::from_regex("weight$").unwrap();
        case.optim = AdamWConfig::new().init().with_group(weights, MuonConfig::new().build(), None);
    }]);
    gradient_checkpointing => identical(&[|case| case.gradient_checkpointing = true]);
    a_zero_head_over_dropout => identical(&[with::zero_head, |case| case.network.dropout = 0.4]);
    a_zero_head_over_batch_norm => identical(&[with::zero_head, with::no_dropout, with::batch_norm]);
    batch_statistics => identical(&[with::batch_statistics, with::no_dropout]);
    batch_statistics_with_dropout_above => identical(&[with::batch_statistics]);
    batch_statistics_of_a_model_that_clips => identical(&[with::batch_statistics, with::clips]);
    batch_statistics_with_accumulation => identical(&[with::batch_statistics, with::accumulation]);
    // The pending statistics of the last forward pass cannot be repeated without its random numbers.
    batch_statistics_with_dropout_below => identical(&[with::batch_statistics, |case| {
        case.network.drops_inputs = true;
        case.is_told = true;
    }]);
    before_the_step => identical(&[with::step_last]);
    before_the_step_with_accumulation => identical(&[with::step_last, with::batch_norm, with::accumulation]);
    before_the_step_with_batch_statistics => identical(&[with::step_last, with::no_dropout, with::batch_statistics]);
    before_the_step_of_a_model_that_clips => identical(&[with::step_last, with::clips, with::batch_norm]);
    batch_statistics_with_lora => identical(&[with::batch_statistics, with::lora]);
    batch_statistics_in_bf16 => identical(&[with::batch_statistics, |case| {
        case.dtype = Some(FloatDType::BF16);
        case.is_told = !device::repeats_in_16_bits();
    }]);
    batch_statistics_with_gradient_checkpointing => {
        identical(&[with::batch_statistics, |case| case.gradient_checkpointing = true]);
    };
    batch_statistics_with_a_layer_that_is_never_made => identical(&[with::batch_statistics, with::spare]);
    batch_statistics_of_a_frozen_batch_norm => identical(&[with::batch_statistics, with::frozen_batch_norm]);
}
