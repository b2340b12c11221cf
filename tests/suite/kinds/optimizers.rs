use burn::grad_clipping::GradientClippingConfig;
use burn::module::ParamGroup;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{
    AdaGradConfig, AdafactorConfig, AdamConfig, AdamWConfig, AdanConfig, LambConfig, LionConfig,
    ModuleOptimizer, MuonConfig, RmsPropConfig, SgdConfig,
};

#[derive(Clone)]
pub struct Optimizer {
    pub name: &'static str,
    pub optim: ModuleOptimizer,
    pub rate: f64,
    pub is_straight: bool,
}

fn optimizer(name: &'static str, optim: impl Into<ModuleOptimizer>, rate: f64) -> Optimizer {
    Optimizer {
        name,
        optim: optim.into(),
        rate,
        is_straight: true,
    }
}

pub fn sgd(rate: f64) -> Optimizer {
    optimizer("sgd", SgdConfig::new().init(), rate)
}

pub fn momentum(rate: f64) -> Optimizer {
    let momentum = MomentumConfig::new().with_momentum(0.9);
    let config = SgdConfig::new().with_momentum(Some(momentum));
    optimizer("momentum", config.init(), rate)
}

pub fn adam(rate: f64) -> Optimizer {
    optimizer("adam", AdamConfig::new().init(), rate)
}

/// With an ε that 16 bits can hold.
pub fn adam_of_16_bits(rate: f64) -> Optimizer {
    let config = AdamConfig::new().with_epsilon(1e-4);
    optimizer("adam", config.init(), rate)
}

pub fn adamw(rate: f64) -> Optimizer {
    optimizer("adamw", AdamWConfig::new().init(), rate)
}

/// With `relative`, its rate is capped at 1/√step, so its steps are not proportional.
pub fn adafactor(rate: f64, relative: bool) -> Optimizer {
    let config = AdafactorConfig::new().with_relative_step(relative);
    let name = ["adafactor absolute", "adafactor"][usize::from(relative)];
    Optimizer {
        is_straight: !relative,
        ..optimizer(name, config.init(), rate)
    }
}

pub fn others() -> Vec<Optimizer> {
    let decay = Some(WeightDecayConfig::new(0.01));
    let nesterov = MomentumConfig::new().with_momentum(0.9).with_nesterov(true);
    let nesterov = SgdConfig::new().with_momentum(Some(nesterov));
    let by_norm = Some(GradientClippingConfig::Norm(0.05));
    let by_value = Some(GradientClippingConfig::Value(0.01));
    let decayed_sgd = SgdConfig::new().with_weight_decay(decay.clone());
    let clipped_sgd = SgdConfig::new().with_gradient_clipping(by_norm);
    let clipped_adam = AdamConfig::new().with_grad_clipping(by_value);
    let amsgrad = AdamConfig::new().with_amsgrad(true);
    let amsgrad = amsgrad.with_weight_decay(decay);
    let centered = RmsPropConfig::new().with_centered(true).with_momentum(0.5);
    let decayed = AdamWConfig::new().with_epsilon(1e-4).with_weight_decay(0.1);
    let decayed_adan = AdanConfig::new().with_weight_decay(0.05);
    let matrices = ParamGroup::from_regex("weight$").unwrap();
    let muon = AdamWConfig::new()
        .init()
        .with_group(matrices, MuonConfig::new().build(), None);
    vec![
        optimizer("nesterov", nesterov.init(), 0.02),
        optimizer("sgd, decay", decayed_sgd.init(), 0.1),
        optimizer("sgd, clipped norm", clipped_sgd.init(), 0.2),
        optimizer("adam, clipped values", clipped_adam.init(), 5e-3),
        optimizer("amsgrad, decay", amsgrad.init(), 5e-3),
        adamw(5e-3),
        optimizer("adamw, large decay", decayed.init(), 3e-3),
        optimizer("adagrad", AdaGradConfig::new().init(), 0.02),
        optimizer("rmsprop", RmsPropConfig::new().init(), 1e-3),
        optimizer("rmsprop, centered", centered.init(), 1e-3),
        optimizer("adan", AdanConfig::new().init(), 5e-3),
        Optimizer {
            // The decay divides by 1 + ηλ.
            is_straight: false,
            ..optimizer("adan, decay", decayed_adan.init(), 5e-3)
        },
        optimizer("lion", LionConfig::new().init(), 1e-3),
        optimizer("lamb", LambConfig::new().init(), 5e-3),
        optimizer("muon, adamw", muon, 5e-3),
    ]
}
