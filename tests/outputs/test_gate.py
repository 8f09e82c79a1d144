"""The gate fails closed: the exit status, the file of verdicts, GitHub."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from mechanistic_claims.verdict.document import SCHEMA
from mechanistic_claims.verdict.headings import Heading
from mechanistic_claims.verdict.record import Control, Held, Record, Told
from mechanistic_claims.verdict.results import Results
from mechanistic_claims.verdict.verdict import held_to
from models.min_of_two import FAMILY
from models.min_of_two.weights import canonical_weights
from tests.conftest import CHECKPOINTS, OV, QK, ROOT, subject_of
from tests.runs import KNOWN, done, pytest_main, run_in_a_process, started, verdicts_in

GAP = "test_attention_on_the_min_at_a_gap[2-0.75]"
ATTENTION = "claims/min_of_two/test_attention.py"
FAILED, USAGE = pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.USAGE_ERROR


@pytest.fixture
def half_the_scores(save):
    """Answers stay, attention is no longer as sharp: on it, only numbers move."""
    weights = canonical_weights(subject_of(FAMILY.reference).checkpoint)
    weights["blocks.0.attn.W_Q"] = weights["blocks.0.attn.W_Q"] / 2
    return save(weights, "half.safetensors")


def test_the_file_of_verdicts_is_as_its_schema_says(baseline):
    path, run = baseline
    found = json.loads(path.read_text())
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    assert run.status == found["exit_status"] == 0
    assert found["checkpoints"][0]["path"] == str(FAMILY.reference.relative_to(ROOT))
    for change in (
        {"verdict": "perhaps"},
        {"measured": None},
        {"at_most": 1.0},
        {"exceptions": [1]},
        {"verdict": "error"},
    ):
        wrong = json.loads(path.read_text())
        wrong["checkpoints"][0]["claims"][0] |= change
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@pytest.mark.slow
def test_the_same_run_writes_the_same_file_and_workers_change_nothing(
    baseline, run_claims, tmp_path
):
    path, _ = baseline
    again = tmp_path / "again.json"
    run_claims(QK, OV, "-n", "2", "--verdicts", again)
    assert verdicts_in(again) == verdicts_in(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["again.json"]


def test_junit_and_the_file_of_verdicts_agree(run_claims, tmp_path):
    """On a file that is broken, one that is refuted and one that holds."""
    broken, path = tmp_path / "broken.pt", tmp_path / "verdicts.json"
    broken.write_bytes(b"no checkpoint")
    seed = CHECKPOINTS / "seed2.safetensors"
    given = [f"--checkpoint={file}" for file in (broken, FAMILY.reference, seed)]
    run = run_claims(OV, *given, "--verdicts", path)
    found = json.loads(path.read_text())
    jsonschema.validate(found, json.loads(SCHEMA.read_text()))
    assert run.status == found["exit_status"] == FAILED
    of_junit = {}
    for properties in run.claims.values():
        of_junit[properties["path"], properties["claim"]] = properties
    of_json = {
        (checkpoint["path"], claim["claim"]): claim
        for checkpoint in found["checkpoints"]
        for claim in checkpoint["claims"]
    }
    assert of_junit.keys() == of_json.keys()
    assert {path for path, claim in of_json} == {str(broken), str(FAMILY.reference), str(seed)}
    for key, claim in of_json.items():
        assert claim["verdict"] == of_junit[key]["verdict"]
        if claim["verdict"] == "error":
            assert claim["error"] == of_junit[key]["error"]
        else:
            assert claim["measured"] == pytest.approx(float(of_junit[key]["measured"]), rel=1e-4)
            assert " ".join(claim["exceptions"]) == of_junit[key]["exceptions"]


def test_a_killed_run_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "verdicts.json"
    path.write_text("earlier")
    checkpoints = ["--checkpoint", str(CHECKPOINTS / "*.safetensors")]
    command = [sys.executable, "-m", "pytest", "claims/", "--verdicts", str(path), *checkpoints]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    time.sleep(2)
    process.kill()
    assert process.wait() != 0
    assert path.read_text() == "earlier"


@pytest.mark.slow
def test_an_interrupted_run_fails_and_says_what_was_not_judged(tmp_path):
    path, output = tmp_path / "verdicts.json", tmp_path / "output"
    output.touch()
    checkpoints = ["--checkpoint", str(CHECKPOINTS / "*.safetensors")]
    command = [*KNOWN, "claims/", "--verdicts", str(path), *checkpoints]
    process = started(pytest_main, *command, output=str(output), errors=str(output))
    while "checkpoints: 1 done" not in output.read_text():
        assert process.is_alive(), output.read_text()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    assert done(process) == pytest.ExitCode.INTERRUPTED
    assert "selected claims have no verdict" in output.read_text()
    assert json.loads(path.read_text())["unjudged"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-drop", "0.5"], "--max-drop: give --baseline FILE"),
        (["--baseline", "none.json"], "--baseline none.json: can't be read"),
        (["--verdicts", "claims"], "--verdicts claims: no file can be written there"),
        (["--verdicts", "/proc/verdicts.json"], "--verdicts /proc/verdicts.json: no file can be"),
        (["--verdicts", "none/verdicts.json"], "no file can be written there (No such file"),
        (["--alluredir", "/proc/results"], "--alluredir /proc/results: no file can be written"),
        (["--fail-on", "none"], "invalid choice: 'none'"),
        (["--checkpoint", "runs/none/*.pt"], "no file matches this glob"),
    ],
)
def test_a_wrong_command_line_is_an_error(run_claims, options, said):
    run = run_claims(OV, *options)
    assert run.status == USAGE
    assert said in run.output


def test_verdicts_that_can_not_be_written_in_the_end_fail_the_run(run_claims):
    run = run_claims(OV, "--verdicts", "/dev/full")
    assert run.status == FAILED
    assert "--verdicts /dev/full: it was not written (No space left on device)." in run.output


def test_a_device_and_a_link_are_written_to_and_not_replaced(run_claims, tmp_path):
    link, target = tmp_path / "link.json", tmp_path / "target.json"
    link.symlink_to(target)
    run = run_claims(OV, "--verdicts", link)
    assert run.status == 0
    assert link.is_symlink()
    assert verdicts_in(target)["exit_status"] == 0
    assert run_claims(OV, "--verdicts", "/dev/null").status == 0
    assert Path("/dev/null").is_char_device()


def test_nothing_selected_is_not_0(run_claims):
    assert run_claims(OV, "-k", "nothing").status == pytest.ExitCode.NO_TESTS_COLLECTED


def test_numbers_that_moved_may_be_let_pass(half_the_scores, run_claims):
    """With --fail-on critical they are reported and don't fail the run."""
    run = run_claims(ATTENTION, "--checkpoint", half_the_scores, "--fail-on", "critical")
    assert run.status == 0
    assert run.claims[GAP, half_the_scores.name]["verdict"] == "refuted"
    assert "3 of 3 refuted claims are of severity normal" in run.output


def test_github_gets_a_summary_and_annotations(half_the_scores, run_claims, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    run = run_claims(
        ATTENTION,
        "--checkpoint",
        half_the_scores,
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert run.status == FAILED
    annotations = [line for line in run.output.splitlines() if line.startswith("::error ")]
    assert len(annotations) == 3
    assert annotations[0].startswith(f"::error file={ATTENTION},line=")
    assert "At a gap of 2, mean attention on the min is at least 0.75." in annotations[0]
    lines = summary.read_text().splitlines()
    assert lines[0] == "before"
    assert ", 3 refuted\n" in summary.read_text()
    rows = [
        line for line in lines if line.split("|")[1:2] and line.split("|")[1].strip() == "refuted"
    ]
    assert len(rows) == 3
    assert all(row.count(" | ") == 6 for row in rows)


def record(heading, severity="critical"):
    told = Told("claims/a", "a", "", "", "weights", severity)
    verdict = None if heading == "error" else held_to(0.5, at_least=0.1)
    control = verdict and Control(0.0, False)
    return Record(told, Held("a.pt", "a"), Heading.named(heading), verdict, control)


@pytest.mark.parametrize(
    ("found", "others", "status", "fail_on", "expected"),
    [
        ([], 0, 0, "any", 1),
        ([], 0, 0, "critical", 1),
        (["holds"], 0, 0, "any", 0),
        (["refuted"], 0, 0, "any", 1),
        (["refuted"], 0, 0, "critical", 1),
        (["error"], 0, 0, "critical", 1),
        (["refuted"], 0, 1, "any", 1),
        (["refuted"], 0, 1, "critical", 1),
        (["normal"], 0, 1, "any", 1),
        (["normal"], 0, 1, "critical", 0),
        (["normal"], 1, 1, "critical", 1),
        (["error"], 0, 1, "critical", 1),
        (["normal"], 0, 2, "critical", 2),
        ([], 0, 1, "critical", 1),
        ([], 0, 5, "any", 5),
    ],
)
def test_the_exit_status(found, others, status, fail_on, expected):
    """0 needs every selected claim judged; severity forgives refutations and nothing else."""
    results = Results({"claims/a": "claims/a"}, other_failures=others)
    lost = Results({"claims/a": "claims/a"}, other_failures=others, lost_workers=1)
    for heading in found:
        severity = "normal" if heading == "normal" else "critical"
        results.found["claims/a"] = record(heading.replace("normal", "refuted"), severity)
    forgiven = status == FAILED and results.forgives(fail_on)
    assert results.status(0 if forgiven else status, fail_on) == expected
    lost.found.update(results.found)
    assert lost.status(status, fail_on) != 0
    assert not lost.forgives(fail_on)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    ["start:1", "collected:1", "setup:1", "setup:3", "call:1", "call:4", "teardown:2", "teardown:5",
     "reported:1", "reported:5", "finish:1"],
)  # fmt: skip
def test_a_worker_that_dies_never_leaves_a_claim_unjudged_and_0(run_claims, tmp_path, point, show):
    path = tmp_path / "verdicts.json"
    seeds = [f"--checkpoint={CHECKPOINTS / f'seed{seed}.safetensors'}" for seed in (1, 2)]
    plugin = ("-p", "tests.cluster.worker_killer", "-n", "2")
    given = (OV, *plugin, *seeds, "--verdicts", path)
    run = run_claims(*given, WORKER_DIES_AT=point, PYTHONPATH=str(ROOT))
    verdicts = [found["verdict"] for found in run.claims.values() if "verdict" in found]
    judged = sum(verdict in ("holds", "refuted") for verdict in verdicts)
    show(f"worker killed at {point}", f"exit status {run.status}, {judged} of 10 claims judged")
    assert run.status != 0
    # xdist may be sending it what to run as it dies, and ends by an error of its own then
    closed = run.status == pytest.ExitCode.INTERNAL_ERROR and "cannot send" in run.output
    assert "workers lost: 1" in run.output or (point == "collected:1" and closed)
    if path.exists():
        assert json.loads(path.read_text())["exit_status"] == run.status


@pytest.mark.slow
def test_a_worker_that_is_lost_and_not_replaced_leaves_claims_unjudged():
    """And the killer kills, or the test above would say nothing."""
    seeds = [f"--checkpoint={CHECKPOINTS / f'seed{seed}.safetensors'}" for seed in (1, 2)]
    plugin = ("-p", "tests.cluster.worker_killer", "-n", "2", "--max-worker-restart=0")
    run = run_in_a_process(OV, *plugin, *seeds, WORKER_DIES_AT="call:2")
    assert run.status == FAILED
    assert "crashed" in run.output
    assert "of 10 selected claims have no verdict" in run.output
