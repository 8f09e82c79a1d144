"""Equal to rounding: what sums may lose, and that runs of every width and type lose less."""

from __future__ import annotations

import math

import pytest
import torch

from claims.min_of_two import test_preconditions as claims
from mechanistic_claims import CannotJudge, drawn, equal_to_rounding, largest_difference, share
from mechanistic_claims.errors import NothingMeasured
from mechanistic_claims.measurement.domain import Domain
from mechanistic_claims.measurement.rounded import likely_lost
from tests.kill import claims_of, subject_with
from tests.min_of_two.exact import Exact

UNIT = 2.0**-24
FOUND = torch.tensor([[1.0, 0.25], [1.0, 0.25], [-4.0, 0.25], [0.0, 0.0], [0.0, 0.0]])
OFF = torch.tensor([[0, 8], [0, 9], [0, 32], [0, 0], [0, 1]]).double() * UNIT


def test_each_row_by_its_own_largest_value():
    expected = FOUND.double() + OFF
    assert equal_to_rounding(FOUND, expected, terms=8).tolist() == [True, False, True, True, False]
    assert equal_to_rounding(FOUND, expected, terms=9).tolist() == [True, True, True, True, False]


def test_what_cancels_may_lose_as_much_as_it_was():
    """And in 16 bits each summand is cut to them: of four, five sums in all."""
    large = torch.full((1, 2), 1024.0)
    parts = [large, torch.tensor([[0.25, 0.5]]), -large]
    found = sum(parts)
    off = found.double() + 1024 * 8 * UNIT
    assert not equal_to_rounding(found, off, terms=8).any()
    assert equal_to_rounding(found, off, terms=8, summed=parts).all()
    assert not equal_to_rounding(found, off + 1024 * UNIT, terms=8, summed=parts).any()
    half, ones = 2.0**-11, torch.ones(1, 2, dtype=torch.float16)
    for sums, summed in ((1, []), (5, [ones / 4] * 4)):
        allowed = ones.double() + 2 * sums * half + 63 * UNIT
        assert equal_to_rounding(ones, allowed, terms=64, summed=summed).all()
        assert not equal_to_rounding(ones, allowed + half, terms=64, summed=summed).any()


def test_what_is_drawn_stays_drawn():
    known = Domain("sampled", 5)
    assert share(equal_to_rounding(drawn(FOUND), FOUND, terms=8)).domain == known
    assert share(equal_to_rounding(FOUND, drawn(FOUND), terms=8)).domain == known


def test_what_is_no_number():
    with pytest.raises(NothingMeasured, match="not a number"):
        equal_to_rounding(FOUND, FOUND * float("nan"), terms=8)


def test_what_a_sum_may_lose_grows_with_it_and_then_with_its_root():
    """n u up to 64 terms, 8 sqrt(n) u beyond; of 16 bits that of float32, and two roundings."""
    for terms in (1, 10, 64):
        assert likely_lost(terms, UNIT) == pytest.approx(terms * UNIT, rel=1e-5)
    assert likely_lost(6400, UNIT) == pytest.approx(640 * UNIT, rel=1e-3)
    assert likely_lost(1, 2.0**-9) == pytest.approx(2.0**-9, rel=0.01)
    assert likely_lost(6400, 2.0**-9) == pytest.approx(2 * 2.0**-9 + 640 * UNIT, rel=1e-3)


def test_differences_are_over_what_may_be_lost():
    found = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    expected = found.double() + torch.tensor([[0.0, 0.5], [0.125, 0.0]])
    assert largest_difference(found, expected, torch.tensor([[1.0], [0.0625]])) == 2.0
    each = torch.tensor([[1.0, 0.25], [1.0, 1.0]])
    assert largest_difference(found, expected, each) == 2.0
    with pytest.raises(CannotJudge, match="in float32 a sum of this model may overflow"):
        largest_difference(found, expected, torch.tensor([[1.0], [math.inf]]))


PRECONDITIONS = [
    claim
    for claim in claims_of("min_of_two")
    if claim.function.__module__ == claims.__name__ and "at_most" in claim.parameters
]


@pytest.mark.parametrize("d_type", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [30, 401])
def test_no_width_and_no_type_loses_more(d_type, width):
    """Of a mechanism in a random rotation, where d_model numbers cancel in every product."""
    subject = subject_with("min_of_two", Exact(12, width, width, seed=1, d_type=d_type).weights)
    for claim in PRECONDITIONS:
        word, measured = claim.judged(subject)
        assert (word, measured <= 1) == ("holds", True), claim.name


@pytest.mark.parametrize("d_type", [torch.float32, torch.bfloat16])
def test_limits_are_not_so_wide_that_nothing_exceeds_them(d_type):
    """A bias of logits or of keys, or a preference for a place, of a tenth of what decides."""
    exact = Exact(12, 32, 32, seed=1, d_type=d_type).weights

    def refuted_by(name, amount):
        bias = amount * torch.randn(exact[name].shape, generator=torch.Generator().manual_seed(0))
        subject = subject_with("min_of_two", {**exact, name: bias.to(d_type)})
        judged = {claim.function.__name__: claim.judged(subject)[0] for claim in PRECONDITIONS}
        return {name for name, word in judged.items() if word == "refuted"}

    assert "test_logits_are_pattern_ov_and_direct_path" in refuted_by("unembed.b_U", 4.0)
    assert "test_the_same_algebra_under_any_attention" in refuted_by("unembed.b_U", 4.0)
    assert "test_scores_are_the_qk_circuit" in refuted_by("blocks.0.attn.b_K", 2.0)
