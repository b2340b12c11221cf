use anyhow::{Result, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::RngExt;
use rand::rngs::StdRng;
use std::sync::Arc;

/// Tokens `[batch, time]` and the token after each of them.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    pub inputs: Tensor<2, Int>,
    pub targets: Tensor<2, Int>,
}

impl TokenBatch {
    pub fn cat(batches: Vec<Self>) -> Self {
        let batches = batches.into_iter();
        let (inputs, targets) = batches.map(|batch| (batch.inputs, batch.targets)).unzip();
        Self {
            inputs: Tensor::cat(inputs, 0),
            targets: Tensor::cat(targets, 0),
        }
    }
}

#[derive(Clone)]
pub struct Windows {
    tokens: Arc<Vec<u32>>,
    context: usize,
}

impl Windows {
    /// `part` names the tokens in an error, such as "the text".
    pub fn new(tokens: Vec<u32>, context: usize, part: &str) -> Result<Self> {
        ensure!(
            tokens.len() > context,
            "{part} has {} tokens, too few for a context of {context}: give more text or choose a smaller context (--context)",
            tokens.len()
        );
        Ok(Self {
            tokens: Arc::new(tokens),
            context,
        })
    }

    /// Holds out the last twentieth of the tokens.
    pub fn split(mut tokens: Vec<u32>, context: usize, text: &str) -> Result<[Self; 2]> {
        let held_out = tokens.split_off(tokens.len() - tokens.len() / 20);
        let of_held_out = format!("the held-out twentieth of {text}");
        let train = Self::new(tokens, context, text)?;
        Ok([train, Self::new(held_out, context, &of_held_out)?])
    }

    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    fn starts(&self) -> usize {
        self.tokens.len() - self.context
    }

    pub fn random_batch(&self, windows: usize, random: &mut StdRng, device: &Device) -> TokenBatch {
        let starts = self.starts();
        let starts = (0..windows).map(|_| random.random_range(0..starts));
        self.batch(&starts.collect::<Vec<_>>(), device)
    }

    /// Returns one of several batches spread evenly over the tokens.
    pub fn even_batch(
        &self,
        index: usize,
        batches: usize,
        windows: usize,
        device: &Device,
    ) -> TokenBatch {
        let items = index * windows..(index + 1) * windows;
        let starts = items.map(|item| item * self.starts() / (windows * batches));
        self.batch(&starts.collect::<Vec<_>>(), device)
    }

    fn batch(&self, starts: &[usize], device: &Device) -> TokenBatch {
        let shape = [starts.len(), self.context];
        let tokens = |offset: usize| {
            let windows = starts.iter().flat_map(|start| {
                let first = start + offset;
                &self.tokens[first..first + self.context]
            });
            let tokens: Vec<i64> = windows.map(|token| i64::from(*token)).collect();
            Tensor::from_data(TensorData::new(tokens, shape), device)
        };
        TokenBatch {
            inputs: tokens(0),
            targets: tokens(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_tokens_are_named() {
        let error = Windows::new(vec![1, 2, 3], 3, "the text").err().unwrap();
        assert!(error.to_string().contains("the text has 3 tokens"));
        let error = Windows::split(vec![1; 100], 5, "the target text").err();
        let said = "the held-out twentieth of the target text has 5 tokens";
        assert!(error.unwrap().to_string().contains(said));
    }
}
