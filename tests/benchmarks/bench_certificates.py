"""What is proved, in what time: `pytest -n 0 tests/benchmarks/bench_certificates.py`."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import pytest
import torch

from mechanistic_claims.measurement.limits import clopper_pearson
from models.min_of_two.constructed import attend_to_the_min_and_copy
from tests.benchmarks.in_turn import show
from tests.conftest import CHECKPOINTS, REAL, subject_of

DRAWS = 1_000_000
LENGTHS = (2, 3, 4, 8, 16, 32)
CHECKPOINT_FILES = [*([REAL] if REAL.exists() else []), *sorted(CHECKPOINTS.glob("*.safetensors"))]


def timed(function, *arguments, **named):
    start = time.perf_counter()
    found = function(*arguments, **named)
    return found, time.perf_counter() - start


@pytest.mark.parametrize("path", CHECKPOINT_FILES, ids=lambda path: path.stem)
def test_what_is_proved(capsys, path):
    """Bounds of the accuracy over all lists of each length, and runs on lists drawn at random.

    Each proof is made from the weights anew.
    """
    subject = subject_of(path)
    subject.certificate.counted(2)
    lines = [f"{path.name}: share of all lists (seconds)"]
    for length in LENGTHS:
        relaxed, a = timed(subject.certificate.anew().relaxed, length)
        separable, b = timed(subject.certificate.anew().separable, length)
        counted, c = timed(subject.certificate.anew().counted, length)
        executed, d = timed(subject.certificate.anew().counted, length, as_executed=True)
        sampled, e = timed(subject.sampled, length, DRAWS)
        low, high = clopper_pearson(sampled, DRAWS)
        lines.append(
            f"K={length:2}  relaxed {relaxed:.4f} ({a:.2f})  "
            f"separable {separable.accuracy:.6f} ({b:.2f})  "
            f"counted {counted.at_least:.7f}..{counted.at_most:.7f} ({c:.2f})  "
            f"as executed {executed.at_least:.6f} ({d:.2f})  "
            f"sampled {low:.6f}..{high:.6f} ({e:.0f})"
        )
    show(capsys, lines)


def test_time_against_the_number_of_operands(capsys, tmp_path):
    """The separable and the counted certificate of the story written by hand, for lists of 4."""
    seconds = {}
    lines = []
    for n in (50, 100, 200, 400, 800):
        path = tmp_path / f"{n}.pt"
        torch.save(attend_to_the_min_and_copy(n), path)
        proof = subject_of(path).certificate
        proof.anew().relaxed(4)
        _, separable = timed(proof.anew().separable, 4)
        _, seconds[n] = timed(proof.anew().counted, 4)
        _, relaxed = timed(proof.anew().relaxed, 4)
        lines.append(
            f"N={n:3}  relaxed {relaxed:.3f} s  separable {separable:.3f} s  "
            f"counted {seconds[n]:.3f} s"
        )
    for fewer, more in pairwise(seconds):
        exponent = math.log(seconds[more] / seconds[fewer]) / math.log(more / fewer)
        lines.append(f"counted, from N={fewer} to {more}: N^{exponent:.2f}")
    show(capsys, lines)


def test_operations_against_what_is_proved(capsys):
    found = subject_of(CHECKPOINT_FILES[0]).certificate.proofs((2, 3, 4, 8, 16))
    lines = [f"{p.name:10} K={p.length:2}  {p.operations:.2e} {p.bound:.6f}" for p in found]
    show(capsys, [f"{CHECKPOINT_FILES[0].name}: operations, bound", *lines])
