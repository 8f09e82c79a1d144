"""A token to which no position attends: runs, edits, and what is not known of such models."""

from __future__ import annotations

import math

import pytest
import torch

from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.measurement.certificates.served import require_one_head
from mechanistic_claims.model.components import head, logits
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
    mean = was.mean(dim=0, keepdim=True).expand_as(was)

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
