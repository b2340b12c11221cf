use crate::guard::without_panic;
use crate::text::stands_for_another;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use std::path::Path;
use std::str::FromStr;

/// Reads the parts of a `tokenizer.json` that determine the tokens of a text, and notes ignored settings.
///
/// Truncation and padding serve batches of short texts, and dropout makes other tokens each time. Post-processors only
/// add special tokens, and decoders are for the way back.
pub fn open<T: FromStr<Err = tokenizers::Error>>(path: &Path) -> Result<(T, Vec<String>)> {
    let unreadable = || format!("the tokenizer {} cannot be read", path.display());
    let (json, unapplied) = text_part(path).with_context(unreadable)?;
    let tokenizer = without_panic(|| json.parse().map_err(|error| anyhow!("{error}")));
    let tokenizer = tokenizer.with_context(unreadable)?;
    let note = (!unapplied.is_empty()).then(|| {
        let what = unapplied.join(" and ");
        let path = path.display();
        format!("{path} asks for {what}, which this program ignores: it uses the whole text")
    });
    Ok((tokenizer, note.into_iter().collect()))
}

fn text_part(path: &Path) -> Result<(String, Vec<&'static str>)> {
    let json = std::fs::read(path)?;
    if let Some(why) = stands_for_another(&json) {
        bail!("{why}");
    }
    let mut tokenizer: Value = serde_json::from_slice(&json)?;
    let mut unapplied = Vec::new();
    for (place, what) in [
        ("/truncation", Some("truncation")),
        ("/padding", Some("padding")),
        ("/model/dropout", Some("dropout")),
        ("/post_processor", None),
        ("/decoder", None),
    ] {
        if let Some(value) = tokenizer.pointer_mut(place) {
            let is_asked = !value.is_null() && value.as_f64() != Some(0.0);
            unapplied.extend(what.filter(|_| is_asked));
            *value = Value::Null;
        }
    }
    Ok((tokenizer.to_string(), unapplied))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Tokenizer;

    #[test]
    fn what_makes_other_tokens_of_a_text_is_not_applied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let text = "The learning rate is above the critical learning rate.\n".repeat(4000);
        let tokenizer = Tokenizer::train(&text, 280).unwrap();
        tokenizer.save(&path).unwrap();
        let tokens = tokenizer.encode(&text).unwrap();
        let saved: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let truncation = |stride: usize| serde_json::json!({"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": stride});
        let padding = serde_json::json!({"strategy": {"Fixed": 65536}, "direction": "Left", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "!"});
        let odd = serde_json::json!({"type": "ByteLevel", "odd": [1]});
        for (place, value, said) in [
            ("/truncation", truncation(0), "truncation"),
            ("/truncation", truncation(16), "truncation"),
            ("/padding", padding, "padding"),
            ("/model/dropout", 0.5.into(), "dropout"),
            ("/model/dropout", 0.0.into(), ""),
            ("/decoder", odd, ""),
            ("/decoder", "damaged".into(), ""),
            ("/post_processor", 7.into(), ""),
        ] {
            let mut changed = saved.clone();
            *changed.pointer_mut(place).unwrap() = value;
            std::fs::write(&path, changed.to_string()).unwrap();
            let (any, notes) = open::<tokenizers::Tokenizer>(&path).unwrap();
            assert_eq!(notes.is_empty(), said.is_empty(), "{place} {notes:?}");
            assert!(notes.iter().all(|note| note.contains(said)));
            let encoding = any.encode_fast(&*text, false).unwrap();
            assert!(encoding.get_ids() == tokens, "{place}");
            let loaded = Tokenizer::load(&path).unwrap();
            assert!(loaded.encode(&text).unwrap() == tokens, "{place}");
        }
    }

    #[test]
    fn a_damaged_tokenizer_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let refused = |content: &str| {
            std::fs::write(&path, content).unwrap();
            format!("{:#}", open::<tokenizers::Tokenizer>(&path).err().unwrap())
        };
        let pointer = refused("version https://git-lfs.github.com/spec/v1\noid sha256:4d\n");
        assert!(pointer.contains("git lfs pull"), "{pointer}");
        for damaged in [
            "",
            "[]",
            "{}",
            r#"{"model": 3}"#,
            r#"{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}"#,
            r#"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}"#,
            r#"{"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 9}}"#,
        ] {
            let error = refused(damaged);
            assert!(error.contains("tokenizer.json cannot be read: "), "{error}");
        }
    }
}
