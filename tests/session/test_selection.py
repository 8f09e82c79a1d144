"""Which checkpoints, which device, how many workers."""

from __future__ import annotations

import os

import pytest
import torch

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.session.device import choose_device
from mechanistic_claims.session.selection import shortest_ends
from mechanistic_claims.session.workers import available_cores, useful_workers

NO_GPU = "there is a GPU here, and this is about machines without one"


@pytest.mark.parametrize(
    ("cores", "checkpoints", "gpu_gib", "workers"),
    [
        (16, 1, None, 0),
        (1, 8, None, 0),
        (2, 5, None, 2),
        (16, 5, None, 5),
        (16, 100, [139.0], 16),
        (16, 100, [5.0, 7.5], 4),
        (16, 100, [1.0, 40.0], 0),
        (16, 100, [1.0], 0),
    ],
)
def test_as_many_workers_as_help(cores, checkpoints, gpu_gib, workers):
    assert useful_workers(cores, [1.25] * checkpoints, gpu_gib, None) == workers


def test_cores_are_those_of_the_affinity():
    assert available_cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a/seed7.pt"], ["seed7.pt"]),
        (["x/seed7.pt", "y/seed7.pt"], ["x/seed7.pt", "y/seed7.pt"]),
        (["x/a/seed7.pt", "x/b/seed8.pt"], ["seed7.pt", "seed8.pt"]),
    ],
)
def test_names_are_short_and_differ(paths, names):
    assert shortest_ends(paths) == names


@pytest.mark.parametrize("name", [b"not\xffutf8.pt", b"two\nlines.pt", "line\u2028.pt".encode()])
def test_a_name_that_no_report_can_show_is_refused(tmp_path, run_claims, name):
    path = tmp_path / os.fsdecode(name)
    path.touch()
    run = run_claims("claims/", "--collect-only", "--checkpoint", path)
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "the name has signs that no report can show. Rename it." in run.output


def test_the_cpu_is_chosen():
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.parametrize("asked", ["cuda", "cuda:0", "cuda:3"])
def test_a_gpu_that_is_not_there(asked):
    with pytest.raises(CannotJudge, match="sees 0 GPUs"):
        choose_device(asked)
    assert choose_device("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkpoint", "nowhere/*.pt"], "no file matches this glob"),
        (["--checkpoint", "nowhere/model.pt"], "no such file"),
        (["--checkpoint", "models"], "not a file"),
        (["--checkpoint", ""], "not a file"),
        (["--device", "tpu"], "expected auto, cpu, cuda or cuda:N"),
    ],
)
@pytest.mark.parametrize("workers", [[], ["-n", "auto"], ["-n", "2"]])
def test_a_wrong_command_line_is_no_pass(run_claims, arguments, said, workers):
    run = run_claims("claims/", *arguments, *workers)
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert said in run.output
    assert "Traceback" not in run.output
