"""Small, named changes to a trained checkpoint, each aimed at one sentence of the story.

And those that change nothing that the story speaks of: none of its sentences may fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Weights = dict[str, Tensor]
SEED = 0


def mlp(letter: str) -> str:
    return f"blocks.0.mlp.{letter}"


@dataclass(frozen=True)
class Original:
    """A trained checkpoint's canonical weights, and what can be changed in them."""

    weights: Mapping[str, Tensor]

    @property
    def p(self) -> int:
        return self.weights["unembed.W_U"].shape[1]

    def changed(self, **changes: Tensor) -> Weights:
        """With some weights, named by the ends of their names, replaced."""
        named = {name.rsplit(".", 1)[1]: name for name in self.weights}
        return {**self.weights, **{named[short]: value for short, value in changes.items()}}

    def renamed(self, number: Tensor) -> Weights:
        """Number t has the place of `number[t]`, as an operand and as an answer."""
        return self.changed(
            W_E=self.weights["embed.W_E"][torch.cat([number, torch.tensor([self.p])])],
            W_U=self.weights["unembed.W_U"][:, number],
        )

    def with_direction(self, of_number: Tensor) -> Weights:
        """One direction more of the residual stream, that embeddings have and nothing reads."""
        longer = torch.nn.functional.pad
        w = self.weights
        below = {f"blocks.0.attn.W_{letter}": (0, 0, 0, 1) for letter in "QKV"}
        below |= {mlp("W_in"): (0, 0, 0, 1), "unembed.W_U": (0, 0, 0, 1)}
        beside = ["pos_embed.W_pos", "blocks.0.attn.W_O", "blocks.0.attn.b_O"]
        beside += [mlp("W_out"), mlp("b_out")]
        embedding = torch.cat([w["embed.W_E"], longer(of_number, (0, 1))[:, None]], dim=1)
        return {
            **w,
            "embed.W_E": embedding,
            **{name: longer(w[name], pad) for name, pad in below.items()},
            **{name: longer(w[name], (0, 1)) for name in beside},
        }

    def with_neurons(self, bias: float, to_logits: Tensor) -> Weights:
        """More neurons, that nothing but their bias moves, and what they write to the logits.

        Through the unembedding: of a random direction it gives key frequencies only.
        """
        w, count = self.weights, len(to_logits)
        written = to_logits @ torch.linalg.pinv(w["unembed.W_U"])
        none = w[mlp("W_in")].new_zeros(len(w[mlp("W_in")]), count)
        return {
            **w,
            mlp("W_in"): torch.cat([w[mlp("W_in")], none], dim=1),
            mlp("b_in"): torch.cat([w[mlp("b_in")], torch.full((count,), bias)]),
            mlp("W_out"): torch.cat([w[mlp("W_out")], written]),
        }

    def with_a_constant(self, scale: float) -> Weights:
        """Each direction adds as much to all logits: softmax does not see it."""
        unembedding = self.weights["unembed.W_U"]
        each = torch.randn(len(unembedding), 1, generator=_generator())
        return self.changed(W_U=unembedding + scale * each)

    def without_head(self, head: int) -> Weights:
        output = self.weights["blocks.0.attn.W_O"].clone()
        output[head] = 0
        return self.changed(W_O=output)


def the_same_mechanism(original: Original) -> dict[str, Weights]:
    """What must refute nothing: other names of the numbers, or logits that are as good as these."""
    return {
        "times_five": original.renamed(torch.arange(original.p) * 5 % original.p),
        "a_constant_on_logits": original.with_a_constant(1.0),
        "three_times_as_loud": original.changed(W_U=original.weights["unembed.W_U"] * 3),
    }


def mutants_of(original: Original) -> dict[str, Weights]:
    """Every other mutant by its name: those that answer as well, and then the others."""
    w, p, generator = original.weights, original.p, _generator()
    shuffled = torch.randperm(p, generator=generator)
    of_neurons = torch.randperm(len(w[mlp("b_in")]), generator=generator)
    noise = torch.randn(p, generator=generator)
    noise *= w["embed.W_E"][:p].norm() / noise.norm()
    loud = (w[mlp("W_out")] @ w["unembed.W_U"]).norm() / (2 * p**0.5)
    to_any_logit = loud * torch.randn(1, p, generator=generator)
    return {
        "unread_noise": original.with_direction(noise),
        "a_constant_that_drowns_them": original.with_a_constant(1000.0),
        "silent_neurons": original.with_neurons(-1.0, to_any_logit),
        "a_tenth_as_loud": original.changed(W_U=w["unembed.W_U"] / 10),
        "operands_shuffled": original.changed(
            W_E=torch.cat([w["embed.W_E"][shuffled], w["embed.W_E"][p:]])
        ),
        "neurons_write_each_others": original.changed(W_out=w[mlp("W_out")][of_neurons]),
        "without_a_head": original.without_head(0),
    }


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)
