"""What odd checkpoints take: `pytest -n 0 tests/benchmarks/bench_odd_models.py`.

Every claim in this process with one thread, in turn with the reference. Runs of a wide model take
as long whatever its weights are: beside it stands one of random weights, of its own widths.
"""

from __future__ import annotations

import time

import pytest
import torch

from mechanistic_claims.measurement.certificates.compactness import one_thread
from models.min_of_two import FAMILY
from models.min_of_two.constructed import CONSTRUCTED
from models.min_of_two.weights import canonical_weights, untrained_parameters, with_zero_biases
from tests.benchmarks.in_turn import show
from tests.conftest import DIFFERENT, subject_of
from tests.kill import claims_of, subject_with
from tests.min_of_two.exact import Exact

N = 200
PROOFS = ("test_it_takes_the_min_of_longer_lists", "test_rounding_does_not_overturn_it")


def of_file(path):
    return canonical_weights(subject_of(path).checkpoint)


def random(d_model, d_head, scale=1.0):
    made = untrained_parameters(N, d_model, d_head, seed=0)
    return with_zero_biases({name: weight * scale for name, weight in made.items()})


ODD = {
    "a deviant of the same recipe": lambda: of_file(DIFFERENT),
    "untrained": lambda: random(32, 32),
    "untrained, weights four times as large": lambda: random(32, 32, 4.0),
    "all zero": lambda: random(32, 32, 0.0),
    "as wide as an exact one": lambda: random(202, 202),
    "exact, step 8": lambda: Exact(N, 202, 202).weights,
    "exact, step 20": lambda: Exact(N, 202, 202, step=20.0).weights,
    "exact, step 8, rotated": lambda: Exact(N, 202, 202, seed=1).weights,
    "as wide, d_model 401": lambda: random(401, 202),
    "exact, step 8, rotated, d_model 401": lambda: Exact(N, 401, 202, seed=1).weights,
    **{name: lambda make=make: make(N) for name, make in CONSTRUCTED.items()},
}


def seconds(weights):
    """Of all claims, of those that prove something, and which claim is the slowest."""
    with one_thread(), torch.no_grad():
        subject = subject_with("min_of_two", weights)
        taken, proofs = {}, 0.0
        for claim in claims_of("min_of_two"):
            start = time.perf_counter()
            claim.judged(subject)
            taken[claim.name] = time.perf_counter() - start
            if claim.function.__name__ in PROOFS:
                proofs += taken[claim.name]
    return sum(taken.values()), proofs, max(taken, key=lambda name: taken[name])


@pytest.mark.parametrize("odd", ODD)
def test_seconds_beside_a_trained_one(capsys, odd):
    reference = of_file(FAMILY.reference)
    seconds(reference)
    (trained, its_proofs, _), (all_claims, proofs, slowest) = (
        seconds(reference),
        seconds(ODD[odd]()),
    )
    times = f"{all_claims / trained:.1f} times the reference"
    lines = [
        f"{odd}: {all_claims:.1f} s, of which proofs {proofs:.1f}; slowest {slowest}",
        f"  {times}: {trained:.1f} s, proofs {its_proofs:.1f}",
    ]
    show(capsys, lines)
