use crate::{AtStep, Batch, LossKind, Mlp, MlpConfig, device};
use burn::module::Param;
use burn::optim::{AdamWConfig, ModuleOptimizer, SgdConfig, momentum::MomentumConfig};
use burn::tensor::{Device, Tensor, TensorData};
use burn_sharpness::hessian::AdamPreconditioner;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `fixtures/README.md` describes the fields.
#[derive(Deserialize)]
pub struct Fixture {
    pub layers: Vec<usize>,
    pub activation: String,
    pub loss: LossKind,
    pub optimizer: OptimizerSpec,
    /// Layer by layer, the weights `[out, in]`, row major, then the biases.
    init: Vec<Vec<f32>>,
    x: Vec<Vec<f32>>,
    y: Vec<i64>,
    pub rows: Vec<Row>,
}

/// With PyTorch's meaning of its values.
#[derive(Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum OptimizerSpec {
    Sgd {
        lr: f64,
        momentum: f64,
    },
    Adamw {
        lr: f64,
        betas: [f32; 2],
        eps: f32,
        weight_decay: f32,
    },
}

#[derive(Debug, Deserialize)]
pub struct Row {
    pub step: u64,
    pub loss: f64,
    pub slope: f64,
    pub update_norm: Option<f64>,
    pub gradient_norm: Option<f64>,
    pub weight_norm: Option<f64>,
    pub gradient_cosine: Option<f64>,
    pub agreement: Option<f64>,
    pub critical_lr: f64,
    pub directional_sharpness: f64,
    pub hessian_sharpness: f64,
    pub last_layer_sharpness: Option<f64>,
    /// `E[gᵀHg/‖g‖²]` over the batches of 32 examples, if the fixture has it.
    pub batch_sharpness: Option<f64>,
    pub batch_sharpness_error: Option<f64>,
    /// `E[gᵀHg]/E‖g‖²` over the same batches, if the fixture has it.
    pub interaction_aware_sharpness: Option<f64>,
    pub preconditioned_sharpness: Option<f64>,
}

impl Fixture {
    /// Of this repository, and of the folders in `SHARPNESS_FIXTURES` (separated as in `PATH`).
    pub fn all() -> Vec<(PathBuf, Self)> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let more = std::env::var_os("SHARPNESS_FIXTURES").unwrap_or_default();
        let more = std::env::split_paths(&more).filter(|path| !path.as_os_str().is_empty());
        let mut paths = Vec::new();
        for folder in more.chain([own]) {
            let entries = std::fs::read_dir(&folder);
            let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            paths.extend(entries.map(|entry| entry.unwrap().path()));
        }
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("mlp_") && name.ends_with(".json")
        });
        paths.sort();
        let read = |path: PathBuf| {
            let content = std::fs::read_to_string(&path).unwrap();
            let fixture = serde_json::from_str(&content);
            let fixture = fixture.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, fixture)
        };
        paths.into_iter().map(read).collect()
    }

    /// Trains to the last row. Shows each step, with its row if it has one.
    pub fn train(&self, mut see: impl FnMut(u64, Option<&Row>, &AtStep)) {
        let device = device::autodiff();
        let ((optim, rate), batch) = (self.optimizer(), self.batch(&device));
        let mut at = AtStep::new(self.model(&device), optim, rate, batch.clone());
        let last = self.rows.iter().map(|row| row.step).max().unwrap();
        for step in 0..=last {
            let row = self.rows.iter().find(|row| row.step == step);
            see(step, row, &at);
            at = at.next(batch.clone());
        }
    }

    fn model(&self, device: &Device) -> Mlp {
        assert_eq!(self.activation, "tanh");
        let mut model = MlpConfig::new(self.layers.clone(), self.loss).init(device);
        for (linear, parameters) in model.layers.iter_mut().zip(self.init.chunks_exact(2)) {
            let [inputs, outputs] = linear.weight.dims();
            // burn stores weights as [in, out].
            let weight = TensorData::new(parameters[0].clone(), [outputs, inputs]);
            let weight = Tensor::<2>::from_data(weight, device).transpose().detach();
            let bias = TensorData::new(parameters[1].clone(), [outputs]);
            let bias = Tensor::<1>::from_data(bias, device);
            linear.weight = Param::initialized(linear.weight.id, weight.require_grad());
            let id = linear.bias.as_ref().expect("a bias").id;
            linear.bias = Some(Param::initialized(id, bias.require_grad()));
        }
        model
    }

    fn batch(&self, device: &Device) -> Batch {
        let x = TensorData::new(self.x.concat(), [self.x.len(), self.layers[0]]);
        let y = TensorData::new(self.y.clone(), [self.y.len()]);
        Batch {
            x: Tensor::from_data(x, device),
            y: Tensor::from_data(y, device),
        }
    }

    /// `size` must divide the full batch.
    pub fn batches(&self, size: usize) -> Vec<Batch> {
        let Batch { x, y } = self.batch(&device::autodiff());
        let parts = x.split(size, 0).into_iter().zip(y.split(size, 0));
        parts.map(|(x, y)| Batch { x, y }).collect()
    }

    pub fn preconditioner(&self) -> Option<AdamPreconditioner> {
        let OptimizerSpec::Adamw { betas, eps, .. } = self.optimizer else {
            return None;
        };
        Some(AdamPreconditioner {
            beta_1: betas[0].into(),
            beta_2: betas[1].into(),
            epsilon: eps.into(),
        })
    }

    fn optimizer(&self) -> (ModuleOptimizer, f64) {
        match self.optimizer {
            OptimizerSpec::Sgd { lr, momentum } => {
                let config = MomentumConfig::new().with_dampening(0.0);
                let momentum = (momentum > 0.0).then(|| config.with_momentum(momentum));
                (SgdConfig::new().with_momentum(momentum).init(), lr)
            }
            OptimizerSpec::Adamw {
                lr,
                betas,
                eps,
                weight_decay,
            } => {
                let config = AdamWConfig::new()
                    .with_beta_1(betas[0])
                    .with_beta_2(betas[1])
                    .with_epsilon(eps)
                    .with_weight_decay(weight_decay);
                (config.init(), lr)
            }
        }
    }
}
