"""Means of halves of what was drawn: how far a mean that is put into a model may be off."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.measurement.interventions.replacements import of_half, replacement
from mechanistic_claims.model.components import head, logits, mlp
from tests.measurement.test_several_answers import INPUTS, everywhere
from tests.measurement.test_where_edits_are import MLP, ONE, TWO
from tests.plain_transformer import POSITIONS, Kind

DRAWS, HALVES = 400, 600


@pytest.fixture(scope="module")
def subject():
    with torch.no_grad():
        return Kind(layers=1, mlp="relu").subject(everywhere(is_sample=True))


def test_a_half_is_as_far_off_as_all_are():
    """s / sqrt(draws), as the mean of other draws is from that of everything."""
    values = torch.randn(DRAWS, 1, 3, generator=torch.Generator().manual_seed(1)) * 2 + 1
    rows, mean = torch.arange(DRAWS), values.double().mean(dim=0)[0]
    off = torch.stack(
        [
            replacement(values, "mean", of_half(seed, None, values, rows))[0, 0].double() - mean
            for seed in range(HALVES)
        ]
    )
    spread = values.double().std(dim=0)[0] / DRAWS**0.5
    assert torch.allclose(off.square().mean(dim=0).sqrt(), spread, rtol=0.12)
    assert (off.mean(dim=0).abs() < 0.2 * spread).all()


MASK = torch.zeros(INPUTS, POSITIONS, dtype=torch.bool)
MASK[torch.arange(INPUTS)[:, None], TWO] = True
MASK[3] = True


def half_of(seed):
    """By hand: the first of a permutation."""
    return torch.randperm(INPUTS, generator=torch.Generator().manual_seed(seed))[: INPUTS // 2]


def mean_there(written, at, how, half):
    """What is there in the end, with the mean of some inputs put where the edit is made."""
    made = written.clone()
    if how == "mean over positions":
        return written[half].mean(dim=(0, 1)).expand_as(written)
    if at is None:
        return written[half].mean(dim=0).expand_as(written)
    if at.dtype == torch.bool:
        among = torch.zeros(INPUTS, 1, dtype=torch.bool)
        among[half] = True
        made[at] = written[at & among].mean(dim=0)
        return made
    rows, places = torch.arange(INPUTS)[:, None], at.reshape(INPUTS, -1)
    made[rows, places] = written[rows, places][half].mean(dim=0)
    return made


@pytest.mark.parametrize(
    ("at", "how"),
    [
        (None, "mean"),
        (None, "mean over positions"),
        (ONE, "mean"),
        (TWO, "mean"),
        (MASK, "mean"),
    ],
    ids=["all", "over positions", "one", "two", "mask"],
)
def test_an_ablation_puts_the_mean_of_a_half(subject, at, how):
    written = plain(subject.activations.read(MLP))
    intervene = subject.with_means_of(2).intervene
    where = () if at is None else (at,)
    found = intervene.ablate(mlp(0), how, *where)
    expected = subject.intervene.put(MLP, mean_there(written, at, how, half_of(2)))
    whole = subject.intervene.ablate(mlp(0), how, *where)
    assert torch.allclose(plain(found.logits), plain(expected.logits), atol=1e-5)
    assert not torch.allclose(plain(found.logits), plain(whole.logits), atol=1e-3)


@pytest.mark.parametrize(
    "edit",
    [
        lambda intervene, task: intervene.cut(mlp(0), logits, "mean"),
        lambda intervene, task: intervene.after(intervene.ablate(head(0, 1), "zero")).ablate(
            mlp(0), "mean"
        ),
        lambda intervene, task: intervene.on(task).ablate(mlp(0), "mean"),
    ],
    ids=["cut", "after another", "another domain"],
)
def test_each_verb_takes_the_mean_of_a_half(subject, edit):
    found, whole = (
        plain(edit(one.intervene, subject.task).logits)
        for one in (subject.with_means_of(2), subject)
    )
    assert not torch.allclose(found, whole, atol=1e-3)


@pytest.mark.parametrize("how", ["zero", "resample"])
def test_what_is_no_mean_is_the_same(subject, how):
    found, whole = (
        plain(one.intervene.ablate(mlp(0), how).logits)
        for one in (subject.with_means_of(2), subject)
    )
    assert torch.equal(found, whole)


def test_of_all_inputs_a_mean_is_known():
    with torch.no_grad():
        subject = Kind(layers=1, mlp="relu").subject(everywhere())
    found, whole = (
        plain(one.intervene.ablate(mlp(0), "mean").logits)
        for one in (subject.with_means_of(2), subject)
    )
    assert torch.equal(found, whole)


def test_what_none_of_a_half_sees_is_of_all_that_do():
    """And not of what stands at padding there."""
    values, rows = torch.arange(8.0).reshape(4, 2, 1), torch.arange(4)
    left_out = int(torch.randperm(4, generator=torch.Generator().manual_seed(0))[-1])
    seen = torch.ones(4, 2, dtype=torch.bool)
    seen[:, 1] = rows == left_out
    mean = replacement(values, "mean", of_half(0, seen, values, rows))
    assert float(mean[0, 1, 0]) == float(values[left_out, 1, 0])


def test_a_half_of_a_mask_is_of_the_inputs_that_it_chooses():
    """Of two of them one, and not by chance both or none."""
    values, rows = torch.arange(4.0)[:, None], torch.tensor([5, 5, 9, 9])
    for seed in range(8):
        chosen = of_half(seed, None, values, rows)[:, 0].tolist()
        assert chosen in ([True, True, False, False], [False, False, True, True])
