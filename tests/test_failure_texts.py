"""What a user reads when something is wrong, as it was reviewed; `--snapshot-update` changes it.

Each says what was found, what was expected, and what to do.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
import torch

from mechanistic_claims.checkpoint.checkpoint import CheckpointError
from mechanistic_claims.checkpoint.read import read_checkpoint
from models.min_of_two import FAMILY
from models.min_of_two.weights import canonical_weights
from tests.conftest import DIFFERENT, QK, small_weights
from tests.runs import ROOT, run_in_a_fork, suite

WEIGHTS = small_weights()
CHECKPOINTS = {
    "not a dict": [1, 2],
    "no weights": {"epoch": 3, "loss": 0.1},
    "one missing": {k: v for k, v in WEIGHTS.items() if k != "blocks.0.attn.W_O"},
    "one unknown": {**WEIGHTS, "blocks.1.attn.W_Q": torch.ones(1)},
    "another shape": {**WEIGHTS, "unembed.W_U": torch.ones(5, 4)},
    "not finite": {**WEIGHTS, "unembed.W_U": WEIGHTS["unembed.W_U"] * torch.nan},
    "float8": {**WEIGHTS, "embed.W_E": WEIGHTS["embed.W_E"].to(torch.float8_e5m2)},
    "an object": {"state_dict": Path("x")},
    "two places": {"model": WEIGHTS, "ema": dict(WEIGHTS), "epoch": 3},
    "a part": {"model": {"embed.W_E": WEIGHTS["embed.W_E"]}, "args": Path("x"), "epoch": 3},
}
COMMAND_LINES = {
    "no such file": ["--checkpoint=nowhere/model.pt"],
    "a glob of nothing": ["--checkpoint=nowhere/*.pt"],
    "a folder": ["--checkpoint=models"],
    "a device": ["--device=tpu"],
    "a drop of nothing": ["--max-drop=0.5"],
    "no baseline": ["--baseline=none.json"],
    "no place": ["--verdicts=/proc/verdicts.json"],
    "an address alone": ["--address=127.0.0.1:1"],
    "workers of a cluster": ["--cluster", "-n2"],
}
COMMANDS = {
    "none": [],
    "unknown": ["judge"],
    "a report of nothing": ["report", "claims"],
    "a survey of nothing": ["survey", "none.json"],
    "no model": ["train", "max_of_two"],
    "no option": ["train", "min_of_two", "--epochs=0"],
}
HERE = {"CI": "", "BUILD_NUMBER": ""}
"""As at a desk: where CI is set, pytest says more."""


def without_places(text: str, tmp_path: Path) -> str:
    """The same wherever and whenever it is printed."""
    text = text.replace(str(tmp_path), "TMP").replace(str(ROOT), "HERE")
    text = re.sub(r"in \d+\.\d+s", "in N s", text)
    return re.sub(r"torch \d+\.\d+\.\d+\S*", "torch VERSION", text)


@pytest.mark.parametrize("what", CHECKPOINTS)
def test_of_a_file_that_is_no_checkpoint(what, snapshot, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(CHECKPOINTS[what], path)
    with pytest.raises(CheckpointError) as error:
        canonical_weights(read_checkpoint(path, "min_of_two", FAMILY))
    assert without_places(str(error.value), tmp_path) == snapshot


@pytest.mark.parametrize("what", COMMAND_LINES)
def test_of_a_command_line(what, snapshot, tmp_path):
    run = run_in_a_fork(QK, *COMMAND_LINES[what])
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert without_places(run.output, tmp_path) == snapshot


@pytest.mark.parametrize("what", COMMANDS)
def test_of_a_command(what, snapshot, tmp_path):
    done = suite(*COMMANDS[what])
    assert done.returncode == 2
    assert without_places(done.stderr, tmp_path) == snapshot


def test_of_a_refuted_checkpoint(snapshot, tmp_path):
    """The whole of what stands below the dots, at a hundred columns."""
    run = run_in_a_fork(QK, "-p", "no:cacheprovider", f"--checkpoint={DIFFERENT}", **HERE)
    said = run.output[run.output.index("= FAILURES =") :]
    said = "\n".join(line.rstrip() for line in said.splitlines() if "junit.xml" not in line)
    assert without_places(said, tmp_path) == snapshot


def test_of_a_broken_checkpoint(snapshot):
    tmp_path = Path(tempfile.mkdtemp(dir="/tmp"))  # always as long: a table wraps it
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(DIFFERENT.read_bytes()[:5000])
    run = run_in_a_fork(QK, "-p", "no:cacheprovider", f"--checkpoint={broken}", **HERE)
    said = run.output[run.output.index("= ERRORS =") :]
    said = "\n".join(line.rstrip() for line in said.splitlines() if "junit.xml" not in line)
    assert without_places(said, tmp_path) == snapshot
