use crate::variant::{BOTH, ONE_FILE, Variant, assert_refused, assert_told};
use public_checkpoints::checkpoint::Checkpoint;
use safetensors::Dtype;
use serde_json::json;
use std::fs;
use std::path::Path;

#[test]
fn what_does_not_fit_is_named_with_what_was_expected() {
    for (name, field, value, parts) in [
        (
            BOTH[1],
            "hidden_size",
            json!(64),
            &["model.embed_tokens.weight", "[96, 32]", "[96, 64]"][..],
        ),
        (
            BOTH[0],
            "n_layer",
            json!(3),
            &["transformer.h.2.attn.c_attn.weight is missing", "[32, 96]"],
        ),
        (BOTH[0], "n_layer", json!(1), &["transformer.h.1."]),
        (
            BOTH[1],
            "model_type",
            json!("mamba"),
            &["mamba", "gpt2", "olmo2"],
        ),
    ] {
        let mut variant = Variant::of(name);
        variant.config[field] = value;
        assert_refused(variant.save().path(), parts);
    }
    let mut variant = Variant::of(BOTH[0]);
    variant.tensor("transformer.wpe.weight").dtype = Dtype::I32;
    let parts = ["transformer.wpe.weight", "I32", "floats"];
    assert_refused(variant.save().path(), &parts);

    let folder = Variant::of(BOTH[0]).save();
    let file = folder.path().join(ONE_FILE);
    fs::write(&file, "version https://git-lfs.github.com/spec/v1").unwrap();
    assert_refused(folder.path(), &[ONE_FILE, "git lfs pull"]);
    fs::remove_file(file).unwrap();
    assert_refused(folder.path(), &["holds no weights", ONE_FILE]);
}

/// The program refuses them before it loads any weights.
#[test]
fn weights_of_another_kind_are_named_with_what_to_do() {
    let refused = |folder: &Path, parts: &[&str]| {
        let tokenizer = folder.join("tokenizer.json");
        if !tokenizer.exists() {
            fs::write(tokenizer, "{}").unwrap();
        }
        let error = Checkpoint::open_all(&[folder.to_path_buf()], &[7], &[]).unwrap_err();
        assert_told(&error, parts);
    };
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n";
    for name in BOTH {
        for file in ["config.json", ONE_FILE, "tokenizer.json"] {
            let folder = Variant::of(name).save();
            fs::write(folder.path().join(file), pointer).unwrap();
            refused(folder.path(), &[file, "pointer of Git LFS", "git lfs pull"]);
        }
        let folder = Variant::of(name).save_shards(2);
        let shard = folder.path().join("model-00002-of-00002.safetensors");
        fs::write(shard, pointer).unwrap();
        refused(folder.path(), &["model-00002-of", "git lfs pull"]);

        let mut variant = Variant::of(name);
        for tensor in &mut variant.tensors {
            tensor.dtype = Dtype::F8_E4M3;
            tensor.bytes.truncate(tensor.bytes.len() / 4);
        }
        let save = "save_pretrained";
        let parts = ["holds F8_E4M3", "16-bit, 32-bit or 64-bit floats", save];
        refused(variant.save().path(), &parts);

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
            let found = format!("it has {other}");
            refused(folder.path(), &["expected model.safetensors", &found, save]);
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
    assert_refused(folder.path(), &["is a link that leads nowhere: fetch"]);
}

#[test]
fn a_missing_shard_is_named_before_anything_is_loaded() {
    let folder = Variant::of("olmo2-tiny-0").save_shards(3);
    let shard = "model-00002-of-00003.safetensors";
    fs::remove_file(folder.path().join(shard)).unwrap();
    let missing = format!("the shard {shard} is missing");
    assert_refused(folder.path(), &[&missing]);
    let opened = Checkpoint::open_all(&[folder.path().to_path_buf()], &[7], &[]);
    assert!(opened.unwrap_err().to_string().contains(shard));

    let folder = Variant::of("olmo2-tiny-0").save_shards(3);
    let other = folder.path().join("model-00001-of-00003.safetensors");
    fs::copy(other, folder.path().join(shard)).unwrap();
    assert_refused(folder.path(), &["is missing", shard]);
}
