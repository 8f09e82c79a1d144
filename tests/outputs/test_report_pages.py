"""What stands on the report's pages: verdicts and claims."""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import re
from dataclasses import replace

import pytest

from claims import min_of_two
from mechanistic_claims.measurement.domain import Domain, Measured
from mechanistic_claims.outputs.report import summary
from mechanistic_claims.outputs.report.claim_page import claim_page
from mechanistic_claims.outputs.report.first_page import first_page
from mechanistic_claims.outputs.report.history import History
from mechanistic_claims.outputs.report.judged import Claim, read_run
from mechanistic_claims.outputs.report.model import Model
from mechanistic_claims.outputs.report.staging import stage
from mechanistic_claims.outputs.report.words import templates
from mechanistic_claims.verdict.claims import Step
from mechanistic_claims.verdict.headings import Heading
from mechanistic_claims.verdict.record import Control
from mechanistic_claims.verdict.verdict import held_to
from tests.conftest import ROOT

SAMPLE = Domain("sampled", 4096)
CLAIM = "test_the_row_is_strictly_decreasing[1.0]"


def changed(claim: Claim, held: dict | None = None, told: dict | None = None, **more) -> Claim:
    """A claim of which something else is known."""
    record = claim.record
    more |= {"held": replace(record.held, **(held or {}))}
    more |= {"told": replace(record.told, **(told or {}))}
    return replace(claim, record=replace(record, **more))


@pytest.fixture(scope="module")
def run(results):
    return read_run(results)


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


def test_a_page_reads_from_top_to_bottom(run):
    claim = next(claim for claim in run.claims if claim.heading is Heading.REFUTED_AS_EXPECTED)
    html = claim_page(claim, [], templates())
    in_order = [
        "The row of &#39;=&#39; is strictly decreasing.",
        "refuted, as expected",
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
    claim = changed(run.claims[0], told={"sentence": "<script>alert(1)</script>"})
    pages = templates()
    assert "alert(1)" in claim_page(claim, [], pages)
    assert "<script>alert" not in claim_page(claim, [], pages)
    html = first_page(replace(run, claims=[claim, *run.claims[1:]]), History(), pages)
    assert "alert(1)" in html
    assert "<script>alert" not in html


def test_a_part_of_the_story_is_not_told_as_the_story(run):
    survey, claims = (
        run.surveys[0],
        [claim for claim in run.claims if claim.heading is Heading.HOLDS],
    )
    whole = Model(survey, claims, History())
    assert summary.verdict(whole)[0] == "The story holds of seed5.safetensors."
    said = "What was selected of the story holds of seed5.safetensors."
    assert summary.verdict(replace(whole, narrowed=True))[0] == said
    left_out = run.not_selected["min_of_two"]
    assert "behavior.accuracy_on_all_inputs" in left_out
    assert not any(function.startswith("qk_circuit.") for function in left_out)
    part = replace(whole, not_selected=left_out)
    assert summary.verdict(part)[0] == said
    assert f"{len(left_out)} of the story were not selected" in summary.counts(part)


VERDICTS = {
    "holds": ("The story holds of seed5.safetensors.", "holds"),
    "refuted": ("The story does not hold of seed5.safetensors.", "refuted"),
    "error": ("The story could not be judged of seed5.safetensors.", "error"),
    "refuted as expected": ("Nothing that should hold was selected.", "says-nothing"),
}


@pytest.mark.parametrize("heading", VERDICTS)
def test_the_verdict_is_that_of_what_should_hold(run, heading):
    claims = [claim for claim in run.claims if claim.heading is Heading.REFUTED_AS_EXPECTED]
    if heading != "refuted as expected":
        claims += [_under(heading, claim) for claim in run.claims if claim.heading is Heading.HOLDS]
    model = Model(run.surveys[0], claims, History())
    assert summary.verdict(model) == VERDICTS[heading]
    assert summary.verdict(replace(model, unjudged=True)) == (
        "The story was not judged to the end.",
        "error",
    )


def test_what_could_not_be_judged_is_counted_as_it_is_listed(run):
    claims = [_under("error", claim) for claim in run.claims]
    counts = summary.counts(Model(run.surveys[0], claims, History()))
    assert counts == "0 of 5 claims hold, 0 refuted, 5 could not be judged"


def test_what_has_no_bound_yet_is_neither_refuted_nor_without_a_verdict(run):
    of = [_under("error", claim) for claim in run.claims[:2]]
    claims = [
        replace(one, record=replace(one.record, verdict=None, unbound=0.125, error="no bound"))
        for one in of
    ]
    model = Model(run.surveys[0], claims, History())
    assert (model.errors, summary.verdict(model)) == (
        [],
        ("The story is not told yet: 2 claims have no bound.", "error"),
    )
    assert summary.counts(model) == "0 of 2 claims hold, 0 refuted, 2 without a bound"
    for word in ("refuted", "error"):
        beside = replace(model, claims=[*claims, _under(word, run.claims[2])])
        assert summary.verdict(beside)[0] == VERDICTS[word][0], "it hides nothing"
    html = first_page(replace(run, claims=claims), History(), templates())
    assert "<p>None of the claims that should hold.</p>" in html
    listed = html.partition("Without a bound yet, so that nothing is claimed:</p>")[2]
    assert listed.partition("</ul>")[0].count("measured 0.125; untrained model ") == 2


def test_each_heading_is_counted(run):
    """As the terminal counts: what says nothing does not hold, what holds after all does."""
    words = ("holds", "holds after all", "rival excluded", "precondition", "precondition")
    words += ("says nothing", "not particular", "refuted", "refuted as expected", "error")
    claims = [_under(word, run.claims[0]) for word in words]
    assert summary.counts(Model(run.surveys[0], claims, History())) == (
        "5 of 10 claims hold (among them 2 preconditions, which an untrained model passes too; "
        "1 rival excluded; 1 sentence expected to be refuted), "
        "1 refuted as expected, 2 say little, 1 refuted, 1 could not be judged"
    )


@pytest.mark.parametrize("word", ["says nothing", "not particular", "rival excluded"])
def test_what_says_nothing_and_rivals_are_lists_of_their_own(run, word):
    claims = [_under(word, claim) for claim in run.claims[:1]]
    claims[0] = changed(claims[0], told={"rival": word == "rival excluded", "too_strong": ""})
    html = first_page(replace(run, claims=claims), History(), templates())
    title = Heading.named(word).title
    after = html.partition(f"{title[0].upper()}{title[1:]}:</p>")[2]
    sentence = "A rival story is excluded: " * (word == "rival excluded") + "The score from"
    assert sentence in after.partition("</ul>")[0]


def test_a_rival_and_what_is_told_too_strongly_are_told_apart_in_the_tree(run, tmp_path):
    claims = [
        changed(run.claims[0], told={"rival": True, "sentence": "It guesses."}),
        changed(run.claims[1], told={"too_strong": "it does not", "sentence": "It always does."}),
        _under("says nothing", run.claims[2]),
    ]
    stage(replace(run, claims=claims), tmp_path / "staged", lambda claim: "")
    found = [json.loads(path.read_text()) for path in (tmp_path / "staged").glob("*-result.json")]
    assert {(one["name"], one["status"]) for one in found} == {
        ("A rival story is excluded: It guesses.", "failed"),
        ("Expected to be false: It always does.", "failed"),
        (run.claims[2].told.sentence, "unknown"),
    }


@pytest.mark.parametrize(
    ("bound", "measured", "said"),
    [
        ({"at_least": 0.5}, Measured(0.75, SAMPLE, 0.625, 0.8), ": at least 0.625"),
        ({"at_most": 0.8}, Measured(0.75, SAMPLE, 0.6, 0.775), ": at most 0.775"),
        ({"within": (0.5, 0.8)}, Measured(0.75, SAMPLE, 0.6, 0.775), ""),
        (
            {"at_most": 0.5, "excluded": True},
            Measured(0.75, SAMPLE, 0.625, 0.8),
            ": at least 0.625",
        ),
        ({"at_least": 0.8, "excluded": True}, Measured(0.7, SAMPLE, 0.6, 0.75), ": at most 0.75"),
    ],
)
def test_a_sample_says_of_how_many_and_its_limit_on_both_pages(run, bound, measured, said):
    verdict = held_to(measured, **bound)
    claim = changed(run.claims[0], verdict=verdict, told={"rival": "excluded" in bound})
    told = f"sampled (4,096 draws, 99.9% limit){said}"
    html = first_page(replace(run, claims=[claim]), History(), templates())
    assert f"; {told}</span>" in html
    assert f"that of the limit: {told}</dd>" in claim_page(claim, [], templates()).replace("\n", "")
    assert "sampled" not in first_page(run, History(), templates())


def test_the_control_of_a_rival_is_told_as_one(run):
    claim = changed(run.claims[0], told={"rival": True}, control=Control(0.5, True))
    page = claim_page(claim, [], templates())
    assert "an untrained model has 0.5, and the rival story is excluded of it too" in page


def test_a_step_shows_the_picture_of_what_its_numbers_are_of(run):
    """The checkpoint that is nearest to the bound, and not the first one."""
    first = run.claims[0]
    good = replace(first.record.verdict, margin=0.5)
    better = changed(first, held={"path": "a.pt", "name": "a.pt"}, verdict=good)
    other = replace(better, files={}, picture_title="another")
    step = Step("A step.", {"weights": first.told.function})  # the first, where none is named
    claim, address = Model(run.surveys[0], [other, first], History(), [step]).picture(step)
    assert claim is first
    picture = first.files["image/svg+xml"].read_bytes()
    assert address == f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}"
    assert Model(run.surveys[0], [other], History()).picture(step) is None


def test_several_models_are_listed_first_and_each_heading_names_its_own(run):
    other = [
        changed(claim, told={"model": "other"}, held={"model": "other"}) for claim in run.claims
    ]
    html = first_page(replace(run, claims=[*run.claims, *other]), History(), templates())
    nav = html.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r'href="(#[^"]*)"><b>(\w+)</b>', nav) == [
        ("#model-1", "min_of_two"),
        ("#model-2", "other"),
    ]
    headings = re.findall(r"<h1[^>]*><span[^>]*>(\w+)", html)
    assert headings == ["min_of_two", "other"]
    assert "<nav" not in first_page(run, History(), templates())


def _under(heading: str, claim: Claim) -> Claim:
    return changed(claim, heading=Heading.named(heading))


def test_what_moved_is_said_of_one_checkpoint_and_of_several(run):
    claims = [_under("refuted", claim) for claim in run.claims if claim.heading is Heading.HOLDS]
    moved = [changed(claims[0], told={"severity": "normal"})]
    said = summary.verdict(Model(run.surveys[0], moved, History()))
    assert said == ("The story holds of seed5.safetensors, but 1 number moved.", "refuted")
    second = changed(moved[0], held={"path": "b.pt"})
    said = summary.verdict(Model(run.surveys[0], [*moved, second], History()))
    assert said == ("The story holds of 2 of 2 checkpoints, but 2 numbers moved.", "refuted")


def test_each_setting_has_its_own_verdict(run):
    """Two sizes are no population: what refutes one is not said of the other."""
    held = {"path": "small.pt", "name": "small.pt", "sha256": "f" * 64, "inputs": 2500}
    good = [
        changed(claim, held=held, told={"too_strong": ""}, heading=Heading.HOLDS)
        for claim in run.claims
    ]
    both = replace(run, claims=[*run.claims, *good], not_selected={})
    html = first_page(both, History(), templates())
    assert "The story does not hold of seed5.safetensors." in html
    assert "The story holds of small.pt." in html
    assert "The story holds of 1 of 2" not in html
    assert "° decided for 40,000 inputs" in html
    assert "the bound was decided for 40,000" in claim_page(good[0], [], templates())
    assert "decided for" not in claim_page(run.claims[0], [], templates())


def test_what_was_not_judged_is_said_of_its_model(run):
    stopped = replace(run, unjudged=["claims/min_of_two/test_errors.py::test_it[a::b-1]"])
    html = first_page(stopped, History(), templates())
    assert "1 selected claim gave no verdict" in html
    assert "was not judged to the end." in html
    other = replace(run, unjudged=["claims/another/test_errors.py::test_it[1]"])
    assert "was not judged to the end." not in first_page(other, History(), templates())


def test_the_tree_tells_the_story(run, tmp_path):
    stage(run, tmp_path / "staged", lambda claim: "<p></p>")
    found = [json.loads(path.read_text()) for path in (tmp_path / "staged").glob("*-result.json")]
    found.sort(key=lambda result: result["start"])
    strongly = "Expected to be false: "
    names = [strongly * bool(c.told.too_strong) + c.told.sentence for c in run.claims]
    assert [result["name"] for result in found] == names
    assert {tuple(result["titlePath"]) for result in found} == {("min_of_two", "1. qk circuit")}
    shown = [[result[name] for name in ("name", "fullName", "titlePath")] for result in found]
    assert ".py" not in json.dumps(shown)
    assert len({result["testCaseId"] for result in found}) == len(found)
    assert [result["status"] for result in found].count("skipped") == 1
    said = (tmp_path / "staged" / "environment.properties").read_text()
    for wanted in ("seed5.safetensors", "40,000 inputs, float32 on cpu", "sha256=", "torch="):
        assert wanted in said


def test_a_claim_without_a_verdict_is_in_the_tree(run, tmp_path):
    lost = [f"claims/min_of_two/test_errors.py::test_it[<{number}>]" for number in range(2)]
    stage(replace(run, unjudged=lost), tmp_path / "staged", lambda claim: "<p></p>")
    found = [json.loads(path.read_text()) for path in (tmp_path / "staged").glob("*-result.json")]
    leaves = [one for one in found if one["titlePath"] == ["min_of_two", "no verdict"]]
    leaves.sort(key=lambda one: one["start"])
    assert [one["name"] for one in leaves] == ["test_it[<0>]", "test_it[<1>]"]
    assert {one["status"] for one in leaves} == {"broken"}
    assert "test_it[&lt;0&gt;] gave no verdict" in leaves[0]["descriptionHtml"]
    assert len(found) == len(run.claims) + 2
    assert max(one["start"] for one in found) == leaves[-1]["start"]
