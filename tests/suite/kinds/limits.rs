//! How much may be wrong.

use super::fault::Fault;

/// Kinds of which more is wrong than [`Fault::share`] allows. A search that gets better deletes lines here.
const KNOWN: &[(&str, &[(Fault, f64)])] = &[
    ("layer scale 1e-2", &[(Fault::Outside, 0.0835)]),
    ("spectral norm", &[(Fault::Verified, 0.0024)]),
    ("rare tokens", &[(Fault::Off5, 0.0335)]),
    (
        "quantized 1/8",
        &[
            (Fault::Outside, 0.1298),
            (Fault::Off3, 0.0372),
            (Fault::Off5, 0.0583),
            (Fault::Verified, 0.0096),
            (Fault::NotDescent, 0.0129),
        ],
    ),
    (
        "quantized 1/64",
        &[
            (Fault::Off5, 0.0083),
            (Fault::Verified, 0.0007),
            (Fault::NotDescent, 0.0051),
        ],
    ),
    (
        "quantized, 8 bits",
        &[(Fault::Verified, 0.0025), (Fault::NotDescent, 0.0029)],
    ),
    (
        "mixture",
        &[
            (Fault::Outside, 0.1567),
            (Fault::Off3, 0.0527),
            (Fault::Off5, 0.0352),
            (Fault::Verified, 0.0072),
            (Fault::NotDescent, 0.0013),
        ],
    ),
    (
        "mixture, balanced",
        &[
            (Fault::Outside, 0.2501),
            (Fault::Off3, 0.0659),
            (Fault::Off5, 0.0358),
            (Fault::Verified, 0.0091),
        ],
    ),
    (
        "code book",
        &[
            (Fault::Outside, 0.2365),
            (Fault::Off3, 0.0463),
            (Fault::Off5, 0.0723),
            (Fault::Verified, 0.0175),
            (Fault::NotDescent, 0.0024),
        ],
    ),
    (
        "mixed bf16",
        &[(Fault::Verified, 0.0013), (Fault::NotDescent, 0.0046)],
    ),
    ("mixed f16", &[(Fault::NotDescent, 0.0018)]),
    ("bf16 head", &[(Fault::NotDescent, 0.0029)]),
    ("f16 head", &[(Fault::Verified, 0.0013)]),
    ("bf16", &[(Fault::Verified, 0.0007)]),
    ("f16", &[(Fault::Verified, 0.0007)]),
    ("quantile", &[(Fault::Outside, 0.0533)]),
    (
        "clamped",
        &[
            (Fault::Outside, 0.1805),
            (Fault::Off3, 0.0404),
            (Fault::Off5, 0.1251),
            (Fault::Verified, 0.0043),
            (Fault::NotDescent, 0.0029),
        ],
    ),
    (
        "log density",
        &[
            (Fault::Outside, 0.1191),
            (Fault::Off3, 0.0072),
            (Fault::Off5, 0.0156),
            (Fault::NotDescent, 0.0013),
        ],
    ),
    ("ppo", &[(Fault::Off3, 0.0071), (Fault::NotDescent, 0.0013)]),
    (
        "advantage",
        &[
            (Fault::Outside, 0.2219),
            (Fault::Off3, 0.0546),
            (Fault::Off5, 0.0605),
            (Fault::Verified, 0.0099),
            (Fault::NotDescent, 0.0035),
            (Fault::NoIncrease, 0.0707),
        ],
    ),
    ("hinge", &[(Fault::NotDescent, 0.0007)]),
    ("relu hinge", &[(Fault::NotDescent, 0.0013)]),
    ("worst example", &[(Fault::Off5, 0.0058)]),
    (
        "bootstrapped",
        &[(Fault::Verified, 0.0183), (Fault::NotDescent, 0.0068)],
    ),
    ("barrier", &[(Fault::NotDescent, 0.0007)]),
    ("noise", &[(Fault::Outside, 0.0568)]),
    ("second loss 1e-6", &[(Fault::NotDescent, 0.0035)]),
    (
        "rate x100",
        &[
            (Fault::Outside, 0.0671),
            (Fault::Off3, 0.0208),
            (Fault::Off5, 0.0079),
            (Fault::Verified, 0.001),
        ],
    ),
    (
        "batch sizes",
        &[
            (Fault::Outside, 0.0751),
            (Fault::Off3, 0.0304),
            (Fault::Off5, 0.0199),
            (Fault::NoIncrease, 0.0068),
        ],
    ),
    (
        "batch of one",
        &[
            (Fault::Outside, 0.2548),
            (Fault::Off3, 0.1262),
            (Fault::Off5, 0.0891),
            (Fault::Rounding, 0.0026),
            (Fault::NoIncrease, 0.0385),
        ],
    ),
    (
        "interpolating squared",
        &[
            (Fault::Off3, 0.013),
            (Fault::Off5, 0.0105),
            (Fault::Rounding, 0.0416),
            (Fault::Verified, 0.0008),
        ],
    ),
    (
        "interpolating cross entropy",
        &[
            (Fault::Outside, 0.6345),
            (Fault::Off3, 0.4702),
            (Fault::Off5, 0.1251),
            (Fault::Rounding, 0.019),
        ],
    ),
    (
        "overfit",
        &[
            (Fault::Outside, 0.1176),
            (Fault::Off3, 0.035),
            (Fault::Off5, 0.0379),
            (Fault::Verified, 0.0006),
        ],
    ),
    ("log density, long", &[(Fault::Off5, 0.0083)]),
    (
        "adafactor",
        &[
            (Fault::Outside, 0.4365),
            (Fault::Off3, 0.4365),
            (Fault::Off5, 0.4365),
            (Fault::Verified, 0.0221),
            (Fault::NoIncrease, 0.0899),
        ],
    ),
    (
        "learner",
        &[
            (Fault::Outside, 0.0724),
            (Fault::Off3, 0.0068),
            (Fault::Verified, 0.0035),
            (Fault::NotDescent, 0.0027),
        ],
    ),
    ("tasks, against", &[(Fault::NoIncrease, 0.9741)]),
    ("tasks, far bump", &[(Fault::Verified, 0.2001)]),
    (
        "tasks, jump",
        &[
            (Fault::Outside, 0.6731),
            (Fault::Off3, 0.2001),
            (Fault::Off5, 0.2001),
            (Fault::NotDescent, 0.0408),
        ],
    ),
    ("tasks, kink", &[(Fault::Outside, 0.196)]),
    (
        "tasks, overflow",
        &[
            (Fault::Outside, 0.9501),
            (Fault::Off3, 0.9395),
            (Fault::Off5, 0.9001),
            (Fault::Rounding, 0.1001),
        ],
    ),
    ("tasks, steep end", &[(Fault::Outside, 0.1251)]),
    (
        "all",
        &[
            (Fault::Off3, 0.0197),
            (Fault::Off5, 0.0162),
            (Fault::Rounding, 0.0016),
            (Fault::Verified, 0.0023),
            (Fault::NotDescent, 0.001),
            (Fault::NoIncrease, 0.0081),
        ],
    ),
];

/// The share of a fault that a kind may have: of its brackets, or of all its measurements.
pub fn share(kind: &str, fault: Fault) -> f64 {
    let known = KNOWN.iter().filter(|(name, _)| *name == kind);
    let mut known = known.flat_map(|(_, faults)| faults.iter());
    let known = known.find(|(of, _)| *of == fault);
    known.map_or(fault.share(), |(_, share)| *share)
}
