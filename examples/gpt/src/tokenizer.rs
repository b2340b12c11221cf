use crate::guard::without_panic;
use crate::run::write_whole;
use crate::tokenizer_file;
use anyhow::{Result, anyhow, ensure};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper};
use tokenizers::{PreTokenizerWrapper, TokenizerBuilder, TokenizerImpl};

/// More text changes little and takes longer.
const TRAINING_BYTES: usize = 2_000_000;
/// The longest piece for learning and for parallel encoding.
const PIECE_BYTES: usize = 1 << 14;
/// Cuts DNA or base64: the time to learn and to encode grows with the square of a word's length.
const LONGEST_WORD: &str = ".{1,64}";
const INTERVAL: Duration = Duration::from_secs(5);

pub(crate) type BytePairs = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

pub enum Tokenizer {
    BytePairs(Box<BytePairs>),
    Bytes,
}

impl Tokenizer {
    /// Learns from the beginning of the text.
    pub fn train(text: &str, vocab: usize) -> Result<Self> {
        ensure!(
            vocab >= 256,
            "the vocabulary is {vocab}, but a byte-level one has at least 256 tokens"
        );
        let sample = &text[..text.floor_char_boundary(TRAINING_BYTES)];
        // Each merge takes at least a byte of the sample.
        ensure!(
            vocab <= 256 + sample.len(),
            "the vocabulary is {vocab}, more than {} bytes of text can yield: choose a smaller one (--vocab), or give more text",
            sample.len()
        );
        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(vocab)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        // The bytes are characters here, and no character ends a line.
        let words = SplitPattern::Regex(LONGEST_WORD.to_string());
        let words = Split::new(words, SplitDelimiterBehavior::Isolated, false).map_err(wrap)?;
        let words = Sequence::new(vec![ByteLevel::new(false, true, true).into(), words.into()]);
        let mut tokenizer: BytePairs = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(None)
            .with_pre_tokenizer(Some(words.into()))
            .with_post_processor(None)
            .with_decoder(Some(ByteLevel::default().into()))
            .build()
            .map_err(wrap)?;
        // Learn from the pieces that encoding uses, with their ends of lines.
        let megabytes = sample.len() as f64 / 1e6;
        let what = format!("learning {vocab} tokens from {megabytes:.1} MB of text");
        say_while(&what, || {
            let pieces = pieces(sample);
            tokenizer
                .train(&mut trainer, pieces.into_iter())
                .map(|_| ())
        })
        .map_err(wrap)?;
        let learned = tokenizer.get_vocab_size(false);
        ensure!(
            learned == vocab,
            "the text yields a vocabulary of {learned} tokens only, not {vocab}: choose a smaller one (--vocab), or give more text"
        );
        Ok(Self::BytePairs(Box::new(tokenizer)))
    }

    pub fn load(path: &Path) -> Result<Self> {
        let (tokenizer, notes) = tokenizer_file::open(path)?;
        for note in notes {
            say!("note    {note}");
        }
        Ok(Self::BytePairs(Box::new(tokenizer)))
    }

    /// Bytes need no file.
    pub fn save(&self, path: &Path) -> Result<()> {
        match self {
            Self::BytePairs(tokenizer) => {
                write_whole(path, tokenizer.to_string(false).map_err(wrap)?.as_bytes())
            }
            Self::Bytes => Ok(()),
        }
    }

    pub fn vocab(&self) -> usize {
        match self {
            Self::BytePairs(tokenizer) => tokenizer.get_vocab_size(false),
            Self::Bytes => 256,
        }
    }

    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let Self::BytePairs(tokenizer) = self else {
            return Ok(text.bytes().map(u32::from).collect());
        };
        let encode = || tokenizer.encode_batch_fast(pieces(text), false);
        let encodings = without_panic(|| encode().map_err(wrap))?;
        let tokens = encodings.iter().flat_map(|encoding| encoding.get_ids());
        Ok(tokens.copied().collect())
    }
}

fn say_while<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (done, wait) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let started = Instant::now();
            // The end of the work drops the sender.
            while wait.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                say!("tokens  {what}: {} s", started.elapsed().as_secs());
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// Splits after the last end of a line that fits, or before the last white space, or anywhere.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let most = rest.floor_char_boundary(PIECE_BYTES);
        let head = &rest[..most];
        let line_end = head.rfind('\n').map(|end| end + 1);
        let space = head.rfind(char::is_whitespace).filter(|place| *place > 0);
        let end = match most == rest.len() {
            true => most,
            false => line_end.or(space).unwrap_or(most),
        };
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
        assert!(refused(usize::MAX).contains("more than 220000 bytes of text can yield"));
    }

    #[test]
    fn pieces_make_up_the_text_and_none_is_long() {
        let no_end = "word ".repeat(20_000);
        let no_space = "é".repeat(50_000);
        let [spaces, ends] = [" ", "\n"].map(|space| space.repeat(50_000));
        for text in [text(), no_end, no_space, spaces, ends] {
            let pieces = pieces(&text);
            assert!(pieces.len() > 2);
            let mut lengths = pieces.iter().map(|piece| piece.len());
            assert!(lengths.all(|length| (1..=PIECE_BYTES).contains(&length)));
            assert_eq!(pieces.concat(), text);
        }
    }

    #[test]
    fn a_word_of_a_megabyte_is_learned_and_encoded_in_seconds() {
        let mut state = 1_u32;
        let mut letter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                [state as usize >> 26]
        };
        let base64: Vec<u8> = (0..1_000_000).map(|_| letter()).collect();
        let base64 = String::from_utf8(base64).unwrap();
        let started = Instant::now();
        for text in [base64, " ".repeat(1_000_000) + "a b ab ba aab"] {
            let tokenizer = Tokenizer::train(&text, 258).unwrap();
            assert!(tokenizer.encode(&text).unwrap().len() < text.len());
        }
        // Uncut words would take minutes.
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn ends_of_lines_are_learned_with_the_rest() {
        let text = "    }\n\n    fn next() {\n        ready();\n    }\n".repeat(2000);
        let tokenizer = Tokenizer::train(&text, 270).unwrap();
        let Tokenizer::BytePairs(pairs) = &tokenizer else {
            panic!("byte pairs");
        };
        let vocab = pairs.get_vocab(false);
        let with_line_end = vocab.keys().filter(|token| token.contains('Ċ'));
        assert!(with_line_end.count() > 1, "only the byte itself");
    }
}
