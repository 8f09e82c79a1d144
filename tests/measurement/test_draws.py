"""What rests on draws says so, whatever is read of it."""

from __future__ import annotations

import torch

from mechanistic_claims.measurement.cases import draws_of
from mechanistic_claims.model.components import embedding, head, logits, mlp, neurons, positions
from tests.measurement.by_hand import (
    KINDS,
    TASK,
)
from tests.plain_transformer import POSITIONS, Questions


def rests_on_inputs(values):
    """Each row on the draw of its own input."""
    return torch.equal(draws_of(values), torch.arange(20))


def rests_on_cases(values):
    return torch.equal(draws_of(values), TASK.answer_positions[:, 0])


def test_of_a_sample_everything_knows_its_draws():
    kind = KINDS["MLP"]
    subject = kind.subject(Questions(is_sample=True))
    intervene = subject.intervene
    runs = [
        subject.activations,
        intervene.ablate(head(0, 0), "mean"),
        intervene.patch(mlp(0), torch.arange(20).flip(0)),
        intervene.cut(head(0, 0), logits, "resample"),
        intervene.attend({head(1, 1): torch.zeros(len(TASK.labels), dtype=torch.long)}),
        intervene.put("hook_embed", torch.zeros(20, POSITIONS, 8).double()),
        intervene.replace_inputs(TASK.inputs.flip(0)),
    ]
    for run in runs:
        for of_cases in (
            run.logits, run.loss, run.margin, run.correct, run.prediction, run.patterns,
            run.scores, run.answers(TASK.labels), run.neurons(1), run.embedding, run.unembedded,
        ):  # fmt: skip
            assert rests_on_cases(of_cases)
        for of_inputs in (
            run.pattern(head(1, 0)), run.read("hook_embed"), run.written(head(0, 0)),
            run.written(neurons(0, 1) + embedding),
        ):  # fmt: skip
            assert rests_on_inputs(of_inputs)
    of_all = KINDS["MLP"].subject(TASK)
    assert draws_of(of_all.activations.loss, of_all.activations.pattern(head(0, 0))) is None


def test_what_is_drawn_is_counted_where_it_can_differ():
    """Where all inputs have one token at their answers, its embedding is nobody else's."""
    asked = Questions()
    asked.inputs = torch.nn.functional.pad(asked.inputs[:, :-1], (0, 1), value=3)
    asked.answer_positions, asked.labels = (-1,), torch.zeros(20, dtype=torch.long)
    intervene = KINDS["MLP"].subject(asked).intervene
    each = torch.arange(20)
    for sender in (embedding, positions, embedding + positions):
        assert draws_of(intervene.cut(sender, logits, "resample").logits) is None
    for outcome in (
        intervene.cut(head(0, 0), logits, "resample"),
        intervene.cut(embedding + mlp(0), logits, "resample"),
        intervene.cut(embedding, head(1, 0).keys, "resample"),
        intervene.ablate(embedding, "resample"),
    ):
        assert torch.equal(draws_of(outcome.loss), each)
    for how in ("zero", "mean"):
        assert draws_of(intervene.ablate(embedding, how).loss) is None
        assert draws_of(intervene.cut(head(0, 0), logits, how).loss) is None
    assert draws_of(intervene.ablate(positions, "resample").loss) is None
