"""One edit after another, in one run."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.measurement.cases import draws_of, plain
from mechanistic_claims.measurement.interventions.unedited import Unedited
from mechanistic_claims.model.components import head, mlp, site
from tests.measurement.by_hand import KINDS, TASK, agrees, by_hand, model_of, refused, written
from tests.plain_transformer import Kind, Questions

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
SOURCE = torch.arange(len(TASK.inputs)).flip(0)
FIRST, SECOND = ("head", 0, 0), ("head", 1, 1)


@every_kind
def test_what_a_later_edit_takes_is_of_the_edited_run(kind):
    """A mean, and what another input has."""
    intervene = model_of(kind).intervene
    without = intervene.ablate(head(0, 0), "zero")

    def zero(where, value):
        return torch.zeros_like(value) if where == FIRST else value

    there = by_hand(kind, write=zero)
    agrees(without, there)
    mean = there.seen[SECOND].mean(dim=0, keepdim=True)
    for found, put in (
        (intervene.after(without).ablate(head(1, 1), "mean"), mean),
        (intervene.after(without).patch(head(1, 1), SOURCE), there.seen[SECOND][SOURCE]),
    ):

        def both(where, value, put=put):
            return put.expand_as(value) if where == SECOND else zero(where, value)

        agrees(found, by_hand(kind, write=both))
        alone = intervene.ablate(head(1, 1), "mean").logits
        assert not torch.allclose(plain(found.logits), plain(alone))
    done = "head 0.0 ablated (zero)", "head 1.1 ablated (mean)", "head 1.1 patched"
    assert all(any(one.startswith(said) for one in intervene.done[-5:]) for said in done)


@every_kind
def test_two_edges_into_two_readers(kind):
    intervene = model_of(kind).intervene
    first = intervene.cut(head(0, 0), head(1, 0).keys, "zero")
    found = intervene.after(first).cut(head(0, 1), head(1, 1).values, "zero")
    seen = by_hand(kind).seen
    lost = {("key", 1, 0): head(0, 0), ("value", 1, 1): head(0, 1)}

    def read(reader, stream):
        return stream - written(kind, seen, lost[reader]) if reader in lost else stream

    agrees(found, by_hand(kind, read=read))


@every_kind
def test_what_is_put_back_is_as_it_was(kind):
    """What one edit takes away the next restores."""
    subject = model_of(kind)
    name, intervene = "blocks.0.attn.hook_z", subject.intervene
    gone = intervene.ablate(site(name), "zero")
    assert not torch.equal(gone.logits, subject.activations.logits)
    back = intervene.after(gone).put(name, plain(subject.activations.read(name)))
    assert torch.allclose(back.logits, subject.activations.logits, atol=1e-12)


def test_three_in_a_row_and_attention():
    kind = KINDS["MLP"]
    intervene = model_of(kind).intervene
    one = intervene.ablate(head(0, 0), "zero")
    two = intervene.after(one).attend({head(1, 0): 0})
    three = intervene.after(two).ablate(mlp(1), "zero")

    def write(where, value):
        if where in (FIRST, ("neurons", 1)):
            return torch.zeros_like(value)
        if where == ("pattern", 1, 0):
            value = value.clone()
            for row, position in TASK.answer_positions.tolist():
                value[row, position] = torch.eye(value.shape[-1])[0]
        return value

    found = by_hand(kind, write=write)
    off = kind.weights()["blocks.1.mlp.b_out"]
    assert off.abs().max() > 0
    edited = intervene.after(two).ablate(mlp(1), "zero")
    agrees_but_for_a_bias(edited, found, off, kind)
    assert torch.equal(edited.logits, three.logits)


def agrees_but_for_a_bias(outcome, expected, off, kind):
    """An MLP that is taken away has no bias either."""
    unembedded = off @ kind.weights()["unembed.W_U"]
    there = torch.stack([expected.logits[i, p] for i, p in TASK.answer_positions.tolist()])
    assert (plain(outcome.logits) - (there - unembedded)).abs().max() < 1e-9


def test_draws_of_two_edits():
    """What is drawn once counts once; other draws for each are refused."""
    subject = Kind().subject(Questions(is_sample=True))
    intervene, count = subject.intervene, len(subject.task.inputs)
    drawn = intervene.ablate(head(0, 0), "resample")
    both = intervene.after(drawn).ablate(head(1, 0), "resample")
    assert int(draws_of(both.correct).max()) < count
    plain_task = Kind().subject(TASK).intervene
    resampled = plain_task.ablate(head(0, 0), "resample")
    later = plain_task.after(resampled).ablate(head(1, 0), "zero")
    assert torch.equal(draws_of(later.correct), draws_of(resampled.correct))
    few = torch.arange(count) % 3
    refused(
        "two edits rest on draws of their own",
        lambda: intervene.after(drawn).patch(head(1, 0), few),
    )
    plainly = intervene.after(intervene.ablate(head(0, 0), "zero")).patch(head(1, 0), few)
    assert len(draws_of(plainly.correct).unique()) == 3


def test_what_is_no_edit_of_these_inputs():
    subject, other = model_of(KINDS["MLP"]), KINDS["MLP"].subject(TASK)
    intervene = subject.intervene
    for none in (
        subject.activations,
        intervene.replace_inputs(TASK.inputs.flip(0)),
        other.intervene.ablate(head(0, 0), "zero"),
        intervene.on(Questions(count=7)).ablate(head(0, 0), "zero"),
    ):
        refused(
            "after(...): expected what came of an edit", lambda none=none: intervene.after(none)
        )
    unedited = Unedited(subject.activations)
    assert unedited.after(unedited.ablate(head(0, 0), "zero")) is unedited


def test_the_stream_before_an_mlp_is_put_as_the_refusal_says():
    """What is missing there, as attention's output: the stream and the MLP have it."""
    kind = KINDS["MLP and LayerNorm"]
    subject, of = model_of(kind), "blocks.1."
    before = plain(subject.activations.read(f"{of}hook_resid_pre"))
    values = plain(subject.activations.read(f"{of}hook_resid_mid"))[SOURCE]
    edited = subject.intervene.put(f"{of}hook_attn_out", values - before)
    assert torch.allclose(plain(edited.read(f"{of}hook_resid_mid")), values)

    def write(where, value):
        return values - before if where == ("output", 1) else value

    agrees(edited, by_hand(kind, write=write))
    own, there = by_hand(kind).seen["mlp", 1], by_hand(kind, write=write).seen["mlp", 1]
    assert torch.allclose(there, own[SOURCE])
