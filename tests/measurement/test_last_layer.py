"""Runs from the last layer on give the bits of whole runs, or are not made."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mechanistic_claims.measurement.activations import Activations
from mechanistic_claims.measurement.interventions.edit import put
from mechanistic_claims.measurement.last_layer import of_answers
from mechanistic_claims.measurement.measures import margin
from mechanistic_claims.measurement.passes import LOGITS
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.batches import batches_of
from mechanistic_claims.model.run import run
from mechanistic_claims.model.task import Cases
from tests.conftest import CPU
from tests.measurement.by_hand import KINDS, TASK, model_of
from tests.plain_transformer import POSITIONS

pytestmark = pytest.mark.usefixtures("few_inputs_at_a_time")
EVERYWHERE = (slice(None), slice(None))
ATTENTION, ALL = KINDS["attention"], KINDS["MLP and LayerNorm"]
UNMASKED = replace(ALL, attention="bidirectional")
SERVED = ("value", "pattern", "mixed", "output")
OF_MLP = ("mlp_input", "neurons", "mlp_output")


class Counted:
    """A model that counts its runs, and may lose the edits of a site."""

    def __init__(self, model, loses=""):
        self.model, self.loses, self.runs = model, loses, 0

    def run_with_hooks(self, inputs, fwd_hooks):
        self.runs += 1
        hooks = [(site, self.lost(f) if site == self.loses else f) for site, f in fwd_hooks]
        return self.model.run_with_hooks(inputs, hooks)

    @staticmethod
    def lost(function):
        """What reads there reads, and what is returned is not used."""

        def lost(value, hook):
            function(value, hook)

        return lost


def putting(activations, site):
    """Edits that put other numbers at a site, every input and position its own."""
    values = activations.read(site).flip(0) + 0.5
    return lambda part: put(site, EVERYWHERE, values[part])


def of_both(subject, edits):
    """The logits from the last layer on, and those of whole runs."""
    found = subject.activations.last_layer.logits(edits)
    assert found is not None
    return together(found), Activations(subject.parts, edits).logits


def of_every_input(answers):
    """The cases of answers at the same positions of each."""
    each = replace(TASK)
    each.answer_positions = answers
    return Cases.of(each)


def together(logits):
    return torch.cat([logits(part) for part in batches_of(TASK.inputs)])


@pytest.mark.parametrize(
    ("kind", "place"),
    [(ALL, place) for place in (*SERVED, *OF_MLP)] + [(ATTENTION, place) for place in SERVED],
)
def test_edits_of_the_last_layer_are_those_of_a_whole_run(kind, place):
    subject = model_of(kind)
    edits = putting(subject.activations, getattr(subject.parts.sites.layers[-1], place))
    found, whole = of_both(subject, edits)
    assert torch.equal(found, whole)
    assert not torch.equal(found, subject.activations.logits)


@pytest.mark.parametrize("kind", [ALL, ATTENTION])
def test_edits_of_several_places_are_all_made(kind):
    subject = model_of(kind)
    sites = subject.parts.sites
    each = [
        putting(subject.activations, site)
        for site in (sites.layers[-1].value, sites.layers[-1].pattern, sites.final_residual)
    ]
    shift = [(sites.logits, lambda value, hook: value + torch.arange(value.shape[-1]))]
    found, whole = of_both(subject, lambda part: [h for one in each for h in one(part)] + shift)
    assert torch.equal(found, whole)


@pytest.mark.parametrize("place", ["query", "key", "input", "mixed of the first", "unembedded"])
def test_what_comes_before_is_run_whole(place):
    subject = model_of(ALL)
    layers, sites = subject.parts.sites.layers, subject.parts.sites
    other = {"mixed of the first": layers[0].mixed, "unembedded": sites.unembedded}
    site = other.get(place) or getattr(layers[-1], place)
    assert subject.activations.last_layer.logits(putting(subject.activations, site)) is None


@pytest.mark.parametrize("place", ["value", "pattern", "mixed"])
def test_a_model_that_loses_an_edit_is_run_whole(place):
    subject = model_of(ATTENTION)
    site = getattr(subject.parts.sites.layers[-1], place)
    parts, losing = subject.parts, Counted(subject.parts.model, loses=site)
    losing = replace(parts, model=losing, ending=lambda model: parts.ending(model.model))
    edits = putting(subject.activations, site)
    assert Activations(losing).last_layer.logits(edits) is None


def test_a_model_without_an_ending_is_run_whole():
    subject = model_of(ATTENTION)
    edits = putting(subject.activations, subject.parts.sites.layers[-1].mixed)
    without = replace(subject.parts, ending=None)
    assert Activations(without).last_layer.logits(edits) is None
    assert of_answers(without, TASK.inputs, of_every_input((-1,))) is None


@pytest.mark.parametrize("kind", [*KINDS.values(), UNMASKED], ids=[*KINDS, "unmasked"])
@pytest.mark.parametrize("answers", [(-1,), (1, -1)])
def test_other_inputs_have_the_answers_of_a_whole_run(kind, answers):
    parts, inputs = model_of(kind).parts, TASK.inputs.flip(0)
    found = of_answers(parts, inputs, of_every_input(answers))
    assert found is not None
    whole = run(parts, inputs, [], lambda residual: residual[:, list(answers)].flatten(0, 1))
    assert torch.allclose(together(found), whole, rtol=1e-12, atol=1e-12)


def test_an_ending_of_another_model_is_not_used():
    parts, cases = model_of(ATTENTION).parts, of_every_input((-1,))
    other = ATTENTION.subject(TASK, ATTENTION.weights(seed=1)).parts
    wrong = replace(parts, ending=lambda model: other.ending(other.model))
    assert of_answers(parts, TASK.inputs, cases) is not None
    assert of_answers(wrong, TASK.inputs, cases) is None


def test_margins_are_those_of_logits_that_are_not_kept():
    subject = model_of(ATTENTION)
    edits = putting(subject.activations, subject.parts.sites.layers[-1].mixed)
    edited = Activations(subject.parts, edits, last_layer=subject.activations.last_layer)
    margins = edited.margin
    assert "logits" not in vars(edited)
    assert torch.equal(margins, margin(edited.logits, TASK.labels))


@pytest.mark.parametrize(("limit", "number"), [("WORTH_IT", 21), ("LONGEST", POSITIONS - 1)])
def test_few_or_long_inputs_are_run_whole(monkeypatch, limit, number):
    subject = model_of(ATTENTION)
    edits = putting(subject.activations, subject.parts.sites.layers[-1].mixed)
    assert subject.activations.last_layer.logits(edits) is not None
    monkeypatch.setattr(f"mechanistic_claims.measurement.last_layer.{limit}", number)
    assert subject.activations.last_layer.logits(edits) is None


def test_what_was_read_before_is_read_in_one_pass():
    subject = model_of(ALL)
    site, length = subject.parts.sites.layers[0].mixed, len(TASK.inputs)
    asked = (("whole", site), LOGITS, ("patterns", ""), ("scores", ""), ("answers", site))
    read_before = {}
    for passes in (len(asked), 1):
        model = Counted(subject.parts.model)
        parts = replace(subject.parts, model=model)
        again = Subject(subject.checkpoint, parts, CPU, read_before)
        found = [again.activations.passes.kept(key)[0] for key in asked]
        assert model.runs == passes * -(-length // 13)
        for key, values in zip(asked, found, strict=True):
            assert torch.equal(values, Activations(subject.parts).passes.kept(key)[0]), key
