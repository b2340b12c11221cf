//! How the guided search works (documentation only).
//!
//! It is the [default method](crate::Method::Guided) and interpolates the rise per learning rate,
//! h(η) = f(η)/η.
//!
//! h(0) = −g·Δθ is known for free, h is close to linear near its root, and that root is η_c. Where
//! h is seen from one evaluation only, the shape of the last lines completes it:
//! h ≈ −(g·Δθ)(1 − η/η_c)(1 + κη), where the bend κ changes slowly from one step of training to the
//! next. From three points on, h is interpolated by the quadratic through the three nearest to the
//! root, as in Muller's method (D. E. Muller, *A Method for Solving Algebraic Equations Using an
//! Automatic Computer*, Math. Tables Aids Comput. 10, 1956), since h may fall before it rises and then
//! has no inverse; where that quadratic has no root in the bracket, inversely, as in Brent's method
//! (R. P. Brent, *Algorithms for Minimization without Derivatives*, 1973, chapter 4). The last two
//! evaluations are placed on both sides of the root found, so close that the bracket is certified.
//!
//! # On a real line
//!
//! The line of a step of a GPT's training, and the three evaluations of its search: the first where
//! earlier lines let expect the root, the other two on both sides of where this line has it.
#![doc = include_str!("../docs/search.svg")]
//!
//! (`cargo run -p search-bench -- --gpt-steps 200 --gpt-every 5 --picture search.svg`)
//!
//! # In pseudo-code
//!
//! ```text
//! next(trace):
//!     nothing evaluated      the guess
//!     no rise yet            just above the estimate; at least 2 × lower if two steps behind
//!     no fall yet            just below the estimate; at most upper / 2 if two steps behind;
//!                            upper / 16 where no slope is known and h seems to have no root
//!     both                   the estimate moved so that it closes the bracket, projected to where
//!                            bisection still ends in time
//! ```
//!
//! The estimate is the root of h on the shape of the last lines while there is one evaluation, and by
//! a quadratic from two on (with h(0)); without a slope, by the secant. A first guess is what
//! [`Guess::learn`](crate::Guess::learn) has kept: the mean of the last η_c, or the last one where that
//! has predicted clearly better.
//!
//! # Worst case
//!
//! For any function whatever: until a rise and a fall enclose a crossing, at most two
//! evaluations advance by less than a factor 2, and none by more than 16. From then on, each is
//! projected, as in the ITP method (I. F. D. Oliveira and R. H. C. Takahashi, *An Enhancement of the
//! Bisection Method Average Performance Preserving Minmax Optimality*, ACM Trans. Math. Softw. 47,
//! 2020), to where bisection of log η from there on ends in time: at most one evaluation later than
//! if all had been bisection. From a guess g to a bracket that ends at η this makes at most
//!
//! ```text
//! 4 + ⌈|log₂(η/g)|⌉ + ⌈log₂(ln 16 / −ln(1 − ε))⌉ + 1
//! ```
//!
//! evaluations, where the published estimator makes 1 + ⌈|log₂(η/g)|⌉ + ⌈log₂(1/ε)⌉: six more at
//! the worst.
