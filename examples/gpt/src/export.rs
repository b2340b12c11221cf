//! Exports a model in GPT-2's published layout: `config.json`, `model.safetensors`, `tokenizer.json`.

use crate::model::{Gpt, GptConfig};
use crate::run::{write_result, write_whole};
use crate::tokenizer::{BytePairs, Tokenizer};
use anyhow::{Context, Result, anyhow};
use burn::module::Module;
use burn_store::burn_pack::Tensor;
use burn_store::{
    BurnToPyTorchAdapter, ModuleAdapter, ModuleContext, ModuleSnapshot, SafetensorsStore,
};
use serde_json::json;
use std::path::Path;
use tokenizers::TokenizerBuilder;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

pub fn export(model: &Gpt, config: &GptConfig, tokenizer: &Tokenizer, folder: &Path) -> Result<()> {
    export_model(model, config, folder)?;
    let path = folder.join("tokenizer.json");
    match tokenizer {
        Tokenizer::BytePairs(_) => tokenizer.save(&path),
        Tokenizer::Bytes => save_bytes(&path),
    }
}

pub fn export_model(model: &Gpt, config: &GptConfig, folder: &Path) -> Result<()> {
    let unwritable = || format!("the export {} cannot be written", folder.display());
    std::fs::create_dir_all(folder).with_context(unwritable)?;
    let json = serde_json::to_string_pretty(&published_config(config))?;
    write_result(folder, "config.json", json)?;
    let mut store = SafetensorsStore::from_file(folder.join("model.safetensors"))
        .overwrite(true)
        .with_to_adapter(Published);
    let written = model.valid().save_into(&mut store);
    written
        .map_err(|error| anyhow!("{error}"))
        .with_context(unwritable)
}

fn published_config(config: &GptConfig) -> serde_json::Value {
    json!({
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.vocab,
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        // The model's GELU is exact.
        "activation_function": "gelu",
        "layer_norm_epsilon": 1e-5,
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "attn_pdrop": 0.0,
        "tie_word_embeddings": config.tied,
    })
}

/// GPT-2 lays out the weights of its linear layers as burn does, except the output layer's.
#[derive(Clone)]
struct Published;

impl ModuleAdapter for Published {
    fn adapt(&self, tensor: Tensor, context: ModuleContext<'_>) -> Tensor {
        let mut tensor = if tensor.name.starts_with("head.") {
            BurnToPyTorchAdapter.adapt(tensor, context)
        } else {
            tensor
        };
        let parts = tensor.name.split('.').map(published_name);
        tensor.name = parts.collect::<Vec<_>>().join(".");
        tensor
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

fn published_name(part: &str) -> &str {
    match part {
        "tokens" => "transformer.wte",
        "positions" => "transformer.wpe",
        "blocks" => "transformer.h",
        "attention_norm" => "ln_1",
        "query_key_value" => "attn.c_attn",
        "attention_out" => "attn.c_proj",
        "mlp_norm" => "ln_2",
        "mlp_in" => "mlp.c_fc",
        "mlp_out" => "mlp.c_proj",
        "norm" => "transformer.ln_f",
        "head" => "lm_head",
        "gamma" => "weight",
        "beta" => "bias",
        other => other,
    }
}

/// Byte-level byte pairs without merges.
fn save_bytes(path: &Path) -> Result<()> {
    let shown = path.display();
    let failed =
        |error: tokenizers::Error| anyhow!("the tokenizer {shown} cannot be written: {error}");
    let model = BPE::builder().vocab_and_merges(byte_letters(), Vec::new());
    let tokenizer: tokenizers::Result<BytePairs> = TokenizerBuilder::new()
        .with_model(model.build().map_err(failed)?)
        .with_pre_tokenizer(Some(ByteLevel::new(false, true, false).into()))
        .with_decoder(Some(ByteLevel::default().into()))
        .build();
    let json = tokenizer.and_then(|tokenizer| tokenizer.to_string(false));
    write_whole(path, json.map_err(failed)?.as_bytes())
}

/// A printable byte is its own letter; each other byte takes the next letter from 256 on.
fn byte_letters() -> [(String, u32); 256] {
    let mut others = 256..;
    std::array::from_fn(|byte| {
        let byte = byte as u32;
        let is_printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let letter = match is_printable {
            true => Some(byte),
            false => others.next(),
        };
        let letter = letter.and_then(char::from_u32).map(String::from);
        (letter.unwrap_or_default(), byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        save_bytes(&path).unwrap();
        let tokenizer = Tokenizer::load(&path).unwrap();
        assert_eq!(tokenizer.vocab(), 256);
        let text = "é! \u{0}\t\n ÿ漢\u{7f}";
        let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
        assert_eq!(tokenizer.encode(text).unwrap(), bytes);
    }
}
