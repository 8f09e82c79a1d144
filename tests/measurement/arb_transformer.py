"""A transformer in ball arithmetic of 400 bits (Arb, by python-flint): its logits, and no doubt."""

from __future__ import annotations

import flint
import numpy as np
from flint import arb

PRECISION = 400


def exact(tensor):
    """Stored numbers as they are."""
    return np.vectorize(arb, otypes=[object])(tensor.double().numpy())


def logits_of(weights, tokens, causal=True):
    """[position logit] of one input, by canonical weights."""
    flint.ctx.prec = PRECISION
    w = {name: exact(weight) for name, weight in weights.items()}
    stream = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][: len(tokens)]
    for layer in range(sum(name.endswith("W_Q") for name in w)):
        block = f"blocks.{layer}."
        of_layer = {n.removeprefix(block): v for n, v in w.items() if n.startswith(block)}
        heads = range(len(of_layer["attn.W_Q"]))
        stream = (
            stream + sum(head(of_layer, h, stream, causal) for h in heads) + of_layer["attn.b_O"]
        )
        if "mlp.W_in" in of_layer:
            before = stream @ of_layer["mlp.W_in"] + of_layer["mlp.b_in"]
            stream = stream + relu(before) @ of_layer["mlp.W_out"] + of_layer["mlp.b_out"]
    return stream @ w["unembed.W_U"] + w["unembed.b_U"]


def head(w, h, stream, causal):
    """What a head writes: [position d_model]."""
    q, k, v = (stream @ w[f"attn.W_{x}"][h] + w[f"attn.b_{x}"][h] for x in "QKV")
    scores = (q @ k.T) / arb(q.shape[1]).sqrt()
    rows = []
    for position, row in enumerate(scores):
        seen = slice(position + 1 if causal else None)
        weight = np.array([score.exp() for score in row[seen]], dtype=object)
        rows.append((weight @ v[seen]) / weight.sum())
    return np.array(rows) @ w["attn.W_O"][h]


def relu(values):
    return (values + abs(values)) / 2
