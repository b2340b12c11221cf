/// Returns the Edge of Stability of gradient descent: λ_max(H) = 2/η − γ, with the decoupled weight decay γ (Cohen et
/// al., *Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability*, ICLR 2021, arXiv 2103.00065,
/// for γ = 0; the decay θ ← (1 − ηγ)θ − ηg as in arXiv 2601.16979).
///
/// `learning_rate` must be positive.
pub fn gradient_descent_threshold(learning_rate: f64, weight_decay: f64) -> f64 {
    2.0 / learning_rate - weight_decay
}

/// Returns the Edge of Stability of heavy-ball momentum, v ← βv + g and θ ← θ − ηv: λ_max(H) = (2 + 2β)/η − γ (Cohen et
/// al., arXiv 2103.00065, equation 2, for γ = 0).
///
/// `learning_rate` must be positive and `momentum`, β, in [0, 1). The decay γ goes through the momentum like a term γθ
/// of the gradient.
pub fn heavy_ball_threshold(learning_rate: f64, momentum: f64, weight_decay: f64) -> f64 {
    (2.0 + 2.0 * momentum) / learning_rate - weight_decay
}

/// Returns the level of batch sharpness `E[gᵀHg/‖g‖²]` under heavy-ball momentum at small batches: 2(1 − β)/η (arXiv
/// 2604.14108). At large batches, it is the [`heavy_ball_threshold`].
///
/// `learning_rate` must be positive and `momentum`, β, in [0, 1).
pub fn heavy_ball_small_batch_threshold(learning_rate: f64, momentum: f64) -> f64 {
    gradient_descent_threshold(learning_rate / (1.0 - momentum), 0.0)
}

/// Returns the Edge of Stability of Adam and AdamW, for the Hessian preconditioned by
/// [`AdamPreconditioner`](super::AdamPreconditioner): (2 + 2β₁)/((1 − β₁)η) − γ (Cohen et al., *Adaptive Gradient
/// Methods at the Edge of Stability*, arXiv 2207.14484, for γ = 0; the decay as in arXiv 2601.16979).
///
/// `learning_rate` must be positive and `beta_1` in [0, 1).
pub fn adam_threshold(learning_rate: f64, beta_1: f64, weight_decay: f64) -> f64 {
    (2.0 + 2.0 * beta_1) / ((1.0 - beta_1) * learning_rate) - weight_decay
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether steps from 1 stay bounded.
    fn is_stable(mut step: impl FnMut(f64) -> f64) -> bool {
        let mut theta = 1.0;
        (0..20_000).all(|_| {
            theta = step(theta);
            theta.abs() < 1e6
        })
    }

    #[test]
    fn momentum_moves_its_thresholds_apart() {
        let large = heavy_ball_threshold(0.1, 0.9, 0.0);
        let small = heavy_ball_small_batch_threshold(0.1, 0.9);
        assert!((large - 38.0).abs() < 1e-12 && (small - 2.0).abs() < 1e-12);
        assert_eq!(heavy_ball_small_batch_threshold(0.1, 0.0), 20.0);
    }

    #[test]
    fn a_quadratic_is_stable_just_below_each_threshold_and_not_above() {
        let (eta, beta, decay) = (0.1, 0.8, 0.5);
        for (factor, stable) in [(0.999, true), (1.001, false)] {
            let curvature = factor * gradient_descent_threshold(eta, decay);
            let descent = |theta| (1.0 - eta * decay) * theta - eta * curvature * theta;
            assert_eq!(is_stable(descent), stable);

            let curvature = factor * heavy_ball_threshold(eta, beta, decay);
            let mut velocity = 0.0;
            let heavy_ball = |theta| {
                velocity = beta * velocity + (curvature + decay) * theta;
                theta - eta * velocity
            };
            assert_eq!(is_stable(heavy_ball), stable);

            // The preconditioner stays at 1 − β₁; the bias corrections tend to 1.
            let curvature = factor * adam_threshold(eta, beta, 0.0) * (1.0 - beta);
            let mut moment = 0.0;
            let adam = |theta| {
                moment = beta * moment + (1.0 - beta) * curvature / (1.0 - beta) * theta;
                theta - eta * moment
            };
            assert_eq!(is_stable(adam), stable);
        }
    }
}
