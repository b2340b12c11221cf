//! Recomputes the rows of `fixtures/mlp_*.json` in float64, without burn: the first few steps at every run, all steps
//! with `REMAKE=1`, which also writes them.

mod curvature;
mod network;
mod optimizer;

use network::{Loss, Network, dot, plus};
use optimizer::{Optimizer, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

const LAST_CHECKED: u64 = 5;
const TOLERANCE: f64 = 1e-6;
const BATCH: usize = 32;
const FIRST_PLACE: f64 = 1e-3;
const SPACING: f64 = 1.05;

#[derive(Deserialize)]
struct Fixture {
    layers: Vec<usize>,
    activation: String,
    loss: String,
    optimizer: Optimizer,
    init: Vec<Vec<f64>>,
    x: Vec<Vec<f64>>,
    y: Vec<usize>,
}

/// Of an update, with the state after it.
fn row(
    network: &Network,
    optimizer: &Optimizer,
    [theta, gradient, delta]: [&[f64]; 3],
    after: &State,
) -> Map<String, Value> {
    let slope = dot(gradient, delta);
    let critical_lr = critical_learning_rate(|rate| network.loss(&plus(theta, -rate, delta)));
    let bent = dot(delta, &curvature::product(network, theta, delta));
    let ones = vec![1.0; theta.len()];
    let mut row = Map::new();
    let mut set = |name: &str, value: f64| row.insert(name.to_owned(), json!(value));
    set("loss", network.loss(theta));
    set("slope", slope);
    let norm = |vector: &[f64]| dot(vector, vector).sqrt();
    set("update_norm", norm(delta));
    set("gradient_norm", norm(gradient));
    set("weight_norm", norm(theta));
    set("gradient_cosine", slope / (norm(gradient) * norm(delta)));
    let rate = 0.5 * critical_lr;
    let fall = network.loss(theta) - network.loss(&plus(theta, -rate, delta));
    set("agreement", fall / (rate * slope));
    set("critical_lr", critical_lr);
    set("critical_sharpness", 2.0 / critical_lr);
    set("directional_sharpness", bent / slope);
    let largest = curvature::largest_eigenvalue(network, theta, &ones);
    set("hessian_sharpness", largest);
    let block = curvature::block(network, theta, network.last_layer());
    set("last_layer_sharpness", curvature::largest_of(block));
    let of_batch = |batch: Network| {
        let g = batch.gradient(theta);
        (dot(&g, &curvature::product(&batch, theta, &g)), dot(&g, &g))
    };
    let of_batches: Vec<(f64, f64)> = network.batches(BATCH).into_iter().map(of_batch).collect();
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| {
        of_batches.iter().map(of).sum::<f64>() / of_batches.len() as f64
    };
    let ratio = mean(&|of| of.0) / mean(&|of| of.1);
    let batch_sharpness = mean(&|of| of.0 / of.1);
    set("batch_sharpness", batch_sharpness);
    set("interaction_aware_sharpness", ratio);
    let variance = mean(&|of| (of.0 / of.1 - batch_sharpness).powi(2));
    let others = of_batches.len() as f64 - 1.0;
    set("batch_sharpness_error", (variance / others).sqrt());
    if let Some(preconditioner) = optimizer.preconditioner(after) {
        let value = curvature::largest_eigenvalue(network, theta, &preconditioner);
        set("preconditioned_sharpness", value);
    }
    row
}

/// Bisects the root before the first tried rate with a loss above L(0).
fn critical_learning_rate(loss: impl Fn(f64) -> f64) -> f64 {
    let start = loss(0.0);
    let mut high = FIRST_PLACE;
    while loss(high) <= start {
        high *= SPACING;
    }
    let mut low = high / SPACING;
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if loss(middle) > start {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

fn rows(fixture: &Fixture, steps: &[u64]) -> Vec<Map<String, Value>> {
    assert_eq!(fixture.activation, "tanh");
    let network = Network {
        layers: fixture.layers.clone(),
        loss: match fixture.loss.as_str() {
            "xent" => Loss::CrossEntropy,
            "mse" => Loss::SquaredDistance,
            other => panic!("the loss is {other}"),
        },
        inputs: fixture.x.clone(),
        classes: fixture.y.clone(),
    };
    let optimizer = &fixture.optimizer;
    let (mut theta, mut state) = (fixture.init.concat(), State::default());
    let mut rows = Vec::new();
    for step in 0..=steps.last().copied().unwrap_or(0) {
        let gradient = network.gradient(&theta);
        let delta = optimizer.direction(&mut state, &theta, &gradient);
        if steps.contains(&step) {
            let mut row = row(&network, optimizer, [&theta, &gradient, &delta], &state);
            row.insert("step".to_owned(), json!(step));
            rows.push(row);
        }
        theta = plus(&theta, -optimizer.learning_rate(), &delta);
    }
    rows
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths
}

#[test]
fn the_fixtures_are_what_float64_gives() {
    let is_remade = std::env::var_os("REMAKE").is_some();
    let paths = fixtures();
    assert!(paths.len() >= 4, "{paths:?}");
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let fixture: Fixture = serde_json::from_str(&text).unwrap();
        let mut json: Value = serde_json::from_str(&text).unwrap();
        let stored = json["rows"].as_array_mut().unwrap();
        let steps = stored.iter().map(|row| row["step"].as_u64().unwrap());
        let steps = steps.filter(|step| is_remade || *step <= LAST_CHECKED);
        let steps: Vec<u64> = steps.collect();
        assert!(!steps.is_empty(), "{path:?}");
        for (stored, row) in stored.iter_mut().zip(rows(&fixture, &steps)) {
            for (name, value) in &row {
                let [old, new] = [&stored[name], value].map(|value| value.as_f64());
                let apart = match (old, new) {
                    (Some(old), Some(new)) => (old - new).abs() / old.abs().max(f64::MIN_POSITIVE),
                    _ => f64::INFINITY,
                };
                if apart >= TOLERANCE {
                    let text = format!("{name} in {path:?} is {old:?}, but {new:?} in {row:?}");
                    assert!(is_remade, "{text}");
                    println!("{text}");
                    stored[name] = value.clone();
                }
            }
        }
        if is_remade {
            std::fs::write(&path, json.to_string()).unwrap();
        }
    }
}
