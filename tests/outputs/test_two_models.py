"""What a run of two models prints and writes: decided for each model."""

from __future__ import annotations

import json

import pytest

from mechanistic_claims.outputs.report.judged import read_run
from tests.projects import OF_ALL_RIGHT, WAYS, add_twin, headings, judged


def test_a_model_that_can_not_be_built_is_told_beside_one_that_is(changed, tmp_path):
    """The same file has a content for one of them only: a report shows the claims of both."""
    add_twin(changed)
    family = changed / "models/twin/__init__.py"
    stops = family.read_text().replace(
        "        network = ", "        raise OSError('full')\n        network = "
    )
    family.write_text(stops)
    results = tmp_path / "results"
    run = judged(changed, f"--alluredir={results}", of=("all_right.pth",))
    tables = run.output.partition("= verdicts")[2]
    assert "3 hold, 1 refuted as expected, 0 refuted" in tables
    where = "error in 4 claims: OSError in models/twin/__init__.py"
    assert f"runs/all_right.pth\ntwin\n{where}" in tables
    report = read_run(results)
    assert {one.model: len(report.of(one)) for one in report.surveys} == {
        "successor": 4,
        "twin": 4,
    }


@pytest.mark.parametrize("more", WAYS, ids=str)
def test_without_a_checkpoint_each_model_is_judged_on_its_own(two_models, more):
    """A table for each, one after the other, and no survey of one checkpoint."""
    run = judged(two_models, *more)
    assert run.status == 0, run.output
    assert headings(run) == {
        ("reference.safetensors", "min_of_two"): {"holds": 4, "refuted as expected": 1},
        ("reference.pt", "successor"): OF_ALL_RIGHT,
    }
    tables = run.output.partition("= verdicts")[2]
    assert "✓ min_of_two  4 hold" in tables.partition("= models")[2]
    order = [
        "models/min_of_two/checkpoints/reference.safetensors\nmin_of_two · sha256",
        "4 hold, 1 refuted as expected, 0 refuted",
        "models/successor/checkpoints/reference.pt\nsuccessor · sha256",
        "3 hold, 1 refuted as expected, 0 refuted",
    ]
    places = [tables.index(text) for text in order]
    assert places == sorted(places)
    assert "survey" not in tables
    assert all(len(line.rstrip()) <= 100 for line in tables.splitlines()[1:])


def test_of_several_models_those_that_fail_are_told_first(two_models):
    right = "models/min_of_two/checkpoints/reference.safetensors"
    run = judged(two_models, f"--checkpoint={right}", of=("three_wrong.pt",))
    told, models = run.output.partition("= verdicts")[2].split("= models")
    assert told.index("runs/three_wrong.pt") < told.index("reference.safetensors")
    assert models.index("✗ successor") < models.index("✓ min_of_two")


def test_a_survey_is_of_the_model_that_has_several_checkpoints(two_models):
    run = judged(two_models, of=("three_wrong.pt", "all_right.pth", "seed5.safetensors"))
    tables, survey = run.output.partition("= verdicts")[2].split("= survey")
    survey, models = survey.split("= models")
    assert (
        "✗ successor   5 hold, 2 refuted as expected, 1 refuted · on 1 of 2 checkpoints" in models
    )
    assert "1 hold, 1 refuted as expected, 3 refuted" in tables
    assert "Where the row of '=' rises" in tables, "of the only checkpoint every claim is listed"
    assert "runs/three_wrong.pt" in tables
    assert "runs/all_right.pth" not in tables
    assert "2 checkpoints of successor" in survey
    assert "min_of_two" not in survey


def test_the_summary_on_github_tells_the_models_apart(two_models, tmp_path):
    summary = tmp_path / "summary.md"
    on_github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    judged(two_models, **on_github)
    headed = [line for line in summary.read_text().splitlines() if line.startswith("###")]
    assert headed == [
        r"### models/min\_of\_two/checkpoints/reference.safetensors, min\_of\_two",
        "### models/successor/checkpoints/reference.pt, successor",
    ]
    summary.unlink()
    judged(two_models, of=("three_wrong.pt",), **on_github)
    written = summary.read_text()
    assert "### runs/three\\_wrong.pt\n" in written
    assert "Not judged: no checkpoint of min\\_of\\_two was given." in written


def test_a_baseline_of_one_model_is_compared_with_that_one(two_models, tmp_path):
    """A model that is new has lost nothing; alone, its claims can't be compared."""
    baseline = tmp_path / "baseline.json"
    judged(two_models, "claims/successor", f"--verdicts={baseline}")
    found = json.loads(baseline.read_text())
    found["checkpoints"][0]["claims"][0]["margin"] = 10
    baseline.write_text(json.dumps(found))
    given = (f"--baseline={baseline}", "--max-drop=0.5")
    run = judged(two_models, *given)
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
    assert "It has no verdicts of min_of_two: nothing is compared." in run.output
    assert run.output.count("--max-drop is 0.5.") == 1
    assert headings(run)["reference.safetensors", "min_of_two"]["holds"] == 4
    alone = judged(two_models, "claims/min_of_two", *given)
    assert headings(alone)["reference.safetensors", "min_of_two"] == {"error": 5}
