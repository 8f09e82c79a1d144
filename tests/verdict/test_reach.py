"""A number of answers that no edit reaches is no intervention's."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.verdict.written import in_project

slow = partial(pytest.param, marks=pytest.mark.slow)
CLAIM = '''
import torch
from mechanistic_claims import head, logits, precondition, refuted, site

LAST = 40

{mark}@evidence("intervention")
def test_new(task, activations, intervene, verdict):
    """A sentence."""
    at = activations.cases.position
    early, there, late = at < LAST, at == LAST, at >= LAST
    other = torch.arange(len(task.inputs)).roll(1)
    theirs = task.labels.reshape(len(other), -1)[other].flatten()
    whole, part = site("blocks.1.hook_resid_post"), head(1, 0)
    {lines}
'''
NOT_REACHED = "nothing that this number is of changes by a bit"
OF_THE_OTHER = "what this number is of is the other input's whatever the model is"


FIXTURES = """
import pytest

@pytest.fixture(scope="session")
def runs(activations, intervene):
    from mechanistic_claims import head
    return {"own": activations.correct, "without": intervene.ablate(head(1, 0), "zero").correct}
"""


def error_of(folder, lines, mark=""):
    (folder / "claims/induction").mkdir(parents=True)
    (folder / "claims/induction/conftest.py").write_text(FIXTURES)
    _, output = in_project(folder, CLAIM.format(lines=lines, mark=mark), model="induction")
    (found,) = json.loads((folder / "found").read_text())["checkpoints"][0]["claims"]
    return found.get("error", ""), output


@pytest.mark.parametrize(
    "lines",
    [
        "verdict(share(intervene.ablate(part, 'zero', at=LAST).correct[early]), at_least=0)",
        slow("without = intervene.patch(part, other, at=LAST)\n    "
             "verdict(mean(without.loss[early] - activations.loss[early]), at_most=0.1)"),
        slow("without = intervene.ablate(part, 'resample', at=LAST)\n    "
             "verdict(share(without.correct[early]), at_least=0)"),
        slow("same = intervene.attend({part: activations.patterns[:, 0, 0].where("
             "late[:, None], activations.patterns[:, 1, 0])})\n    "
             "verdict(share(same.correct[early]), at_least=0)"),
        slow("without = intervene.ablate(part, 'zero', at=LAST)\n    _ = without.patterns\n    "
             "verdict(share(without.correct[early]), at_least=0)"),
        slow("without = intervene.ablate(part, 'zero')\n    "
             "verdict(share(activations.correct), at_least=0)\n    _ = without.logits"),
        slow("stream = 'blocks.1.hook_resid_pre'\n    "
             "without = intervene.ablate(part, 'zero')\n    "
             "off = without.read(stream) - activations.read(stream)\n    "
             "verdict(share(off.abs().amax(dim=-1) == 0), at_least=0.5)"),
        slow("kept = intervene.on(task).ablate(part, 'zero', at=LAST)\n    "
             "verdict(share(kept.answers(task.labels)[early]), at_least=0)"),
    ],
    ids=["ablated", "patched", "resampled", "attention", "more is read", "other is measured",
         "before the edit", "another domain"],
)  # fmt: skip
def test_answers_that_no_edit_reaches_are_refused(tmp_path, lines):
    error, output = error_of(tmp_path, f"from mechanistic_claims import mean\n    {lines}")
    assert NOT_REACHED in error, output


@pytest.mark.parametrize(
    "lines",
    [
        "verdict(share(patched.answers(theirs)[there]), at_least=0.5)",
        slow("verdict(share(patched.prediction[there] == theirs[there]), at_least=0.5)"),
    ],
)
def test_answers_that_are_wholly_another_inputs_are_refused(tmp_path, lines):
    error, output = error_of(
        tmp_path, f"patched = intervene.patch(whole, other, at=LAST)\n    {lines}"
    )
    assert OF_THE_OTHER in error, output


@pytest.mark.parametrize(
    "lines",
    [
        "verdict(share(intervene.ablate(part, 'zero', at=LAST).correct[late]), at_least=0)",
        slow("verdict(share(intervene.ablate(part, 'zero', at=LAST).correct), at_least=0)"),
        slow("verdict(share(intervene.patch(part, other, at=LAST).correct[there]), at_least=0)"),
        slow("verdict(share(intervene.patch(whole, other, at=LAST).answers(theirs)), at_most=1)"),
        slow("stream = 'blocks.1.hook_resid_post'\n    "
             "without = intervene.ablate(part, 'zero')\n    "
             "off = without.read(stream) - activations.read(stream)\n    "
             "verdict(share(off.abs().amax(dim=-1) > 0), at_least=0.5)"),
        slow("first = intervene.ablate(part, 'zero', at=LAST)\n    "
             "both = intervene.after(first).ablate(head(1, 1), 'zero', at=LAST)\n"
             "    verdict(share(both.correct[early]), at_least=0)"),
        "one, two = intervene.ablate(part, 'zero'), intervene.cut(part, logits, 'zero')\n    "
        "verdict(share(one.prediction == two.prediction), at_least=0.9)",
        slow("one, two = intervene.ablate(part, 'zero'), intervene.cut(part, logits, 'zero')\n    "
             "verdict(share(one.correct == two.correct), at_least=0.9)"),
        slow("never = torch.full_like(task.labels, 0)\n    "
             "verdict(share(intervene.ablate(part, 'zero').answers(never)), at_most=0.5)"),
        slow("verdict(share(intervene.ablate(part, 'zero').prediction == -1), at_most=0.5)"),
        slow("without = intervene.ablate(part, 'zero')\n    "
             "verdict(share(activations.correct), at_least=0)\n    "
             "verdict(share(without.correct), at_least=0)"),
    ],
    ids=[
        "they reach", "some reach", "one head", "some are wholly", "no answers", "not known",
        "two agree", "two are as right", "never answered", "no ties", "first without",
    ],
)  # fmt: skip
def test_others_are_not(tmp_path, lines):
    """Nor what is measured of no answers, nor where it is not known."""
    error, output = error_of(tmp_path, lines)
    assert not error, output


def test_a_precondition_may_say_so(tmp_path):
    lines = "verdict(share(intervene.ablate(part, 'zero', at=LAST).correct[early]), at_least=0)"
    error, output = error_of(tmp_path, lines, "@precondition\n")
    assert not error, output


@pytest.mark.slow
def test_a_fixture_that_edits_makes_no_other_claim_an_intervention(tmp_path):
    claim = CLAIM.format(lines="verdict(share(runs['own']), at_least=0.1)", mark="")
    claim = claim.replace("intervention", "behavior").replace("intervene, verdict", "runs, verdict")
    (tmp_path / "claims/induction").mkdir(parents=True)
    (tmp_path / "claims/induction/conftest.py").write_text(FIXTURES)
    _, output = in_project(tmp_path, claim, model="induction")
    (found,) = json.loads((tmp_path / "found").read_text())["checkpoints"][0]["claims"]
    assert found["verdict"] == "holds", output


@pytest.mark.slow
def test_a_refutation_has_to_be_of_what_is_edited_too(tmp_path):
    """Or one that is expected would be, of nothing."""
    lines = "verdict(share(intervene.ablate(part, 'zero', at=LAST).correct[early]), at_least=1)"
    error, output = error_of(tmp_path, lines, "@refuted('as is told')\n")
    assert NOT_REACHED in error, output
