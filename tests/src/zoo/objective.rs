use super::kind::{Network, Objective};
use super::layers::unit;
use super::more::{dice, trimmed, triplet};
use super::network::Zoo;
use super::sample::Sample;
use burn::nn::loss::{CrossEntropyLossConfig, HuberLossConfig, Reduction};
use burn::tensor::activation::{log_softmax, relu, softmax};
use burn::tensor::{FloatDType, Int, Tensor};

impl Zoo {
    /// Returns the differentiated loss: a mean, or the losses of the examples.
    pub fn loss(&self, sample: &Sample) -> Tensor<1> {
        let loss = self.report(sample);
        match self.kind.objective {
            Objective::HiddenPenalty => loss + self.sizes().1 * 1e-2,
            _ => loss,
        }
    }

    /// Returns the loss that the run reports and the probe measures.
    pub fn report(&self, sample: &Sample) -> Tensor<1> {
        let (scores, added) = self.scores(self.inputs(sample));
        let loss = self.of_scores(scores, sample);
        match added {
            Some(added) => loss + added,
            None => loss,
        }
    }

    pub fn log_probabilities(&self, sample: &Sample) -> Tensor<1> {
        let (scores, _) = self.scores(self.inputs(sample));
        right(log_softmax(scores, 1), sample)
    }

    fn scores(&self, x: Tensor<2>) -> (Tensor<2>, Option<Tensor<1>>) {
        let (scores, added) = self.forward(x);
        match self.kind.network {
            Network::Mixed(_) | Network::HalfHead(_) | Network::Half(_) => {
                (scores.cast(FloatDType::F32), added)
            }
            _ => (scores, added),
        }
    }

    fn of_scores(&self, scores: Tensor<2>, sample: &Sample) -> Tensor<1> {
        let targets = || sample.targets.clone();
        let errors = |scores: Tensor<2>| (scores - targets()).square().mean();
        let gains = || sample.advantages.clone();
        let logarithms = |scores: Tensor<2>| right(log_softmax(scores, 1), sample);
        match self.kind.objective {
            Objective::CrossEntropy | Objective::HiddenPenalty => cross_entropy(scores, sample),
            Objective::Offset(offset) => cross_entropy(scores, sample) + offset,
            Objective::Sparse => cross_entropy(scores, sample) + self.sizes().0 * 2e-3,
            Objective::Ripples => {
                let waves = ((scores.clone() * 9.0).cos() - 1.0).mean();
                cross_entropy(scores, sample) - waves * 0.03
            }
            Objective::SmoothLabels => CrossEntropyLossConfig::new()
                .with_smoothing(Some(0.1))
                .init(&scores.device())
                .forward(scores, sample.classes.clone()),
            Objective::Examples => -logarithms(scores),
            Objective::Clamped => (-logarithms(scores)).clamp(0.5, 1.5).mean(),
            Objective::Worst => (-logarithms(scores)).max(),
            Objective::Advantage => -(logarithms(scores) * gains()).mean(),
            Objective::Clipped => {
                let now = logarithms(scores);
                let old = sample.old.clone().unwrap_or_else(|| now.clone().detach());
                let ratio = (now - old).exp();
                let clipped = ratio.clone().clamp(0.8, 1.2) * gains();
                -(ratio * gains()).min_pair(clipped).mean()
            }
            Objective::OneHot => (scores.clone() - one_hot(&scores, sample)).square().mean(),
            Objective::Brier => {
                let apart = softmax(scores.clone(), 1) - one_hot(&scores, sample);
                apart.square().sum_dim(1).mean()
            }
            Objective::Hinge => {
                let best = right(scores.clone(), sample).unsqueeze_dim::<2>(1);
                relu(scores - best + 1.0).mean()
            }
            Objective::Squared => errors(scores),
            Objective::Huge => errors(scores) * 1e6,
            Objective::Huber => {
                let huber = HuberLossConfig::new(0.1).init();
                huber.forward(scores, targets(), Reduction::Mean)
            }
            Objective::Quantile => {
                let apart = scores - targets();
                (apart.clone() * 0.9).max_pair(apart * -0.1).mean()
            }
            Objective::Barrier => {
                let room = (-scores.clone() + 1.5).log().mean();
                errors(scores) - room * 1e-4
            }
            Objective::Poisson => {
                let rates = scores * 4.0;
                let counts = (targets().abs() * 3.0).floor();
                (rates.clone().exp() - rates * counts).mean()
            }
            Objective::LogDensity => {
                let (mean, width) = (scores.clone().narrow(1, 0, 2), scores.narrow(1, 2, 2));
                let apart = (targets() * 0.02 - mean) / width.clone().exp();
                (width + apart.square() * 0.5).mean()
            }
            Objective::Contrastive => {
                let (view, _) = self.scores(sample.view.clone());
                let alike = unit(scores).matmul(unit(view).transpose()) / 0.1;
                let size = alike.dims()[0] as i64;
                let own = Tensor::<1, Int>::arange(0..size, &alike.device());
                -log_softmax(alike, 1)
                    .gather(1, own.unsqueeze_dim::<2>(1))
                    .mean()
            }
            Objective::Bootstrapped => {
                let (next, _) = self.scores(sample.view.clone());
                let next = next.detach().max_dim(1).squeeze_dim::<1>(1);
                (right(scores, sample) - gains() - next * 0.9)
                    .square()
                    .mean()
            }
            Objective::Adversarial => {
                let made = self.critic(scores);
                match sample.turn {
                    0 => made - self.critic(sample.view.clone()),
                    _ => -made,
                }
            }
            Objective::Triplet => triplet(scores, sample),
            Objective::Trimmed => trimmed(-logarithms(scores)),
            Objective::Dice => dice(softmax(scores.clone(), 1), one_hot(&scores, sample)),
            Objective::Distilled => {
                let (view, _) = self.scores(sample.view.clone());
                let alike = unit(scores) * unit(view).detach();
                -alike.sum_dim(1).mean() + 1.0
            }
        }
    }
}

fn cross_entropy(scores: Tensor<2>, sample: &Sample) -> Tensor<1> {
    CrossEntropyLossConfig::new()
        .init(&scores.device())
        .forward(scores, sample.classes.clone())
}

fn right(of_classes: Tensor<2>, sample: &Sample) -> Tensor<1> {
    let classes = sample.classes.clone().unsqueeze_dim::<2>(1);
    of_classes.gather(1, classes).flatten::<1>(0, 1)
}

fn one_hot(scores: &Tensor<2>, sample: &Sample) -> Tensor<2> {
    let [_, classes] = scores.dims();
    let targets = sample.classes.clone().one_hot::<2>(classes).float();
    targets.cast(FloatDType::from(scores.dtype()))
}
