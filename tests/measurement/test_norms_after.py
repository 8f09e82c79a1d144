"""A stream that is normalized after each addition: runs, edits, and what is not known of it."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.model.components import embedding, head, logits, mlp, neurons, site
from tests.measurement.by_hand import (
    TASK,
    agrees,
    at_answers,
    by_hand,
    model_of,
    putting,
    refused,
    written,
)
from tests.plain_transformer import AFTER, BEFORE, D_MODEL, Kind

KINDS = {
    "an encoder": Kind(mlp="gelu", norm="LN", attention="bidirectional", norm_at=AFTER),
    "RMSNorms, and one at the end": Kind(mlp="relu", norm="RMS", norm_at=(*AFTER, "end")),
    "attention alone": Kind(norm="LN", norm_at=AFTER[:1]),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@every_kind
def test_it_runs_as_its_formulas_say(kind):
    run, activations = by_hand(kind), model_of(kind).activations
    agrees(activations, run)
    for layer in (0, 1):
        assert (activations.pattern(head(layer, 1)) - run.seen["pattern", layer, 1]).abs().max() < (
            1e-12
        )
        came_in, added = run.seen["input", layer], run.seen["output", layer]
        before = activations.read(f"blocks.{layer}.hook_resid_mid")
        assert (before - came_in - added).abs().max() < 1e-12
        assert (activations.read(f"blocks.{layer}.hook_resid_pre") - came_in).abs().max() < 1e-12
    last = at_answers(run.seen["unembedded"])
    assert (activations.unembedded - last).abs().max() < 1e-12


@every_kind
def test_its_edits_are_those_of_the_same_run(kind):
    intervene, seen = model_of(kind).intervene, by_hand(kind).seen
    swapped = torch.arange(len(TASK.inputs)).flip(0)
    of_mlps = [mlp(1), neurons(0, 1, 3)] if kind.mlp else []
    for component in (embedding, head(0, 1), head(0, 0) + head(1, 1), *of_mlps):
        zero = putting(component.parts, lambda where, value: torch.zeros_like(value))
        agrees(intervene.ablate(component, "zero"), by_hand(kind, write=zero))
        donor = putting(component.parts, lambda where, value: seen[where][swapped])
        agrees(intervene.patch(component, swapped), by_hand(kind, write=donor))


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.mlp])
def test_what_an_mlp_reads_is_the_normalized_stream(kind):
    subject = model_of(kind)
    name = subject.parts.sites.layers[1].mlp_input
    new = subject.activations.read(name).flip(0)
    read = by_hand(kind, read=lambda where, stream: new if where == ("mlp", 1) else stream)
    agrees(subject.intervene.put(name, new), read)
    # where norms are before MLPs this name is of what they read, and refused
    middle, seen = "blocks.1.hook_resid_mid", by_hand(kind).seen
    swapped = subject.activations.read(middle).flip(0) - seen["input", 1]
    added = by_hand(kind, write=lambda at, old: swapped if at == ("output", 1) else old)
    agrees(subject.intervene.put(middle, subject.activations.read(middle).flip(0)), added)


@every_kind
def test_what_was_written_is_told_of_no_reader(kind):
    """Not even where nothing stands between: no number of another model."""
    subject = model_of(kind)
    said = "normalized after each addition, and is no sum of what was written: what "
    for into in (logits, head(1, 0).keys, *([mlp(1)] if kind.mlp else [])):
        cut = lambda into=into: subject.intervene.cut(head(0, 1), into, "zero").logits  # noqa: E731
        refused(f"{said}{into} gets of head 0.1 can't be told apart", cut)
    along = torch.ones(D_MODEL).double()
    refused(f"{said}a head adds to a logit", lambda: subject.activations.written_along(along))
    refused("a norm stands between", lambda: subject.circuits.ov(head(0, 0)))


def test_what_is_no_norm_is_no_place_of_one():
    """Where a norm is taken out, what comes in goes out, and it can be read and edited there."""
    subject = model_of(Kind(mlp="relu", norm="LN", norm_at=("before mlp",)))
    read = subject.activations.read
    assert torch.equal(read("blocks.0.ln1.hook_out"), read("blocks.0.hook_resid_pre"))
    edited = subject.intervene.ablate(site("blocks.0.ln1.hook_out"), "zero")
    assert not torch.equal(edited.logits, subject.activations.logits)


@pytest.mark.parametrize(
    "norm_at", [("before attention", "after mlp"), ("end", "before mlp", "after attention")]
)
def test_norms_are_before_or_after(norm_at):
    with pytest.raises(CannotJudge, match=r"norm_at=.*expected some of"):
        Kind(norm="LN").family(lambda *_: TASK, norm_at=norm_at)


@pytest.mark.parametrize("norm", ["LN", "RMS"])
@pytest.mark.parametrize("norm_at", [BEFORE[:1], BEFORE[1:2], BEFORE[2:]])
def test_where_norms_are_before_heads_read_what_was_written(norm, norm_at):
    """Through a norm where there is one before them, as it is where there is none."""
    kind = Kind(mlp="relu", norm=norm, norm_at=norm_at, epsilon=0.1)
    was = written(kind, by_hand(kind).seen, head(0, 1))
    keys = head(1, 0).keys

    def read(reader, stream):
        return stream - was if reader == ("key", 1, 0) else stream

    agrees(model_of(kind).intervene.cut(head(0, 1), keys, "zero"), by_hand(kind, read=read))
