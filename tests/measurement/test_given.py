"""What a claim or a task gives beside a model has to fit it, or a sentence says what does not."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.model.components import head, mlp
from tests.measurement.by_hand import refused
from tests.plain_transformer import LOGITS, POSITIONS, Kind, Questions

ONE_HEAD, TWO_LAYERS, WITH_MLP, WITH_NORM = (
    Kind(layers=1, heads=1),
    Kind(),
    Kind(mlp="relu"),
    Kind(norm="LN"),
)


@pytest.fixture(scope="module")
def subjects():
    with torch.no_grad():
        kinds = (ONE_HEAD, TWO_LAYERS, WITH_MLP, WITH_NORM)
        return {kind: kind.subject(Questions()) for kind in kinds}


def test_what_is_put_has_the_shape_of_what_is_there(subjects, as_for_users):
    intervene = subjects[WITH_MLP].intervene
    for values in (torch.zeros(20, POSITIONS, 7), torch.zeros(21, POSITIONS, 8), torch.zeros(8)):
        refused(
            f"put: what is put at hook_embed is {' x '.join(map(str, values.shape))}, expected "
            "20 x 6 x 8.",
            lambda v=values: intervene.put("hook_embed", v),
        )
    pattern = torch.zeros(20, 2, POSITIONS, POSITIONS).double()
    site = "blocks.0.attn.hook_pattern"
    refused(f"{site} has no positions of its own", lambda: intervene.put(site, pattern, "answers"))


def test_sources_are_as_many_as_inputs(subjects):
    subject = subjects[WITH_MLP]
    patch, inputs = subject.intervene.patch, subject.task.inputs
    refused("patch: the source is 19, expected 20: for", lambda: patch(mlp(0), torch.arange(19)))
    refused("is 21 x 6, expected 20 x 6.", lambda: patch(mlp(0), inputs[[*range(20), 0]]))
    refused("is 20 x 5, expected 20 x 6.", lambda: patch(mlp(0), inputs[:, 1:]))
    replace = subject.intervene.replace_inputs
    refused("replace_inputs: what is given is 20 x 5, expected", lambda: replace(inputs[:, 1:]))


def test_attention_is_given_for_each_case(subjects):
    attend, cases = subjects[TWO_LAYERS].intervene.attend, len(Questions().labels)
    for count in (cases - 1, cases + 1):
        said = f"{count} rows of attention, expected {cases}: one for each input and each of its"
        refused(said, lambda n=count: attend({head(0, 0): torch.zeros(n, dtype=torch.long)}))
        said = said.replace(",", f" ({count} x {POSITIONS}),", 1)
        refused(said, lambda n=count: attend({head(0, 0): torch.zeros(n, POSITIONS).double()}))
    there = torch.full((cases,), POSITIONS)
    refused("attend: position 6 of inputs of 6", lambda: attend({head(0, 0): there}).logits)
    refused("attend: position -7 of", lambda: attend({head(0, 0): -there - 1}).logits)
    narrow = torch.zeros(cases, POSITIONS - 1).double()
    refused(
        "attend: a pattern is 1 x 5, expected 1 x 6", lambda: attend({head(0, 0): narrow}).logits
    )
    refused("expected one head", lambda: attend({mlp(0): there}))


@pytest.mark.parametrize("ask", ["loss", "margin", "correct"])
@pytest.mark.parametrize("change", [lambda labels: labels[1:], lambda labels: labels.repeat(2)])
def test_labels_of_the_wrong_count(ask, change):
    task = Questions()
    cases = len(task.labels)
    task.labels = change(task.labels)
    subject = TWO_LAYERS.subject(task)
    said = f"{len(task.labels)} labels, expected {cases}: one for each input and each of its answer"
    refused(said, lambda: getattr(subject.activations, ask))
    refused(said, lambda: subject.activations.answers(task.labels))
    refused(said, lambda: getattr(subject.intervene.ablate(head(0, 0), "mean"), ask))


def test_labels_without_a_logit():
    task = Questions()
    task.labels = task.labels.clone()
    task.labels[3] = LOGITS
    activations = TWO_LAYERS.subject(task).activations
    refused("1 labels have no logit, as 9: this model answers 0 to 8.", lambda: activations.loss)
    refused("1 labels have no logit", lambda: activations.answers(task.labels))
    assert not activations.answers(task.labels.clamp(max=0) - 1).any(), "-1 is no answer"


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        (torch.tensor([[1, 0], [0, 0]]), "answer_positions are not in the order of the inputs"),
        (torch.tensor([[0, 0], [20, 1]]), "answer_positions has (20, 1), expected (input, posit"),
        (torch.tensor([[0, 6], [1, 1]]), "answer_positions has (0, 6)"),
        (torch.tensor([[0, -1], [1, 1]]), "answer_positions has (0, -1)"),
        ((0, 6), "answer positions (0, 6): inputs have 6 tokens."),
        ((-7,), "answer positions (-7,): inputs have 6 tokens."),
    ],
)
def test_answer_positions_that_are_not_there(positions, said):
    task = Questions()
    task.answer_positions = positions
    refused(said, lambda: TWO_LAYERS.subject(task).activations)


def test_an_intervention_is_of_its_own_inputs(subjects):
    intervene = subjects[TWO_LAYERS].intervene
    edited = intervene.ablate(head(0, 0), "mean")
    refused("on(a task) of an intervention", lambda: edited.on(Questions(count=4)))
    others = intervene.replace_inputs(Questions().inputs.flip(0))
    assert others.on(Questions(count=4)).logits.isfinite().all()
