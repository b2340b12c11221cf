use sharpness_tests::prelude::*;

pub type Scene = Arc<Mutex<Option<Place>>>;

#[derive(Clone)]
pub struct Place {
    pub sample: Sample,
    pub other: Sample,
    pub weights: HashMap<ParamId, Vec<f64>>,
    /// The distance from the weights that counts as 1 in a prescribed line.
    pub unit: f64,
}

use TaskLoss::{Against, Of, Other};

#[derive(Clone, Copy)]
pub enum TaskLoss {
    Other,
    Against,
    /// A function of the distance from the step's weights.
    Of(fn(Tensor<1>) -> Tensor<1>),
}

fn bump(t: &Tensor<1>, at: f64, width: f64) -> Tensor<1> {
    (-((t.clone() - at) / width).square()).exp()
}

/// Prescribed lines cross at 1.
pub const TASKS: [(&str, TaskLoss); 15] = [
    ("other batch", Other),
    ("against", Against),
    ("known", Of(|t| (t.clone() - 1.0) * t + 2.0)),
    ("near 0", Of(|t| (t.clone() - 1.0) * t + 1e-6)),
    ("at minimum", Of(|t| t.square() + 3.0)),
    ("falls forever", Of(|t| -t + 3.0)),
    ("flat", Of(|t| t * 0.0 + 3.0)),
    ("steep end", Of(|t| t.clone().powf_scalar(24.0) - t + 2.0)),
    (
        "kink",
        Of(|t| (-t.clone()).max_pair((t - 1.0) * 40.0) + 2.0),
    ),
    (
        "jump",
        Of(|t| {
            let is_after = t.clone().greater_equal_elem(1.0).float().cast(t.dtype());
            is_after * (t.clone() * 2.0 + 1.0) - t + 2.0
        }),
    ),
    ("wall", Of(|t| (-t.clone() + 1.0).log() * 1e-9 - t + 2.0)),
    (
        "overflow",
        Of(|t| ((t.clone() - 1.0) * 400.0).exp() - t + 2.0),
    ),
    (
        "early bump",
        Of(|t| (t.clone() - 1.0) * t.clone() + bump(&t, 0.12, 0.03) * 0.4 + 2.0),
    ),
    (
        "far bump",
        Of(|t| (t.clone() - 1.0) * t.clone() + bump(&t, 0.01, 0.004) * 0.05 + 2.0),
    ),
    (
        "rises and falls",
        Of(|t| (t.clone() - 1.0) * (t.clone() - 0.25) * t + 2.0),
    ),
];

impl TaskLoss {
    pub fn of(self, model: &Zoo, place: &Place) -> Tensor<1> {
        match self {
            Self::Other => model.report(&place.other),
            Self::Against => -model.report(&place.sample),
            Self::Of(line) => line(distance(model, &place.weights) / place.unit),
        }
    }
}

fn distance(model: &Zoo, from: &HashMap<ParamId, Vec<f64>>) -> Tensor<1> {
    struct Distance<'a> {
        from: &'a HashMap<ParamId, Vec<f64>>,
        square: Option<Tensor<1>>,
    }

    impl ModuleVisitor for Distance<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let here = param.val();
            let from = TensorData::new(self.from[&param.id].clone(), here.dims());
            let from = Tensor::<D>::from_data(from, (&here.device(), here.dtype()));
            let square = (here - from).square().sum();
            let before = self.square.take();
            self.square = before.map(|sum| sum + square.clone()).or(Some(square));
        }
    }

    let mut distance = Distance { from, square: None };
    model.visit(&mut distance);
    distance.square.unwrap().sqrt()
}
