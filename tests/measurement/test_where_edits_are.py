"""Edits at positions of each input, and of a part of a site."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.measurement.cases import drawn, plain
from mechanistic_claims.measurement.interventions.where import places_of
from mechanistic_claims.model.components import head, mlp, neurons, site
from tests.measurement.by_hand import refused
from tests.measurement.test_several_answers import INPUTS, everywhere
from tests.plain_transformer import POSITIONS, Kind

MIXED, MLP, STREAM = "blocks.0.attn.hook_z", "blocks.0.hook_mlp_out", "hook_embed"
ONE = torch.arange(INPUTS) % POSITIONS
TWO = torch.stack([ONE, (ONE + 2) % POSITIONS], dim=1)
SOURCE = torch.arange(INPUTS).roll(1)


def of_one_layer():
    """A layer with an MLP, asked at every position."""
    with torch.no_grad():
        return Kind(layers=1, mlp="relu").subject(everywhere())


@pytest.fixture(scope="module")
def subject():
    return of_one_layer()


def by_mask(subject, name, other, at):
    """Logits where values at positions of each input are others, chosen by a mask."""
    here = torch.zeros(INPUTS, POSITIONS, dtype=torch.bool)
    here[torch.arange(INPUTS)[:, None], at.reshape(INPUTS, -1)] = True
    there = subject.activations.read(name)
    return subject.intervene.put(name, torch.where(here[..., None], other, there)).logits


@pytest.mark.parametrize("at", [ONE, TWO], ids=["one", "two"])
def test_an_edit_at_positions_of_each_input(subject, at):
    """As where a mask of them chooses what is put."""
    intervene, written = subject.intervene, subject.activations.read(MLP)
    zero, there, others = torch.zeros_like(written), written[SOURCE], subject.task.inputs[SOURCE]
    for found, expected in (
        (intervene.ablate(mlp(0), "zero", at), by_mask(subject, MLP, zero, at)),
        (intervene.patch(mlp(0), SOURCE, at, at), by_mask(subject, MLP, there, at)),
        (
            intervene.patch(mlp(0), others, at),
            by_mask(subject, MLP, there, at),
        ),
        (intervene.patch(site(MLP), SOURCE, drawn(at), at), by_mask(subject, MLP, there, at)),
        (intervene.put(MLP, there, at), by_mask(subject, MLP, there, at)),
    ):
        assert torch.equal(plain(found.logits), expected)
        assert not torch.equal(expected, subject.activations.logits)
    one_head = intervene.ablate(head(0, 1), "zero", at).logits
    of_site = intervene.ablate(site(MIXED)[:, 1], "zero", at).logits
    assert torch.equal(one_head, of_site)
    some = intervene.ablate(neurons(0, 1, 5), "mean", at).logits
    assert not torch.equal(some, intervene.ablate(neurons(0, 1, 5), "mean").logits)
    said = {ONE: "at a position of each input", TWO: "at 2 positions of each input"}[at]
    assert said in intervene.done[-2] or said in intervene.done[-3]


@pytest.mark.parametrize("at", [ONE, TWO], ids=["one", "two"])
def test_a_role_is_patched_from_where_it_is_in_the_source(subject, at):
    """And its mean, and another input's, are of what is at the role, wherever that is."""
    intervene, written = subject.intervene, subject.activations.read(MLP)
    rows, places = torch.arange(INPUTS)[:, None], at.reshape(INPUTS, -1)
    of_role = written[rows, places]
    other = torch.randperm(INPUTS, generator=torch.Generator().manual_seed(0))
    by = {
        "patch": (of_role[SOURCE], lambda: intervene.patch(mlp(0), SOURCE, at)),
        "mean": (of_role.mean(dim=0), lambda: intervene.ablate(mlp(0), "mean", at)),
        "resample": (of_role[other], lambda: intervene.ablate(mlp(0), "resample", at)),
    }
    for what, (values, run) in by.items():
        expected = written.clone()
        expected[rows, places] = values
        found = plain(run().logits)
        assert torch.allclose(found, by_mask(subject, MLP, expected, at), rtol=0, atol=1e-12), what
    elsewhere = (places + 1) % POSITIONS
    expected = written.clone()
    expected[rows, places] = written[SOURCE[:, None], elsewhere]
    found = intervene.patch(mlp(0), SOURCE, at, elsewhere).logits
    assert torch.equal(found, by_mask(subject, MLP, expected, at))


MASK = torch.arange(POSITIONS) <= ONE[:, None]
"""Of each input another number of positions."""


def test_an_edit_at_the_positions_of_a_mask(subject):
    """A mean is one of all of them, and of two sets one that are weighed by their numbers."""
    intervene, written = subject.intervene, subject.activations.read(MLP)
    mean = written[MASK].mean(dim=0).expand_as(written)
    for what, found, other in (
        ("zero", intervene.ablate(mlp(0), "zero", MASK), torch.zeros_like(written)),
        ("mean", intervene.ablate(mlp(0), "mean", drawn(MASK)), mean),
        ("put", intervene.put(MLP, written.roll(1, dims=0), MASK), written.roll(1, dims=0)),
    ):
        expected = torch.where(MASK[..., None], other, written)
        by_put = intervene.put(MLP, expected).logits
        assert torch.allclose(plain(found.logits), by_put, rtol=0, atol=1e-12), what
        assert not torch.equal(by_put, subject.activations.logits)
    assert intervene.done[-1].startswith(f"values put at {MLP}")
    assert any("(zero), at the positions of a mask" in one for one in intervene.done)
    assert any("at the positions of a mask, one mean of them all" in one for one in intervene.done)
    one_each = torch.arange(POSITIONS) == ONE[:, None]
    by_mask_of_one = intervene.ablate(mlp(0), "mean", one_each).logits
    assert "one mean" not in intervene.done[-1]
    assert torch.allclose(by_mask_of_one, intervene.ablate(mlp(0), "mean", ONE).logits)


@pytest.mark.parametrize("at", [ONE, TWO, MASK], ids=["one", "two", "mask"])
def test_places_of_some_inputs_are_numbered_among_all(subject, at):
    cases = subject.activations.cases
    whole, some = (places_of(at, cases, part) for part in (slice(0, INPUTS), slice(7, 12)))
    chosen = (whole[0] >= 7) & (whole[0] < 12)
    for every, of_part in zip(whole, some, strict=True):
        assert torch.equal(every[chosen], of_part)


@pytest.mark.parametrize("how", ["resample", "mean over positions"])
def test_a_mask_does_not_say_whose_a_position_is(subject, how):
    said = "inputs have different numbers of these positions"
    refused(f"{how}: {said}", lambda: subject.intervene.ablate(mlp(0), how, MASK))
    refused(f"patch: {said}", lambda: subject.intervene.patch(mlp(0), SOURCE, MASK))


def test_of_a_mask_of_as_many_of_each_these_are_the_places(subject):
    """In their order, as they are given as positions."""
    two = torch.zeros(INPUTS, POSITIONS, dtype=torch.bool).scatter(1, TWO, True)
    intervene, places = subject.intervene, TWO.sort(dim=1).values
    for how in ("resample", "mean over positions"):
        by_mask, by_places = (intervene.ablate(mlp(0), how, at).logits for at in (two, places))
        assert torch.equal(plain(by_mask), plain(by_places))
    by_mask, by_places = (intervene.patch(mlp(0), SOURCE, at).logits for at in (two, places))
    assert torch.equal(by_mask, by_places)


@pytest.mark.parametrize("places", [ONE[:, None], TWO.sort(dim=1).values], ids=["one", "two"])
def test_answers_are_a_role_as_any_other(subject, places):
    """Where they stand elsewhere in each input, a mean and a source are of them, not of what stands
    at the same position.
    """
    task, rows = everywhere(), torch.arange(INPUTS)[:, None].expand_as(places)
    task.answer_positions = torch.stack([rows, places], dim=-1).reshape(-1, 2)
    task.labels = torch.zeros(places.numel(), dtype=torch.long)
    intervene = subject.intervene.on(task)
    of_role = {
        "patch": lambda at: intervene.patch(mlp(0), SOURCE, at),
        "mean": lambda at: intervene.ablate(mlp(0), "mean", at),
        "resample": lambda at: intervene.ablate(head(0, 1), "resample", at),
        "cut": lambda at: intervene.cut(head(0, 1), mlp(0), "mean", at),
    }
    for what, run in of_role.items():
        assert torch.equal(plain(run("answers").logits), plain(run(places).logits)), what
    absolute = subject.activations.read(MLP)[SOURCE]
    where_it_is = intervene.put(MLP, absolute, "answers").logits
    assert not torch.equal(where_it_is, intervene.patch(mlp(0), SOURCE, "answers").logits)


def test_where_all_inputs_are_edited_at_the_same_positions_these_are_named(subject):
    intervene = subject.intervene
    last = torch.full((INPUTS,), POSITIONS - 1)
    first = torch.arange(POSITIONS) < 3
    for at, said in (
        (0, "position 0"),
        (-1, f"position {POSITIONS - 1}"),
        (torch.stack([last, last - 2], dim=1), f"positions {POSITIONS - 3}, {POSITIONS - 1}"),
        (first.expand(INPUTS, -1), "positions 0 to 2"),
        (torch.tensor([[0, 1]]).expand(INPUTS, -1), "positions 0, 1"),
        ([0, -1], f"positions 0, {POSITIONS - 1}"),
        ((1, 2, 3), "positions 1 to 3"),
        (first | (torch.arange(INPUTS) == 0)[:, None], "the positions of a mask"),
    ):
        intervene.ablate(mlp(0), "zero", at)
        assert intervene.done[-1].partition(", before")[0] == f"mlp 0 ablated (zero), at {said}"


def test_how_many_answers_an_edit_reaches_is_told(subject):
    """Of causal attention those that come no earlier: of six of each input, asked at every one."""
    intervene, every = subject.intervene, INPUTS * POSITIONS
    last = torch.full((INPUTS,), POSITIONS - 1)
    mask = torch.zeros(INPUTS, POSITIONS, dtype=torch.bool)
    mask[:3, 2:] = True
    for at, reached in (
        (POSITIONS - 1, INPUTS),
        (last, INPUTS),
        (torch.stack([last, last - 2], dim=1), 3 * INPUTS),
        (mask, 3 * (POSITIONS - 2)),
        (0, every),
        ("every position", every),
    ):
        told = f", before {reached:,} of {every:,} answers" * (reached < every)
        for verb in (
            lambda at: intervene.ablate(mlp(0), "zero", at=at),
            lambda at: intervene.cut(head(0, 1), mlp(0), "zero", at=at),
            lambda at: intervene.put(MLP, subject.activations.read(MLP) + 1, at=at),
        ):
            outcome = verb(at)
            assert ("before" in intervene.done[-1]) == bool(told), intervene.done[-1]
            assert told in intervene.done[-1]
            changed = (plain(outcome.logits) != plain(subject.activations.logits)).any(dim=-1)
            assert int(changed.sum()) <= reached


def test_of_other_attention_all_answers_may_be_reached():
    with torch.no_grad():
        subject = Kind(layers=1, mlp="relu", attention="bidirectional").subject(everywhere())
    subject.intervene.ablate(mlp(0), "zero", at=POSITIONS - 1)
    assert subject.intervene.done[-1].endswith(f"at position {POSITIONS - 1}")


def test_a_place_of_another_axis_is_told_as_one(subject):
    """Of a pattern the second axis is its heads."""
    intervene, pattern = subject.intervene, "blocks.0.attn.hook_pattern"
    intervene.ablate(site(pattern), "mean", torch.arange(INPUTS) % 2)
    said = f"{pattern} ablated (mean), at a place of each input (of its second axis)"
    assert intervene.done[-1] == said
    intervene.ablate(site(STREAM), "zero", ONE)
    told, _, _ = intervene.done[-1].partition(", before")
    assert told == f"{STREAM} ablated (zero), at a position of each input"
    refused("how a site reads what", lambda: intervene.cut(head(0, 1), site(MLP), "zero"))


@pytest.mark.parametrize("at", [ONE, TWO, MASK], ids=["one", "two", "mask"])
def test_an_edge_that_is_cut_at_positions(subject, at):
    """What reads the stream there has another head's output, and every other position its own."""
    intervene, read = subject.intervene, "blocks.0.mlp.hook_in"
    written, stream = subject.activations.written(head(0, 1)), subject.activations.read(read)
    of_each = torch.arange(INPUTS)[:, None], at.reshape(INPUTS, -1)
    here = at.nonzero(as_tuple=True) if at.dtype == torch.bool else of_each
    for how in ("zero", "mean"):
        other = written.clone()
        other[here] = 0 if how == "zero" else written[here].mean(dim=0)
        expected = intervene.put(read, stream + other - written).logits
        found = plain(intervene.cut(head(0, 1), mlp(0), how, at).logits)
        assert torch.allclose(found, expected, rtol=0, atol=1e-12), how
        assert not torch.equal(found, plain(subject.activations.logits))


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (ONE + 1, "is [input 6 8], and at has position 6 of input 5: expected 0 to 5"),
        (ONE - 1, "and at has position -1 of input 0: expected 0 to 5"),
        (ONE[:, None] < 3, "at, for blocks.0.hook_mlp_out is 20 x 1, expected 20 x 6"),
        (torch.zeros(INPUTS, POSITIONS, dtype=torch.bool), "at is a mask of no position"),
        (
            ONE[:5],
            "at is 5, expected [input] or [input place] of 20 inputs. Positions that all",
        ),
        (ONE.double(), "at is torch.float64: expected whole numbers"),
        (TWO[:, [0, 0]], "at has a position of an input twice"),
    ],
)
def test_positions_that_are_none(subject, at, said, as_for_users):
    refused(said, lambda: subject.intervene.ablate(mlp(0), "zero", at).logits)
    refused(said, lambda: subject.intervene.put(MLP, subject.activations.read(MLP) + 1, at))


def test_a_part_of_a_site_is_a_component(subject):
    """Of [input position head d_head] a head, and of [input position d_model] a position."""
    intervene = subject.intervene
    for how in ("zero", "mean", "resample"):
        of_head = intervene.ablate(head(0, 1), how).logits
        assert torch.equal(plain(intervene.ablate(site(MIXED)[:, 1], how).logits), plain(of_head))
    first = torch.zeros(INPUTS, dtype=torch.long)
    there = intervene.patch(site(STREAM), SOURCE, first).logits
    assert torch.equal(intervene.patch(site(STREAM)[0], SOURCE).logits, there)
    assert str(site(MIXED)[:, 1] + site(STREAM)[0]) == f"{MIXED}[:, 1] + {STREAM}[0]"
    assert len(site(MIXED)[:, 0] + site(MIXED)[:, 1]) == 2
    unit = intervene.ablate(site(MLP)[2, 3], "zero")
    assert not torch.equal(unit.logits, intervene.ablate(site(MLP, 3), "zero").logits)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (site(MIXED)[:, 2], f"there is no {MIXED}[:, 2]: {MIXED} is [input 6 2 3], counted from 0"),
        (site(MIXED)[-1], f"there is no {MIXED}[-1]"),
        (site(MIXED)[0, 0, 0, 0], "there is no"),
    ],
)
def test_a_part_that_is_not_there(subject, part, said):
    refused(said, lambda: subject.intervene.ablate(part, "zero"))


def test_a_position_is_chosen_once(subject):
    refused("has a position chosen already: leave at= out", lambda: (
        subject.intervene.ablate(site(MLP)[0], "zero", ONE).logits
    ))  # fmt: skip
    for wrong in (lambda: mlp(0)[0], lambda: site(MLP, 1)[0], lambda: site(MLP)[:2]):
        with pytest.raises(ValueError, match="expected"):
            wrong()
    for one, other in ((site(MIXED)[:, 1], site(MIXED)), (site(MIXED)[0], site(MIXED)[:, 1])):
        with pytest.raises(ValueError, match="is part of the other's"):
            _ = one + other


def test_of_inputs_of_several_lengths_of_answers(subject):
    """Where some inputs have more answers than others, positions are still those of inputs."""
    task = replace_answers(subject)
    some = subject.intervene.on(task)
    here = some.patch(mlp(0), SOURCE, ONE).logits
    every = subject.intervene.patch(mlp(0), SOURCE, ONE).logits.view(INPUTS, POSITIONS, -1)
    asked = task.answer_positions
    assert torch.equal(here, every[asked[:, 0], asked[:, 1]])


def replace_answers(subject):
    task = everywhere()
    rows = torch.arange(INPUTS).repeat_interleave(1 + torch.arange(INPUTS) % 2)
    places = torch.tensor([0, 3, 5]).repeat(INPUTS // 2)
    task.answer_positions = torch.stack([rows, places], dim=1)
    task.labels = torch.zeros(len(rows), dtype=torch.long)
    return task


@pytest.mark.parametrize("position", [0, 2, -1])
def test_the_same_position_of_all(subject, position):
    """A number is as one of each input, and as that place of the site."""
    intervene = subject.intervene
    of_each = torch.full((INPUTS,), position % POSITIONS)
    values = subject.activations.read(MLP).roll(1, 0)
    for one, other in (
        (intervene.ablate(mlp(0), "zero", position), intervene.ablate(mlp(0), "zero", of_each)),
        (intervene.patch(mlp(0), SOURCE, position), intervene.patch(mlp(0), SOURCE, of_each)),
        (intervene.put(MLP, values, position), intervene.put(MLP, values, of_each)),
    ):
        assert torch.equal(one.logits, other.logits)
    for none in (POSITIONS, -POSITIONS - 1):
        refused("expected 0 to", lambda none=none: intervene.ablate(mlp(0), "zero", none))
    refused("at=True: expected", lambda: intervene.ablate(mlp(0), "zero", True))
