"""What --alluredir writes: labels, numbers that leave the history alone, exceptions, pictures."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mechanistic_claims.measurement.pictures_of_heads import Beside
from mechanistic_claims.outputs.allure_results import beside_others
from mechanistic_claims.verdict.headings import Heading
from mechanistic_claims.verdict.record import Held, Record, Told
from mechanistic_claims.verdict.verdict import held_to
from models.min_of_two import FAMILY
from tests.conftest import CHECKPOINTS
from tests.runs import run_command

PART = "claims/min_of_two/test_ov_circuit.py"


def results_of(folder: Path) -> dict[str, dict]:
    results = [json.loads(path.read_text()) for path in folder.glob("*-result.json")]
    return {result["fullName"].rpartition("#")[2]: result for result in results}


@pytest.fixture(scope="module")
def two_runs(run_claims, tmp_path_factory):
    """The same part of the story on two checkpoints with the same file name."""
    runs = []
    for seed in (FAMILY.reference, CHECKPOINTS / "seed1.safetensors"):
        folder = tmp_path_factory.mktemp("allure")
        (folder / "latest.safetensors").write_bytes(seed.read_bytes())
        run_claims(
            PART,
            "claims/min_of_two/test_behavior.py",
            f"--alluredir={folder}/results",
            "--checkpoint",
            folder / "latest.safetensors",
        )
        runs.append((folder / "results", results_of(folder / "results")))
    return runs


def labels(result: dict) -> dict[str, str]:
    return {label["name"]: label["value"] for label in result["labels"]}


def test_each_claim_says_what_it_is(two_runs):
    result = two_runs[0][1]["test_the_attended_token_gets_the_highest_logit"]
    assert result["name"] == "Attending to a token gives that token the highest logit."
    expected = {
        "epic": "min_of_two",
        "feature": "ov circuit",
        "story": result["name"],
        "severity": "critical",
        "evidence": "weights",
        "checkpoint": "latest.safetensors",
    }
    assert expected.items() <= labels(result).items()
    assert "measured" in result["description"]


def test_measured_numbers_are_excluded_from_the_history(two_runs):
    (_, first), (_, second) = two_runs
    assert first.keys() == second.keys()
    measured = []
    for claim, result in first.items():
        assert result["historyId"] == second[claim]["historyId"], claim
        for of in (result, second[claim]):
            parameters = {p["name"]: p for p in of["parameters"]}
            measured.append(parameters["measured"]["value"])
            for number in ("measured", "bound", "margin", "control", "domain", "exception count"):
                assert parameters[number]["excluded"], (claim, number)
    assert len(set(measured)) > len(first), "the two checkpoints measure different numbers"


def test_exceptions_and_pictures_are_attached(two_runs):
    folder, results = two_runs[0]
    wrong = results["test_accuracy_on_all_inputs"]
    by_type = {attachment["type"]: attachment for attachment in wrong["attachments"]}
    rows = (folder / by_type["text/csv"]["source"]).read_text().splitlines()
    assert rows[0] == "position 0,position 1"
    assert rows[1] == "26,27"
    assert len(rows) == 1 + 12
    picture = (folder / by_type["image/svg+xml"]["source"]).read_text()
    assert "exceptions: 12 of 40,000" in picture
    assert picture.count("<circle") == 1 + 12


def test_a_refuted_claim_has_its_numbers_too(two_runs):
    result = two_runs[0][1]["test_every_answer_is_right"]
    assert result["status"] == "skipped", "allure-pytest's name for an expected failure"
    assert "refuted of" in result["statusDetails"]["message"]
    assert "self = " not in result["statusDetails"].get("trace", "")
    assert {a["type"] for a in result["attachments"]} == {"text/csv", "image/svg+xml"}


@pytest.mark.parametrize(
    ("bound", "lines"),
    [
        ({"at_least": 0.25}, {"at least": 0.25}),
        ({"within": (0.25, 0.75)}, {"at least": 0.25, "at most": 0.75}),
    ],
)
def test_what_stands_beside_other_sets_is_shown_so(bound, lines):
    told = Told("a", "m", "part", "A sentence.", "weights", how_measured="share of t\n\nOf all.")
    record = Record(told, Held("a.pt", "m"), Heading.HOLDS, held_to(0.5, beside=[0.1], **bound))
    title = "Beside other sets of components"
    assert beside_others(record) == Beside(title, 0.5, (0.1,), "share of t", lines)
    assert beside_others(replace(record, verdict=held_to(0.5, **bound))) is None
    assert beside_others(replace(record, verdict=None)) is None


@pytest.mark.slow
def test_nothing_is_drawn_without_it():
    script = (
        f"import sys, pytest; status = pytest.main(['-qq', {PART!r}]);"
        "sys.exit(status or ('matplotlib' in sys.modules and 'it was drawn'))"
    )
    done = run_command([sys.executable, "-c", script])
    assert done.returncode == 0, done.stderr
