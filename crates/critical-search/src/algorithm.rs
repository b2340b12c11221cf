//! Explains how the guided search works (documentation only).
//!
//! The [default method](crate::Method::Guided) finds η_c as the root of h(η) = f(η)/η, the rise per learning rate,
//! which is nearly linear close to that root.
//!
//! # The number and its certificate
//!
//! Two evaluations with f(lower) ≤ 0 < f(upper) certify that η_c lies between them. Within the bracket, η_c is the root
//! of the quadratic h through both ends and the nearest third point, as in Muller's method (D. E. Muller, *A Method for
//! Solving Algebraic Equations Using an Automatic Computer*, Math. Tables Aids Comput. 10, 1956). The third point is
//! another evaluation, or h(0) = −g·Δθ if the slope belongs to the evaluated loss. Without a third point, η_c is the
//! root of the straight h.
//!
//! # The stated error
//!
//! The two ends certify a change of sign. The error of the root between them is an estimate, which assumes a smooth
//! loss. So the [stated error](crate::Bracket::relative_error) includes terms that react to a rough loss, and a factor
//! learned during the run.
//!
//! - *Interpolation*: half the disagreement between this root and the root of the straight h; with four points, the
//!   whole disagreement between two quadratics; plus 0.2 (η_c − lower)(upper − η_c)/η_c² (0.4 without h(0)) for bends
//!   that no point shows.
//! - *Surprise*: 0.15 of the distance that the last evaluation moved the root from its predicted place. A jump or kink
//!   between the ends puts that evaluation off the smooth line.
//! - *Explosion*: up to a quarter of the distance to the farther end, if the loss is very much higher at the upper end
//!   (12 to 60 times the fall) and still near its lowest at the lower end, or if it rises between the ends 12 to 60 times
//!   faster than it falls at 0. A polynomial through such points has its
//!   root at the lower end, whatever the loss does in between, so the search halves the bracket instead.
//! - *Reserve*: half of the sum above, a further 0.6 (1.3 without h(0)) of the product above, and with three points up
//!   to 0.25% for bends narrower than the spacing of the points. The search states this part but spends no evaluation
//!   on it.
//! - *Rounding*: the resolution of the loss over f′(η_c), by the weights of the points; plus 0.1% if rounding is not
//!   known.
//!
//! All but the last are at most the distance to the farther end. The search ends when the bracket is as narrow as the
//! [`tolerance`](crate::SearchConfig::tolerance) and the first three parts are within the
//! [`accuracy`](crate::SearchConfig::accuracy).
//!
//! **Calibration.** On the first six lines and every sixteenth line (every 32nd while the errors found are small), the search
//! evaluates the loss *at the root* before reporting it. Any evaluation after the bracket was narrow enough also counts as a check. Each check gives the actual error
//! in units of the error expected of a smooth loss. The calibration factor is twice the recent root mean square of these
//! ratios, or 0.6 of the largest, which fades by one per cent a line. It lies between 1 and 50 and multiplies every error but
//! rounding. The accuracy is compared with the interpolation, surprise and explosion terms times the first of the two alone, down
//! to a factor of 0.9 after six checks of a calm run: a single large error widens what the search states, not what it asks of each line. Above
//! 3, the whole stated error must be within the accuracy. On a loss that jumps, the search therefore
//! narrows its brackets until the ends alone give the error.
//!
//! Results on the recorded lines of this crate's tests, at the defaults and once warm:
//!
//! | training | evaluations | rms error | largest | published at 1/16 |
//! |---|---|---|---|---|
//! | GPT, AdamW | 2.36 | 0.15% | 0.8% | 6.03, 1.5% rms |
//! | full-batch gradient descent | 2.07 | 0.04% | 0.2% | 5.63, 1.8% rms |
//! | mini-batch momentum SGD | 2.33 | 0.20% | 1.7% | 5.92, 1.4% rms |
//!
//! No error exceeds three times its stated error. Of 4,800 lines with jumps, 0.2% are beyond three times the stated
//! error and 0.1% are off by more than 5%, at 3.6 evaluations a line; explosions take 6.8. (`cargo test -p
//! critical-search --test accuracy --test audits -- --nocapture` prints these figures, and others for other tolerances
//! and accuracies.)
//!
//! # Checks before a report
//!
//! - *The slope.* Equal losses do not imply equal gradients: a stopped gradient, manual clipping or a scaled loss has
//!   another slope than the [known](crate::LossLine::with_slope) slope. On at least two lines, then at the 64th, the
//!   512th and so on, the search evaluates at 0.03 η_c and, while the line still bends there, at an eighth of that
//!   distance and once more. If the line is straight there and its slope differs by more than a fifth, the search
//!   refutes all known slopes of the run. If the slope claims that the loss rises, one evaluation that rises confirms
//!   it.
//! - *The rate in use*, if the [caller gave it](crate::LossLine::with_rate_in_use) and it lies below the bracket: on
//!   the first lines of a run, and on every line while the calibration factor is above 3. On smooth losses this check
//!   never finds anything, so it is not worth a pass on each line.
//! - *Below the bracket*, if [`verification`](crate::SearchConfig::verification) asks for it: at half of `lower`, half
//!   of that and so on, for the given number of halvings or until rounding would hide a rise as steep as the rise at
//!   η_c. It misses no rise that lasts for a factor of 2.
//! - *Everywhere*, before the search reports that a loss does not rise: at the rate in use, and at ratios of 2 up to
//!   the limit. If the loss rises there by more than its type rounds, though less than it rounds further out, the
//!   outcome is [`BelowResolution`](crate::Outcome::BelowResolution).
//!
//! # The next learning rate
//!
//! ```text
//! next(trace):
//!     nothing evaluated     the prediction from earlier searches and this line's slope; if the guess is below a predicted
//!                           fall of a tenth of the loss, or beyond the whole loss: the rate with that fall
//!     no rise yet           above the estimate, by a fifth of its distance and a bit of the tolerance
//!     no fall yet           below it, likewise
//!     both, too wide        the estimate moved so that it closes the bracket
//!     both, too inaccurate  the estimate
//! ```
//!
//! A bracket needs at least two evaluations. The search places the first at the predicted η_c: it becomes one end of
//! the bracket unless the prediction is off by more than the tolerance. (On recorded lines, no shift to either side
//! does better.)
//!
//! The prediction is the last η_c or the mean, whichever has recently done better, times a power of the change in
//! g·Δθ/‖Δθ‖², since η_c = 2 g·Δθ/(q‖Δθ‖²) on a parabola with the curvature q along the update. The search learns the
//! power from the changes of both from line to line, and uses 0 unless it explains three tenths of the changes of η_c.
//! It is about 0.5 for the momentum SGD of the table, and 0 for the GPT.
//!
//! After the first evaluation, the shape of recent lines gives an estimate, h ≈ −(g·Δθ)(1 − η/η_c)(1 + κη), since the
//! bend κ changes slowly between training steps; the second evaluation lies just beyond it. From three points on, the
//! estimate is the root of the quadratic through the nearest three or, if it has no root in the bracket, of the inverse
//! quadratic, as in Brent's method (R. P. Brent, *Algorithms for Minimization without Derivatives*, 1973, chapter 4).
//!
//! # Without a known slope
//!
//! A [hint](crate::LossLine::with_slope_hint), or no slope at all, proves nothing. To estimate η_c from one evaluation,
//! [`Guess::learn`](crate::Guess::learn) keeps f′(η_c) of recent lines and its ratio to the hint, and uses the better
//! predictor. A warm search takes about three evaluations, since without h(0) it must evaluate a third point.
//!
//! # Rounding never makes a number
//!
//! Rounding may hide any change within twice the [resolution](crate::LossLine::resolution). Until a fall is larger,
//! there is no bracket, whatever the signs.
//!
//! - If rounding hides everything, the search goes further out.
//! - If a hidden change and a rise are more than a factor 4 apart, it looks between them, and then at half the hidden
//!   rate, in case that rate is at the root.
//! - If no fall shows there, it extrapolates the two smallest clear rises to h(0). If the slope says that the loss
//!   falls, a positive h(0) means [`NotDescent`](crate::Outcome::NotDescent), unless looks at rounding have raised the
//!   resolution. Without a slope, as for a task at its own minimum, a non-negative h(0) suffices.
//! - Everything else is [`BelowResolution`](crate::Outcome::BelowResolution).
//!
//! # Unknown rounding
//!
//! A loss rounds inside, not in its value: a mean of differences of logits keeps their rounding while it goes to 0, and
//! parts of a model may run in 16 bits. So the search measures rounding, in units of the loss.
//!
//! On a line [with unknown rounding](crate::LossLine::with_unknown_rounding), the search fits a quartic to six
//! evaluations within 12% of the crossing that it is about to report; the residual is the [scatter](crate::Scatter).
//! The resolution is then twice its standard deviation, times 1 + 4/n for n evaluations beyond the coefficients of the
//! curve, since a few may agree by chance; or the step height, if all rises are multiples of it. If that matters to
//! η_c, the search adds seven evaluations; if it hides the result, the search goes on.
//!
//! If rounding is [likely known](crate::LossLine::with_likely_rounding), the six lie within 1.5%, since within 12% the
//! bends of a real loss would pass for rounding. A single jump among them does not count as rounding, and several looks
//! vote. If the loss explodes beyond the crossing (to 64 times its deepest fall), the falls alone show rounding. If neighbours agree to the bit, they lie on one tread of a staircase, and the look moves eight and thirty-two
//! times as far out. If all changes are multiples of one quantum, a fall of up to eight quanta counts as rounding.
//!
//! A look is due:
//!
//! - at the first line, the 8th, the 64th and so on; if rounding is likely known, at the second, the 512th and so on;
//! - on one line in 8 or 16 if rounding matters;
//! - when the level of the loss has changed by a factor of 8, or the fall is within 128 times the resolution;
//! - when η_c differs from the prediction by a factor of 4 to 12;
//! - when earlier looks would hide the result.
//!
//! Of about 20,000 results on 30,000 generated lines with noise and steps of up to three times the fall, three are off by more than
//! three times their stated error (`cargo test -p critical-search --test rounding -- --nocapture`).
//!
//! # On a real line
//!
#![doc = include_str!("../docs/search.svg")]
//!
//! (`cargo run -p search-bench -- --gpt-steps 200 --gpt-every 5 --picture search.svg`)
//!
//! # Worst case
//!
//! For any function at all, if rounding hides nothing: until a rise and a fall enclose a crossing, at most two
//! evaluations advance by less than a factor 2, no evaluation advances by more than 8, and no retreat exceeds 16. From
//! then on, the search projects each evaluation, as in the ITP method (I. F. D. Oliveira and R. H. C. Takahashi, *An
//! Enhancement of the Bisection Method Average Performance Preserving Minmax Optimality*, ACM Trans. Math. Softw. 47,
//! 2020): bisection of log η from there ends at most one evaluation later than bisection throughout. A bracket of width
//! a/(1 + a) is sure to be accurate to a. From a first evaluation at g to a bracket that ends at η, with a tolerance ε,
//! an accuracy a and w = min(ε, a/(1 + a)), the search makes at most
//!
//! ```text
//! 4 + ⌈|log₂(η/g)|⌉ + ⌈log₂(ln 16 / −ln(1 − w))⌉ + 1
//! ```
//!
//! evaluations plus the checks above; the published estimator makes 1 + ⌈|log₂(η/g)|⌉ + ⌈log₂(1/ε)⌉. At the defaults the
//! bound is 13 beyond the doublings, against 5 for the published estimator at 1/16.
