"""What an epoch costs: `pytest -n 0 tests/benchmarks/bench_training.py`."""

from __future__ import annotations

import time

import torch

from models.min_of_two.training import Recipe, Training
from tests.benchmarks.in_turn import Cost, in_turn, show
from tests.min_of_two.plain_loop import plain_loop

EPOCHS = 10


def timed(epoch, seeds=1):
    """Of one epoch of one seed."""

    def side():
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(EPOCHS):
            epoch()
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        return Cost(wall / EPOCHS / seeds, cpu / EPOCHS / seeds, 0.0)

    return side


@torch.enable_grad()
def test_an_epoch_over_one_of_the_plain_loop(benchmark, capsys):
    """One seed alone and several at once, over the write-up's loop through the bridge."""
    recipe, together = Recipe(), Training.at_once["cpu"]
    sides = {
        "plain": timed(plain_loop(recipe)),
        "one by one": timed(Training(recipe).advance),
        f"{together} at once": timed(Training(recipe, range(together)).advance, together),
    }
    costs = in_turn(benchmark, sides)
    lines = [
        f"{name:10} {cost.wall * 1000:6.1f} ms an epoch of a seed, {cost.cpu * 1000:6.1f} ms of "
        f"CPU, {3600 / (cost.wall * recipe.epochs):5.1f} seeds an hour, "
        f"{cost.wall / costs['plain'].wall:.3f} of the plain loop"
        for name, cost in costs.items()
    ]
    show(capsys, lines)
