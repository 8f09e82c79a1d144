"""Training runs of min_of_two: biases and positions stay zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from mechanistic_claims import RunOfSeeds, margin
from models.min_of_two.loss import Pairs, residual_at_equals, training_loss, training_losses
from models.min_of_two.task import Task
from models.min_of_two.weights import bridge_state_dict, untrained_parameters, with_zero_biases


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, beside the versions."""

    seed: int = 0
    number_of_operands: int = 200
    d_model: int = 32
    d_head: int = 32
    epochs: int = 4000
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    beta_1: float = 0.9
    beta_2: float = 0.98
    threads: int = 2
    device: str = "cpu"

    @property
    def steps(self) -> int:
        return self.epochs


class Training(RunOfSeeds[Recipe]):
    """Full batches of the training split, which is the same for every seed.

    More seeds at once are no faster on a CPU: their logits leave its cache.
    """

    model = "min_of_two"
    at_once: ClassVar = {**RunOfSeeds.at_once, "cpu": 8}

    def __init__(self, recipe: Recipe, seeds: Sequence[int] | None = None) -> None:
        super().__init__(recipe, seeds)
        self.task = Task(recipe.number_of_operands, torch.device(recipe.device))
        self.pairs = Pairs.for_training(self.task)

    def start(self, seed: int) -> dict[str, Tensor]:
        recipe = self.recipe
        sizes = recipe.number_of_operands, recipe.d_model, recipe.d_head
        return untrained_parameters(*sizes, seed)

    def losses_of(self, weights: Mapping[str, Tensor], step: int) -> Float[Tensor, " seed"]:
        """One seed as matrices: as a batch of one it would cost a tenth more."""
        if len(self.seeds) > 1:
            return training_losses(dict(weights), self.pairs, self.task.equals)
        alone = {name: weight[0] for name, weight in weights.items()}
        return training_loss(alone, self.pairs, self.task.equals)[None]

    @torch.no_grad()
    def accuracy(self, place: int = 0) -> float:
        """Over all inputs."""
        below = self.task.min_position == 0
        tokens, labels = self.task.inputs[below], self.task.labels[below]
        weights = self.weights_of(place)
        logits = residual_at_equals(weights, tokens, self.task.equals) @ weights["W_U"]
        counts = 1 + self.task.differ[below].double()
        return float(((margin(logits, labels) > 0) * counts).sum() / counts.sum())

    def tensors(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Under the bridge's names."""
        return bridge_state_dict(with_zero_biases(weights))
