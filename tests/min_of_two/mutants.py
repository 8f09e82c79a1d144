"""Small, named changes to a trained checkpoint, each aimed at one sentence of the story.

Most give some tokens a new direction of the residual stream that the head reads for one purpose
only: everything else stays as it was, not by a bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

Weights = dict[str, Tensor]
SEED = 0


def attn(letter: str) -> str:
    return f"blocks.0.attn.{letter}"


@dataclass(frozen=True)
class Original:
    """A trained checkpoint's canonical weights, of one head, and what can be changed in them."""

    weights: Mapping[str, Tensor]

    @property
    def n(self) -> int:
        return self.weights["unembed.W_U"].shape[1]

    @property
    def embedding(self) -> Tensor:
        return self.weights["embed.W_E"]

    @cached_property
    def key_for_a_score(self) -> Tensor:
        """The smallest key to which '=' gives an attention score of 1."""
        query = self.embedding[self.n] @ self.weights[attn("W_Q")][0]
        return query / query.square().sum() * math.sqrt(len(query))

    @cached_property
    def row(self) -> Tensor:
        """The row of '=' of the QK circuit."""
        keys = self.embedding @ self.weights[attn("W_K")][0]
        query = self.embedding[self.n] @ self.weights[attn("W_Q")][0]
        return keys @ query / math.sqrt(len(query))

    def changed(self, **changes: Tensor) -> Weights:
        """With some weights, named by the ends of their names, replaced."""
        named = {name.rsplit(".", 1)[1]: name for name in self.weights}
        return {**self.weights, **{named[short]: value for short, value in changes.items()}}

    def with_feature(
        self,
        tokens: Mapping[int, float],
        *,
        query: Tensor | None = None,
        key: Tensor | None = None,
        value: Tensor | None = None,
        unembedded: Tensor | None = None,
    ) -> Weights:
        """A new direction of the residual stream that only these tokens have, and what reads it."""
        w = self.weights
        feature = torch.zeros(len(self.embedding), 1)
        for token, amount in tokens.items():
            feature[token] = amount
        d_head = w[attn("W_O")].shape[1]

        def one_more(name: str, row: Tensor | None, size: int, axis: int = 0) -> Tensor:
            row = torch.zeros(size) if row is None else row
            return torch.cat([w[name], row.reshape(*w[name].shape[:axis], 1, size)], dim=axis)

        def longer(name: str) -> Tensor:
            return torch.cat([w[name], w[name].new_zeros(*w[name].shape[:-1], 1)], dim=-1)

        return {
            **w,
            "embed.W_E": torch.cat([self.embedding, feature], dim=1),
            "pos_embed.W_pos": longer("pos_embed.W_pos"),
            attn("W_Q"): one_more(attn("W_Q"), query, d_head, axis=1),
            attn("W_K"): one_more(attn("W_K"), key, d_head, axis=1),
            attn("W_V"): one_more(attn("W_V"), value, d_head, axis=1),
            attn("W_O"): longer(attn("W_O")),
            attn("b_O"): longer(attn("b_O")),
            "unembed.W_U": one_more("unembed.W_U", unembedded, self.n),
        }

    def scores_raised(self, tokens: Mapping[int, float]) -> Weights:
        """The attention scores from '=' to some tokens raised."""
        return self.with_feature(tokens, key=self.key_for_a_score)

    def values_swapped(self, one: int, other: int) -> Weights:
        """Two tokens' rows of the OV circuit exchanged; their keys stay."""
        difference = self.embedding[other] - self.embedding[one]
        value = difference @ self.weights[attn("W_V")][0]
        return self.with_feature({one: 1.0, other: -1.0}, value=value)

    def noisy(self, scale: float) -> Weights:
        """Noise on every weight, of a scale relative to the root mean square of its matrix."""
        generator = torch.Generator().manual_seed(SEED)
        return {
            name: weight
            + torch.randn(weight.shape, generator=generator) * weight.square().mean().sqrt() * scale
            for name, weight in self.weights.items()
        }


def mutants_of(original: Original) -> dict[str, Weights]:
    """Every mutant by its name."""
    n, w, row = original.n, original.weights, original.row
    operands = range(n)
    generator = torch.Generator().manual_seed(SEED)
    attention = [name for name in w if ".attn." in name and "b_O" not in name]
    reversed_tokens = torch.tensor([*reversed(operands), n])
    b_Q, b_K, b_U = (w[attn("b_Q")], w[attn("b_K")], w["unembed.b_U"])
    to_greatest = w[attn("W_O")][0] @ w["unembed.W_U"][:, n - 1]
    first_position = torch.zeros_like(w["pos_embed.W_pos"])
    pull = w[attn("W_K")][0] @ (original.embedding[n] @ w[attn("W_Q")][0])
    first_position[0] = pull / pull.square().sum() * math.sqrt(len(b_Q[0])) * 0.06
    return {
        # attention
        "one_score_raised": original.scores_raised({150: float(row[144] - row[150])}),
        "half_the_scores": original.changed(W_Q=w[attn("W_Q")] / 2),
        "scores_negated": original.changed(W_Q=-w[attn("W_Q")]),
        "equals_attends_to_itself": original.scores_raised({n: float(row[180] - row[n])}),
        "other_rows_loud": original.with_feature(
            dict.fromkeys(operands, 1.0), query=5 * original.embedding[n] @ w[attn("W_Q")][0]
        ),
        "prefers_the_first": original.changed(W_pos=first_position),
        # values
        "two_values_swapped": original.values_swapped(50, 100),
        "two_great_values_swapped": original.values_swapped(n - 3, n - 2),
        "greatest_copied_backwards": original.with_feature(
            {n - 1: 1.0}, value=-3000 * to_greatest / to_greatest.square().sum()
        ),
        # direct path
        "direct_path_loud": original.with_feature(
            {n: 1.0}, unembedded=3 * torch.randn(n, generator=generator)
        ),
        # what changes nothing, or little, and breaks a precondition
        "head_twice": {**w, **{name: torch.cat([w[name], w[name]]) for name in attention}},
        "same_logit_bias_for_all": original.changed(b_U=b_U + 5.0),
        "logit_bias": original.changed(b_U=b_U + torch.randn(n, generator=generator) * 2),
        "key_bias": original.changed(b_K=b_K + torch.randn(b_K.shape, generator=generator)),
        "query_bias": original.changed(b_Q=b_Q + torch.randn(b_Q.shape, generator=generator) / 10),
        # another model altogether
        "trained_on_max": original.changed(
            W_E=original.embedding[reversed_tokens],
            W_U=w["unembed.W_U"][:, reversed_tokens[:-1]],
        ),
    }
