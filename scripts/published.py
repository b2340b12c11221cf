#!/usr/bin/env python3
"""The published estimator of critical sharpness in PyTorch, on a training that was measured here, step by step.

    cargo run -p search-bench --features tch -- --device tch --reference FOLDER
    python scripts/published.py FOLDER

The folder holds the first weights, the batches and the learning rates of a GPT's training, and what the guided search
measured. This program trains the same model on the same batches, measures at the same steps, and prints both costs
side by side. For a comparison of estimators rather than of libraries, both run on one libtorch: build with
LIBTORCH_USE_PYTORCH=1 and the PyTorch that runs this file, and with the same number of threads (OMP_NUM_THREADS).

The estimator: from the last result, double while the loss is below L(theta), or halve while it is not, at most 40
times; bisect until 1 - lower/upper <= 1/16; the middle is the result. L(theta) is evaluated once a measurement. The
update direction is made once a measurement, and the weights are moved in place, which costs less than the published
program's way.
"""

import argparse
import json
import pathlib
import statistics
import time

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

BETAS, EPSILON = (0.9, 0.95), 1e-8
TOLERANCE, MOST_DOUBLINGS, WARM_UP = 1.0 / 16.0, 40, 5


class Gpt(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        config = json.loads((folder / "config.json").read_text())
        self.layers, self.heads = config["n_layer"], config["n_head"]
        self.names = {}
        for name, weight in load_file(folder / "model.safetensors").items():
            self.names[name] = name.replace("transformer.", "").replace(".", "_")
            self.register_parameter(self.names[name], torch.nn.Parameter(weight))

    def weight(self, name):
        return getattr(self, self.names["transformer." + name])

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.weight(name + ".weight"), self.weight(name + ".bias"), 1e-5)

    def linear(self, name, x):
        flat = torch.addmm(self.weight(name + ".bias"), x.flatten(0, 1), self.weight(name + ".weight"))
        return flat.view(*x.shape[:-1], -1)

    def loss(self, rows):
        inputs, targets = rows[:, :-1], rows[:, 1:]
        batch, length = inputs.shape
        x = F.embedding(inputs, self.weight("wte.weight")) + self.weight("wpe.weight")[:length]
        for layer in range(self.layers):
            h = f"h.{layer}."
            projected = self.linear(h + "attn.c_attn", self.norm(h + "ln_1", x))
            query, key, value = (
                part.view(batch, length, self.heads, -1).transpose(1, 2) for part in projected.chunk(3, dim=2)
            )
            attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + self.linear(h + "attn.c_proj", attended.transpose(1, 2).reshape(batch, length, -1))
            hidden = F.gelu(self.linear(h + "mlp.c_fc", self.norm(h + "ln_2", x)))
            x = x + self.linear(h + "mlp.c_proj", hidden)
        logits = F.linear(self.norm("ln_f", x), self.weight("wte.weight"))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@torch.no_grad()
def direction(optim, weights):
    """What AdamW's next step, without decay, subtracts at a learning rate of 1."""
    deltas = []
    for weight in weights:
        state = optim.state.get(weight, {})
        step = float(state.get("step", 0)) + 1.0
        first, second = state.get("exp_avg"), state.get("exp_avg_sq")
        grad = weight.grad
        first = (1 - BETAS[0]) * grad if first is None else BETAS[0] * first + (1 - BETAS[0]) * grad
        second = (1 - BETAS[1]) * grad**2 if second is None else BETAS[1] * second + (1 - BETAS[1]) * grad**2
        root = (second / (1 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
        deltas.append(first / (1 - BETAS[0] ** step) / root)
    return deltas


@torch.no_grad()
def estimate(model, rows, optim, guess):
    """The critical learning rate, and the number of forward passes."""
    weights = list(model.parameters())
    start = [weight.clone() for weight in weights]
    delta = direction(optim, weights)
    passes = 1
    base = model.loss(rows).item()

    def rises(eta):
        nonlocal passes
        passes += 1
        for weight, at, step in zip(weights, start, delta):
            torch.sub(at, step, alpha=eta, out=weight.data)
        return not model.loss(rows).item() <= base

    lower = upper = None
    eta = guess
    for _ in range(MOST_DOUBLINGS):
        if rises(eta):
            upper = eta
            if lower is not None:
                break
            eta *= 0.5
        else:
            lower = eta
            if upper is not None:
                break
            eta *= 2.0
    while lower is not None and upper is not None and 1.0 - lower / upper > TOLERANCE:
        middle = (lower + upper) / 2
        lower, upper = (lower, middle) if rises(middle) else (middle, upper)
    for weight, at in zip(weights, start):
        weight.data.copy_(at)
    return ((lower + upper) / 2 if lower and upper else None), passes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--device", default="cpu", help="where PyTorch computes: cpu or cuda")
    flags = parser.parse_args()
    ours = json.loads((flags.folder / "reference.json").read_text())
    measured = {m["step"]: m for m in ours["measurements"]}
    model = Gpt(flags.folder).to(flags.device)
    optim = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=BETAS, eps=EPSILON, weight_decay=0.0)

    guess, step_seconds, rows_of_table = None, [], []
    for step, (rows, rate) in enumerate(zip(ours["batches"], ours["learning_rates"])):
        rows = torch.tensor(rows, device=flags.device)
        started = time.perf_counter()
        optim.zero_grad(set_to_none=True)
        loss = model.loss(rows)
        loss.backward()
        loss.item()
        elapsed = time.perf_counter() - started
        if step in measured:
            started = time.perf_counter()
            found, passes = estimate(model, rows, optim, guess or max(rate, 1e-4))
            seconds = time.perf_counter() - started
            guess = found or guess
            rows_of_table.append((step, found, passes, seconds, measured[step]))
        started = time.perf_counter()
        for group in optim.param_groups:
            group["lr"] = rate
        optim.step()
        step_seconds.append(elapsed + time.perf_counter() - started)

    counted = rows_of_table[WARM_UP:]
    theirs = [seconds for _, _, _, seconds, _ in counted]
    here = [m["seconds"] for *_, m in counted]
    both = [(found, m["critical_lr"]) for _, found, _, _, m in counted if found and m["critical_lr"]]
    errors = [abs(found / own - 1.0) for found, own in both]
    print(f"threads {torch.get_num_threads()}, torch {torch.__version__}, ours on {ours['device']}, {len(counted)} steps")
    print("| | passes | ms: median | ms: mean | training step, ms |")
    print("|---|---|---|---|---|")
    passes = statistics.mean(passes for _, _, passes, _, _ in counted)
    print(f"| published estimator, PyTorch | {passes:.2f} | {1e3 * statistics.median(theirs):.1f} "
          f"| {1e3 * statistics.mean(theirs):.1f} | {1e3 * statistics.mean(step_seconds):.1f} |")
    passes = statistics.mean(
        m["evaluations"] + (m["base_loss_source"] == "evaluated") for *_, m in counted
    )
    print(f"| here | {passes:.2f} | {1e3 * statistics.median(here):.1f} | {1e3 * statistics.mean(here):.1f} "
          f"| {1e3 * ours['step_seconds']:.1f} |")
    print(f"ratio of medians {statistics.median(theirs) / statistics.median(here):.2f}, "
          f"of means {statistics.mean(theirs) / statistics.mean(here):.2f}")
    if errors:
        print(f"critical learning rates of {len(errors)} steps differ by {100 * statistics.median(errors):.1f}% (median), "
              f"{100 * max(errors):.1f}% at most")


if __name__ == "__main__":
    main()
