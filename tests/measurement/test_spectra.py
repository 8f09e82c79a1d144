"""Spectra over a cyclic group, of waves whose amplitudes are known."""

from __future__ import annotations

import math

import pytest
import torch

from mechanistic_claims.errors import CannotJudge, NothingMeasured
from mechanistic_claims.measurement.cyclic import (
    energy_per_frequency,
    fourier_basis,
    share_in_frequencies,
)
from mechanistic_claims.measurement.measures import cross_entropy
from mechanistic_claims.measurement.spectra import (
    distance_irrelevance,
    excluded_logits,
    key_frequencies,
    logit_directions,
    logit_similarity,
    logit_variance_explained,
    losses_without,
    neuron_frequencies,
    restricted_logits,
    sums_explained,
)

P = 7
TOKEN = torch.arange(P).double()
A, B = TOKEN.repeat_interleave(P), TOKEN.repeat(P)
ERROR = (A + B)[:, None] - TOKEN
"""a + b - c, [pair logit]."""


def cos(k: int, t: torch.Tensor) -> torch.Tensor:
    return torch.cos(2 * math.pi * k / P * t)


def sin(k: int, t: torch.Tensor) -> torch.Tensor:
    return torch.sin(2 * math.pi * k / P * t)


def close(one: torch.Tensor, other: torch.Tensor | list, within: float = 1e-12) -> bool:
    return torch.allclose(one, torch.as_tensor(other, dtype=torch.float64), atol=within, rtol=0)


def test_the_basis_by_hand():
    third, root = 1 / math.sqrt(3), math.sqrt(2 / 3)
    by_hand = [
        [third, third, third],
        [root, -root / 2, -root / 2],
        [0.0, root * math.sqrt(3) / 2, -root * math.sqrt(3) / 2],
    ]
    assert close(fourier_basis(3), by_hand)
    assert close(fourier_basis(11) @ fourier_basis(11).T, torch.eye(11).double())


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_energy_of_a_sum_of_waves(axis):
    """2 + 3 cos + 4 sin: 7 x 2^2, and 7 / 2 x (3^2 + 4^2); another column has 7 / 2 x 6^2."""
    columns = torch.stack([2 + 3 * cos(2, TOKEN) + 4 * sin(2, TOKEN), 6 * cos(3, TOKEN)], dim=1)
    matrix = columns if axis == 0 else columns.T
    assert close(energy_per_frequency(matrix, axis), [28, 0, 87.5, 126])
    assert share_in_frequencies(matrix, [2], axis) == pytest.approx(87.5 / 241.5)
    assert share_in_frequencies(matrix.float(), (2, 3), axis) == pytest.approx(213.5 / 241.5)
    assert share_in_frequencies(matrix, [], axis) == 0
    assert close(energy_per_frequency(columns[:, 1]), [0, 0, 0, 126])


def waves_of_logits() -> torch.Tensor:
    """Waves of amplitude 3 and 4 and a sine of 12, with a constant for each pair."""
    waves = 3 * cos(1, ERROR) + 4 * cos(3, ERROR) + 12 * sin(1, ERROR)
    return waves + (5 * A - B)[:, None]


def test_the_similarity_of_a_sum_of_waves():
    """3, 4 and 12 have the norm 13, and constants of a pair are none of it."""
    logits = waves_of_logits()
    assert close(logit_similarity(logits), [0, 3 / 13, 0, 4 / 13])
    assert logit_variance_explained(logits, [1, 3]) == pytest.approx(25 / 169)
    assert logit_variance_explained(logits, [3]) == pytest.approx(16 / 169)


def test_keys_are_found_by_their_rule():
    logits = cos(1, ERROR) + 0.06 * cos(2, ERROR) + 0.04 * cos(3, ERROR)
    assert key_frequencies(logits) == [1, 2]
    assert key_frequencies(logits, at_least=0.03) == [1, 2, 3]
    assert key_frequencies(-logits) == [], "the opposite of an answer is none"


def test_restricted_logits_are_the_waves_of_the_keys():
    assert close(restricted_logits(waves_of_logits(), [3]), 4 * cos(3, ERROR))
    kept = 3 * cos(1, ERROR) + 4 * cos(3, ERROR)
    assert close(restricted_logits(waves_of_logits().float(), [1, 3]), kept, within=1e-5)
    assert not restricted_logits(waves_of_logits(), []).any()


def test_excluded_logits_have_no_wave_of_the_sum():
    """Whichever logit reads it, and in whatever phase; waves of a - b, and constants, stay."""
    others = 4 * cos(3, ERROR) + (cos(1, A - B) + 2)[:, None]
    logits = others + 3 * cos(1, ERROR) + 5 * sin(1, ERROR) + 6 * cos(1, A + B + 2)[:, None]
    assert close(excluded_logits(logits, [1]), others)
    assert close(excluded_logits(logits, []), logits)


def test_a_loss_without_the_keys_is_that_of_chance():
    logits, label = 9 * cos(2, ERROR), ((A + B) % P).long()
    for found in (excluded_logits(logits, [2]), restricted_logits(logits, [1])):
        assert close(cross_entropy(found, label), [math.log(P)] * P**2)


def test_neurons_of_known_waves():
    """All eight terms; two frequencies, 16 to 9; a product of two; and one that is constant."""
    eight = [wave(2, of) for wave in (cos, sin) for of in (A, B)]
    eight += [one(2, A) * other(2, B) for one in (cos, sin) for other in (cos, sin)]
    whole = sum(weight * term for weight, term in zip(range(1, 9), eight, strict=True))
    neurons = [*eight, whole + 5, 4 * cos(1, A) + 3 * cos(3, A + B), cos(1, A) * cos(2, B)]
    neurons += [torch.full_like(A, 0.1)]
    frequency, share = neuron_frequencies(torch.stack(neurons, dim=1))
    assert frequency[:10].tolist() == [2] * 9 + [1]
    assert close(share, [1] * 9 + [16 / 25, 0, 0])


def test_neurons_are_explained_as_by_least_squares():
    """Of each frequency a fit of eight columns and a constant, by another route."""
    generator = torch.Generator().manual_seed(0)
    neurons = torch.randn(P * P, 6, generator=generator, dtype=torch.float64).relu()
    varying = neurons - neurons.mean(dim=0)
    by_fit = []
    for k in (1, 2, 3):
        single = [cos(k, A), sin(k, A), cos(k, B), sin(k, B)]
        products = [one * other for one in single[:2] for other in single[2:]]
        columns = torch.stack([*single, *products], dim=1)
        left = varying - columns @ torch.linalg.lstsq(columns, varying).solution
        by_fit.append(1 - left.square().sum(dim=0) / varying.square().sum(dim=0))
    most, best = torch.stack(by_fit).max(dim=0)
    found = neuron_frequencies(neurons.float())
    assert torch.equal(found.frequency, best + 1)
    assert torch.allclose(found.share, most, atol=1e-6)


def test_what_neurons_write_to_waves_of_the_logits():
    """u_1 reads the first and a third of another wave three times as high: half is explained."""
    neurons = torch.stack([cos(1, A + B), sin(1, A + B), 3 * cos(2, A)], dim=1)
    written = torch.stack([cos(1, TOKEN), sin(1, TOKEN), cos(1, TOKEN) / 3 + cos(3, TOKEN)])
    u, v = logit_directions(written, [1])[0]
    assert close(u, [P / 2, 0, P / 6])
    assert close(v, [0, P / 2, 0])
    found = sums_explained(neurons + 7, written, [1, 2])
    assert close(found, [[0.5, 1], [0, 0]])


def test_distance_does_not_matter_to_a_clock_and_is_all_to_a_pizza():
    def irrelevance(correct: torch.Tensor, to_all: torch.Tensor | float = 0.0) -> float:
        logits = torch.zeros(P * P, P, dtype=torch.float64)
        logits[torch.arange(P * P), ((A + B) % P).long()] = correct
        return distance_irrelevance((logits.T + to_all).T)

    assert irrelevance(cos(2, A + B)) == pytest.approx(1)
    assert irrelevance(cos(2, A - B) + 1) == pytest.approx(0, abs=1e-12)
    assert irrelevance(cos(2, A + B) + math.sqrt(3) * cos(1, A - B)) == pytest.approx(0.5)
    hidden = irrelevance(cos(2, A - B) + 1, to_all=9 * cos(1, A))
    assert hidden == pytest.approx(0, abs=1e-12), "what all logits have is no answer"
    with pytest.raises(NothingMeasured, match="no spread"):
        irrelevance(torch.ones_like(A))


def test_what_is_not_of_all_pairs_of_an_odd_group_is_refused():
    logits = waves_of_logits()
    for rows, said in (
        (logits[:-1], "48 rows are not those of all p\\^2 pairs"),
        (torch.ones(49, 8), "8 logits of the pairs of Z_7: give those of its 7 tokens"),
        (torch.ones(36, 6), "Z_6: spectra are of a cyclic group of odd order"),
    ):
        for measure in (logit_similarity, distance_irrelevance, key_frequencies):
            with pytest.raises(CannotJudge, match=said):
                measure(rows)
    for wrong in ([0], [4], [1, 1], [-1]):
        for measure in (restricted_logits, excluded_logits, logit_variance_explained):
            with pytest.raises(CannotJudge, match=r"of Z_7: give some of 1 to 3, each once"):
                measure(logits, wrong)
        with pytest.raises(CannotJudge, match="each once"):
            share_in_frequencies(logits, wrong, axis=1)
    with pytest.raises(CannotJudge, match="48 rows"):
        neuron_frequencies(logits[1:])
    for even in (lambda: fourier_basis(4), lambda: energy_per_frequency(torch.ones(4, 2))):
        with pytest.raises(CannotJudge, match="odd order"):
            even()


@pytest.mark.parametrize("loud", [1e-3, 1.0, 20.0, 2000.0])
@pytest.mark.parametrize("waves", [0.0, 1.0])
def test_losses_without_each_wave_are_those_of_what_is_left(loud, waves):
    """As by taking each out of all logits, whatever their size."""
    noise = torch.randn(49, 7, generator=torch.Generator().manual_seed(0)).double()
    logits = loud * (noise + waves * waves_of_logits())
    labels = ((A + B) % P).long()
    left = [logits, *(logits - restricted_logits(logits, [k]) for k in (1, 2, 3))]
    by_hand = torch.stack([cross_entropy(one, labels).mean() for one in left])
    assert torch.allclose(losses_without(logits), by_hand, rtol=1e-12, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_an_error(value):
    broken = waves_of_logits()
    broken[3, 3] = value
    for measure in (
        logit_similarity,
        key_frequencies,
        losses_without,
        neuron_frequencies,
        lambda logits: share_in_frequencies(logits, [1], axis=1),
        lambda logits: distance_irrelevance(torch.full_like(logits, value)),
        lambda logits: logit_variance_explained(logits, [1]),
        lambda logits: cross_entropy(restricted_logits(logits, [1]), torch.zeros(49).long()),
    ):
        with pytest.raises(NothingMeasured):
            measure(broken)
    with pytest.raises(NothingMeasured, match="all the same"):
        logit_similarity(torch.ones(49, 7))
