"""The published proof against ours: `pytest -n 0 tests/benchmarks/bench_max_of_four.py`.

Of the shipped checkpoints, or of all below the folder that MAX_OF_FOUR names. Both sides run in
turn, from the weights on, each three times, and the fastest run of each counts; how many operations
that takes is counted in one more run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from mechanistic_claims.measurement.certificates.compactness import CountOperations, one_thread
from tests.benchmarks.in_turn import Cost, in_turn, show
from tests.benchmarks.published import POSITIONS, PUBLISHED, cubic
from tests.conftest import ROOT, subject_of

FOLDER = Path(os.environ.get("MAX_OF_FOUR", ROOT / "models/max_of_four/checkpoints"))
LISTS_LOOKED_AT = 64**4
"""All of them are, where there are no more."""
FILES = {str(file.relative_to(FOLDER)): file for file in sorted(FOLDER.rglob("*.safetensors"))}
EQUAL = 1e-8


@dataclass
class Side:
    """A proof from the weights on: what it finds, a share or two limits of it, and at what cost."""

    prove: Callable[[], tuple[float, ...]]
    operations: int = 0
    found: set[tuple[float, ...]] = field(default_factory=set)

    def cost(self) -> Cost:
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.no_grad(), one_thread():
            self.found.add(self.prove())
        return Cost(time.perf_counter() - wall, time.process_time() - cpu, 0.0)

    def counted(self) -> Cost:
        with CountOperations() as counter:
            cost = self.cost()
        self.operations = counter.operations
        return cost

    @property
    def share(self) -> tuple[float, ...]:
        (share,) = self.found  # the same in every run
        return share


@pytest.mark.parametrize("name", FILES)
def test_what_is_certified(benchmark, capsys, name):
    subject = subject_of(FILES[name], "max_of_four")
    weights, ours = subject.weights, subject.certificate
    length, numbers = len(weights[POSITIONS]), weights.answers

    def counted(as_executed: bool) -> tuple[float, float]:
        found = ours.anew().counted(length, as_executed=as_executed)
        return float(found.at_least), found.at_most

    sides = {
        PUBLISHED: Side(lambda: (cubic(weights, length),)),
        "relaxed": Side(lambda: (ours.anew().relaxed(length),)),
        "separable": Side(lambda: (ours.anew().separable(length).accuracy,)),
        "counted": Side(lambda: counted(as_executed=False)),
        "as executed": Side(lambda: counted(as_executed=True)),
    }
    costs = in_turn(benchmark, {proof: side.cost for proof, side in sides.items()}, of=min)
    for side in sides.values():
        side.counted()
    if numbers**length <= LISTS_LOOKED_AT:
        sides["enumerated"] = Side(lambda: (ours.anew().enumerated(length),))
        costs["enumerated"] = sides["enumerated"].counted()  # once: it takes its time
    lines = [
        f"  {proof:15} {costs[proof].wall:8.3f} s  {side.operations:.2e}  "
        f"{' .. '.join(f'{share:.9f}' for share in side.share)}"
        for proof, side in sides.items()
    ]
    show(capsys, [f"{name}: K = {length}, v = {numbers}", *lines])
    low, high = sides["counted"].share
    assert low <= high
    if "enumerated" in sides:
        assert low - EQUAL <= sides["enumerated"].share[0] <= high + EQUAL
