"""Interventions on the real model, against the algebra done by hand in float64."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.measurement.activations import Activations
from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.measurement.domain import EXHAUSTIVE, Domain
from mechanistic_claims.measurement.measures import margin, share
from mechanistic_claims.measurement.rounding import largest_difference
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.components import embedding, head, logits
from mechanistic_claims.model.run import run
from tests.conftest import small_weights, subject_of


def by_hand(
    subject: Subject,
    attention: torch.Tensor,
    ov: torch.Tensor | None = None,
    tokens: torch.Tensor | None = None,
) -> torch.Tensor:
    """pattern . OV of the tokens, without the direct path."""
    ov = subject.circuits.ov().matrix if ov is None else ov
    tokens = subject.task.inputs if tokens is None else tokens
    return (attention.double()[..., None] * ov[tokens]).sum(dim=1)


def at_equals(subject: Subject, inputs: torch.Tensor) -> torch.Tensor:
    return run(subject.parts, inputs, [], lambda residual: residual[:, -1])


def direct(subject: Subject) -> torch.Tensor:
    return subject.circuits.direct_path.matrix[subject.task.equals]


def test_what_is_put_back_changes_nothing(small):
    outcome = small.intervene.attend(small.activations.attention)
    assert torch.equal(outcome.logits, small.activations.logits)


def without(subject: Subject, component: str, how: str) -> Activations:
    if component == "head":
        return subject.intervene.ablate(head(0, 0), how)
    return subject.intervene.cut(embedding, logits, how)


@pytest.mark.parametrize("component", ["direct path", "head"])
@pytest.mark.parametrize("how", ["zero", "mean", "resample"])
def test_ablation(small, component, how):
    of_head, constant = by_hand(small, small.activations.attention), direct(small)
    found = plain(without(small, component, how).logits)
    if component == "head" and how == "resample":
        # each input has what the head writes on one input, drawn for it
        written = found.double() - constant
        distance = (written[:, None] - of_head[None]).abs().amax(dim=-1).amin(dim=1)
        assert distance.max() < 1e-5
        assert (found - small.activations.logits).abs().max() > 1e-3
        return
    expected = {
        ("direct path", "zero"): of_head,
        ("direct path", "mean"): of_head + constant,
        ("direct path", "resample"): of_head + constant,
        ("head", "zero"): constant.expand_as(of_head),
        ("head", "mean"): (of_head.mean(0) + constant).expand_as(of_head),
    }[component, how]
    assert largest_difference(found, expected) <= 16


@pytest.mark.parametrize("component", ["direct path", "head"])
def test_what_comes_after_an_ablation_is_run(save, component):
    """Here the residual stream is doubled before, where it is none that any input brings there."""
    subject = subject_of(save(small_weights()))
    real = subject.activations.unembedded

    def doubled(value, hook):
        is_real = torch.cdist(value, real).amin(dim=-1, keepdim=True) < 1e-5
        return torch.where(is_real, value, 2 * value)

    kept = {"direct path": by_hand(subject, subject.activations.attention), "head": direct(subject)}
    subject.model.add_hook("unembed.hook_in", doubled, is_permanent=True)
    found = without(subject, component, "zero").logits
    assert largest_difference(found, (2 * kept[component]).expand_as(found)) <= 16


def test_attention_is_set(small):
    task = small.task
    position = task.max_position
    outcome = small.intervene.attend(position)
    one_hot = torch.nn.functional.one_hot(position, 3)
    expected = by_hand(small, one_hot) + direct(small)
    assert largest_difference(outcome.logits, expected) <= 16
    swapped = small.activations.attention[:, task.swapped_positions]
    expected = by_hand(small, swapped) + direct(small)
    assert largest_difference(small.intervene.attend(swapped).logits, expected) <= 16


def test_values_are_exchanged(small):
    task = small.task
    donor = task.random_donor
    outcome = small.intervene.exchange_value(task.min_position, task.twins, donor)
    tokens = task.inputs.scatter(-1, task.min_position[:, None], plain(donor)[:, None])
    attention = small.activations.attention
    expected = by_hand(small, attention, tokens=tokens) + direct(small)
    assert largest_difference(plain(outcome.logits), expected) <= 16


@pytest.mark.parametrize("position", [0, 1])
def test_what_differs_between_mirrored_inputs_is_run_on_each(small, position):
    """Attention on a alone is another intervention on [a, b, =] than on [b, a, =]."""
    task = small.task
    positions = torch.full_like(task.labels, position)
    logits = small.intervene.attend(positions).logits
    one_hot = torch.nn.functional.one_hot(positions, 3)
    assert largest_difference(logits, by_hand(small, one_hot) + direct(small)) <= 16
    patched = small.intervene.exchange_value(positions, task.twins, task.random_donor)
    tokens = task.inputs.scatter(-1, positions[:, None], plain(task.random_donor)[:, None])
    expected = by_hand(small, small.activations.attention, tokens=tokens) + direct(small)
    assert largest_difference(plain(patched.logits), expected) <= 16


def test_inputs_and_labels_that_differ_between_mirrored_inputs(small):
    task = small.task
    others = task.inputs.clone()
    others[:, 0] = 3
    outcome = small.intervene.replace_inputs(others)
    assert largest_difference(outcome.logits, at_equals(small, others).double()) <= 4
    first = task.inputs[:, 0]
    unchanged = small.intervene.attend(small.activations.attention)
    expected = margin(small.activations.logits, first) > 0
    assert torch.equal(unchanged.answers(first), expected)


def test_draws_are_counted_once(small):
    task = small.task
    resampled = small.intervene.ablate(head(0, 0), "resample")
    right = resampled.answers(task.labels)
    assert share(right).domain == Domain("sampled", 49)
    assert share(right[task.differ]).domain == Domain("sampled", 42)
    for how in ("mean", "zero"):
        assert (
            share(small.intervene.ablate(head(0, 0), how).answers(task.labels)).domain == EXHAUSTIVE
        )
    same = small.intervene.cut(embedding, logits, "resample").answers(task.labels)
    assert share(same).domain == EXHAUSTIVE, "every draw is the same: there is nothing to draw"


def test_ov_is_replaced(small):
    ov = torch.randn_like(small.circuits.ov().matrix)
    expected = by_hand(small, small.activations.attention, ov) + direct(small)
    assert largest_difference(small.intervene.replace_ov(ov).logits, expected) <= 64


def test_inputs_are_replaced(small):
    others = small.task.inputs_with_another_maximum
    outcome = small.intervene.replace_inputs(others)
    expected = at_equals(small, plain(others))
    assert largest_difference(plain(outcome.logits), expected.double()) <= 4


def test_no_hook_stays_behind(small):
    before = at_equals(small, small.task.inputs)
    small.intervene.ablate(head(0, 0), "zero")
    assert torch.equal(at_equals(small, small.task.inputs), before)


def test_a_tie_answers_nothing(small):
    outcome = small.activations.on(small.task)
    outcome.logits = torch.zeros_like(outcome.logits)
    outcome.logits[1, 0] = 1.0
    labels = torch.zeros_like(small.task.labels)
    assert outcome.answers(labels).nonzero().tolist() == [[1]]
    assert not outcome.answers(labels - 1).any()
