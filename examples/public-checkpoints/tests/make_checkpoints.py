#!/usr/bin/env python3
"""Makes folders of published layout, of shapes other than those in fixtures/, for the test of public-checkpoints.

    pip install torch transformers safetensors
    python examples/public-checkpoints/tests/make_checkpoints.py FOLDER
    SHARPNESS_CHECKPOINTS=FOLDER cargo test --workspace --test checkpoints

Each folder holds what the Python package transformers writes (config.json, one file of weights or shards with an
index), and expected.json: what its own classes compute from the weights as they were written, in float64 (but for
OLMo-2's norms and its softmax, which they compute in float32 themselves). fixtures/README.md explains the fields.
"""

import argparse
import json
import pathlib

import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, Olmo2Config, Olmo2ForCausalLM

ROWS, TIME = 4, 24
BETAS, EPSILON = (0.9, 0.95), 1e-8


def gpt2(**changes):
    shape = dict(
        vocab_size=101, n_positions=40, n_embd=24, n_layer=2, n_head=3,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )
    return GPT2LMHeadModel, GPT2Config(**(shape | changes))


def olmo2(**changes):
    shape = dict(
        vocab_size=101, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
        num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=64,
        pad_token_id=None, bos_token_id=None, eos_token_id=0,
    )
    return Olmo2ForCausalLM, Olmo2Config(**(shape | changes))


# A name, the model, the type of the weights, the largest shard, AdamW's weight decay.
CASES = [
    ("gpt2-untied", gpt2(tie_word_embeddings=False), torch.float32, "1GB", 0.0),
    ("gpt2-deep-bf16", gpt2(n_layer=5, n_embd=40, n_head=5), torch.bfloat16, "1GB", 0.1),
    ("gpt2-f16-shards", gpt2(n_inner=56), torch.float16, "20KB", 0.0),
    ("gpt2-one-head-relu", gpt2(n_head=1, activation_function="relu"), torch.float32, "1GB", 0.0),
    ("gpt2-gelu-inverse-layer", gpt2(n_layer=3, activation_function="gelu", scale_attn_by_inverse_layer_idx=True), torch.float32, "30KB", 0.0),
    ("gpt2-unscaled", gpt2(scale_attn_weights=False, layer_norm_epsilon=1e-3), torch.float32, "1GB", 0.1),
    ("olmo2-tied", olmo2(tie_word_embeddings=True), torch.float32, "1GB", 0.0),
    ("olmo2-all-heads", olmo2(num_key_value_heads=6, rope_theta=500000.0), torch.float32, "1GB", 0.1),
    ("olmo2-one-key-bf16", olmo2(num_key_value_heads=1), torch.bfloat16, "1GB", 0.0),
    ("olmo2-shards-f16", olmo2(num_hidden_layers=4), torch.float16, "15KB", 0.0),
    ("olmo2-wide-heads", olmo2(head_dim=12, num_hidden_layers=3), torch.float32, "1GB", 0.0),
    ("olmo2-bias-padding", olmo2(attention_bias=True, pad_token_id=3), torch.float32, "1GB", 0.0),
    ("olmo2-linear-rope", olmo2(rope_scaling={"type": "linear", "factor": 4.0}), torch.float32, "1GB", 0.0),
    ("olmo2-gelu-epsilon", olmo2(hidden_act="gelu", rms_norm_eps=1e-3), torch.bfloat16, "20KB", 0.1),
]


def randomize(model, generator):
    """Weights that are not those of a fresh model: no bias is 0, and no norm is 1."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if "norm" in name or ".ln_" in name:
                base = 0.0 if name.endswith("bias") else 1.0
                weight.copy_(base + 0.1 * noise)
            elif weight.dim() == 1:
                weight.copy_(0.05 * noise)
            else:
                weight.copy_(0.08 * noise)


def loss_of(model, ids):
    logits = model(input_ids=ids[:, :-1]).logits
    targets = ids[:, 1:].flatten()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets), logits


def first_crossing(model, ids, delta):
    """min { eta > 0 : L(theta - eta delta) > L(theta) }: a scan from small eta in steps of 2%, then bisection."""
    start = [weight.detach().clone() for weight in model.parameters()]

    @torch.no_grad()
    def rise(eta):
        for weight, at, step in zip(model.parameters(), start, delta):
            weight.copy_(at - eta * step)
        return loss_of(model, ids)[0].item() - base

    with torch.no_grad():
        base = loss_of(model, ids)[0].item()
    lower, upper = None, 1e-4
    while rise(upper) <= 0.0:
        lower, upper = upper, upper * 1.02
        if upper > 1e6:
            raise RuntimeError("the loss does not rise again")
    if lower is None:
        raise RuntimeError("the loss rises at once")
    while upper / lower - 1.0 > 1e-9:
        middle = (lower + upper) / 2
        lower, upper = (middle, upper) if rise(middle) <= 0.0 else (lower, middle)
    rise(0.0)
    return (lower + upper) / 2


def along(model, ids, grads, delta):
    slope = sum((g * d).sum().item() for g, d in zip(grads, delta))
    return {"slope": slope, "critical_lr": first_crossing(model, ids, delta)}


def make(folder, kind, config, dtype, shard, decay, seed):
    generator = torch.Generator().manual_seed(seed)
    model = kind(config)
    randomize(model, generator)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)

    # What is expected is of the weights as they were written.
    model = kind.from_pretrained(folder, attn_implementation="eager", torch_dtype=dtype)
    model = model.to(torch.float64).eval()
    ids = torch.randint(0, config.vocab_size, (ROWS, TIME + 1), generator=generator)
    loss, logits = loss_of(model, ids)
    loss.backward()
    weights = list(model.parameters())
    grads = [w.grad if w.grad is not None else torch.zeros_like(w) for w in weights]
    adamw = [g / (g.abs() + EPSILON) + decay * w.detach() for g, w in zip(grads, weights)]
    expected = {
        "note": "inputs are input_ids[:, :-1], targets input_ids[:, 1:], mean cross entropy in nats",
        "made_with": f"torch {torch.__version__}, transformers {transformers.__version__}",
        "input_ids": ids.tolist(),
        "loss": loss.item(),
        "logits_0_0": logits[0, 0, :8].tolist(),
        "logits_3_23": logits[3, 23, :8].tolist(),
        "gradient": along(model, ids, grads, grads),
        "adamw_first_step": {"betas": BETAS, "eps": EPSILON, "weight_decay": decay}
        | along(model, ids, grads, adamw),
    }
    (folder / "expected.json").write_text(json.dumps(expected))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default="", help="only cases whose name holds this")
    flags = parser.parse_args()
    torch.manual_seed(0)
    for seed, (name, (kind, config), dtype, shard, decay) in enumerate(CASES):
        if flags.only not in name:
            continue
        folder = flags.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, kind, config, dtype, shard, decay, seed)
        print(name, *sorted(path.name for path in folder.iterdir()))


if __name__ == "__main__":
    main()
