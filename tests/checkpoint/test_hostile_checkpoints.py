"""A checkpoint comes from anywhere: whatever the file, an error that says why, soon, and no more.

Nothing in it is executed, and no claim gets a verdict from it.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.checkpoint.hostile import Case, sparse_file
from tests.conftest import ROOT, small_weights

SECONDS, GIBIBYTE = 2, 2**30
"""Of a core: however busy the machine is, a case costs as many."""
HANGS_AFTER = 60
"""Seconds on a clock, in which a case that only waits has cost none."""
NEVER_VALID = (
    *("not finite", "disagreeing", "operations", "runs code"),
    *("costly pickles", "large files", "no files", "made by objects", "names alike"),
    "others than torch reads",
)
BEHAVIOR = "claims/min_of_two/test_behavior.py"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is measured as Linux counts it"
)


def read(share: float, *kinds: str) -> list[dict[str, Any]]:
    """What came of each case, from a process that is ended where it stops telling."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.checkpoint.hostile_reader",
        str(share),
        *kinds,
    ]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CHECK_SHAPES": "no",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=listen, daemon=True).start()
    told: list[dict[str, Any]] = []
    try:
        while (line := lines.get(timeout=HANGS_AFTER)) is not None:
            told.append(json.loads(line))
    except queue.Empty:
        process.kill()
        pytest.fail(f"reading did not end: {told[-1:]}")
    errors = process.communicate()[1]
    assert process.returncode == 0, f"{told[-1:]}\n{errors[-3000:]}"
    return [case for case in told if "end" in case]


def assert_harmless(cases: list[dict[str, Any]]) -> None:
    """Each ended in a clear error or is a sound checkpoint, within 2 s of a core and 1 GiB."""
    for case in cases:
        assert case["outcome"] in ("error", "valid"), case
        assert case["outcome"] == "error" or case["kind"] not in NEVER_VALID, case
        assert case["seconds"] < SECONDS, case
        assert case["grown"] < GIBIBYTE, case


def test_some_of_each_kind():
    cases = read(0.015)
    assert_harmless(cases)
    assert len(cases) > 200
    assert len({case["kind"] for case in cases}) == 17
    beside = [case for case in cases if case["kind"] == "beside the weights"]
    assert sum(case["outcome"] == "valid" for case in beside) > len(beside) / 2


@pytest.mark.slow
def test_ten_thousand_cases(show):
    cases = read(1)
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        by_kind[case["kind"]][case["outcome"]] += 1
    slowest = max(cases, key=lambda case: case["seconds"])
    largest = max(cases, key=lambda case: case["grown"])
    lines = [f"{len(cases):,} files: {sum(by_kind.values(), Counter())['error']:,} errors"]
    lines += [
        f"  {kind}: {outcomes.total():,}, of them still valid {outcomes['valid']:,}"
        for kind, outcomes in by_kind.items()
    ]
    lines.append(f"slowest {slowest['seconds']:.2f} s ({slowest['end']})")
    lines.append(f"largest growth {largest['grown'] / 2**20:.0f} MiB ({largest['end']})")
    show("hostile checkpoints", "\n".join(lines))
    assert_harmless(cases)
    assert len(cases) >= 14_370, "12,370 as before, and 2,000 of training loops"


def hostile_paths(folder: Path) -> dict[str, Path]:
    """Paths that lead to no checkpoint, and one file that is too large for one."""
    paths = {name: folder / f"{name}.pt" for name in ("fifo", "loop", "folder", "huge", "named")}
    os.mkfifo(paths["fifo"])
    paths["loop"].symlink_to(paths["loop"].name)
    paths["folder"].mkdir()
    sparse_file(paths["huge"])
    paths["named"].symlink_to("/dev/zero")
    return paths


@pytest.mark.parametrize(
    ("name", "said"),
    [("loop", "no such file"), ("folder", "not a file")],
)
def test_a_path_that_leads_nowhere_is_refused_at_once(tmp_path, run_claims, name, said):
    run = run_claims(BEHAVIOR, "--checkpoint", hostile_paths(tmp_path)[name])
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert said in run.output
    assert not run.claims


def test_a_path_to_what_can_not_be_read_is_an_error(tmp_path, run_claims):
    paths = hostile_paths(tmp_path)
    given = [f"--checkpoint={paths[name]}" for name in ("fifo", "huge", "named")]
    run = run_claims(BEHAVIOR, *given)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert "INTERNALERROR" not in run.output
    assert "fifo.pt: not a regular file" in run.output
    assert "huge.pt: not a complete torch.save file (107,374,182,400 bytes" in run.output
    assert len(run.claims) == 9
    assert {claim["verdict"] for claim in run.claims.values()} == {"error"}


EXTREMES = {
    "denormal-float32": (torch.float32, 1e-44),
    "denormal-float64": (torch.float64, 5e-324),
    "denormal-float16": (torch.float16, 6e-8),
    "denormal-bfloat16": (torch.bfloat16, 1e-40),
    "huge-float32": (torch.float32, torch.finfo(torch.float32).max),
    "huge-float64": (torch.float64, 1e300),
    "huge-float16": (torch.float16, 65504.0),
    "huge-bfloat16": (torch.bfloat16, torch.finfo(torch.bfloat16).max),
    "large-float32": (torch.float32, 1e18),
    "large-float64": (torch.float64, 1e150),
    "zero": (torch.float32, 0.0),
}


def test_numbers_at_their_limits_never_pass_by_nan(tmp_path, run_claims):
    """Each claim gets a verdict on a finite number, or an error."""
    paths = []
    for name, (dtype, size) in EXTREMES.items():
        weights = {n: w.sign().double() * size for n, w in small_weights(operands=20).items()}
        case = Case(name, lambda path, weights=weights, dtype=dtype: torch.save(
            {n: w.to(dtype) for n, w in weights.items()}, path), f"-{name}.pt")  # fmt: skip
        paths.append(case.write(tmp_path))
    run = run_claims(BEHAVIOR, *(f"--checkpoint={path}" for path in paths))
    assert "INTERNALERROR" not in run.output
    assert len(run.claims) == 3 * len(EXTREMES)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    for (claim, checkpoint), properties in run.claims.items():
        assert properties["verdict"] in ("refuted", "error"), (claim, checkpoint, properties)
        if properties["verdict"] == "refuted":
            assert 0 <= float(properties["measured"]) <= 1
            assert float(properties["margin"]) < 0
    verdicts = {name: run.verdicts(path.name) for name, path in zip(EXTREMES, paths, strict=True)}
    assert {*verdicts["huge-float32"].values()} == {"error"}, verdicts
    assert {*verdicts["zero"].values()} == {"refuted"}, verdicts
