"""Ablations, patches and cuts of every component, against a plain forward pass changed by hand."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.model.components import embedding, head, logits, mlp, neurons, positions
from tests.measurement.by_hand import (
    KINDS,
    OF_ALL,
    OF_MLPS,
    TASK,
    agrees,
    at_answers,
    by_hand,
    model_of,
    only_where_asked,
    putting,
    written,
)
from tests.plain_transformer import D_MODEL, POSITIONS, TOKENS, Kind, Questions

pytestmark = pytest.mark.usefixtures("few_inputs_at_a_time")
QUICK, SLOW = "MLP and LayerNorm", pytest.mark.slow
"""The kind that has everything; the others are as right, and take their time."""
HOWS = (pytest.param("zero", marks=SLOW), "mean", pytest.param("resample", marks=SLOW))
QUERIES, KEYS, VALUES = head(1, 0).queries, head(1, 1).keys, (head(1, 0) + head(1, 1)).values
EDGES = {
    "embedding to queries": (embedding, QUERIES),
    "embedding to keys of the first layer": (embedding, head(0, 1).keys),
    "positions to values of two heads": (positions, VALUES),
    "head to keys": (head(0, 1), KEYS),
    "heads to keys of two heads": (head(0, 0) + head(0, 1), (head(1, 0) + head(1, 1)).keys),
    "head to queries": (head(0, 0), QUERIES),
    "head to values": (head(0, 0), head(1, 1).values),
    "head to logits": (head(0, 1), logits),
    "all that writes first to logits": (embedding + positions + head(0, 0), logits),
    "last heads to logits": (head(1, 0) + head(1, 1), logits),
}
EDGES_OF_MLPS = {
    "mlp to keys": (mlp(0), KEYS),
    "head to the mlp after it": (head(0, 1), mlp(0)),
    "head to the last mlp": (head(0, 0), mlp(1)),
    "neurons to the last mlp": (neurons(0, 4, 5), mlp(1)),
    "mlp and embedding to values": (mlp(0) + embedding, VALUES),
    "mlps to logits": (mlp(0) + mlp(1), logits),
    "all neurons to logits": (neurons(1), logits),
}


def of_kinds(everywhere, of_mlps, kinds=KINDS):
    """Each model with each thing that it has."""
    return [
        pytest.param(KINDS[name], what, id=f"{name}: {of}", marks=() if name == QUICK else SLOW)
        for name in kinds
        for of, what in (everywhere | (of_mlps if KINDS[name].mlp else {})).items()
    ]


of_two_kinds = of_kinds(OF_ALL, OF_MLPS, ("attention", "MLP and LayerNorm"))


def replaced(values, how):
    if how == "zero":
        return torch.zeros_like(values)
    if how == "mean":
        return values.mean(dim=0, keepdim=True).expand_as(values)
    return values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize(
    ("how", "where"),
    [
        ("mean", "every position"),
        ("mean", "answers"),
        pytest.param("zero", "answers", marks=SLOW),
        pytest.param("zero", "every position", marks=SLOW),
        pytest.param("resample", "every position", marks=SLOW),
    ],
)
@pytest.mark.parametrize(("kind", "component"), of_two_kinds)
def test_ablate(kind, component, how, where):
    """Answers stand elsewhere in each input, and inputs have other numbers of them: one mean."""
    seen = by_hand(kind).seen

    def put(there, value):
        if where == "every position":
            return replaced(seen[there], how)
        of_answers = replaced(at_answers(seen[there]), how)[0]
        return only_where_asked(of_answers.expand_as(value), value)

    outcome = model_of(kind).intervene.ablate(component, how, where)
    agrees(outcome, by_hand(kind, write=putting(component.parts, put)))


@pytest.mark.parametrize(
    ("source", "where"), [("by number", "every position"), ("any inputs", "answers")]
)
@pytest.mark.parametrize(("kind", "component"), of_two_kinds)
def test_patch(kind, component, source, where):
    numbers = torch.arange(20).flip(0)
    others = (TASK.inputs + 1) % TOKENS
    given = numbers if source == "by number" else others
    tokens = TASK.inputs[numbers] if source == "by number" else others
    seen = by_hand(kind, tokens).seen

    def put(there, value):
        return seen[there] if where == "every position" else only_where_asked(seen[there], value)

    outcome = model_of(kind).intervene.patch(component, given, where)
    agrees(outcome, by_hand(kind, write=putting(component.parts, put)))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("kind", "edge"), of_kinds(EDGES, EDGES_OF_MLPS))
def test_cut(kind, edge, how):
    """The reader reads something else, and nobody else does."""
    sender, into = edge
    was = written(kind, by_hand(kind).seen, sender)
    becomes = replaced(was, how)
    if into is logits:
        readers = ["logits"]
    elif getattr(into, "kind", "mlp") == "mlp":
        readers = [("mlp", into.parts[0].layer)]
    else:
        name = {"queries": "query", "keys": "key", "values": "value"}[into.kind]
        readers = [(name, *of) for of in into.heads]

    def read(reader, stream):
        return stream - was + becomes if reader in readers else stream

    agrees(model_of(kind).intervene.cut(sender, into, how), by_hand(kind, read=read))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_attend(kind):
    """All of it to a position, counted from the end too, of one head; a pattern of another."""
    generator = torch.Generator().manual_seed(3)
    cases = TASK.answer_positions
    first = (torch.rand(len(cases), generator=generator) * (cases[:, 1] + 1)).long()
    second = torch.rand(len(cases), POSITIONS, generator=generator, dtype=torch.float64)
    second = second.where(torch.arange(POSITIONS) <= cases[:, 1:], 0)
    second = second / second.sum(dim=1, keepdim=True)
    one_hot = torch.nn.functional.one_hot(first, POSITIONS).double()
    given = {("pattern", 0, 1): one_hot, ("pattern", 1, 0): second}

    def write(where, value):
        if where not in given:
            return value
        made = value.clone()
        for case, (row, position) in enumerate(cases.tolist()):
            made[row, position] = given[where][case]
        return made

    expected = by_hand(kind, write=write)
    intervene = model_of(kind).intervene
    agrees(intervene.attend({head(0, 1): first, head(1, 0): second}), expected)
    agrees(intervene.attend({head(0, 1): first - POSITIONS, head(1, 0): second}), expected)


def test_what_is_done_is_said():
    """By each verb, and at which positions."""
    intervene = KINDS["MLP"].subject(TASK).intervene
    inputs, first = TASK.inputs, TASK.labels * 0
    intervene.ablate(head(0, 1) + mlp(0), "mean")
    intervene.ablate(head(0, 1), "zero", at="answers")
    intervene.patch(embedding, inputs.flip(0))
    intervene.cut(head(0, 0), head(1, 1).keys, "resample")
    intervene.attend({head(1, 0): first})
    intervene.cut(head(0, 0), logits, "mean")
    intervene.put("hook_embed", torch.zeros(*inputs.shape, D_MODEL).double())
    intervene.replace_inputs(inputs.flip(0))
    assert intervene.done == [
        "head 0.1 + mlp 0 ablated (mean), at every position",
        "head 0.1 ablated (zero), at the answers",
        "embedding patched from other inputs, at every position",
        "head 0.0 cut from keys of heads 1.1 (resample), at every position",
        "attention of head 1.0 set, at the answers",
        "head 0.0 cut from the logits (mean), at the answers",
        "values put at hook_embed, at every position",
        "other inputs in their places",
    ]


def of_one_token():
    """Inputs whose last token, at which they are asked, is the same."""
    asked = Questions()
    asked.inputs[:, -1], asked.answer_positions = 0, (-1,)
    asked.labels = torch.zeros(len(asked.inputs), dtype=torch.long)
    return asked


def test_what_changes_nothing_is_said():
    """Positions are the same in every input, and so is their mean; a patch of itself is none."""
    intervene = KINDS["MLP"].subject(TASK).intervene
    intervene.ablate(positions, "mean")
    intervene.ablate(positions, "mean")
    intervene.patch(head(1, 0), torch.arange(len(TASK.inputs)))
    intervene.cut(positions, mlp(0), "resample")
    last = Kind(layers=1).subject(of_one_token()).intervene
    last.cut(embedding, logits, "mean")  # which differs elsewhere
    intervene.done += last.done
    assert all(said.endswith(", which changes nothing") for said in intervene.done)
    intervene.ablate(positions, "zero")
    assert intervene.done[-1] == "positions ablated (zero), at every position"
    silent = Kind(layers=1).weights()
    silent["blocks.0.attn.W_V"][1] = silent["blocks.0.attn.b_V"][1] = 0
    of_silent = Kind(layers=1).subject(TASK, silent).intervene
    of_silent.ablate(head(0, 1), "zero")
    of_silent.cut(head(0, 1), logits, "zero")
    assert all(said.endswith(", where it is zero already") for said in of_silent.done)


def test_positions_may_be_ablated_by_their_mean():
    """The same vector at each position: that of all."""
    kind = KINDS["attention"]
    same = {**kind.weights()}
    same["pos_embed.W_pos"] = same["pos_embed.W_pos"].mean(dim=0).expand(6, -1).contiguous()
    expected = kind.subject(TASK, same).activations.logits
    intervene = model_of(kind).intervene
    found = intervene.ablate(positions, "mean over positions").logits
    assert (found - expected).abs().max() < 1e-12
    assert intervene.done[-1] == "positions ablated (mean over positions), at every position"
