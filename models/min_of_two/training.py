"""Training runs of min_of_two: one seed alone, or several seeds as one batch.

Biases and positions stay zero. A run saves and resumes as a whole and ends in the same weights.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from mechanistic_claims import margin
from models.min_of_two.loss import (
    Pairs,
    Parameters,
    residual_at_equals,
    training_loss,
    training_losses,
)
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


class Run(ABC):
    """Parameters, optimizer and step of one or several seeds, which save and resume together."""

    def __init__(self, recipe: Recipe, seeds: Sequence[int]) -> None:
        torch.set_num_threads(recipe.threads)
        self.recipe, self.seeds = recipe, tuple(seeds)
        self.step = 0
        self.losses = [float("nan")] * len(self.seeds)
        self.task = Task(recipe.number_of_operands, torch.device(recipe.device))
        self.pairs = Pairs.for_training(self.task)
        sizes = recipe.number_of_operands, recipe.d_model, recipe.d_head
        starts = [untrained_parameters(*sizes, seed) for seed in self.seeds]
        self.parameters: Parameters = {
            name: weight.to(recipe.device).requires_grad_()
            for name, weight in self._together(starts).items()
        }
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            betas=(recipe.beta_1, recipe.beta_2),
        )

    @abstractmethod
    def _together(self, starts: Sequence[Parameters]) -> Parameters:
        """The parameters of all seeds, as they are trained."""

    @abstractmethod
    def _losses_now(self) -> Float[Tensor, " seed"]:
        """The loss of each seed."""

    @abstractmethod
    def parameters_of(self, place: int) -> Parameters:
        """The parameters of one seed."""

    @property
    def recipes(self) -> list[Recipe]:
        """The recipe of each seed."""
        return [dataclasses.replace(self.recipe, seed=seed) for seed in self.seeds]

    def epoch(self) -> None:
        """One full-batch step of every seed."""
        self.optimizer.zero_grad()
        losses = self._losses_now()
        losses.sum().backward()
        self.optimizer.step()
        self.step += 1
        self.losses = losses.tolist()
        if not self.converging:
            which = ", ".join(map(str, self.seeds))
            raise ValueError(
                f"the loss of seed {which} is {self.losses[0]} at epoch {self.step}: training "
                "diverged."
            )

    @property
    def converging(self) -> list[int]:
        """The places of seeds whose loss is a number: one that diverges takes no other along."""
        return [place for place, loss in enumerate(self.losses) if math.isfinite(loss)]

    @torch.no_grad()
    def accuracy(self, place: int = 0) -> float:
        """Share of all inputs whose correct logit is strictly the greatest."""
        below = self.task.min_position == 0
        tokens, labels = self.task.inputs[below], self.task.labels[below]
        parameters = self.parameters_of(place)
        logits = residual_at_equals(parameters, tokens, self.task.equals) @ parameters["W_U"]
        counts = 1 + self.task.differ[below].double()
        return float(((margin(logits, labels) > 0) * counts).sum() / counts.sum())

    def state(self) -> dict[str, Any]:
        return {
            **self.belongs_to(),
            "step": self.step,
            "losses": self.losses,
            "parameters": {name: weight.detach() for name, weight in self.parameters.items()},
            "optimizer": self.optimizer.state_dict(),
        }

    def belongs_to(self) -> dict[str, Any]:
        """What a saved state has to agree with."""
        return {"recipe": dataclasses.asdict(self.recipe), "seeds": list(self.seeds)}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        self.step, self.losses = state["step"], state["losses"]
        for name, weight in state["parameters"].items():
            self.parameters[name].copy_(weight)
        self.optimizer.load_state_dict(state["optimizer"])

    def checkpoint(self, place: int = 0) -> bytes:
        """A seed's weights under the bridge's names as safetensors, with where they come from."""
        parameters = {name: w.detach().cpu() for name, w in self.parameters_of(place).items()}
        training = {
            "model": "min_of_two",
            "step": self.step,
            "loss": self.losses[place],
            "accuracy": self.accuracy(place),
            "recipe": dataclasses.asdict(self.recipes[place]),
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
        }
        # one entry: safetensors writes several in an order that differs from run to run
        metadata = {"training": json.dumps(training)}
        return safetensors.torch.save(bridge_state_dict(with_zero_biases(parameters)), metadata)


class Training(Run):
    """One seed alone, as matrices: as a batch of one it would cost a tenth more."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe, [recipe.seed])

    def _together(self, starts: Sequence[Parameters]) -> Parameters:
        return starts[0]

    def _losses_now(self) -> Float[Tensor, " seed"]:
        return training_loss(self.parameters, self.pairs, self.task.equals)[None]

    def parameters_of(self, place: int) -> Parameters:
        return self.parameters

    @property
    def loss(self) -> float:
        return self.losses[0]


class Seeds(Run):
    """Several seeds at once, each parameter with a leading axis of seeds.

    Each seed's losses are those of its run alone, to rounding.
    """

    def _together(self, starts: Sequence[Parameters]) -> Parameters:
        return {name: torch.stack([start[name] for start in starts]) for name in starts[0]}

    def _losses_now(self) -> Float[Tensor, " seed"]:
        return training_losses(self.parameters, self.pairs, self.task.equals)

    def parameters_of(self, place: int) -> Parameters:
        return {name: weight[place] for name, weight in self.parameters.items()}
