//! How the guided search works (documentation only).
//!
//! It is the [default method](crate::Method::Guided) and looks for the root of the rise per learning
//! rate, h(η) = f(η)/η. That root is η_c, and h is close to linear near it.
//!
//! # The number and its certificate
//!
//! Two evaluations with f(lower) ≤ 0 < f(upper) certify that η_c lies between them. How well it is
//! known there is another question: η_c is the root of the quadratic h through both ends and the
//! nearest third point, as in Muller's method (D. E. Muller, *A Method for Solving Algebraic Equations
//! Using an Automatic Computer*, Math. Tables Aids Comput. 10, 1956). The third point is another
//! evaluation, or h(0) = −g·Δθ where the slope is that of the loss evaluated. Without a third point η_c
//! is the root of the straight h.
//!
//! # The stated error
//!
//! Two evaluations certify that the loss changes sign between them. The error of the root beside them is an estimate: it
//! assumes that the loss is smooth there. So the [stated error](crate::Bracket::relative_error) has parts that look for the
//! opposite, and a factor that the run itself has taught.
//!
//! - *Interpolation*: half of what this root and the root of the straight h disagree by; with four points, all of what two
//!   quadratics disagree by; and 0.2 of (η_c − lower)(upper − η_c)/η_c², or 0.4 of it without h(0), for bends that no point
//!   shows.
//! - *Surprise*: 0.15 of how far the last evaluation moved the root from where the points before it had put it. If the loss
//!   jumps or has a kink between the ends, that evaluation is not where a smooth line predicts it.
//! - *Explosion*: up to a quarter of the distance to the farther end, if the loss is very much higher at the upper end
//!   (12 to 60 times the fall) and still about as low as it gets at the lower end. A polynomial through such points has its
//!   root at the lower end, whatever the loss does between; the search then halves the bracket instead.
//! - *Unasked*: half of all this again, a further 0.6 (1.3 without h(0)) of the product above, and with three points up to
//!   0.25% for bends narrower than the points are apart. It is stated, but no evaluation is spent on it.
//! - *Rounding*: the resolution of the loss over f′(η_c), by the weights of the points; and 0.1% if rounding is not known.
//!
//! All but the last are at most the distance to the farther end. The search ends when the bracket is as narrow as the
//! [`tolerance`](crate::SearchConfig::tolerance) and the first three parts are within the
//! [`accuracy`](crate::SearchConfig::accuracy).
//!
//! **Calibration.** At the first six lines and at every sixteenth, the search evaluates the loss *at the root* that it is about
//! to report. Every other evaluation after a bracket was narrow enough is such a check, too. What a check finds, in units
//! of the error that a smooth loss would have had, goes into a factor: twice the root mean square of late, or 0.6 of the
//! largest, which fades by a per cent a line. The factor is at least 1 and at most 50, and multiplies all errors but
//! rounding. From 1.5 on, all that is stated must be within the accuracy. So a loss that jumps is paid for: the search
//! narrows its brackets until the ends themselves state the error.
//!
//! On the recorded lines of this crate's tests, at the defaults and once warm:
//!
//! | training | evaluations | rms error | largest | published at 1/16 |
//! |---|---|---|---|---|
//! | GPT, AdamW | 2.43 | 0.15% | 0.8% | 6.03, 1.5% rms |
//! | full-batch gradient descent | 2.11 | 0.04% | 0.2% | 5.63, 1.8% rms |
//! | mini-batch momentum SGD | 2.35 | 0.21% | 1.7% | 5.92, 1.4% rms |
//!
//! None of these errors is beyond the stated one three times. Of 4,800 lines with jumps, 0.2% are beyond three times the stated
//! error and 0.1% are off by more than 5%, at 3.6 evaluations; explosions take 6.8. (`cargo test -p critical-search --test
//! accuracy --test audits -- --nocapture` prints these, and other tolerances and accuracies.)
//!
//! # What else is looked at before a report
//!
//! - *The slope.* Equal losses prove no equal gradients: a stopped gradient, clipping by hand or a scaled loss have another slope
//!   than the one that is said to be [known](crate::LossLine::with_slope). At two lines at least, at the 8th, the 64th and so on,
//!   the search looks at 0.03 η_c and, as long as the line bends there, at an eighth of that and again. A line that is
//!   straight there and falls by another slope, by more than a fifth, refutes all known slopes of the run. A slope that says
//!   the loss rises is believed after one evaluation that rises.
//! - *The rate in use*, if it is [told](crate::LossLine::with_rate_in_use) and lies below the bracket: at the lines whose root is
//!   checked, and at every line while the factor is above 3. On smooth losses it never finds anything, so it is not worth a
//!   pass at each line.
//! - *Below the bracket*, if [`verification`](crate::SearchConfig::verification) asks for it: at half of `lower`, half of that and so
//!   on, until so many halvings are looked at or rounding would hide a rise as steep as the one at η_c. It misses no rise that
//!   lasts for a factor of 2.
//! - *Everywhere*, before a loss is said not to rise: at the rate in use, and at ratios of 2 up to the limit.
//!
//! # Where to look
//!
//! ```text
//! next(trace):
//!     nothing evaluated     what earlier searches and this line's slope predict; else where the slope predicts a fall of a
//!                           tenth of the loss, if the guess is below that or beyond all of the loss
//!     no rise yet           above the estimate, by a fifth of its distance and a bit of the tolerance
//!     no fall yet           below it, likewise
//!     both, too wide        the estimate moved so that it closes the bracket
//!     both, too inaccurate  the estimate
//! ```
//!
//! Two evaluations are the least that a bracket needs. The first is placed at the prediction: whichever
//! side of η_c it turns out to be on, it is that end of the bracket unless the prediction was off by
//! more than the tolerance. (On recorded lines, no shift to one side does better.) What predicts η_c are the last
//! ones, or their mean, whichever has done better of late; times a power of what g·Δθ/‖Δθ‖² has changed by, since
//! η_c = 2 g·Δθ/(q‖Δθ‖²) on a parabola with the curvature q along the update. The power is learned, from the changes of
//! both from line to line, and is 0 unless it explains three tenths of what η_c changes by: it is about 0.5 for the momentum
//! SGD of the table, and 0 for the GPT. From the first evaluation, the
//! shape of the last lines gives an estimate, h ≈ −(g·Δθ)(1 − η/η_c)(1 + κη), where the bend κ
//! changes slowly from one step of training to the next; the second evaluation is placed beyond it.
//! From three points on, the estimate is the root of the quadratic through the three nearest; where it
//! has none in the bracket, of the inverse one, as in Brent's method (R. P. Brent, *Algorithms for
//! Minimization without Derivatives*, 1973, chapter 4).
//!
//! # Without a known slope
//!
//! A [hint](crate::LossLine::with_slope_hint), or no slope at all, proves nothing. For the estimate
//! from one evaluation, [`Guess::learn`](crate::Guess::learn) keeps f′(η_c) of the last lines, and its
//! ratio to the hint, and uses whichever has predicted better. A warm search takes about three
//! evaluations, since without h(0) a third point must be evaluated.
//!
//! # No number made by rounding
//!
//! A change within twice the [resolution](crate::LossLine::resolution) is hidden. As long as no fall
//! is larger than that, there is no bracket, whatever the signs: the search goes further out
//! if all is hidden; between a hidden change and a rise if they are more than a factor 4 apart;
//! and then to half the hidden one, in case that is at the root. If no fall shows there, the two smallest clear rises are
//! extrapolated to h(0). With a slope that says the loss falls, a positive h(0) makes it
//! [`NotDescent`](crate::Outcome::NotDescent), and nothing does if looks at rounding have raised the resolution; without any slope, as
//! for a task at its own minimum, an h(0) that is not negative does. Everything else is
//! [`BelowResolution`](crate::Outcome::BelowResolution).
//!
//! # Rounding that nothing tells of
//!
//! What rounds is the inside of a loss, not its value: a mean of differences of logits keeps their rounding while it goes to 0, and
//! parts of a model may be computed in 16 bits. So rounding is measured, and kept in units of the loss.
//!
//! On a line [with unknown rounding](crate::LossLine::with_unknown_rounding), the search looks before it ends: six
//! evaluations within 12% of the crossing that it would report are fitted by a quartic, and what is left
//! is the [scatter](crate::Scatter). The resolution is then twice its standard deviation, times 1 + 4/n for n
//! evaluations more than the curve has coefficients, since a few may agree by chance; or the height of
//! the steps, if all rises are multiples of one. If that matters to η_c, seven more are made; if it hides what
//! the search has found, the search goes on.
//!
//! If rounding is [likely known](crate::LossLine::with_likely_rounding), the six lie within 1.5%, since the bends of a real loss would
//! pass for rounding within 12%. A single jump among them is not rounding, and several looks vote. If neighbours are the
//! same to the bit, they lie on one tread of a staircase, and the look goes on eight and thirty-two times as far out. Changes that all
//! are multiples of one quantum make a fall of eight quanta rounding.
//!
//! A look is due at the first line (the second if rounding is likely known), at the 8th, the 64th and so on (at the 512th), at one line
//! in 8 or 16 where rounding matters, when the level of the loss has changed by a factor of 8, when the fall is within 128 times
//! the resolution, when η_c is 4 to 12 times another than predicted, and when earlier looks would hide the result.
//!
//! Of about 20,000 numbers on 30,000 generated lines with noise and steps of up to three times the fall, three are off by more than
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
//! For any function whatever, where rounding hides nothing: until a rise and a fall enclose a
//! crossing, at most two evaluations advance by less than a factor 2, and none by more than 8, or retreat by more than 16. From
//! then on, each is projected, as in the ITP method (I. F. D. Oliveira and R. H. C. Takahashi, *An
//! Enhancement of the Bisection Method Average Performance Preserving Minmax Optimality*, ACM Trans.
//! Math. Softw. 47, 2020), to where bisection of log η from there on ends in time: at most one
//! evaluation later than if all had been bisection. A bracket of width a/(1 + a) is sure to be accurate
//! to a. So from a first evaluation at g to a bracket that ends at η, with a tolerance ε and an
//! accuracy a, and w = min(ε, a/(1 + a)), this makes at most
//!
//! ```text
//! 4 + ⌈|log₂(η/g)|⌉ + ⌈log₂(ln 16 / −ln(1 − w))⌉ + 1
//! ```
//!
//! evaluations and those of the looks above, where the published estimator makes 1 + ⌈|log₂(η/g)|⌉ + ⌈log₂(1/ε)⌉. At the
//! defaults that is 13 at the worst beyond the doublings, against 5 for the published one at 1/16.
