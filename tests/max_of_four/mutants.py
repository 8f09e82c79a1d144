"""Small, named changes to a trained checkpoint of max_of_four, each aimed at one sentence."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from tests.min_of_two.mutants import SEED, Original, Weights, attn

SHIFTED = 100.0
"""By how much, in all of them together, full attention to each number lowers every logit."""


class OfTheLastPlace(Original):
    """A trained checkpoint in which the last place asks, whatever number stands there."""

    @cached_property
    def query(self) -> Tensor:
        read = self.embedding.mean(dim=0) + self.weights["pos_embed.W_pos"][-1]
        return read @ self.weights[attn("W_Q")][0]

    @cached_property
    def row(self) -> Tensor:
        """The scores that numbers get, whatever their place."""
        keys = self.embedding @ self.weights[attn("W_K")][0]
        return keys @ self.query / len(self.query) ** 0.5

    @cached_property
    def key_for_a_score(self) -> Tensor:
        """The smallest key that gets a score of 1."""
        return self.query / self.query.square().sum() * len(self.query) ** 0.5

    def logits_shifted(self) -> Weights:
        """All logits alike, more or less by the number that is attended to: nobody sees it."""
        w = self.weights
        moved = (self.embedding @ w[attn("W_V")][0] @ w[attn("W_O")][0]).sum(dim=0)
        shift = -SHIFTED * moved / moved.square().sum()
        return self.changed(W_U=w["unembed.W_U"] + shift[:, None])


def mutants_of(original: OfTheLastPlace) -> dict[str, Weights]:
    """Every mutant by its name."""
    n, w, row = original.n, original.weights, original.row
    generator = torch.Generator().manual_seed(SEED)
    b_K, b_U = w[attn("b_K")], w["unembed.b_U"]
    of_heads = [name for name in w if ".attn." in name and "b_O" not in name]
    return {
        # attention
        "low_score_raised": original.scores_raised({2: float(row[14] - row[2])}),
        "half_the_scores": original.changed(W_Q=w[attn("W_Q")] / 2),
        # values
        "two_values_swapped": original.values_swapped(17, 24),
        "logits_shifted": original.logits_shifted(),
        # direct path
        "direct_path_loud": original.with_feature(
            dict.fromkeys(range(n), 1.0), unembedded=1.5 * torch.randn(n, generator=generator)
        ),
        # what changes nothing, or little, and breaks a precondition
        "head_twice": {**w, **{name: torch.cat([w[name], w[name]]) for name in of_heads}},
        "same_logit_bias_for_all": original.changed(b_U=b_U + 5.0),
        "logit_bias": original.changed(b_U=b_U + 2 * torch.randn(n, generator=generator)),
        "key_bias": original.changed(b_K=b_K + torch.randn(b_K.shape, generator=generator)),
    }
