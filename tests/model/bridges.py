"""transformer_lens's own network of canonical weights: what ours is held against."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

STACKED = {
    "W_Q": "head model width -> (head width) model",
    "W_K": "head model width -> (head width) model",
    "W_V": "head model width -> (head width) model",
    "W_O": "head width model -> model (head width)",
    "b_Q": "head width -> (head width)",
    "b_K": "head width -> (head width)",
    "b_V": "head width -> (head width)",
    "W_in": "model neuron -> neuron model",
    "W_out": "neuron model -> model neuron",
    "W_U": "model logit -> logit model",
}


def bridge_of(weights: Mapping[str, Tensor], function: str = "relu") -> TransformerBridge:
    """The bridge of one seed's weights; biases that are not there are zero."""
    tokens, d_model = weights["embed.W_E"].shape
    heads, _, d_head = weights["blocks.0.attn.W_Q"].shape
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    neurons = weights["blocks.0.mlp.b_in"].shape[0] if "blocks.0.mlp.b_in" in weights else None
    config = TransformerBridgeConfig(
        n_layers=layers,
        n_heads=heads,
        d_model=d_model,
        d_head=d_head,
        n_ctx=len(weights["pos_embed.W_pos"]),
        d_vocab=tokens,
        d_vocab_out=weights["unembed.W_U"].shape[1],
        d_mlp=neurons,
        act_fn=function if neurons else None,
        attn_only=neurons is None,
        normalization_type="LN" if "ln_final.w" in weights else None,
        architecture="TransformerLensNative",
        init_weights=False,
    )
    dtype = weights["embed.W_E"].dtype
    network = TransformerBridge.boot_native(config, device=torch.device("cpu"), dtype=dtype)
    given = {bridge_name(name): as_in_bridge(name, weight) for name, weight in weights.items()}
    zero = {n: torch.zeros_like(w) for n, w in network.state_dict().items() if n.endswith(".bias")}
    network.load_state_dict(zero | given, strict=True)
    return network


def bridge_name(name: str) -> str:
    """`blocks.0.attn.W_Q` as `blocks.0.attn.q.weight`."""
    within, _, last = name.rpartition(".")
    kind, _, letter = last.partition("_")
    part = "" if letter in ("E", "U", "pos", "") else f".{letter.lower()}"
    return f"{within}{part}.{'weight' if kind in 'Ww' else 'bias'}"


def as_in_bridge(name: str, weight: Tensor) -> Tensor:
    """The bridge stacks heads and transposes."""
    pattern = STACKED.get(name.rpartition(".")[2])
    return weight if pattern is None else rearrange(weight, pattern).contiguous()
