use crate::base::{Base, Source};
use gpt::tokens::TokenBatch;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub struct Mix<'a> {
    base: &'a Base,
    ratio: f64,
    made: usize,
    random: StdRng,
}

impl<'a> Mix<'a> {
    /// A seed draws from the same places of the texts, whatever the fraction.
    pub fn new(base: &'a Base, ratio: f64) -> Self {
        Self {
            base,
            ratio,
            made: 0,
            random: StdRng::seed_from_u64(base.seed.wrapping_add(1)),
        }
    }

    /// Several batches together meet a fraction that is no whole number of windows.
    pub fn next_batch(&mut self) -> TokenBatch {
        let (base, batch) = (self.base, self.base.batch);
        let windows = |batches: usize| (self.ratio * (batches * batch) as f64).round() as usize;
        let of_pretrain = windows(self.made + 1) - windows(self.made);
        self.made += 1;
        let random = &mut self.random;
        let mut part = |source: &Source, windows: usize| {
            (windows > 0).then(|| source.train.random_batch(windows, random, &base.device))
        };
        let pretrain = part(&base.pretrain, of_pretrain);
        let target = part(&base.target, batch - of_pretrain);
        TokenBatch::cat(pretrain.into_iter().chain(target).collect())
    }
}
