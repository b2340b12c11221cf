//! Text to tokens: byte-pair encoding trained on the text, or plain bytes.

use anyhow::{Result, anyhow, ensure};
use std::path::Path;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper};
use tokenizers::{PreTokenizerWrapper, TokenizerBuilder, TokenizerImpl};

/// How much text the byte pairs are learned from: more changes little and takes its time.
const TRAINING_BYTES: usize = 2_000_000;
/// The length of the pieces that are encoded in parallel.
const PIECE_BYTES: usize = 1 << 16;

type BytePairs = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// A tokenizer.
pub enum Tokenizer {
    /// Byte-level byte-pair encoding.
    BytePairs(Box<BytePairs>),
    /// Each byte is a token.
    Bytes,
}

impl Tokenizer {
    /// Learns a vocabulary of this size from the beginning of a text.
    ///
    /// # Errors
    ///
    /// If the vocabulary cannot hold even the 256 bytes, or is larger than the text yields.
    pub fn train(text: &str, vocab: usize) -> Result<Self> {
        ensure!(
            vocab >= 256,
            "the vocabulary is {vocab}, but a byte-level one has at least 256 tokens"
        );
        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(vocab)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut tokenizer: BytePairs = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(None)
            .with_pre_tokenizer(Some(ByteLevel::new(false, true, true).into()))
            .with_post_processor(None)
            .with_decoder(Some(ByteLevel::default().into()))
            .build()
            .map_err(wrap)?;
        let sample = &text[..text.floor_char_boundary(TRAINING_BYTES)];
        tokenizer
            .train(&mut trainer, sample.lines())
            .map_err(wrap)?;
        let learned = tokenizer.get_vocab_size(false);
        ensure!(
            learned == vocab,
            "the text yields a vocabulary of {learned} tokens only, not {vocab}: choose a smaller one, or give more text"
        );
        Ok(Self::BytePairs(Box::new(tokenizer)))
    }

    /// Reads a tokenizer that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let tokenizer = BytePairs::from_file(path)
            .map_err(|error| anyhow!("the tokenizer {} cannot be read: {error}", path.display()))?;
        Ok(Self::BytePairs(Box::new(tokenizer)))
    }

    /// Writes the tokenizer in the format of `tokenizer.json`. Bytes need no file.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        match self {
            Self::BytePairs(tokenizer) => tokenizer.save(path, false).map_err(|error| {
                anyhow!(
                    "the tokenizer {} cannot be written: {error}",
                    path.display()
                )
            }),
            Self::Bytes => Ok(()),
        }
    }

    /// The number of different tokens.
    pub fn vocab(&self) -> usize {
        match self {
            Self::BytePairs(tokenizer) => tokenizer.get_vocab_size(false),
            Self::Bytes => 256,
        }
    }

    /// The tokens of a text.
    ///
    /// # Errors
    ///
    /// If the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let Self::BytePairs(tokenizer) = self else {
            return Ok(text.bytes().map(u32::from).collect());
        };
        let encodings = tokenizer
            .encode_batch_fast(pieces(text), false)
            .map_err(wrap)?;
        Ok(encodings
            .iter()
            .flat_map(|encoding| encoding.get_ids().iter().copied())
            .collect())
    }
}

/// Splits a text at ends of lines into pieces of about the same length.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let bound = rest.floor_char_boundary(PIECE_BYTES);
        let end = rest[bound..]
            .find('\n')
            .map_or(rest.len(), |end| bound + end + 1);
        let (piece, tail) = rest.split_at(end);
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

fn wrap(error: tokenizers::Error) -> anyhow::Error {
    anyhow!("the tokenizer failed: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        "The learning rate is above the critical learning rate.\n".repeat(4000)
    }

    #[test]
    fn byte_pairs_shorten_the_text_and_survive_a_file() {
        let tokenizer = Tokenizer::train(&text(), 280).unwrap();
        assert_eq!(tokenizer.vocab(), 280);
        let tokens = tokenizer.encode(&text()).unwrap();
        assert!(tokens.len() < text().len() / 2);
        assert!(tokens.iter().all(|token| *token < 280));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        tokenizer.save(&path).unwrap();
        let loaded = Tokenizer::load(&path).unwrap();
        assert_eq!(loaded.encode(&text()).unwrap(), tokens);
    }

    #[test]
    fn bytes_are_tokens_too() {
        assert_eq!(Tokenizer::Bytes.encode("é!").unwrap(), [0xc3, 0xa9, 0x21]);
        assert_eq!(Tokenizer::Bytes.vocab(), 256);
    }

    #[test]
    fn impossible_vocabularies_are_named() {
        let refused = |vocab| Tokenizer::train(&text(), vocab).err().unwrap().to_string();
        assert!(refused(100).contains("100"));
        assert!(refused(100_000).contains("100000"));
    }

    #[test]
    fn pieces_make_up_the_text() {
        let text = text();
        let pieces = pieces(&text);
        assert!(pieces.len() > 2);
        assert_eq!(pieces.concat(), text);
    }
}
