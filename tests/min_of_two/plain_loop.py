"""The write-up's training loop, as it is: what ours must follow and is measured against."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy

from mechanistic_claims.model.network import build_network
from models.min_of_two.task import Task
from models.min_of_two.training import Recipe
from models.min_of_two.weights import NAMES, untrained_parameters, with_zero_biases
from tests.conftest import CPU


def plain_loop(recipe: Recipe) -> Callable[[], float]:
    """One epoch a call, and its loss: the bridge on every ordered pair, float64 logits at '='."""
    task = Task(recipe.number_of_operands, CPU)
    start = untrained_parameters(
        recipe.number_of_operands, recipe.d_model, recipe.d_head, recipe.seed
    )
    network = build_network(NAMES, with_zero_biases(start), CPU)
    trained = [
        parameter.requires_grad_()
        for name, parameter in network.named_parameters()
        if not name.endswith("bias") and "pos" not in name
    ]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98))
    inputs, labels = task.inputs[~task.held_out], task.labels[~task.held_out]

    def epoch() -> float:
        loss = cross_entropy(network(inputs)[:, -1].double(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return epoch
