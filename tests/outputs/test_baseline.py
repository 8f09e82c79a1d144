"""`--baseline`: verdicts beside earlier ones, and a claim that has lost too much of its margin."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mechanistic_claims.outputs.compared import newly_false
from tests.conftest import CHECKPOINTS, OV, QK
from tests.outputs.recorded import record

FAILED, USAGE = pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.USAGE_ERROR


def test_what_fell_since_a_baseline_is_listed(baseline, run_claims):
    run = run_claims(
        QK, "--baseline", baseline[0], "--checkpoint", CHECKPOINTS / "seed2.safetensors"
    )
    assert run.status == 0
    told = run.output[run.output.index(" against ") :]
    assert "0.98995 -> 0.96985, margin +0.04 -> +0.02; newly false:" in told
    assert f"{5} claims of the baseline were not judged" in told


def test_exceptions_of_other_inputs_are_no_newly_false_ones(baseline, run_claims, tmp_path):
    """Of more draws more are named, and nothing has become false; tokens are the same."""
    path, document = tmp_path / "baseline.json", json.loads(baseline[0].read_text())
    for checkpoint in document["checkpoints"]:
        checkpoint["inputs"] = 2_000
    path.write_text(json.dumps(document))
    run = run_claims(QK, "--baseline", path, "--checkpoint", CHECKPOINTS / "seed2.safetensors")
    told = run.output[run.output.index(" against ") :]
    assert "0.98995 -> 0.96985, margin +0.04 -> +0.02; newly false:" in told
    assert "Of 2,000 inputs then, of 40,000 now: exceptions among them are not compared." in told


@pytest.mark.parametrize(
    ("evidence", "inputs", "new"),
    [("behavior", 40, []), ("behavior", 30, ["7"]), ("weights", 40, ["7"])],
)
def test_what_is_newly_false(evidence, inputs, new):
    now = record(evidence=evidence)
    was = replace(now, held=replace(now.held, inputs=30))
    now = replace(now, held=replace(now.held, inputs=inputs))
    now = replace(now, verdict=replace(now.verdict, exceptions=("7",), exception_count=1))
    assert newly_false(was, now) == new


@pytest.mark.parametrize(("most", "status"), [("0.4", FAILED), ("0.6", 0)])
def test_a_claim_that_lost_too_much_of_its_margin_is_refuted(baseline, run_claims, most, status):
    """On seed 2 half of the margin of one claim is gone, and less of the others'."""
    seed = CHECKPOINTS / "seed2.safetensors"
    run = run_claims(QK, "--baseline", baseline[0], "--max-drop", most, "--checkpoint", seed)
    assert run.status == status
    refuted = {claim for (claim, _), found in run.claims.items() if "lost" in found}
    assert refuted == ({"test_the_row_falls_at_almost_every_step[0.95]"} if status else set())
    if status:
        assert "it has lost 50% of its margin since" in run.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suite": "0.0.1"}, "written by version 0.0.1 of the suite, this is"),
        ({"schema": "else"}, "its schema is 'else', expected"),
        ({"exit_status": "0"}, "$.exit_status: '0' is not of type 'integer'"),
        (None, "can't be read as JSON"),
    ],
)
def test_a_baseline_that_is_none_is_refused(baseline, run_claims, tmp_path, change, said):
    path = tmp_path / "baseline.json"
    if change is None:
        path.write_text("{")
    else:
        path.write_text(json.dumps(json.loads(baseline[0].read_text()) | change))
    run = run_claims(OV, "--baseline", path)
    assert run.status == USAGE
    assert said in run.output


def test_a_baseline_of_another_model_gives_no_verdict(baseline, run_claims, tmp_path):
    path = tmp_path / "baseline.json"
    found = json.loads(baseline[0].read_text())
    found["checkpoints"][0]["model"] = "max_of_four"
    path.write_text(json.dumps(found))
    run = run_claims(OV, "--baseline", path)
    assert run.status == FAILED
    assert "it has verdicts of max_of_four, and this is a checkpoint of min_of_two" in run.output
    assert {found["verdict"] for found in run.claims.values()} == {"error"}
