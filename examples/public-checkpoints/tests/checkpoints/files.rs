use crate::variant::{BOTH, Variant, assert_refused, fixture, load};
use burn::module::Module;
use burn::tensor::{DType, Int, Tensor, TensorData};
use serde_json::json;
use std::path::Path;

fn logits(folder: &Path) -> Vec<f32> {
    let tokens = vec![5i64, 0, 17, 90, 3, 3, 41, 1];
    let device = gpt::device::of_environment().unwrap();
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, [1, 8]), &device);
    let logits = load(folder).unwrap().forward(tokens);
    logits.into_data().iter().collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

#[test]
fn shards_hold_the_same_model_as_one_file() {
    for name in BOTH {
        let shards = Variant::of(name).save_shards(3);
        assert_eq!(logits(shards.path()), logits(&fixture(name)), "{name}");
    }
}

#[test]
fn other_precisions_are_read_as_32_bit_floats() {
    // The largest relative rounding of each type, which moves logits of about 0.3 by a few times as much.
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
            let case = format!("{name} {dtype:?}: {difference}");
            assert!(difference <= 3.0 * rounding, "{case}");
            assert_eq!(difference == 0.0, rounding == 0.0, "{case}");
            let model = load(folder.path()).unwrap().valid();
            let token = Tensor::zeros([1, 1], &gpt::device::of_environment().unwrap());
            assert_eq!(model.forward(token).dtype(), DType::F32);
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
    gpt2.add("lm_head.weight", &[96, 32]);
    assert_eq!(logits(gpt2.save().path()), logits(&fixture("gpt2-tiny-0")));

    let mut olmo2 = Variant::of("olmo2-tiny-0");
    olmo2.add("model.layers.0.self_attn.rotary_emb.inv_freq", &[4]);
    let of_olmo2 = logits(olmo2.save().path());
    assert_eq!(of_olmo2, logits(&fixture("olmo2-tiny-0")));
}

#[test]
fn a_head_is_tied_or_its_own_in_both_architectures() {
    // An output layer that equals the embedding gives the results of a tied model.
    for (name, embedding, tied) in [
        ("gpt2-tiny-0", "transformer.wte.weight", true),
        ("olmo2-tiny-0", "model.embed_tokens.weight", false),
    ] {
        let mut own = Variant::of(name);
        own.config["tie_word_embeddings"] = json!(false);
        let weights = own.tensor(embedding).clone();
        if tied {
            own.add("lm_head.weight", &weights.shape);
        }
        own.tensor("lm_head.weight").bytes = weights.bytes;
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
    let bias = biased.tensor("model.layers.1.self_attn.o_proj.bias");
    for bytes in bias.bytes.chunks_exact_mut(8) {
        bytes[..4].copy_from_slice(&0.5f32.to_le_bytes());
    }
    assert_ne!(logits(biased.save().path()), logits(zero.path()));

    biased.config["attention_bias"] = json!(false);
    let said = "_proj.bias, which a model of its configuration";
    assert_refused(biased.save().path(), &[said]);
}
