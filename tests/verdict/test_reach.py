"""A number of answers that no edit reaches is no intervention's."""

from __future__ import annotations

import json
from textwrap import dedent, indent

import pytest

from tests.verdict.written import in_project

CLAIM = '''
import torch
from mechanistic_claims import head, logits, mean, precondition, refuted, site

LAST = 40

{marks}@evidence("{evidence}")
def test_{name}(task, activations, intervene, runs, verdict):
    """A sentence: {name}."""
    at = activations.cases.position
    early, there, late = at < LAST, at == LAST, at >= LAST
    other = torch.arange(len(task.inputs)).roll(1)
    theirs = task.labels.reshape(len(other), -1)[other].flatten()
    whole, part = site("blocks.1.hook_resid_post"), head(1, 0)
{lines}
'''
FIXTURES = """
import pytest

@pytest.fixture(scope="session")
def runs(activations, intervene):
    from mechanistic_claims import head
    return {"own": activations.correct, "without": intervene.ablate(head(1, 0), "zero").correct}
"""
NOT_REACHED = "nothing that this number is of changes by a bit"
OF_THE_OTHER = "what this number is of is the other input's whatever the model is"
NO_EDIT_REACHES = {
    "ablated": """
        verdict(share(intervene.ablate(part, 'zero', at=LAST).correct[early]), at_least=0)
    """,
    "patched": """
        without = intervene.patch(part, other, at=LAST)
        verdict(mean(without.loss[early] - activations.loss[early]), at_most=0.1)
    """,
    "resampled": """
        without = intervene.ablate(part, 'resample', at=LAST)
        verdict(share(without.correct[early]), at_least=0)
    """,
    "attention": """
        first, second = activations.patterns[:, 0, 0], activations.patterns[:, 1, 0]
        same = intervene.attend({part: first.where(late[:, None], second)})
        verdict(share(same.correct[early]), at_least=0)
    """,
    "more is read": """
        without = intervene.ablate(part, 'zero', at=LAST)
        _ = without.patterns
        verdict(share(without.correct[early]), at_least=0)
    """,
    "other is measured": """
        without = intervene.ablate(part, 'zero')
        verdict(share(activations.correct), at_least=0)
        _ = without.logits
    """,
    "before the edit": """
        stream = 'blocks.1.hook_resid_pre'
        without = intervene.ablate(part, 'zero')
        off = without.read(stream) - activations.read(stream)
        verdict(share(off.abs().amax(dim=-1) == 0), at_least=0.5)
    """,
    "another domain": """
        kept = intervene.on(task).ablate(part, 'zero', at=LAST)
        verdict(share(kept.answers(task.labels)[early]), at_least=0)
    """,
}
WHOLLY_ANOTHERS = {
    "answers": """
        patched = intervene.patch(whole, other, at=LAST)
        verdict(share(patched.answers(theirs)[there]), at_least=0.5)
    """,
    "predictions": """
        patched = intervene.patch(whole, other, at=LAST)
        verdict(share(patched.prediction[there] == theirs[there]), at_least=0.5)
    """,
}
HONEST = {
    "they reach": """
        verdict(share(intervene.ablate(part, 'zero', at=LAST).correct[late]), at_least=0)
    """,
    "some reach": """
        verdict(share(intervene.ablate(part, 'zero', at=LAST).correct), at_least=0)
    """,
    "one head": """
        verdict(share(intervene.patch(part, other, at=LAST).correct[there]), at_least=0)
    """,
    "some are wholly": """
        verdict(share(intervene.patch(whole, other, at=LAST).answers(theirs)), at_most=1)
    """,
    "no answers": """
        stream = 'blocks.1.hook_resid_post'
        without = intervene.ablate(part, 'zero')
        off = without.read(stream) - activations.read(stream)
        verdict(share(off.abs().amax(dim=-1) > 0), at_least=0.5)
    """,
    "not known": """
        first = intervene.ablate(part, 'zero', at=LAST)
        both = intervene.after(first).ablate(head(1, 1), 'zero', at=LAST)
        verdict(share(both.correct[early]), at_least=0)
    """,
    "two agree": """
        one, two = intervene.ablate(part, 'zero'), intervene.cut(part, logits, 'zero')
        verdict(share(one.prediction == two.prediction), at_least=0.9)
    """,
    "two are as right": """
        one, two = intervene.ablate(part, 'zero'), intervene.cut(part, logits, 'zero')
        verdict(share(one.correct == two.correct), at_least=0.9)
    """,
    "never answered": """
        never = torch.full_like(task.labels, 0)
        verdict(share(intervene.ablate(part, 'zero').answers(never)), at_most=0.5)
    """,
    "no ties": """
        verdict(share(intervene.ablate(part, 'zero').prediction == -1), at_most=0.5)
    """,
    "first without": """
        without = intervene.ablate(part, 'zero')
        verdict(share(activations.correct), at_least=0)
        verdict(share(without.correct), at_least=0)
    """,
}
"""What an edit reaches, what two edits agree on, what is measured of no answers, or not known."""
UNREACHED = NO_EDIT_REACHES["ablated"]
MARKED = {
    "a precondition": ("@precondition\n", "intervention", UNREACHED),
    "of a fixture": ("", "behavior", "verdict(share(runs['own']), at_least=0.1)"),
    "expected": (
        "@refuted('as is told')\n",
        "intervention",
        UNREACHED.replace("at_least=0)", "at_least=1)"),
    ),
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """Why each has no verdict, by name; nothing of one that has."""
    folder = tmp_path_factory.mktemp("reach")
    (folder / "claims/induction").mkdir(parents=True)
    (folder / "claims/induction/conftest.py").write_text(FIXTURES)
    every = {**NO_EDIT_REACHES, **WHOLLY_ANOTHERS, **HONEST}
    marked = {name: ("", "intervention", lines) for name, lines in every.items()} | MARKED
    claims = [
        CLAIM.format(
            name=name.replace(" ", "_"),
            marks=marks,
            evidence=evidence,
            lines=indent(dedent(lines).strip(), "    "),
        )
        for name, (marks, evidence, lines) in marked.items()
    ]
    _, output = in_project(folder, "\n".join(claims), model="induction")
    found = json.loads((folder / "found").read_text())["checkpoints"][0]["claims"]
    assert len(found) == len(marked), output
    named = (one["claim"].rpartition("test_")[2].replace("_", " ") for one in found)
    return dict(zip(named, (one.get("error", "") for one in found), strict=True))


@pytest.mark.parametrize("name", [*NO_EDIT_REACHES, "expected"])
def test_answers_that_no_edit_reaches_are_refused(errors, name):
    """And a refutation that is expected of them."""
    assert NOT_REACHED in errors[name]


@pytest.mark.parametrize("name", WHOLLY_ANOTHERS)
def test_answers_that_are_wholly_another_inputs_are_refused(errors, name):
    assert OF_THE_OTHER in errors[name]


@pytest.mark.parametrize("name", [*HONEST, "a precondition", "of a fixture"])
def test_others_are_not(errors, name):
    """Nor what says just that, nor what is no intervention because a fixture makes one."""
    assert not errors[name]
