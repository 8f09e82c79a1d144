"""Edits of a causal language model are those that are made by hand in transformers' own."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from mechanistic_claims import (
    head,
    whole_groups,
)
from mechanistic_claims.measurement.activations import Activations
from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.measurement.interventions.verbs import Interventions
from tests.conftest import CPU
from tests.model.causal_lm.kinds import (
    HEADS,
    LAYERS,
    WIDTH,
    Text,
    expected,
    original,
)


@pytest.mark.parametrize("how", ["zero", "mean"])
def test_a_head_is_ablated_as_by_hand(kind, subject, how):
    """In transformers' own model: what is projected of the head is replaced."""
    model, width = original(kind), WIDTH // HEADS
    projections = ("self_attn.o_proj", "attn.c_proj", "attention.dense")
    (project,) = (
        module
        for name, module in model.named_modules()
        if name.endswith(projections) and ".1." in name
    )

    def without(module, given):
        mixed = given[0].clone()
        of_head = mixed[..., 2 * width : 3 * width]
        of_head.copy_(of_head.mean(dim=0, keepdim=True) if how == "mean" else of_head * 0)
        return (mixed,)

    handle = project.register_forward_pre_hook(without)
    try:
        logits = expected(kind, subject.task.inputs)[:, :-1].flatten(0, 1)
    finally:
        handle.remove()
    found = plain(subject.intervene.ablate(head(1, 2), how).logits)
    assert (found - logits).abs().max() < 1e-4
    assert (found - plain(subject.activations.logits)).abs().max() > 1e-2


SOME = {"queries": head(1, 1) + head(1, 3) + head(2, 0), "keys": head(1, 4) + head(2, 0)}
SOME["values"] = SOME["keys"]
OF_LLAMA = {"queries": "q_proj", "keys": "k_proj", "values": "v_proj"}


@contextmanager
def edge_by_hand(kind, change, reads, heads):
    """Some columns of a projection are those of a stream with a change, through the norm again."""
    model, width, handles = original(kind), WIDTH // HEADS, []
    sharing = 3 if kind == "llama" and reads != "queries" else 1
    layers = model.model.layers if kind == "llama" else model.transformer.h
    for layer in {part.layer for part in heads.parts}:
        slots = sorted({p.index // sharing for p in heads.parts if p.layer == layer})
        block, given = layers[layer], []
        handles.append(
            block.register_forward_pre_hook(lambda m, stream, g=given: g.append(stream[0] + change))
        )
        norm = block.input_layernorm if kind == "llama" else block.ln_1
        project = (
            getattr(block.self_attn, OF_LLAMA[reads]) if kind == "llama" else block.attn.c_attn
        )
        offset = 0 if kind == "llama" else WIDTH * list(OF_LLAMA).index(reads)
        columns = [offset + slot * width + at for slot in slots for at in range(width)]

        def changed(module, given, output, g=given, norm=norm, columns=columns):
            edited = output.clone()
            edited[..., columns] = module.forward(norm(g.pop()))[..., columns]
            return edited

        handles.append(project.register_forward_hook(changed))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("reads", list(SOME))
def test_an_edge_into_heads_of_several_layers_is_cut_as_by_hand(kind, subject, reads):
    """Each reads the stream of that very run, through its norm; a group is a reader as a whole."""
    assert subject.weights.sharing == (3 if kind == "llama" else 1)
    heads = SOME[reads] if reads == "queries" else whole_groups(SOME[reads], subject.weights)
    assert len(heads) == (6 if kind == "llama" and reads != "queries" else len(SOME[reads]))
    found = plain(subject.intervene.cut(head(0, 2), getattr(heads, reads), "mean").logits)
    if kind.startswith("neox"):
        assert (found - plain(subject.activations.logits)).abs().max() > 1e-3
        return  # its projection is one of all three, heads among heads
    written = plain(subject.activations.written(head(0, 2)))
    change = written.mean(dim=0) - written
    with edge_by_hand(kind, change, reads, heads):
        logits = expected(kind, subject.task.inputs)[:, :-1].flatten(0, 1)
    assert (found - logits).abs().max() < 2e-4
    assert (found - plain(subject.activations.logits)).abs().max() > 1e-2


def test_other_inputs_are_edited_as_the_first_ones(kind, subject):
    other = Text(subject.parts.task.sizes, CPU)
    other.inputs = other.inputs.flip(0)
    other.labels = other.inputs[:, 1:].flatten()
    there = subject.intervene.on(other)
    first, flipped = (one.ablate(head(1, 2), "mean") for one in (subject.intervene, there))
    loss, of_flipped = (plain(one.loss).reshape(20, -1) for one in (first, flipped))
    assert (loss - of_flipped.flip(0)).abs().max() < 1e-4
    assert (loss - of_flipped).abs().max() > 1e-2
    assert there.done == subject.intervene.done


@pytest.mark.parametrize("layer", [1, 2])
def test_edits_of_late_layers_run_from_there(subject, layer):
    """With the bits of a whole run: whatever is at the blocks before is not run."""
    started = []
    skipping = subject.parts.skipping
    parts = replace(subject.parts, skipping=lambda at: started.append(at) or skipping(at))
    activations = Activations(parts)
    interventions = Interventions(parts, activations, subject.circuits)
    resumed = interventions.ablate(head(layer, 0), "mean")
    whole = subject.intervene.ablate(head(layer, 0), "mean")
    alone = Activations(subject.parts, whole.edits)
    assert torch.equal(plain(resumed.logits), plain(alone.logits))
    assert started == [layer] * 2  # once to compare, once for the edit

    def latest(pattern, part):
        return pattern[:, -1, -2:].sum(dim=-1)

    scored, of_whole = resumed.by_head(latest), alone.by_head(latest)
    assert started == [layer] * 2 + [layer] * 1
    assert torch.equal(plain(scored), plain(of_whole))
    assert (
        layer == LAYERS - 1
        or (plain(scored) - plain(activations.by_head(latest))).abs().max() > 1e-4
    )
    early = subject.parts.sites.layers[0].mixed
    assert torch.equal(plain(resumed.read(early)), plain(activations.read(early)))
    assert (plain(activations.logits) - plain(alone.logits)).abs().max() > 1e-3


def test_a_run_that_has_other_bits_from_there_is_run_whole(subject):
    changed = [0]

    @contextmanager
    def another(layer):
        changed[0] += 1
        handle = subject.parts.model.original_model.get_output_embeddings().register_forward_hook(
            lambda module, given, output: output + 1e-3
        )
        try:
            yield
        finally:
            handle.remove()

    parts = replace(subject.parts, skipping=another)
    activations = Activations(parts)
    edited = Interventions(parts, activations, subject.circuits).ablate(head(2, 0), "mean")
    alone = Activations(subject.parts, edited.edits)
    assert torch.equal(plain(edited.logits), plain(alone.logits))
    assert changed == [1]
