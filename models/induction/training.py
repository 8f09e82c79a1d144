"""Training runs of induction: fresh sequences in each step, a block of random tokens repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechanistic_claims import (
    RunOfSeeds,
    cross_entropies,
    drawn_weights,
    logits_of,
    margin,
    transformer_shapes,
)

STEPS_OF_A_SEED = 2**20
"""Steps and seeds below it draw each from a generator of their own."""
SAMPLE = 256
SAMPLE_SEED = STEPS_OF_A_SEED**2
"""What accuracy is measured on, and nothing is trained on."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, beside the versions."""

    seed: int = 0
    tokens: int = 64
    context: int = 64
    shortest: int = 8
    longest: int = 32
    batch: int = 32
    heads: int = 2
    d_model: int = 64
    d_head: int = 32
    steps: int = 4000
    learning_rate: float = 3e-3
    warm_up: int = 50
    weight_decay: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest < self.context:
            raise ValueError(
                f"blocks of {self.shortest} to {self.longest} tokens: expected --shortest at most "
                f"--longest, and less than the context of {self.context}."
            )


def sequences(
    recipe: Recipe, count: int, seed: int
) -> tuple[Int[Tensor, "sequence position"], Int[Tensor, " sequence"]]:
    """Blocks of independent tokens, each repeated to fill the context and a last label.

    Second, how long each block is: uniform in shortest..longest.
    """
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(recipe.shortest, recipe.longest + 1, (count,), generator=generator)
    blocks = torch.randint(recipe.tokens, (count, recipe.longest), generator=generator)
    place = torch.arange(recipe.context + 1) % lengths[:, None]
    return blocks.gather(1, place), lengths


class Training(RunOfSeeds[Recipe]):
    """Every seed has data of its own.

    A step takes 13.4 ms on one thread of a CPU, and 13.9 ms each of four seeds at once.
    """

    model = "induction"

    def start(self, seed: int) -> dict[str, Tensor]:
        recipe = self.recipe
        shapes = transformer_shapes(
            tokens=recipe.tokens,
            positions=recipe.context,
            logits=recipe.tokens,
            layers=2,
            heads=recipe.heads,
            d_model=recipe.d_model,
            d_head=recipe.d_head,
        )
        return drawn_weights(shapes, seed)

    def losses_of(self, weights: Mapping[str, Tensor], step: int) -> Float[Tensor, " seed"]:
        """Of every next token."""
        drawn = (
            sequences(self.recipe, self.recipe.batch, seed * STEPS_OF_A_SEED + step)[0]
            for seed in self.seeds
        )
        tokens = torch.stack(list(drawn)).to(self.recipe.device)
        return cross_entropies(logits_of(weights, tokens[..., :-1]), tokens[..., 1:])

    def rate(self, step: int) -> float:
        """A linear warm-up; over the second half a linear fall to zero."""
        recipe = self.recipe
        return min(1.0, (step + 1) / recipe.warm_up, 2 * (1 - step / recipe.steps))

    @torch.no_grad()
    def accuracy(self, place: int = 0) -> float:
        """Over the rows of the second copy, of a sample that is the same for every seed."""
        tokens, lengths = (
            part.to(self.recipe.device) for part in sequences(self.recipe, SAMPLE, SAMPLE_SEED)
        )
        weights = {name: weight[None] for name, weight in self.weights_of(place).items()}
        correct = margin(logits_of(weights, tokens[:, :-1])[0], tokens[:, 1:]) > 0
        copy = torch.arange(self.recipe.context, device=tokens.device) // lengths[:, None]
        return float(correct[copy == 1].double().mean())
