//! Explains how the guided search works (documentation only).
//!
//! The [default method](crate::Method::Guided) finds η_c as the root of h(η) = f(η)/η, the rise per learning rate,
//! which is nearly linear close to the root.
//!
//! # The number and its certificate
//!
//! Two evaluations with f(lower) ≤ 0 < f(upper) certify that η_c lies between them. The estimate of η_c is the root of
//! the quadratic h through both ends and the nearest third point, as in Muller's method (D. E. Muller, *A Method for
//! Solving Algebraic Equations Using an Automatic Computer*, Math. Tables Aids Comput. 10, 1956). The third point is
//! another evaluation, or h(0) = −g·Δθ if the slope belongs to the evaluated loss. Without a third point, h is
//! straight.
//!
//! # The stated error
//!
//! The [stated error](crate::Bracket::relative_error) is an estimate. All its parts but the last are together at most
//! the distance to the farther end of the bracket:
//!
//! - *Interpolation*: half the disagreement with the root of the straight h, or with four points the whole disagreement
//!   between two quadratics; plus 0.2 (η_c − lower)(upper − η_c)/η_c² (0.4 without h(0)) for unseen bends.
//! - *Surprise*: 0.15 of the root's move by the last evaluation.
//! - *Explosion*: up to a quarter of the distance to the farther end, if the loss rises 12 to 60 times as high, or as
//!   fast, as it fell, or 2 to 6 times as fast between the ends as beside them. The search then halves the bracket.
//! - *Reserve*: half of the sum so far, 0.6 (1.3 without h(0)) of the product under *Interpolation*, and with three
//!   points up to 0.25%.
//! - *Rounding*: the resolution of the loss over f′(η_c), plus 0.1% if rounding is not known.
//!
//! The search ends when the bracket is as narrow as the [`tolerance`](crate::SearchConfig::tolerance) and the first
//! three parts are within the [`accuracy`](crate::SearchConfig::accuracy).
//!
//! **Calibration.** On the first six lines and every sixteenth (every 32nd while errors are small), the search
//! evaluates the loss *at the root* before it reports the root. A factor of 1 to 50 then multiplies every part but
//! rounding: twice the recent root mean square of actual over expected errors, or 0.6 of the largest ratio. If the
//! factor is above 3, as on a loss that jumps, the whole stated error must be within the accuracy. The stated error is
//! at least a twentieth of the distance to the farther end until six roots are checked, and a tenth while the largest
//! recent ratio is above 1.5.
//!
//! Results on the recorded lines of this crate's tests, at the defaults and after the first lines:
//!
//! | training | evaluations | rms error | largest | published at 1/16 |
//! |---|---|---|---|---|
//! | GPT, AdamW | 2.36 | 0.15% | 0.8% | 6.03, 1.5% rms |
//! | full-batch gradient descent | 2.08 | 0.04% | 0.2% | 5.63, 1.8% rms |
//! | mini-batch momentum SGD | 2.33 | 0.20% | 1.7% | 5.92, 1.4% rms |
//!
//! No error exceeds three times its stated error. On 4,800 lines with jumps, 0.1% of the errors do, and 0.1% are above
//! 5%, at 3.5 evaluations a line (`cargo test -p critical-search --test accuracy --test audits -- --nocapture`).
//!
//! # Checks before a report
//!
//! - *The slope*, on two lines, then at the 64th, the 512th and so on. The search evaluates at 0.03 η_c, and nearer to
//!   0 while the line bends there. If the [known](crate::LossLine::with_slope) slope is off by more than a fifth, the
//!   search refutes all known slopes of the run.
//! - *The [rate in use](crate::LossLine::with_rate_in_use)* below the bracket: on the first lines of a run, and on
//!   every line while the calibration factor is above 3.
//! - *Below the bracket*, as often as [`verification`](crate::SearchConfig::verification) asks: at a half of `lower`, a
//!   quarter and so on, until rounding would hide a rise as steep as the rise at η_c, or down to a rise within rounding.
//! - *Everywhere*, before an outcome without a rise: at the rate in use, and now and then at ratios of 2 up to the limit;
//!   always up to the last rate with less than half of the fall before it, and from the rate in use to the first
//!   evaluation.
//!
//! # The next learning rate
//!
//! ```text
//! next(trace):
//!     nothing evaluated     the prediction from earlier searches and this line's slope; on the first line the rate at
//!                           which the slope predicts a fall of a tenth of the loss, if the guess is below this
//!                           rate or predicts a fall beyond the whole loss
//!     no rise yet           above the estimate, by a fifth of its distance and a bit of the tolerance
//!     no fall yet           below it, likewise
//!     both, too wide        the estimate moved so that it closes the bracket
//!     both, too inaccurate  the estimate
//! ```
//!
//! The prediction is the last η_c or the mean, whichever has recently predicted better, times the change in
//! [g·Δθ/‖Δθ‖²](crate::LossLine::with_update_norm) to a learned power (0 unless it explains three tenths of the changes
//! of η_c).
//!
//! After one evaluation, the estimate is the root of h ≈ −(g·Δθ)(1 − η/η_c)(1 + κη) with the bend κ of recent lines.
//! From three points on, it is the root of the quadratic through the nearest three, or of the inverse quadratic as in
//! Brent's method (R. P. Brent, *Algorithms for Minimization without Derivatives*, 1973, chapter 4).
//!
//! Without a known slope, and so without h(0), the search takes about three evaluations. After the first, it predicts
//! f′(η_c) from recent lines or from the [hint](crate::LossLine::with_slope_hint).
//!
//! # Rounding never makes a number
//!
//! Rounding may hide any change within twice the [resolution](crate::LossLine::resolution). Without a larger fall,
//! there is no bracket, whatever the signs.
//!
//! - If rounding hides everything, the search goes further out.
//! - If a hidden change and a rise are more than a factor 4 apart, the search evaluates between them, and then at half
//!   the hidden rate.
//! - If it finds no fall, it extrapolates the two smallest clear rises to h(0). If h(0) is positive (without a slope:
//!   not negative), the outcome is [`NotDescent`](crate::Outcome::NotDescent), unless the slope says that the loss
//!   falls and looks at rounding have raised the resolution.
//! - If looks have found rounding, it may hide a fall. Then a slope that says rise needs an evaluation that rises at most
//!   twice as steeply. Without one, the search evaluates nearer to 0, as far as the slope predicts a rise of eight
//!   resolutions. A fall beyond the rounding of the loss itself rules out `NotDescent`.
//! - Everything else is [`BelowResolution`](crate::Outcome::BelowResolution), and so is a bracket whose η_c rounding
//!   leaves uncertain by a quarter, or in found rounding a fall of at most three resolutions.
//!
//! # Unknown rounding
//!
//! A 32-bit loss may hide coarser rounding: parts of a model may run in 16 bits.
//!
//! On a line [with unknown rounding](crate::LossLine::with_unknown_rounding), the search fits a quartic to six
//! evaluations within 12% of the crossing. The residual is the [scatter](crate::Scatter). The resolution is twice its
//! standard deviation, times 1 + 4/n for n evaluations beyond the coefficients, or the step height if all rises are
//! multiples of it. If this resolution matters to η_c, the search adds seven evaluations. If it leaves η_c uncertain by
//! more than 1%, the bracket must be narrower than 6%, within 24 evaluations.
//!
//! If rounding is [likely known](crate::LossLine::with_likely_rounding), the six evaluations lie within 1.5% of the
//! crossing, since the bends of a real loss would pass for rounding within 12%. A single jump does not count as
//! rounding, nor does an explosion beyond the crossing. If all changes are multiples of one quantum, a fall of up to
//! eight quanta counts as rounding.
//!
//! The search looks at rounding on the first line, the 8th, the 64th and so on (if rounding is likely known, on the
//! second, the 512th and so on), and when rounding matters or may have changed.
//!
//! # On a real line
//!
#![doc = include_str!("../docs/search.svg")]
//!
//! (`cargo run -p search-bench -- --gpt-steps 200 --gpt-every 5 --picture search.svg`)
//!
//! # Worst case
//!
//! For any function, if rounding hides nothing: until a rise and a fall enclose a crossing, at most two evaluations
//! advance by less than a factor 2, none by more than 8, and no retreat exceeds 16. From then on, projection as in the
//! ITP method (I. F. D. Oliveira and R. H. C. Takahashi, *An Enhancement of the Bisection Method Average Performance
//! Preserving Minmax Optimality*, ACM Trans. Math. Softw. 47, 2020) ends at most one evaluation later than bisection of
//! log η. From a first evaluation at g to a bracket that ends at η, with a tolerance ε, an accuracy a and w = min(ε,
//! a/(1 + a)), a width sure to be accurate, the search makes at most
//!
//! ```text
//! 4 + ⌈|log₂(η/g)|⌉ + ⌈log₂(ln 16 / −ln(1 − w))⌉ + 1
//! ```
//!
//! evaluations plus the checks above; the published estimator makes 1 + ⌈|log₂(η/g)|⌉ + ⌈log₂(1/ε)⌉. Beyond the
//! doublings that is 13 at the defaults, against 5 for the published estimator at 1/16.
