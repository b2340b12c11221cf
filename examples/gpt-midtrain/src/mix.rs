use crate::base::Base;
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
        let Base {
            batch,
            pretrain,
            target,
            device,
            ..
        } = self.base;
        let windows = |batches: usize| (self.ratio * (batches * batch) as f64).round() as usize;
        let of_pretrain = windows(self.made + 1) - windows(self.made);
        self.made += 1;
        let mut part = |source: &crate::base::Source, windows: usize| {
            (windows > 0).then(|| source.train.random_batch(windows, &mut self.random, device))
        };
        let pretrain = part(pretrain, of_pretrain);
        let target = part(target, batch - of_pretrain);
        TokenBatch::cat(pretrain.into_iter().chain(target).collect())
    }
}
