"""Small, named changes to a trained checkpoint of induction, each aimed at one sentence."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import einsum
from torch import Tensor

Weights = dict[str, Tensor]
SEED = 0
PREVIOUS = 0
"""The previous-token head of the reference: head 0 of the first layer."""
UNREAD = 8
"""How many directions are added that nobody reads."""


def attn(layer: int, letter: str) -> str:
    return f"blocks.{layer}.attn.{letter}"


def drawn(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(SEED))


def scaled(weights: Mapping[str, Tensor], **by: list[float]) -> Weights:
    """Some matrices, named as `W_Q_1` for layer 1, with each head's times a number."""
    changed = dict(weights)
    for name, factors in by.items():
        full = attn(int(name[-1]), name[:-2])
        changed[full] = weights[full] * torch.tensor(factors)[:, None, None]
    return changed


def heads_exchanged(weights: Mapping[str, Tensor]) -> Weights:
    """Each layer's heads in the other order: the same function."""
    by_head = [name for name in weights if ".attn." in name and not name.endswith("b_O")]
    return {**weights, **{name: weights[name].flip(0) for name in by_head}}


def heads_turned(weights: Mapping[str, Tensor]) -> Weights:
    """Each head in another basis: the same function."""
    turned = dict(weights)
    turn = torch.linalg.qr(drawn(2, 32, 32)).Q
    for layer in (0, 1):
        for letter in "QKV":
            name = attn(layer, f"W_{letter}")
            turned[name] = einsum(weights[name], turn, "head d i, head i j -> head d j")
        name = attn(layer, "W_O")
        turned[name] = einsum(weights[name], turn, "head i d, head i j -> head j d")
    return turned


def with_noise_that_nobody_reads(weights: Mapping[str, Tensor]) -> Weights:
    """New directions of the stream: tokens and the first layer write there, nothing reads."""
    wider = {}
    for name, weight in weights.items():
        short = name.rsplit(".", 1)[1]
        if short in ("W_Q", "W_K", "W_V", "W_U"):
            nothing = weight.new_zeros(*weight.shape[:-2], UNREAD, weight.shape[-1])
            wider[name] = torch.cat([weight, nothing], dim=-2)
        elif short in ("W_E", "W_O", "W_pos", "b_O"):
            noise = drawn(*weight.shape[:-1], UNREAD) * weight.square().mean().sqrt()
            written = short == "W_E" or name == attn(0, "W_O")
            wider[name] = torch.cat([weight, noise * written], dim=-1)
        else:
            wider[name] = weight
    return wider


def other_tokens_copied(weights: Mapping[str, Tensor]) -> Weights:
    """The second layer's values are those of the next token of the vocabulary."""
    W_E = weights["embed.W_E"].double()
    shift = torch.linalg.solve(W_E, W_E.roll(1, dims=0)).float()
    name = attn(1, "W_V")
    return {**weights, name: shift @ weights[name]}


def queries_for_keys(weights: Mapping[str, Tensor]) -> Weights:
    """The second layer's queries are its keys, and its keys queries."""
    queries, keys = (attn(1, letter) for letter in ("W_Q", "W_K"))
    return {**weights, queries: weights[keys], keys: weights[queries]}


def previous_token_head_twice(weights: Mapping[str, Tensor]) -> Weights:
    """The other head of the first layer is the previous-token head too, each with half of it."""
    changed = dict(weights)
    for letter, share in (("W_Q", 1.0), ("W_K", 1.0), ("W_V", 1.0), ("W_O", 0.5)):
        of_it = weights[attn(0, letter)][PREVIOUS] * share
        changed[attn(0, letter)] = torch.stack([of_it, of_it])
    return changed


def mutants_of(weights: Mapping[str, Tensor]) -> dict[str, Weights]:
    """Every mutant by its name."""
    return {
        # the same story
        "heads_exchanged": heads_exchanged(weights),
        "heads_turned": heads_turned(weights),
        "noise_that_nobody_reads": with_noise_that_nobody_reads(weights),
        "without_the_other_head": scaled(weights, W_O_0=[1.0, 0.0]),
        "one_induction_head": scaled(weights, W_O_1=[2.0, 0.0]),
        # another
        "previous_token_head_twice": previous_token_head_twice(weights),
        "previous_token_blurred": scaled(weights, W_K_0=[0.5, 1.0]),
        "induction_blurred": scaled(weights, W_Q_1=[0.7, 0.7], W_O_1=[1.5, 1.5]),
        "induction_half_as_loud": scaled(weights, W_O_1=[0.5, 0.5]),
        "other_tokens_copied": other_tokens_copied(weights),
        "queries_for_keys": queries_for_keys(weights),
    }
