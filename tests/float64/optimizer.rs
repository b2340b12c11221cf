//! Optimizers as PyTorch defines them, written θ ← θ − ηΔθ.

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Optimizer {
    /// b ← μb + g, Δθ = b.
    Sgd { lr: f64, momentum: f64 },
    /// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², Δθ = m̂/(√v̂ + ε) + γθ, with m̂ = m/(1 − β₁ᵗ) and
    /// v̂ = v/(1 − β₂ᵗ) at the t-th update.
    Adamw {
        lr: f64,
        betas: [f64; 2],
        eps: f64,
        weight_decay: f64,
    },
}

#[derive(Default)]
pub struct State {
    first: Vec<f64>,
    second: Vec<f64>,
    updates: i32,
}

impl Optimizer {
    pub fn learning_rate(&self) -> f64 {
        let (Self::Sgd { lr, .. } | Self::Adamw { lr, .. }) = self;
        *lr
    }

    /// Returns Δθ of the next update, after which `state` is.
    pub fn direction(&self, state: &mut State, parameters: &[f64], gradient: &[f64]) -> Vec<f64> {
        state.updates += 1;
        state.first.resize(gradient.len(), 0.0);
        state.second.resize(gradient.len(), 0.0);
        match self {
            Self::Sgd { momentum, .. } => {
                for (b, g) in state.first.iter_mut().zip(gradient) {
                    *b = momentum * *b + g;
                }
                state.first.clone()
            }
            Self::Adamw {
                betas: [beta_1, beta_2],
                eps,
                weight_decay,
                ..
            } => {
                let mut delta = Vec::with_capacity(gradient.len());
                for (index, g) in gradient.iter().enumerate() {
                    let (m, v) = (&mut state.first[index], &mut state.second[index]);
                    *m = beta_1 * *m + (1.0 - beta_1) * g;
                    *v = beta_2 * *v + (1.0 - beta_2) * g * g;
                    let m_hat = *m / (1.0 - beta_1.powi(state.updates));
                    let v_hat = *v / (1.0 - beta_2.powi(state.updates));
                    delta.push(m_hat / (v_hat.sqrt() + eps) + weight_decay * parameters[index]);
                }
                delta
            }
        }
    }

    /// P = (1 − β₁ᵗ)(√v̂ + ε), from the state after t updates.
    pub fn preconditioner(&self, state: &State) -> Option<Vec<f64>> {
        let Self::Adamw { betas, eps, .. } = self else {
            return None;
        };
        let [one, two] = betas.map(|beta| 1.0 - beta.powi(state.updates));
        let of = |v: &f64| one * ((v / two).sqrt() + eps);
        Some(state.second.iter().map(of).collect())
    }
}
