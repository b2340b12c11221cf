#[track_caller]
pub fn assert_close(what: &str, a: Option<f64>, b: Option<f64>, tolerance: f64) {
    match (a, b) {
        (Some(a), Some(b)) => assert!((a / b - 1.0).abs() < tolerance, "{what}: {a} {b}"),
        _ => assert_eq!(a, b, "{what}"),
    }
}

/// `tolerance` is relative.
#[track_caller]
pub fn assert_near(value: impl Into<Option<f64>>, expected: f64, tolerance: f64) {
    let value = value.into().expect("a value");
    let off = (value / expected - 1.0).abs();
    assert!(off < tolerance, "{value} is {off} off {expected}");
}
