"""The network: one layer of attention as a TransformerBridge, and where its parts are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

from mechanistic_claims import AttentionWeights, Layer, Wiring
from models.min_of_two.weights import bridge_state_dict

WIRING = Wiring(
    embedding="blocks.0.hook_resid_pre",
    layers=(
        Layer(
            query="blocks.0.attn.hook_q",
            key="blocks.0.attn.hook_k",
            value="blocks.0.attn.hook_v",
            pattern="blocks.0.attn.hook_pattern",
            output="blocks.0.hook_attn_out",
        ),
    ),
    final_residual="blocks.0.hook_resid_post",
    before_unembedding="unembed.hook_in",
)


def build_network(weights: Mapping[str, Tensor], device: torch.device) -> TransformerBridge:
    """The bridge with these canonical weights, in their own dtype, for evaluation."""
    tokens, d_model = weights["embed.W_E"].shape
    heads, _, d_head = weights["blocks.0.attn.W_Q"].shape
    config = TransformerBridgeConfig(
        n_layers=1,
        n_heads=heads,
        d_model=d_model,
        d_head=d_head,
        n_ctx=len(weights["pos_embed.W_pos"]),
        d_vocab=tokens,
        d_vocab_out=tokens - 1,
        attn_only=True,
        normalization_type=None,
        architecture="TransformerLensNative",
        init_weights=False,
    )
    dtype = weights["embed.W_E"].dtype
    boot = TransformerBridge.boot_native  # type: ignore[attr-defined]  # attached on import
    network: TransformerBridge = boot(config, device=device, dtype=dtype)
    network.load_state_dict(bridge_state_dict(weights), strict=True)
    return network.eval().requires_grad_(False)


def attention_weights(weights: Mapping[str, Tensor], device: torch.device) -> AttentionWeights:
    """The matrices that circuits are made of, in float64."""

    def exact(name: str) -> Tensor:
        return weights[name].to(device, torch.float64)

    def stacked(letter: str) -> Tensor:
        return rearrange(exact(f"blocks.0.attn.W_{letter}"), "head i j -> 1 head i j")

    return AttentionWeights(
        W_E=exact("embed.W_E"),
        W_Q=stacked("Q"),
        W_K=stacked("K"),
        W_V=stacked("V"),
        W_O=stacked("O"),
        W_U=exact("unembed.W_U"),
        others={name: exact(name) for name in weights if ".b_" in name or "pos" in name},
    )
