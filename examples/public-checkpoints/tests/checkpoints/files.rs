//! The same weights in other files: shards, 16-bit floats, bare names; and files that are refused.

use burn::module::Module;
use burn::tensor::{DType, Int, Tensor, TensorData};
use public_checkpoints::checkpoint::Checkpoint;
use public_checkpoints::config::ModelConfig;
use public_checkpoints::model::Transformer;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ONE_FILE: &str = "model.safetensors";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A tensor of a file: name, type, shape, bytes.
#[derive(Clone)]
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A fixture that is changed before it is written to a folder of its own.
struct Variant {
    config: Value,
    tensors: Vec<Stored>,
}

impl Variant {
    fn of(name: &str) -> Self {
        let folder = fixture(name);
        let config = fs::read_to_string(folder.join("config.json")).unwrap();
        let bytes = fs::read(folder.join(ONE_FILE)).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = tensors.iter().map(|(name, tensor)| Stored {
            name: name.to_string(),
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
            bytes: tensor.data().to_vec(),
        });
        Self {
            config: serde_json::from_str(&config).unwrap(),
            tensors: tensors.collect(),
        }
    }

    fn tensor(&mut self, name: &str) -> &mut Stored {
        let mut tensors = self.tensors.iter_mut();
        tensors.find(|tensor| tensor.name == name).unwrap()
    }

    /// Adds a tensor of zeros.
    fn add(&mut self, name: &str, shape: &[usize]) {
        self.tensors.push(Stored {
            name: name.to_string(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes: vec![0; 4 * shape.iter().product::<usize>()],
        });
    }

    fn cast(&mut self, to: DType) {
        for tensor in &mut self.tensors {
            let data =
                TensorData::from_bytes_vec(tensor.bytes.clone(), tensor.shape.clone(), DType::F32);
            let data = data.convert_dtype(to);
            tensor.bytes = data.as_bytes().to_vec();
            tensor.dtype = match to {
                DType::F16 => Dtype::F16,
                DType::BF16 => Dtype::BF16,
                DType::F64 => Dtype::F64,
                other => panic!("{other:?}"),
            };
        }
    }

    fn save(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let config = self.config.to_string();
        fs::write(folder.path().join("config.json"), config).unwrap();
        write(&folder.path().join(ONE_FILE), &self.tensors);
        folder
    }

    /// Writes it in so many shards.
    fn save_shards(&self, count: usize) -> TempDir {
        let folder = self.save();
        fs::remove_file(folder.path().join(ONE_FILE)).unwrap();
        let mut map = serde_json::Map::new();
        for (index, tensors) in self
            .tensors
            .chunks(self.tensors.len().div_ceil(count))
            .enumerate()
        {
            let name = format!("model-{:05}-of-{count:05}.safetensors", index + 1);
            write(&folder.path().join(&name), tensors);
            map.extend(tensors.iter().map(|t| (t.name.clone(), json!(name))));
        }
        let index = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        folder
    }
}

fn write(path: &Path, tensors: &[Stored]) {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (tensor.name.clone(), view.unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn load(folder: &Path) -> anyhow::Result<Transformer> {
    Transformer::open(
        folder,
        &ModelConfig::open(folder)?,
        &gpt::device::of_environment().unwrap(),
    )
}

fn logits(folder: &Path) -> Vec<f32> {
    let tokens = vec![5i64, 0, 17, 90, 3, 3, 41, 1];
    let tokens: Tensor<2, Int> = Tensor::from_data(
        TensorData::new(tokens, [1, 8]),
        &gpt::device::of_environment().unwrap(),
    );
    let logits = load(folder).unwrap().forward(tokens);
    logits.into_data().iter().collect()
}

fn refusal(folder: &Path) -> String {
    let error = format!("{:#}", load(folder).err().unwrap());
    assert!(!error.contains('\n'), "one line: {error}");
    error
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

const BOTH: [&str; 2] = ["gpt2-tiny-0", "olmo2-tiny-0"];

#[test]
fn shards_hold_the_same_model_as_one_file() {
    for name in BOTH {
        let shards = Variant::of(name).save_shards(3);
        assert_eq!(logits(shards.path()), logits(&fixture(name)), "{name}");
    }
}

#[test]
fn other_precisions_are_read_as_32_bit_floats() {
    // The largest relative rounding of each, which moves logits of about 0.3 by a few times as much.
    let precisions = [
        (DType::F64, 0.0),
        (DType::F16, 2f32.powi(-11)),
        (DType::BF16, 2f32.powi(-8)),
    ];
    for name in BOTH {
        for (dtype, rounding) in precisions {
            let mut variant = Variant::of(name);
            variant.cast(dtype);
            let folder = variant.save();
            let difference = largest_difference(&logits(folder.path()), &logits(&fixture(name)));
            assert!(
                difference <= 3.0 * rounding,
                "{name} {dtype:?}: {difference}"
            );
            assert_eq!(difference == 0.0, rounding == 0.0, "{name} {dtype:?}");
            let model = load(folder.path()).unwrap();
            assert_eq!(
                model
                    .valid()
                    .forward(Tensor::zeros(
                        [1, 1],
                        &gpt::device::of_environment().unwrap()
                    ))
                    .dtype(),
                DType::F32
            );
        }
    }
}

#[test]
fn a_trunk_without_its_prefix_and_with_its_buffers_is_the_same_model() {
    let mut gpt2 = Variant::of("gpt2-tiny-0");
    for tensor in &mut gpt2.tensors {
        tensor.name = tensor.name.replace("transformer.", "");
    }
    gpt2.add("h.0.attn.bias", &[1, 1, 32, 32]);
    gpt2.add("h.0.attn.masked_bias", &[1]);
    // A tied model's file may hold the embedding twice; the second is not read.
    gpt2.add("lm_head.weight", &[96, 32]);
    assert_eq!(logits(gpt2.save().path()), logits(&fixture("gpt2-tiny-0")));

    let mut olmo2 = Variant::of("olmo2-tiny-0");
    olmo2.add("model.layers.0.self_attn.rotary_emb.inv_freq", &[4]);
    assert_eq!(
        logits(olmo2.save().path()),
        logits(&fixture("olmo2-tiny-0"))
    );
}

#[test]
fn a_head_is_tied_or_its_own_in_both_architectures() {
    // An output layer that equals the embedding gives what a tied one gives.
    for (name, embedding, tied) in [
        ("gpt2-tiny-0", "transformer.wte.weight", true),
        ("olmo2-tiny-0", "model.embed_tokens.weight", false),
    ] {
        let mut own = Variant::of(name);
        own.config["tie_word_embeddings"] = json!(false);
        let weights = own.tensor(embedding).clone();
        if tied {
            own.tensors.push(Stored {
                name: "lm_head.weight".to_string(),
                ..weights
            });
        } else {
            own.tensor("lm_head.weight").bytes = weights.bytes;
        }
        let mut shared = Variant::of(name);
        shared.config["tie_word_embeddings"] = json!(true);
        let (own, shared) = (own.save(), shared.save());
        let difference = largest_difference(&logits(own.path()), &logits(shared.path()));
        assert!(difference < 1e-6, "{name}: {difference}");
    }
}

#[test]
fn biases_of_attention_are_read_where_the_configuration_says_so() {
    let mut biased = Variant::of("olmo2-tiny-0");
    biased.config["attention_bias"] = json!(true);
    for layer in 0..2 {
        for (part, width) in [("q", 32), ("k", 16), ("v", 16), ("o", 32)] {
            let name = format!("model.layers.{layer}.self_attn.{part}_proj.bias");
            biased.add(&name, &[width]);
        }
    }
    let zero = biased.save();
    assert_eq!(logits(zero.path()), logits(&fixture("olmo2-tiny-0")));
    for bytes in biased
        .tensor("model.layers.1.self_attn.o_proj.bias")
        .bytes
        .chunks_exact_mut(8)
    {
        bytes[..4].copy_from_slice(&0.5f32.to_le_bytes());
    }
    assert_ne!(logits(biased.save().path()), logits(zero.path()));

    biased.config["attention_bias"] = json!(false);
    let error = refusal(biased.save().path());
    assert!(
        error.contains("_proj.bias, which a model of its configuration"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_is_named_with_what_was_expected() {
    let contains = |error: String, parts: &[&str]| {
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    };
    let mut variant = Variant::of("olmo2-tiny-0");
    variant.config["hidden_size"] = json!(64);
    let parts = ["model.embed_tokens.weight", "[96, 32]", "[96, 64]"];
    contains(refusal(variant.save().path()), &parts);

    let mut variant = Variant::of("gpt2-tiny-0");
    variant.config["n_layer"] = json!(3);
    let parts = ["transformer.h.2.attn.c_attn.weight is missing", "[32, 96]"];
    contains(refusal(variant.save().path()), &parts);
    variant.config["n_layer"] = json!(1);
    contains(refusal(variant.save().path()), &["transformer.h.1."]);

    let mut variant = Variant::of("gpt2-tiny-0");
    variant.tensor("transformer.wpe.weight").dtype = Dtype::I32;
    contains(
        refusal(variant.save().path()),
        &["transformer.wpe.weight", "I32", "floats"],
    );

    let mut variant = Variant::of("olmo2-tiny-0");
    variant.config["model_type"] = json!("mamba");
    contains(refusal(variant.save().path()), &["mamba", "gpt2", "olmo2"]);

    let folder = Variant::of("gpt2-tiny-0").save();
    fs::write(
        folder.path().join(ONE_FILE),
        "version https://git-lfs.github.com/spec/v1",
    )
    .unwrap();
    contains(refusal(folder.path()), &[ONE_FILE, "git lfs pull"]);
    fs::remove_file(folder.path().join(ONE_FILE)).unwrap();
    contains(refusal(folder.path()), &["holds no weights", ONE_FILE]);
}

/// What weights are that cannot be read, and what to do, in one sentence before any is loaded.
#[test]
fn weights_of_another_kind_are_named_with_what_to_do() {
    let refused = |folder: &Path, parts: &[&str]| {
        let tokenizer = folder.join("tokenizer.json");
        if !tokenizer.exists() {
            fs::write(tokenizer, "{}").unwrap();
        }
        let error = Checkpoint::open_all(&[folder.to_path_buf()], &[7], &[]).unwrap_err();
        let error = format!("{error:#}");
        assert!(!error.contains('\n'), "one line: {error}");
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    };
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n";
    for name in BOTH {
        for file in ["config.json", ONE_FILE, "tokenizer.json"] {
            let folder = Variant::of(name).save();
            fs::write(folder.path().join(file), pointer).unwrap();
            refused(folder.path(), &[file, "pointer of Git LFS", "git lfs pull"]);
        }
        let folder = Variant::of(name).save_shards(2);
        fs::write(
            folder.path().join("model-00002-of-00002.safetensors"),
            pointer,
        )
        .unwrap();
        refused(folder.path(), &["model-00002-of", "git lfs pull"]);

        let mut variant = Variant::of(name);
        for tensor in &mut variant.tensors {
            tensor.dtype = Dtype::F8_E4M3;
            tensor.bytes.truncate(tensor.bytes.len() / 4);
        }
        let save = "save_pretrained";
        refused(
            variant.save().path(),
            &["holds F8_E4M3", "16-bit, 32-bit or 64-bit floats", save],
        );

        for (prefix, advice) in [("_orig_mod.", "torch.compile"), ("module.", "model.module")] {
            let mut variant = Variant::of(name);
            for tensor in &mut variant.tensors {
                tensor.name = format!("{prefix}{}", tensor.name);
            }
            refused(variant.save().path(), &[prefix, advice, "save model."]);
            refused(variant.save_shards(3).path(), &[prefix, advice]);
        }
        let mut variant = Variant::of(name);
        let tensor = variant.tensors.last_mut().unwrap();
        tensor.name = tensor.name.replacen('.', "._orig_mod.", 1);
        refused(variant.save().path(), &["_orig_mod.", "torch.compile"]);

        let folder = Variant::of(name).save();
        let path = folder.path().join(ONE_FILE);
        for other in [
            "pytorch_model.bin",
            "model.gguf",
            "tf_model.h5",
            "model-00001-of-00002.safetensors",
        ] {
            let other_path = folder.path().join(other);
            fs::rename(&path, &other_path).unwrap();
            refused(
                folder.path(),
                &[
                    "expected model.safetensors",
                    &format!("it has {other}"),
                    save,
                ],
            );
            fs::rename(&other_path, &path).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        for length in [0, 5, 100, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            refused(folder.path(), &[ONE_FILE, "downloaded whole"]);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_named() {
    let folder = Variant::of("gpt2-tiny-0").save();
    let path = folder.path().join(ONE_FILE);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("../blobs/4d7a", &path).unwrap();
    let error = refusal(folder.path());
    assert!(
        error.contains("is a link that leads nowhere: fetch"),
        "{error}"
    );
}

#[test]
fn a_missing_shard_is_named_before_anything_is_loaded() {
    let folder = Variant::of("olmo2-tiny-0").save_shards(3);
    let shard = "model-00002-of-00003.safetensors";
    fs::remove_file(folder.path().join(shard)).unwrap();
    assert!(refusal(folder.path()).contains(&format!("the shard {shard} is missing")));
    let opened = Checkpoint::open_all(&[folder.path().to_path_buf()], &[7], &[]);
    assert!(opened.unwrap_err().to_string().contains(shard));

    let folder = Variant::of("olmo2-tiny-0").save_shards(3);
    let other = folder.path().join("model-00001-of-00003.safetensors");
    fs::copy(other, folder.path().join(shard)).unwrap();
    let error = refusal(folder.path());
    assert!(
        error.contains("is missing") && error.contains(shard),
        "{error}"
    );
}
