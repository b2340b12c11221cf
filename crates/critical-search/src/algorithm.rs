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
//! The [stated error](crate::Bracket::relative_error) is the sum of four:
//!
//! - half of what this root and that of the straight h disagree by; with four points, all of what two
//!   quadratics disagree by;
//! - 0.8 of (η_c − lower)(upper − η_c)/η_c², or 1.7 of it where h(0) is not known, for bends that no point
//!   shows;
//! - with three points, 0.15 of the relative distance to the nearer end, but at most 0.25%: for bends
//!   narrower than the points are apart;
//! - what rounding can do: the resolution of the loss over f′(η_c), by the weights of the points; and 0.1%
//!   where rounding is not known.
//!
//! The first two are at most the distance to the farther end. The search ends when the bracket is as
//! narrow as the [`tolerance`](crate::SearchConfig::tolerance) and the first two, with 0.2 or 0.4 instead of 0.8 or 1.7, are
//! within the [`accuracy`](crate::SearchConfig::accuracy), or within the error that rounding makes, which no evaluation can
//! lessen. So most of η_c are known better than they say, and those on lines that bend more than most as well as they say.
//!
//! On the recorded lines of this crate's tests, at the defaults and once warm:
//!
//! | training | evaluations | rms error | largest | published at 1/16 |
//! |---|---|---|---|---|
//! | GPT, AdamW | 2.23 | 0.18% | 0.7% | 6.03, 1.5% rms |
//! | full-batch gradient descent | 2.03 | 0.04% | 0.2% | 5.63, 1.8% rms |
//! | mini-batch momentum SGD | 2.21 | 0.25% | 1.7% | 5.92, 1.4% rms |
//!
//! None of these errors is beyond three times the stated one; of 8,606 generated lines with shapes that no
//! three points show, 2 are. (`cargo test -p critical-search --test accuracy --
//! --nocapture` prints these and other tolerances and accuracies.)
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
//! where all is hidden; between a hidden change and a rise where they are more than a factor 4 apart;
//! and then to half the hidden one, in case that is at the root. If no fall shows there, the line
//! rises at once (its two smallest clear rises extrapolate to h(0) > 0, and no slope is known):
//! [`NotDescent`](crate::Outcome::NotDescent); or it is
//! [`BelowResolution`](crate::Outcome::BelowResolution).
//!
//! # Rounding that nothing tells of
//!
//! A loss may be returned in 32-bit floats while parts of it are computed in 16: then it is a staircase, with
//! steps far larger than its units in the last place. On a line
//! [with unknown rounding](crate::LossLine::with_unknown_rounding), the search looks before it ends: six
//! evaluations within 12% of the crossing that it would report are fitted by a quartic, and what is left
//! is the [scatter](crate::Scatter). The resolution is then twice its standard deviation, times 1 + 4/n for n
//! evaluations more than the curve has coefficients, since a few may agree by chance; or the height of
//! the steps, if all rises are multiples of one. If that matters to η_c, seven more are made; if it hides what
//! the search has found, the search goes on.
//!
//! What was seen is remembered in parts of the loss. Where rounding does not matter, the next look is at the 8th
//! line, then at the 64th: on the recorded lines, which have none, that makes 2.35, 2.07 and 2.24 evaluations of the
//! 2.23, 2.03 and 2.21 above. Where rounding is [likely known](crate::LossLine::with_likely_rounding), the first look is at
//! the second line, the next at the 512th: four evaluations within 1.5% of the crossing and a cubic, since the bends of a real
//! loss would pass for rounding within 12%.
//!
//! Of 18,981 numbers on 30,000 generated lines with noise and steps of up to three times the fall, none is off by more than three times its stated error
//! (`cargo test -p critical-search --test rounding -- --nocapture`).
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
//! evaluations, where the published estimator makes 1 + ⌈|log₂(η/g)|⌉ + ⌈log₂(1/ε)⌉. At the
//! defaults that is 13 at the worst beyond the doublings, against 5 for the published one at 1/16.
