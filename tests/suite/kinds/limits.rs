use super::fault::Fault;

/// Kinds with a larger share than [`Fault::share`]. A better search deletes lines here.
const KNOWN: &[(&str, &[(Fault, f64)])] = &[
    (
        "quantized 1/8",
        &[(Fault::Off5, 0.0122), (Fault::NotDescent, 0.0112)],
    ),
    ("quantized 1/64", &[(Fault::NotDescent, 0.0056)]),
    ("quantized, 8 bits", &[(Fault::NotDescent, 0.0028)]),
    ("mixed bf16", &[(Fault::NotDescent, 0.0045)]),
    ("mixed f16", &[(Fault::NotDescent, 0.0023)]),
    ("bf16 head", &[(Fault::NotDescent, 0.0028)]),
    ("bf16", &[(Fault::NotDescent, 0.0028)]),
    (
        "advantage",
        &[(Fault::Off5, 0.0079), (Fault::NoIncrease, 0.0017)],
    ),
    ("batch of one", &[(Fault::Rounding, 0.0012)]),
    ("interpolating squared", &[(Fault::Rounding, 0.0011)]),
    ("learner", &[(Fault::NotDescent, 0.0026)]),
    ("binary", &[(Fault::Off5, 0.006)]),
    ("four bits", &[(Fault::Off5, 0.0114)]),
    (
        "trimmed",
        &[
            (Fault::Off3, 0.0088),
            (Fault::Off5, 0.0141),
            (Fault::NoIncrease, 0.0012),
        ],
    ),
    ("dice", &[(Fault::Off3, 0.0069)]),
    (
        "tasks, overflow",
        &[(Fault::Off5, 0.5), (Fault::NotDescent, 0.3)],
    ),
    (
        "all",
        &[
            (Fault::Rounding, 0.0001),
            (Fault::NotDescent, 0.0022),
            (Fault::NoIncrease, 0.0001),
        ],
    ),
];

pub fn share(kind: &str, fault: Fault) -> f64 {
    let known = KNOWN.iter().filter(|(name, _)| *name == kind);
    let mut known = known.flat_map(|(_, faults)| faults.iter());
    let known = known.find(|(of, _)| *of == fault);
    known.map_or(fault.share(), |(_, share)| *share)
}
