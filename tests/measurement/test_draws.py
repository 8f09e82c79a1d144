"""What rests on draws says so, whatever is read of it."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.measurement.cases import drawn, draws_of, is_drawn
from mechanistic_claims.model.components import embedding, head, logits, mlp, neurons, positions
from tests.measurement.by_hand import (
    KINDS,
    TASK,
)
from tests.plain_transformer import POSITIONS, Kind, Questions


def rests_on_inputs(values):
    """Each row on the draw of its own input."""
    return torch.equal(draws_of(values), torch.arange(20))


def rests_on_cases(values):
    return torch.equal(draws_of(values), TASK.answer_positions[:, 0])


def test_what_few_sources_give_to_many_rests_on_the_sources():
    """As where one donor is patched into all: another one might have given another number."""
    intervene = Kind().subject(Questions(is_sample=True)).intervene
    asked = TASK.answer_positions[:, 0]
    for sources, draws in ((torch.full((20,), 3), 1), (torch.arange(20) % 4, 4)):
        run = intervene.patch(head(0, 1), sources)
        assert len(draws_of(run.logits).unique()) == len(sources[asked].unique()) == draws
        others = intervene.patch(head(0, 1), TASK.inputs[sources])
        assert len(draws_of(others.logits).unique()) == draws
        replaced = intervene.replace_inputs(TASK.inputs[sources])
        assert len(draws_of(replaced.logits).unique()) == draws
    assert rests_on_cases(intervene.patch(head(0, 1), torch.arange(20).flip(0)).logits)
    enumerated = Kind().subject(Questions()).intervene
    assert not is_drawn(enumerated.patch(head(0, 1), torch.full((20,), 3)).logits)


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
    word = torch.ones(20)
    assert rests_on_inputs(subject.activations.of_inputs(word))
    for of, ask in (("inputs", "of_inputs"), ("cases", "of_cases")):
        with pytest.raises(CannotJudge, match=rf"of_{of}: 200 rows, and there are \d+ {of}"):
            getattr(subject.activations, ask)(word.repeat(10))
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


VALUES = torch.rand(20, 4, 3, generator=torch.Generator().manual_seed(0))
OF_EACH_ROW = {
    "sum": lambda v: v.sum(-1),
    "sum over two dims": lambda v: v.sum(dim=(1, 2)),
    "sum by name": lambda v: torch.sum(input=v, dim=2),
    "argmax": lambda v: v[:, -1].argmax(-1),
    "max": lambda v: v.max(dim=1).values,
    "norm": lambda v: v.norm(dim=-1),
    "greatest two": lambda v: v.topk(2, dim=-1).values,
    "matrix": lambda v: v @ torch.ones(3, 2),
    "columns": lambda v: torch.stack([v[:, 0, 0], v[:, 1, 1]], dim=1),
    "cosine": lambda v: torch.cosine_similarity(v[:, 0], v[:, 1], dim=-1),
}
OF_MANY_ROWS = {
    "sum": lambda v: v.sum(0),
    "sum over two dims": lambda v: v.sum(dim=(0, 2)),
    "from the end": lambda v: v.sum(-3),
    "all": lambda v: v.sum(),
    "argmax of all": lambda v: v.argmax(),
    "max": lambda v: v.max(dim=0).values,
    "sorted": lambda v: v[:, 0, 0].sort(dim=0).values,
    "turned over": lambda v: v.flip(0),
    "matrix": lambda v: v[:, 0].mT @ torch.ones(20, 2),
    "rows": lambda v: torch.stack([v[:, 0, 0], v[:, 1, 1]]),
}


@pytest.mark.parametrize("name", OF_EACH_ROW)
def test_what_is_made_of_each_row_rests_on_its_draw(name):
    made = OF_EACH_ROW[name](drawn(VALUES))
    assert rests_on_inputs(made)
    assert torch.equal(made.as_subclass(torch.Tensor), OF_EACH_ROW[name](VALUES))


@pytest.mark.parametrize("name", OF_MANY_ROWS)
def test_what_is_made_of_many_rows_is_not_known(name):
    with pytest.raises(CannotJudge, match="not known any more on how many draws"):
        draws_of(OF_MANY_ROWS[name](drawn(VALUES)))
