use serde::de::DeserializeOwned;

/// A line of a record, with a critical sharpness or without a number.
pub fn line<T: DeserializeOwned>(step: u64, task: &str, rate: f64, sharpness: Option<f64>) -> T {
    let line = serde_json::json!({
        "version": 1, "step": step, "epoch": 1, "task": task, "learning_rate": rate, "base_loss": 3.0 / (1.0 + step as f64),
        "outcome": if sharpness.is_some() { "bracketed" } else { "no_increase" },
        "critical_lr": sharpness.map(|sharpness| 2.0 / sharpness), "critical_sharpness": sharpness,
        "evaluations": 3, "seconds": 0.5, "line": [{"learning_rate": 0.1, "rise": -1.0, "error": 0.01}],
    });
    serde_json::from_value(line).unwrap()
}
