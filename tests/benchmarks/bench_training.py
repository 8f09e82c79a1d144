"""What an epoch costs: `pytest -n 0 tests/benchmarks/bench_training.py`."""

from __future__ import annotations

import time

import torch

from models.min_of_two.training import Recipe, Training
from tests.benchmarks.in_turn import Cost, in_turn, show
from tests.plain_loop import plain_loop

EPOCHS = 10


def timed(epoch):
    def side():
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(EPOCHS):
            epoch()
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        return Cost(wall / EPOCHS, cpu / EPOCHS, 0.0)

    return side


@torch.enable_grad()
def test_an_epoch_over_one_of_the_plain_loop(benchmark, capsys):
    """An epoch of training over one of the write-up's loop through the bridge."""
    recipe = Recipe()
    training = Training(recipe)
    costs = in_turn(benchmark, {"plain": timed(plain_loop(recipe)), "train": timed(training.epoch)})
    lines = [
        f"{name:6} {cost.wall * 1000:6.1f} ms an epoch, {cost.cpu * 1000:6.1f} ms of CPU"
        for name, cost in costs.items()
    ]
    show(capsys, [*lines, f"ratio  {costs['train'].wall / costs['plain'].wall:.3f}"])
