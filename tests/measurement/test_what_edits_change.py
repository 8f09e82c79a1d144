"""Whether an edit changes anything, how much, and whether something reads it."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.model.components import head, mlp, site
from tests.measurement.by_hand import refused
from tests.measurement.test_several_answers import INPUTS, everywhere
from tests.measurement.test_where_edits_are import MLP, SOURCE, STREAM, TWO, of_one_layer
from tests.plain_transformer import POSITIONS


@pytest.fixture(scope="module")
def subject():
    return of_one_layer()


@pytest.mark.parametrize(
    ("component", "is_whole"),
    [(site(STREAM), True), (site("blocks.0.hook_resid_post"), True), (head(0, 1), False)],
    ids=str,
)
def test_a_patch_of_everything_says_so(subject, component, is_whole):
    """Its answers are the other input's, to the last bit."""
    intervene = subject.intervene
    patched = intervene.patch(component, SOURCE)
    of_source = subject.activations.logits.reshape(INPUTS, POSITIONS, -1)[SOURCE].flatten(0, 1)
    assert torch.equal(plain(patched.logits), of_source) == is_whole
    assert intervene.done[-1].endswith("leaves nothing of the input's own run") == is_whole


@pytest.mark.parametrize("how", ["zero", "mean", "resample"])
def test_an_edit_that_nothing_reads_is_refused(subject, how):
    """After all answers, where attention is causal: by that no rival is excluded."""
    task = everywhere()
    task.answer_positions, task.labels = (1,), torch.zeros(INPUTS, dtype=torch.long)
    intervene, late = subject.intervene.on(task), torch.full((INPUTS,), 3)
    said = "change no logit by a bit"
    refused(said, lambda: intervene.ablate(mlp(0), how, late))
    refused(said, lambda: intervene.ablate(site(STREAM)[3], how))
    refused(said, lambda: intervene.patch(head(0, 1), SOURCE, late))
    late[-1] = 1  # it is read in one of the inputs, the last
    assert not torch.equal(
        plain(intervene.ablate(mlp(0), how, late).logits), subject.activations.on(task).logits
    )


def test_what_is_put_there_and_is_there_is_told(subject):
    """However it came to be so: an empty mask, the same inputs, other values elsewhere."""
    intervene, there = subject.intervene, subject.activations.read(MLP)
    elsewhere = there.clone()
    elsewhere[:, 1] += 1
    first = torch.zeros(INPUTS, dtype=torch.long)
    for unchanged in (
        lambda: intervene.put(MLP, torch.where(torch.tensor(False), 0.0, there)),
        lambda: intervene.put({MLP: there, STREAM: subject.activations.read(STREAM)}),
        lambda: intervene.put(MLP, elsewhere, first),
        lambda: intervene.replace_inputs(subject.task.inputs.clone()),
    ):
        assert torch.equal(unchanged().logits, subject.activations.logits)
        assert intervene.done[-1].endswith(", which changes nothing")
    intervene.put(MLP, elsewhere)
    assert not intervene.done[-1].endswith("nothing")


def test_how_much_an_edit_changes_is_told_where_not_all(subject):
    """Of inputs, or of their places."""
    intervene, of_itself = subject.intervene, torch.arange(INPUTS)
    other = of_itself.clone()
    other[3] = 4
    intervene.patch(mlp(0), other)
    assert intervene.done[-1].endswith(f"at every position, which changes 1 of {INPUTS}")
    intervene.patch(mlp(0), other, at=TWO)
    assert intervene.done[-1].endswith(f" answers, which changes 2 of {2 * INPUTS}")
    intervene.patch(mlp(0), of_itself)
    assert intervene.done[-1].endswith("at every position, which changes nothing")
    intervene.patch(mlp(0), SOURCE)
    assert intervene.done[-1].endswith("at every position")


def test_attention_that_is_paid_already(subject):
    """As rows of answers, or as whole patterns."""
    intervene, activations = subject.intervene, subject.activations
    whole = activations.pattern(head(0, 1))
    rows = activations.patterns[:, 0, 1]
    for given in (plain(whole), whole, plain(rows)):
        same = intervene.attend({head(0, 1): given})
        assert intervene.done[-1].endswith("at the answers, which changes nothing")
        assert torch.equal(plain(same.logits), plain(activations.logits))
    for other in (plain(whole).roll(1, 0), plain(rows).roll(1, 0), 0):
        intervene.attend({head(0, 1): other})
        assert intervene.done[-1].endswith("set, at the answers")
    both = {head(0, 1): plain(rows), head(0, 0): 0}
    intervene.attend(both)
    assert intervene.done[-1].endswith("set, at the answers")
