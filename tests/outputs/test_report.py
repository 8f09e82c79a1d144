"""The claim report without a browser: what is read, written, and said where it can't be made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.outputs.report import allure
from mechanistic_claims.outputs.report.assemble import assemble
from mechanistic_claims.outputs.report.claim_page import claim_page
from mechanistic_claims.outputs.report.judged import read_run
from mechanistic_claims.outputs.report.staging import stage
from mechanistic_claims.outputs.report.words import templates
from mechanistic_claims.session.story import Story
from mechanistic_claims.verdict.headings import Heading
from tests.conftest import DIFFERENT, QK
from tests.runs import suite

ALLURE_HTML = """<html><head></head><body><div id="app"></div>
<script async src="https://www.googletagmanager.com/gtag/js?id=G-0"></script>
    <script>
        window.dataLayer = window.dataLayer || [];
    </script></body></html>"""


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


def test_it_reads_a_run(run):
    assert run.exit_status == 1
    assert [claim.heading.word for claim in run.claims] == [
        *["refuted"] * 2,
        "holds",
        "refuted as expected",
        "refuted",
    ]
    row = run.claims[0]
    assert row.told.function == "qk_circuit.the_row_falls_at_almost_every_step"
    assert row.exceptions[:3] == ("35", "42", "60")
    assert row.record.verdict.margin < 0
    assert row.files["image/svg+xml"].read_text().startswith("<svg")


def test_the_last_run_is_the_one_that_counts(results, tmp_path):
    (path,) = results.glob("*-claims.json")
    again = json.loads(path.read_text()) | {"exit_status": 0}
    again["results"] = again["results"][:1]
    folder = edited(results, tmp_path / "twice")
    (folder / "9999999999999999999-claims.json").write_text(json.dumps(again))
    run = read_run(folder)
    assert (len(run.claims), run.exit_status, run.earlier) == (1, 0, 1)


@pytest.mark.parametrize("content", ["[]", "1", "{"])
@pytest.mark.parametrize("name", ["9999999999999999999-claims.json", "0-result.json"])
def test_a_file_that_is_none_of_a_run_is_said_in_a_sentence(results, tmp_path, name, content):
    folder = edited(results, tmp_path / "odd")
    (folder / name).write_text(content)
    with pytest.raises(CannotJudge, match="Judge the checkpoints again"):
        read_run(folder)


@pytest.mark.parametrize(
    ("arguments", "narrowed"),
    [
        ((QK,), False),
        ((QK, "-k", "strictly"), True),
        pytest.param(
            (QK, "-n", "2", "--deselect", f"{QK}::test_the_row_is_strictly_decreasing"),
            True,
            marks=pytest.mark.slow,
        ),
        ((f"{QK}::test_the_row_is_strictly_decreasing",), True),
    ],
    ids=["a file", "-k", "--deselect in workers", "by name"],
)
def test_it_is_known_what_narrows_a_run(run_claims, tmp_path, arguments, narrowed):
    run_claims(*arguments, f"--alluredir={tmp_path}")
    assert read_run(tmp_path).narrowed == narrowed


def test_a_run_that_judged_nothing_hides_the_one_before(run_claims, results, tmp_path):
    folder = edited(results, tmp_path / "stale", exit_status=0)
    for refused in (("--checkpoint", "nonexistent.safetensors"), ("-k", "nosuchclaim")):
        run_claims(QK, *refused, f"--alluredir={folder}")
        done = report(folder, "--gate")
        assert done.returncode == 2
        assert "judged nothing" in done.stderr


def test_a_file_that_is_no_python_is_a_part_that_was_not_selected(tmp_path):
    folder = tmp_path / "claims" / "model"
    folder.mkdir(parents=True)
    (folder / "test_broken.py").write_text("def")
    (folder / "test_sound.py").write_text("def test_new(): ...")
    assert Story(tmp_path, "model").claims == ["broken", "sound.new"]


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
    return suite("report", *arguments)


@pytest.mark.parametrize(
    ("out", "said"), [(".", "--out"), ("nowhere/a.html", "--out"), ("a", "two files")]
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
    assert '[report]"' in str(caught.value)


@pytest.fixture(scope="module")
def needs_allure(tmp_path_factory):
    """Only a machine that has neither Node nor Allure skips: what fails later fails."""
    try:
        allure.run_allure(None, "--version", folder=tmp_path_factory.mktemp("allure"))
    except CannotJudge as error:
        pytest.skip(f"no report is made here: {error}")


@pytest.mark.parametrize(
    "status", [0, *(pytest.param(status, marks=pytest.mark.slow) for status in (1, 2, 5))]
)
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


@pytest.mark.slow
def test_it_exits_as_pytest_did_if_asked(needs_allure, results, tmp_path):
    out = tmp_path / "out.html"
    done = report(results, "--out", out)
    assert done.returncode == 0
    assert "--gate exits with the gate's)" in done.stdout
    done = report(results, "--out", out, "--gate")
    assert done.returncode == 1
    assert "gate failed" in done.stdout
    assert "--gate exits" not in done.stdout


@pytest.mark.slow
def test_a_checkpoint_that_can_not_be_read_is_told_of(needs_allure, run_claims, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    results, out = tmp_path / "results", tmp_path / "out.html"
    run_claims(
        QK,
        f"--alluredir={results}",
        *("--checkpoint", tmp_path / "broken.safetensors", "--checkpoint", DIFFERENT),
    )
    done = report(results, "--out", out, "--history", tmp_path / "history.jsonl")
    assert done.returncode == 0, done.stderr
    run = read_run(results)
    assert [claim.heading for claim in run.claims].count(Heading.ERROR) == 5
    broken = next(claim for claim in run.claims if claim.heading is Heading.ERROR)
    page = claim_page(broken, [], templates())
    assert "could not be judged" in page
    assert "Why there is no verdict" in page
    assert f'href="#{broken.page}"' in out.read_text()
    assert "What was selected of the story holds of 0 of 2 checkpoints." in out.read_text()
