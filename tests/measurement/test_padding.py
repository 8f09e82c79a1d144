"""A token to which no position attends: runs, edits, and what is not known of such models."""

from __future__ import annotations

import math
from copy import copy

import pytest
import torch

from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.measurement.certificates.served import require_one_head
from mechanistic_claims.measurement.interventions.replacements import other_inputs, replacement
from mechanistic_claims.model.components import head, logits, site
from tests.measurement.by_hand import TASK, agrees, at_answers, by_hand, putting, refused, written
from tests.plain_transformer import POSITIONS, Kind

PADDING = 3
"""Random inputs have it anywhere, not at their ends alone."""
KINDS = {
    "an encoder": Kind(mlp="gelu", norm="LN", attention="bidirectional", padding=PADDING),
    "causal": Kind(padding=PADDING),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
HIDDEN = TASK.inputs == PADDING


@every_kind
def test_it_runs_as_its_formulas_say(kind):
    run, subject = by_hand(kind), kind.subject(TASK)
    agrees(subject.activations, run)
    pattern = subject.activations.pattern(head(1, 0))
    assert (pattern - run.seen["pattern", 1, 0]).abs().max() < 1e-12
    assert not pattern.masked_select(HIDDEN[:, None]).any()
    without = Kind(**{**vars(kind), "padding": None}).subject(TASK)
    assert not torch.equal(without.activations.logits, subject.activations.logits)


@every_kind
def test_its_edits_are_those_of_the_same_run(kind):
    subject = kind.subject(TASK)
    seen, senders = by_hand(kind).seen, (head(0, 1),)
    ablated = subject.intervene.ablate(head(0, 1), "zero")
    put = putting(senders[0].parts, lambda where, value: torch.zeros_like(value))
    agrees(ablated, by_hand(kind, write=put))
    was = written(kind, seen, head(0, 1))
    mean = torch.stack([was[~HIDDEN[:, p], p].mean(dim=0) for p in range(POSITIONS)])

    def read(reader, stream):
        return stream - was + mean if reader == "logits" else stream

    agrees(subject.intervene.cut(head(0, 1), logits, "mean"), by_hand(kind, read=read))


@every_kind
def test_patterns_are_the_softmax_of_scores(kind):
    activations = kind.subject(TASK).activations
    scores, position = plain(activations.scores), activations.cases.position
    if kind.attention == "causal":
        later = torch.arange(POSITIONS) > position[:, None]
        scores = scores.masked_fill(later[:, None, None], -math.inf)
    found = scores.softmax(dim=-1).nan_to_num()  # where all that is seen is padding
    assert (found - activations.patterns).abs().max() < 1e-12
    assert bool(at_answers(HIDDEN[:, None].expand(-1, POSITIONS, -1)).any())


def test_no_head_is_given_padding():
    subject = KINDS["an encoder"].subject(TASK)
    hidden = at_answers(HIDDEN[:, None].expand(-1, POSITIONS, -1))
    case, given = int(hidden.any(dim=1).long().argmax()), hidden.long().argmax(dim=1)
    said = f"attend: position {int(given[case])} of case {case} is padding"
    refused(said, lambda: subject.intervene.attend({head(0, 0): given}).logits)
    seen = (~HIDDEN).long().argmax(dim=1)[TASK.answer_positions[:, 0]]
    attended = subject.intervene.attend({head(0, 0): seen})
    assert not torch.equal(attended.logits, subject.activations.logits)


def test_what_is_proved_of_other_models_is_refused():
    subject = Kind(layers=1, heads=1, padding=PADDING).subject(TASK)
    for what, ask in (
        ("what rounding may do", lambda: subject.proof.margin),
        ("the certificate", lambda: require_one_head(subject.weights)),
    ):
        refused(f"token {PADDING} is padding, to which no position attends: {what}", ask)
    assert subject.circuits.ov(head(0, 0)).matrix.isfinite().all()


ENDS = torch.arange(POSITIONS) >= POSITIONS - 1 - torch.arange(len(TASK.inputs))[:, None] % 4
ENDS[:3], ENDS[3] = False, torch.arange(POSITIONS) > 0  # one that has nothing like it


def test_means_and_draws_are_of_what_is_no_padding():
    """Position by position, and where all is padding of what is there."""
    written = torch.randn(*ENDS.shape, 2, generator=torch.Generator().manual_seed(0)).double()
    seen = ~ENDS
    seen[:, -1] = False
    mean, over = (replacement(written, how, seen) for how in ("mean", "mean over positions"))
    for at in range(POSITIONS - 1):
        assert torch.allclose(mean[0, at], written[seen[:, at], at].mean(dim=0))
    assert torch.allclose(mean[0, -1], written[:, -1].mean(dim=0))
    assert torch.allclose(over[3, 1], written[seen].mean(dim=0))
    source = other_inputs(written, seen)
    assert torch.equal(seen[source], seen)
    assert torch.equal(source.sort().values, torch.arange(len(written)))
    assert int(source[3]) == 3
    assert bool((source != torch.arange(len(written))).any())
    assert torch.equal(replacement(written, "resample", seen), written[source])


@pytest.mark.parametrize("at", [POSITIONS - 2, -2])
def test_at_a_position_that_is_padding_of_some(at):
    """A mean is of the others, and a draw too."""
    task = copy(TASK)
    task.inputs = TASK.inputs.masked_fill(TASK.inputs == PADDING, 5).masked_fill(ENDS, PADDING)
    subject, name = KINDS["an encoder"].subject(task), "blocks.0.attn.hook_z"
    there, hidden = plain(subject.activations.read(name))[:, at, 1], ENDS[:, at]
    assert 0 < int(hidden.sum()) < len(hidden)
    mean = subject.intervene.ablate(head(0, 1), "mean", at=at)
    assert subject.intervene.done[-1].endswith(f"at position {POSITIONS - 2}, padding in no mean")
    found = plain(mean.read(name))[:, at, 1]
    assert torch.allclose(found, there[~hidden].mean(dim=0).expand_as(found))
    drawn = plain(subject.intervene.ablate(head(0, 1), "resample", at=at).read(name))[:, at, 1]
    source = (drawn[:, None] - there).abs().amax(dim=-1).argmin(dim=1)
    assert torch.equal(hidden[source], hidden)
    stream = "hook_embed"
    chosen = subject.intervene.ablate(site(stream)[at % POSITIONS], "mean")
    assert "padding in no mean" in subject.intervene.done[-1]
    value, own = (plain(of.read(stream))[:, at] for of in (chosen, subject.activations))
    assert torch.allclose(value, own[~hidden].mean(dim=0).expand_as(value))


def test_what_padding_has_to_do_with_an_edit_is_told():
    inputs = TASK.inputs.masked_fill(TASK.inputs == PADDING, 5).masked_fill(ENDS, PADDING)
    task = copy(TASK)
    task.inputs = inputs
    subject = KINDS["an encoder"].subject(task)
    intervene, lone = subject.intervene, head(0, 1)
    flipped = torch.arange(len(inputs)).flip(0)
    longer = inputs.masked_fill(ENDS, 5)
    for edit, said in (
        (lambda: intervene.ablate(lone, "mean"), "(mean), at every position, padding in no mean"),
        (lambda: intervene.cut(lone, logits, "mean"), "at the answers, padding in no mean"),
        (
            lambda: intervene.ablate(lone, "resample"),
            "position, among inputs of the same padding, 1 input as before for want of another",
        ),
        (
            lambda: intervene.ablate(lone, "mean", at=torch.zeros_like(flipped)),
            "(mean), at position 0",
        ),
        (lambda: intervene.ablate(lone, "zero"), "(zero), at every position"),
        (lambda: intervene.patch(lone, longer), "other inputs, at every position"),
        (lambda: intervene.patch(lone, flipped), " of tokens from padding"),
    ):
        edit()
        assert said in intervene.done[-1]
    given = (ENDS[flipped] & ~ENDS).sum() / (~ENDS).sum()
    assert intervene.done[-1].endswith(f", {float(given):.0%} of tokens from padding")
    intervene.patch(lone, flipped, at=torch.zeros_like(flipped))
    assert intervene.done[-1].endswith("at position 0")
    others = longer.masked_fill(ENDS[flipped], PADDING)
    intervene.patch(lone, others)
    assert intervene.done[-1].endswith(f", {float(given):.0%} of tokens from padding")


def test_inputs_without_padding_are_told_as_those_of_any_model():
    """But what they are given may come from padding."""
    task = copy(TASK)
    task.inputs = TASK.inputs.masked_fill(HIDDEN, 5)
    intervene = KINDS["an encoder"].subject(task).intervene
    intervene.ablate(head(0, 1), "mean")
    assert intervene.done[-1] == "head 0.1 ablated (mean), at every position"
    intervene.patch(head(0, 1), TASK.inputs)
    share = float(HIDDEN.double().mean())
    assert f", {share:.0%} of tokens from padding, which changes " in intervene.done[-1]


def test_what_is_at_no_positions_is_a_mean_of_all_inputs():
    """As patterns are, where there are as many heads as positions."""
    subject = Kind(heads=POSITIONS, padding=PADDING).subject(TASK)
    name = "blocks.1.attn.hook_pattern"
    every = plain(subject.activations.read(name))
    mean = every.mean(dim=0, keepdim=True).expand_as(every)
    found = subject.intervene.ablate(site(name), "mean").logits
    assert subject.intervene.done[-1] == f"{name} ablated (mean), at every position"
    assert torch.allclose(plain(found), plain(subject.intervene.put(name, mean).logits))
