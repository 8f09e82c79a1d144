"""Many checkpoints together: shares, kinds, and when in training a claim becomes true."""

from __future__ import annotations

import copy
import io
import json
import re

import pytest
from matplotlib.figure import Figure
from rich.console import Console
from scipy.stats import binomtest

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.outputs.survey.pictures import draw
from mechanistic_claims.outputs.survey.terminal import print_surveys
from models.min_of_two.train import COMMAND
from models.min_of_two.training import Recipe
from tests.conftest import ROOT
from tests.outputs.survey_files import became, steps_of, surveys
from tests.runs import suite

pytestmark = pytest.mark.slow
WEIGHTS_AND_ATTENTION = {
    "test_attention_on_the_smaller_operand",
    "test_attention_on_the_min_at_a_gap",
    "test_attention_is_split_evenly_between_equals",
    "test_the_row_falls_at_almost_every_step",
    "test_smaller_numbers_get_higher_scores",
    "test_the_row_of_equals_has_the_most_structure",
}


def function(claim):
    return claim.partition("::")[2].partition("[")[0]


@pytest.fixture(scope="module")
def run(shipped):
    return shipped, shipped.verdict_file


def survey_of(checkpoints):
    (found,) = surveys(checkpoints)
    return found


def command(*arguments):
    return suite("survey", *arguments)


def test_a_seed_of_the_same_accuracy_is_of_another_kind(checkpoints):
    """Seed 5: right on 0.9997 of inputs, and not by the row of '='."""
    same, other = survey_of(checkpoints).kinds
    assert [name[:5] for name in same.names] == ["refer", "seed1", "seed2", "seed3"]
    assert not same.refuted
    assert other.names == ("seed5.safetensors",)
    assert {function(claim) for claim in other.refuted} == WEIGHTS_AND_ATTENTION
    (seed5,) = (one for one in checkpoints if one["path"].endswith("seed5.safetensors"))
    accuracy = next(c for c in seed5["claims"] if "test_accuracy_on_all_inputs" in c["claim"])
    assert accuracy["measured"] == 0.9997
    assert seed5["training"]["step"] == 4000


def test_the_share_of_checkpoints_has_its_limits(checkpoints):
    for row in survey_of(checkpoints).rows:
        assert row.judged == 5
        limits = binomtest(row.holds, row.judged).proportion_ci(0.998, "exact")
        assert (row.low, row.high) == pytest.approx((limits.low, limits.high), abs=1e-9)
        assert row.spread is not None
        assert row.spread == (min(row.margins), sorted(row.margins)[2], max(row.margins))
        assert (row.spread[0] >= 0) == (row.holds == 5)


def test_a_run_ends_with_its_survey(run):
    output = run[0].output
    assert run[0].status == 1
    assert "checkpoints: 5 done, 1 refuted or in error, 0 left" in output
    assert re.search(r"A 4: refutes none reference.safetensors, seed1.safetensors", output)
    assert re.search(r"B 1: 10 refuted seed5.safetensors", output)
    assert re.search(r"At a gap of 2, mean attention on +4 of 5 +0.122 1.000 +-0.14 .* \.X", output)
    assert "On all of them: 46 claims hold (each of all such checkpoints on 0.251 or more" in output
    assert max(map(len, output[output.index("= survey =") :].splitlines()[1:])) <= 100


def said_of(checkpoints, **more):
    console = Console(width=100, record=True, file=io.StringIO())
    print_surveys(console, surveys(checkpoints), **more)
    return console.export_text()


def test_a_few_are_told_side_by_side(checkpoints):
    """By margins: of a share of two its limits say nothing."""
    one, other = checkpoints[0], copy.deepcopy(checkpoints[-1])
    strong = {row.claim for row in survey_of([one, other]).rows if row.told_too_strongly}
    at = next(i for i, c in enumerate(other["claims"]) if c["verdict"] == "holds")
    other["claims"][at] = became(other["claims"][at], "error")
    lines = said_of([one, other]).splitlines()
    assert lines[0] == "2 checkpoints of min_of_two"
    assert re.fullmatch(r"claim, and its margin on each +A +B *", lines[1])
    assert re.fullmatch(r"There is one attention head\. +\+0 +error *", lines[2])
    assert sum("✗" in line for line in lines) == 10
    assert lines[-4:-1] == [
        f"On all of them: {len(one['claims']) - len(strong) - 11} claims hold",
        "  A refutes none reference.safetensors",
        "  B 10 refuted, 1 error seed5.safetensors",
    ]
    assert max(map(len, lines)) <= 100
    every = said_of([one, other], every_claim=True)
    assert sum(line.startswith("~ ") for line in every.splitlines()) == len(strong)
    sentences = {one["claim"]: one["sentence"] for one in other["claims"]}
    held = {c["claim"] for of in (one, other) for c in of["claims"] if c["verdict"] == "holds"}
    told = re.findall(r"~ holds after all, on (\d) of 2: (.*)", "\n".join(lines))
    assert {said for _, said in told} == {sentences[claim] for claim in strong & held}
    assert told
    assert "after all" not in every


def test_what_says_nothing_is_no_law(checkpoints):
    """Wherever it holds: an untrained model has the same."""
    of_two = copy.deepcopy(checkpoints[:2])
    for number, some in ((2, of_two), (5, [*of_two, *checkpoints[2:]])):
        before = said_of(some)
        of_two[1]["claims"][5]["heading"] = "says nothing"
        after = said_of(some)
        assert "– says little" not in before
        assert "– says little: an untrained model, or another set" in after
        laws = [int(re.search(r"On all of them: (\d+)", said)[1]) for said in (before, after)]
        assert laws[1] == laws[0] - 1, number
        of_two[1]["claims"][5]["heading"] = checkpoints[1]["claims"][5]["heading"]


def test_files_say_together_what_one_run_says(run, checkpoints, tmp_path):
    """Whatever their order; and again what the terminal said after the run."""
    document = json.loads(run[1].read_text())
    parts = []
    for number, some in enumerate((checkpoints[3:], checkpoints[:3])):
        parts.append(tmp_path / f"{number}.json")
        parts[-1].write_text(json.dumps({**document, "checkpoints": some}))
    whole = command(run[1])
    together = command(*parts, "--pictures", tmp_path / "pictures")
    assert (whole.returncode, together.returncode) == (0, 0), together.stderr
    assert together.stdout.startswith(whole.stdout.rstrip())
    body = whole.stdout.partition("\n")[2].strip().splitlines()[-4:]
    assert all(line.rstrip() in run[0].output for line in body)
    picture = tmp_path / "pictures/min_of_two-claims.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_file_that_is_no_verdicts_is_said(run, tmp_path):
    other = tmp_path / "other.json"
    other.write_text('{"schema": "else"}')
    found = command(run[1], other)
    assert found.returncode == 2
    assert f"{other}: its schema is 'else'" in found.stderr


def test_a_checkpoint_judged_twice_counts_once_and_has_one_verdict(checkpoints):
    again = copy.deepcopy(checkpoints)
    assert survey_of([*checkpoints, *again]).rows == survey_of(checkpoints).rows
    again[0]["claims"][0] = became(again[0]["claims"][0], "refuted")
    with pytest.raises(CannotJudge, match="was judged twice, and differently"):
        surveys([*checkpoints, *again])


def test_the_same_file_judged_in_parts_is_one_and_another_of_its_name_is_not(checkpoints):
    parts = [
        {**checkpoints[0], "claims": checkpoints[0]["claims"][at]}
        for at in (slice(0, 30), slice(30, None))
    ]
    assert survey_of([*parts, *checkpoints[1:]]).rows == survey_of(checkpoints).rows
    retrained = {**checkpoints[1], "path": checkpoints[0]["path"]}
    names = [name for kind in survey_of([checkpoints[0], retrained]).kinds for name in kind.names]
    assert names == [f"reference.safetensors ({one['sha256'][:8]})" for one in checkpoints[:2]]


def test_what_could_not_be_judged_counts_for_nothing(checkpoints):
    broken = copy.deepcopy(checkpoints[0])
    broken |= {"path": "broken.safetensors", "sha256": None, "training": None}
    broken["claims"] = [became(claim, "error") for claim in broken["claims"]]
    found = survey_of([*checkpoints, broken])
    assert [(row.holds, row.judged, row.low) for row in found.rows] == [
        (row.holds, row.judged, row.low) for row in survey_of(checkpoints).rows
    ]
    assert {row.errors for row in found.rows} == {1}
    (kind,) = (kind for kind in found.kinds if kind.errors)
    assert (kind.names, kind.refuted) == (("broken.safetensors",), frozenset())
    console = Console(width=100, record=True, file=io.StringIO())
    print_surveys(console, [found])
    assert "1: could not be judged broken.safetensors" in console.export_text()


def test_a_checkpoint_with_the_step_of_another_is_not_lost(checkpoints):
    steps = list(steps_of(checkpoints[0], {0: "holds", 100: "holds"}))
    edited = copy.deepcopy(steps[1]) | {"path": "runs/edited.safetensors", "sha256": "e" * 64}
    edited["claims"][0] = became(edited["claims"][0], "refuted")
    found = survey_of([*steps, edited])
    assert len(found.ends) == 2
    assert [row.holds for row in found.rows] == [1]


@pytest.mark.parametrize(
    ("verdicts", "settled"),
    [
        (["refuted", "holds", "holds"], 100),
        (["holds", "refuted", "holds", "holds"], 200),
        (["holds", "holds", "holds"], 0),
        (["holds", "holds", "refuted"], None),
        (["refuted", "error", "holds"], 200),
    ],
)
def test_a_claim_is_true_from_the_step_on_after_which_it_stays_so(checkpoints, verdicts, settled):
    by_step = {100 * number: verdict for number, verdict in enumerate(verdicts)}
    steps = list(steps_of(checkpoints[0], by_step))
    found = survey_of(reversed(steps))
    (run,) = found.runs
    assert run.steps == sorted(by_step)
    assert run.settled(found.rows[0].claim) == settled
    assert [row.judged for row in found.rows] == [1], "only the end of training is counted"


def test_what_was_not_judged_in_training_is_not_called_refuted(checkpoints):
    steps = list(steps_of(checkpoints[0], {0: "refuted", 100: "holds", 200: "error"}))
    found = survey_of(steps)
    (run,) = found.runs
    axes = Figure().subplots()
    run.timeline(found.rows).draw(axes)
    marks = {line.get_marker(): list(line.get_xdata()) for line in axes.lines}
    assert marks == {"x": [0], "s": [100], ".": [200]}
    console = Console(width=100, record=True, file=io.StringIO())
    print_surveys(console, [found])
    said = console.export_text()
    assert re.search(r"end left open +1 claim\n +There is one attention head\.", said)
    assert "not at the end" not in said


def test_training_checkpoints_tell_their_step(run_claims, tmp_path):
    """Real ones: of a small model, trained for a moment."""
    out = tmp_path / "seed3.safetensors"
    recipe = Recipe(seed=3, number_of_operands=12, d_model=8, d_head=8, epochs=90, threads=1)
    import torch

    with torch.enable_grad():
        COMMAND.train(recipe, out, every=30)
    verdicts = tmp_path / "verdicts.json"
    behavior = ROOT / "claims/min_of_two/test_behavior.py"
    run = run_claims(behavior, "--checkpoint", tmp_path / "*.safetensors", "--verdicts", verdicts)
    found = survey_of(json.loads(verdicts.read_text())["checkpoints"])
    (training,) = found.runs
    assert training.name == "seed3.safetensors"
    assert training.steps == [30, 60, 90]
    assert training.losses == sorted(training.losses, reverse=True)
    assert list(found.ends) == ["seed3.safetensors"]
    assert "training of seed3.safetensors: 3 checkpoints, steps 30 to 90" in run.output
    assert draw(training.timeline(found.rows)).startswith(b"\x89PNG")
    assert draw(found.matrix).startswith(b"\x89PNG")
