"""The claim report without a browser: what is read, written, and said where it can't be made."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from claims import min_of_two
from fixtures.errors import CannotJudge
from fixtures.pictures import Tradeoff, fingerprint
from fixtures.report import allure
from fixtures.report.assemble import assemble
from fixtures.report.claim_page import claim_page
from fixtures.report.first_page import Model, first_page
from fixtures.report.history import History, Point, read_history
from fixtures.report.run import Claim, read_run
from fixtures.report.staging import stage
from fixtures.report.words import templates
from fixtures.selection import claims_of
from tests.conftest import DIFFERENT, ROOT

PART = "claims/min_of_two/test_qk_circuit.py"
CLAIM = "test_the_row_is_strictly_decreasing[1.0]"
ALLURE_HTML = """<html><head></head><body><div id="app"></div>
<script async src="https://www.googletagmanager.com/gtag/js?id=G-0"></script>
    <script>
        window.dataLayer = window.dataLayer || [];
    </script></body></html>"""


@pytest.fixture(scope="module")
def results(run_claims, tmp_path_factory) -> Path:
    """What one part of the story leaves of a checkpoint that refutes some of it."""
    folder = tmp_path_factory.mktemp("report") / "results"
    done = run_claims(PART, f"--alluredir={folder}", "--checkpoint", DIFFERENT)
    assert done.status == pytest.ExitCode.TESTS_FAILED, done.output
    return folder


@pytest.fixture(scope="module")
def run(results):
    return read_run(results)


def edited(results: Path, to: Path, **changes: object) -> Path:
    """A copy of a results folder whose run file says something else."""
    to.mkdir()
    for path in results.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    (path,) = to.glob("*-claims.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return to


def functions_of_claims() -> list:
    found = []
    for path in sorted((ROOT / "claims").glob("*/test_*.py")):
        module = importlib.import_module(f"claims.{path.parent.name}.{path.stem}")
        for name, function in vars(module).items():
            if name.startswith("test_"):
                found.append(pytest.param(function, id=f"{path.stem}.{name}"))
    return found


@pytest.mark.parametrize("claim", functions_of_claims())
def test_every_claim_says_how_it_is_measured(claim):
    paragraphs = inspect.cleandoc(claim.__doc__).split("\n\n")
    assert len(paragraphs) == 3, "a sentence, a formula, and words"
    sentences = re.split(r"\.(?= [A-Z'ε]|$)", " ".join(paragraphs[2].split()))[:-1]
    assert 1 <= len(sentences) <= 3, sentences


@pytest.mark.parametrize("step", min_of_two.STEPS, ids=lambda step: step.sentence)
def test_the_evidence_of_each_step_is_of_its_kind(step):
    assert step.pictured in step.evidence
    for kind, name in step.evidence.items():
        part, _, function = name.partition(".")
        module = importlib.import_module(f"claims.min_of_two.test_{part}")
        marks = getattr(module, f"test_{function}").pytestmark
        assert [mark.args[0] for mark in marks if mark.name == "evidence"] == [kind], name


def test_it_reads_a_run(run):
    assert run.exit_status == 1
    assert [claim.heading for claim in run.claims] == [
        *["refuted"] * 2,
        "holds",
        "refuted as expected",
        "refuted",
    ]
    row = run.claims[0]
    assert row.function == "qk_circuit.the_row_falls_at_almost_every_step"
    assert row.exceptions[:3] == ["35", "42", "60"]
    assert row.numbers["margin"] < 0
    assert row.files["image/png"].read_bytes().startswith(b"\x89PNG")


def test_the_last_run_is_the_one_that_counts(results, tmp_path):
    (path,) = results.glob("*-claims.json")
    again = json.loads(path.read_text()) | {"exit_status": 0}
    again["results"] = again["results"][:1]
    folder = edited(results, tmp_path / "twice")
    (folder / "9999999999999999999-claims.json").write_text(json.dumps(again))
    run = read_run(folder)
    assert (len(run.claims), run.exit_status) == (1, 0)


@pytest.mark.parametrize("content", ["[]", "1", "{"])
@pytest.mark.parametrize("name", ["9999999999999999999-claims.json", "0-result.json"])
def test_a_file_that_is_none_of_a_run_is_said_in_a_sentence(results, tmp_path, name, content):
    folder = edited(results, tmp_path / "odd")
    (folder / name).write_text(content)
    with pytest.raises(CannotJudge, match="Judge the checkpoints again"):
        read_run(folder)


def test_pictures_that_are_made_when_drawn_are_told_apart_by_what_they_are():
    """Not by where in memory they are made: what is freed leaves its place to another."""

    def found(number: int) -> bytes:
        return fingerprint(Tradeoff("", lambda: [number]))

    assert len({found(number) for number in range(20)}) == 20
    assert found(1) == found(1)


def test_a_page_reads_from_top_to_bottom(run):
    claim = next(claim for claim in run.claims if claim.heading == "refuted as expected")
    html = claim_page(claim, [], templates())
    in_order = [
        "The row of &#39;=&#39; is strictly decreasing.",
        "refuted, as expected: told too strongly",
        "<b>0.8995</b>, required ≥ 1",
        "an untrained model has 0.457",
        "data-picture=",
        "Exceptions: 20",
        "<span>35</span>",
        "How it was measured",
        "share of steps t → t + 1",
        "Rung of evidence: weights",
        "--checkpoint",
    ]
    places = [html.find(text) for text in in_order]
    assert -1 not in places, in_order[places.index(-1)]
    assert places == sorted(places)


def test_what_a_claim_says_is_escaped(run):
    claim = run.claims[0]
    told = claim.record["sentence"]
    claim.record["sentence"] = "<script>alert(1)</script>"
    try:
        pages = templates()
        assert "<script>alert" not in claim_page(claim, [], pages)
        assert "<script>alert" not in first_page(run, History(), pages)
    finally:
        claim.record["sentence"] = told


def test_a_part_of_the_story_is_not_told_as_the_story(run):
    survey, claims = run.surveys[0], [claim for claim in run.claims if claim.heading == "holds"]
    whole = Model(survey, claims, History())
    assert whole.verdict[0] == "The story holds of seed5.safetensors."
    said = "What was selected of the story holds of seed5.safetensors."
    assert replace(whole, narrowed=True).verdict[0] == said
    left_out = run.not_selected["min_of_two"]
    assert "behavior.accuracy_on_all_inputs" in left_out
    assert not any(function.startswith("qk_circuit.") for function in left_out)
    part = replace(whole, not_selected=left_out)
    assert part.verdict[0] == said
    assert f"{len(left_out)} of the story were not selected" in part.counts


@pytest.mark.parametrize(
    ("arguments", "narrowed"),
    [
        ((PART,), False),
        ((PART, "-k", "strictly"), True),
        ((PART, "-n", "2", "--deselect", f"{PART}::test_the_row_is_strictly_decreasing"), True),
        ((f"{PART}::test_the_row_is_strictly_decreasing",), True),
    ],
    ids=["a file", "-k", "--deselect in workers", "by name"],
)
def test_it_is_known_what_narrows_a_run(run_claims, tmp_path, arguments, narrowed):
    run_claims(*arguments, f"--alluredir={tmp_path}")
    assert read_run(tmp_path).narrowed == narrowed


def test_a_run_that_judged_nothing_hides_the_one_before(run_claims, results, tmp_path):
    folder = edited(results, tmp_path / "stale", exit_status=0)
    for refused in (("--checkpoint", "nonexistent.safetensors"), ("-k", "nosuchclaim")):
        run_claims(PART, *refused, f"--alluredir={folder}")
        done = report(folder, "--gate")
        assert done.returncode == 2
        assert "judged nothing" in done.stderr


def test_a_file_that_is_no_python_is_a_part_that_was_not_selected(tmp_path, monkeypatch):
    (tmp_path / "test_broken.py").write_text("def")
    (tmp_path / "test_sound.py").write_text("def test_new(): ...")
    monkeypatch.setattr(min_of_two, "__path__", [str(tmp_path)])
    assert claims_of("min_of_two") == ["broken", "sound.new"]


VERDICTS = {
    "holds": ("The story holds of seed5.safetensors.", "holds"),
    "refuted": ("The story does not hold of seed5.safetensors.", "refuted"),
    "error": ("The story could not be judged of seed5.safetensors.", "error"),
    "refuted as expected": ("Nothing that should hold was selected.", "says-nothing"),
}


@pytest.mark.parametrize("heading", VERDICTS)
def test_the_verdict_is_that_of_what_should_hold(run, heading):
    claims = [claim for claim in run.claims if claim.heading == "refuted as expected"]
    if heading != "refuted as expected":
        claims += [_under(heading, claim) for claim in run.claims if claim.heading == "holds"]
    model = Model(run.surveys[0], claims, History())
    assert model.verdict == VERDICTS[heading]
    assert replace(model, unjudged=True).verdict == (
        "The story was not judged to the end.",
        "error",
    )


def _under(heading: str, claim: Claim) -> Claim:
    return replace(claim, result=replace(claim.result, heading=heading))


def test_what_moved_is_said_of_one_checkpoint_and_of_several(run):
    claims = [_under("refuted", claim) for claim in run.claims if claim.heading == "holds"]
    other = {**claims[0].record, "severity": "normal"}
    moved = [replace(claims[0], result=replace(claims[0].result, record=other))]
    said = Model(run.surveys[0], moved, History()).verdict
    assert said == ("The story holds of seed5.safetensors, but 1 numbers moved.", "refuted")
    second = replace(moved[0], result=replace(moved[0].result, record={**other, "path": "b.pt"}))
    said = Model(run.surveys[0], [*moved, second], History()).verdict
    assert said == ("The story holds of 2 of 2 checkpoints, but 2 numbers moved.", "refuted")


def test_the_tree_tells_the_story(run, tmp_path):
    stage(run, tmp_path / "staged", lambda claim: "<p></p>")
    found = [json.loads(path.read_text()) for path in (tmp_path / "staged").glob("*-result.json")]
    found.sort(key=lambda result: result["start"])
    assert [result["name"] for result in found] == [c.record["sentence"] for c in run.claims]
    assert {tuple(result["titlePath"]) for result in found} == {("min_of_two", "1. qk circuit")}
    shown = [[result[name] for name in ("name", "fullName", "titlePath")] for result in found]
    assert ".py" not in json.dumps(shown)
    assert len({result["testCaseId"] for result in found}) == len(found)
    assert [result["status"] for result in found].count("skipped") == 1
    said = (tmp_path / "staged" / "environment.properties").read_text()
    for wanted in ("seed5.safetensors", "40,000 inputs, float32 on cpu", "sha256=", "torch="):
        assert wanted in said


def test_the_history_knows_a_run_once(run, tmp_path):
    once = History().with_run(run)
    assert once.with_run(run).lines == once.lines
    once.write(tmp_path / "history.jsonl")
    assert read_history(tmp_path / "history.jsonl").lines == once.lines
    claim = next(claim for claim in run.claims if CLAIM in claim.record["claim"])

    def points(**before: object) -> list[Point]:
        earlier = [{**line, "finished": "2020", **before} for line in once.lines]
        return History(earlier).with_run(run).of("min_of_two", claim.record["claim"])

    (again,) = points(margins={})
    assert again.margin == claim.numbers["margin"]
    assert [point.finished for point in points(sha256="another")] == ["2020", run.finished]


def test_a_margin_over_checkpoints_is_on_both_pages(run):
    now = History().with_run(run)
    before = [{**line, "finished": "2020", "checkpoint": "old.pt"} for line in now.lines]
    both = History([*before, *now.lines])
    html = first_page(run, both, templates())
    assert "Margins over 2 checkpoints" in html
    assert "From old.pt to" in html
    claim = run.claims[0]
    points = both.of("min_of_two", claim.record["claim"])
    assert "Margin over 2 checkpoints" in claim_page(claim, points, templates())


@pytest.mark.parametrize(
    "changed", [{"schema": "other"}, {"margins": {"a": "0.5"}}, {"margins": []}, {"sha256": []}]
)
def test_a_history_of_something_else_is_refused(run, tmp_path, changed):
    (line,) = History().with_run(run).lines
    (tmp_path / "history.jsonl").write_text(json.dumps(line | changed))
    with pytest.raises(CannotJudge, match="line 1: not of a history of claims"):
        read_history(tmp_path / "history.jsonl")


def test_analytics_are_taken_out():
    html = assemble(ALLURE_HTML, "<h1>first</h1>", {})
    assert "googletagmanager" not in html
    assert "dataLayer" not in html
    assert "default-src 'none'" in html
    assert html.index("<h1>first</h1>") < html.index('<div id="app">')


@pytest.mark.parametrize(
    "changed",
    [
        ALLURE_HTML.replace("googletagmanager", "elsewhere"),
        ALLURE_HTML.replace("<body>", '<body><script src="https://elsewhere.example/a.js">'),
        ALLURE_HTML.replace("<body>", "<body class='new'>"),
    ],
)
def test_a_file_that_is_not_as_expected_is_refused(changed):
    with pytest.raises(CannotJudge, match="Allure's file"):
        assemble(changed, "", {})


def report(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fixtures.report", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("out", "said"), [(".", "not a file"), ("nowhere/a.html", "not a file"), ("a", "two files")]
)
def test_what_can_not_be_written_is_refused_at_once(results, tmp_path, out, said):
    done = report(results, "--out", tmp_path / out, "--history", tmp_path / "a")
    assert done.returncode == 2
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_run_is_said_in_a_sentence(tmp_path):
    done = report(tmp_path)
    assert done.returncode == 2
    assert "has no run of the claims. First run pytest claims/ --alluredir" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["no-such-program", f"{sys.executable} -c raise(SystemExit(3))"]
)
def test_allure_that_is_missing_is_said_in_a_sentence(results, tmp_path, command):
    done = report(results, "--out", tmp_path / "out.html", "--allure", command)
    assert done.returncode == 2
    assert "Allure" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.html").exists()


def test_node_that_is_missing_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setattr(allure.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(allure.shutil, "which", lambda name, path=None: None)
    with pytest.raises(CannotJudge) as caught:
        allure.node_and_npx()
    assert str(caught.value).startswith("Node 22 or later is missing (found no Node): ")
    assert '".[report]"' in str(caught.value)


@pytest.fixture(scope="module")
def needs_allure(tmp_path_factory):
    """Only a machine that has neither Node nor Allure skips: what fails later fails."""
    try:
        allure.run_allure(None, "--version", folder=tmp_path_factory.mktemp("allure"))
    except CannotJudge as error:
        pytest.skip(f"no report is made here: {error}")


@pytest.mark.parametrize("status", [0, 1, 2, 5])
def test_the_quality_gate_agrees_with_pytest(needs_allure, results, tmp_path, status):
    run = read_run(edited(results, tmp_path / "edited", exit_status=status))
    stage(run, tmp_path / "staged", lambda claim: "<p></p>")
    configuration = allure.write_configuration(run, tmp_path, tmp_path / "out")
    arguments = ("quality-gate", tmp_path / "staged", "--config", configuration)
    if status == 0:
        allure.run_allure(None, *arguments, folder=tmp_path)
    else:
        with pytest.raises(CannotJudge, match="ended with 1"):
            allure.run_allure(None, *arguments, folder=tmp_path)


def test_it_exits_as_pytest_did_if_asked(needs_allure, results, tmp_path):
    out = tmp_path / "out.html"
    assert report(results, "--out", out).returncode == 0
    done = report(results, "--out", out, "--gate")
    assert done.returncode == 1
    assert "gate failed" in done.stdout


def test_a_checkpoint_that_can_not_be_read_is_told_of(needs_allure, run_claims, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    results, out = tmp_path / "results", tmp_path / "out.html"
    run_claims(
        PART,
        f"--alluredir={results}",
        *("--checkpoint", tmp_path / "broken.safetensors", "--checkpoint", DIFFERENT),
    )
    done = report(results, "--out", out, "--history", tmp_path / "history.jsonl")
    assert done.returncode == 0, done.stderr
    run = read_run(results)
    assert [claim.heading for claim in run.claims].count("error") == 5
    broken = next(claim for claim in run.claims if claim.heading == "error")
    page = claim_page(broken, [], templates())
    assert "could not be judged" in page
    assert "Why there is no verdict" in page
    assert f'href="#{broken.page}"' in out.read_text()
    assert "What was selected of the story holds of 0 of 2 checkpoints." in out.read_text()
