//! The tolerated shares of faults.

use super::fault::Fault;

/// Kinds with a larger share than [`Fault::share`]. A better search deletes lines here.
const KNOWN: &[(&str, &[(Fault, f64)])] = &[
    (
        "quantized 1/8",
        &[
            (Fault::Off5, 0.0104),
            (Fault::Verified, 0.0007),
            (Fault::NotDescent, 0.0134),
        ],
    ),
    ("quantized 1/64", &[(Fault::NotDescent, 0.0056)]),
    ("quantized, 8 bits", &[(Fault::NotDescent, 0.0028)]),
    ("mixed bf16", &[(Fault::NotDescent, 0.0045)]),
    ("mixed f16", &[(Fault::NotDescent, 0.0023)]),
    ("bf16 head", &[(Fault::NotDescent, 0.0028)]),
    ("bf16", &[(Fault::NotDescent, 0.0028)]),
    ("clamped", &[(Fault::NoIncrease, 0.0028)]),
    ("log density", &[(Fault::Rounding, 0.0014)]),
    (
        "advantage",
        &[
            (Fault::Off5, 0.0144),
            (Fault::Rounding, 0.004),
            (Fault::Verified, 0.0014),
            (Fault::NoIncrease, 0.025),
        ],
    ),
    (
        "batch of one",
        &[(Fault::Rounding, 0.0072), (Fault::NoIncrease, 0.0125)],
    ),
    (
        "batch sizes",
        &[(Fault::Off3, 0.0082), (Fault::Rounding, 0.0021)],
    ),
    ("interpolating squared", &[(Fault::Rounding, 0.0031)]),
    ("interpolating cross entropy", &[(Fault::Rounding, 0.0137)]),
    ("adafactor", &[(Fault::NoIncrease, 0.0597)]),
    ("learner", &[(Fault::NotDescent, 0.0026)]),
    (
        "tasks, overflow",
        &[
            (Fault::Off5, 0.5),
            (Fault::Rounding, 0.3429),
            (Fault::NotDescent, 0.3),
        ],
    ),
    (
        "all",
        &[
            (Fault::Rounding, 0.001),
            (Fault::Verified, 0.0001),
            (Fault::NotDescent, 0.0022),
            (Fault::NoIncrease, 0.0011),
            (Fault::Off5, 0.0066),
        ],
    ),
];

pub fn share(kind: &str, fault: Fault) -> f64 {
    let known = KNOWN.iter().filter(|(name, _)| *name == kind);
    let mut known = known.flat_map(|(_, faults)| faults.iter());
    let known = known.find(|(of, _)| *of == fault);
    known.map_or(fault.share(), |(_, share)| *share)
}
