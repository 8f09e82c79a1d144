"""What is proved, in what time: `pytest -n 0 -s tests/benchmarks/bench_certificates.py`."""

from __future__ import annotations

import time

import pytest
import torch

from fixtures.measures import margin, share
from fixtures.verdict import clopper_pearson
from models.min_of_two.constructed import attend_to_the_min_and_copy
from models.min_of_two.weights import canonical_weights
from tests.benchmarks.in_turn import show
from tests.conftest import CHECKPOINTS, REAL, subject_of

DRAWS = 100_000
CHECKPOINT_FILES = [*([REAL] if REAL.exists() else []), *sorted(CHECKPOINTS.glob("*.safetensors"))]


def timed(function, *arguments, **named):
    start = time.perf_counter()
    found = function(*arguments, **named)
    return found, time.perf_counter() - start


@pytest.mark.parametrize("path", CHECKPOINT_FILES, ids=lambda path: path.stem)
def test_what_is_proved(capsys, path):
    """Bounds of the accuracy over all lists of each length, and runs on lists drawn at random."""
    subject = subject_of(path)
    proofs = subject.certificate
    proofs.quadratic(1)
    lines = [f"{path.name}: share of all lists (seconds)"]
    for length in (2, 3, 4, 8, 16, 32):
        separable, a = timed(proofs.separable, length)
        counted, b = timed(proofs.counted, length)
        executed, c = timed(proofs.counted, length, as_executed=True)
        quadratic, d = timed(proofs.quadratic, length)
        lists = subject.task.random_lists(length, DRAWS)
        right = share(margin(subject.logits_of(lists), lists[:, :-1].amin(dim=-1)) > 0)
        low, high = clopper_pearson(right, DRAWS)
        lines.append(
            f"K={length:2}  quadratic {quadratic:.4f} ({d:.2f})  "
            f"separable {separable.accuracy:.6f} ({a:.2f})  "
            f"counted {counted.at_least:.6f}..{counted.at_most:.6f} ({b:.2f})  "
            f"as executed {executed.at_least:.6f} ({c:.2f})  sampled {low:.5f}..{high:.5f}"
        )
    show(capsys, lines)


@pytest.mark.parametrize("n", [50, 100, 200, 400, 800])
def test_time_against_the_number_of_operands(capsys, tmp_path, n):
    """The separable and the counted certificate of the story written by hand."""
    path = tmp_path / "model.pt"
    torch.save(attend_to_the_min_and_copy(n), path)
    subject = subject_of(path)
    assert len(canonical_weights(subject.checkpoint)["embed.W_E"]) == n + 1
    proofs = subject.certificate
    proofs.quadratic(1)
    _, separable = timed(proofs.separable, 4)
    _, counted = timed(proofs.counted, 4)
    show(capsys, [f"N={n:3}  separable {separable:.2f} s  counted {counted:.2f} s"])
