"""Limits of means and shares: they cover what they should, by simulation and by hand."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from mechanistic_claims.errors import CannotJudge, NothingMeasured
from mechanistic_claims.measurement import limits
from mechanistic_claims.measurement.cases import drawn, resting_on
from mechanistic_claims.measurement.domain import Domain, Measured
from mechanistic_claims.measurement.limits import betting, clopper_pearson, student
from mechanistic_claims.measurement.measures import mean, share
from mechanistic_claims.verdict.verdict import held_to

ANSWERS = 3
OF_INPUTS = torch.arange(4).repeat_interleave(ANSWERS)
"""Four inputs with three answers each."""


def capital_against(expected: float, values: list[float]) -> float:
    """What all who bet on more own in the end, of 1 at first, value by value."""
    owned = []
    share = 0.95
    while share >= 1 / (2 * math.sqrt(len(values))):
        capital = 1.0
        for value in values:
            capital += share * capital * (value / expected - 1)
        owned.append(capital)
        share /= 2
    return sum(owned) / len(owned)


def test_betting_by_hand():
    """Of one draw one bets, .95; of four ones two, .95 and .475, as 1 / (2 sqrt 4) is .25."""
    assert betting(np.array([1.0])) == (pytest.approx(0.95 / 999.95), 1.0)
    low, high = betting(np.ones(4))
    assert ((0.05 + 0.95 / low) ** 4 + (0.525 + 0.475 / low) ** 4) / 2 == pytest.approx(1000)
    assert high == 1.0
    assert betting(np.zeros(4)) == (0.0, pytest.approx(1 - low))


def test_at_the_limit_the_capital_is_a_thousand():
    values = np.random.default_rng(0).beta(8, 3, size=90).round(3)
    low, high = betting(values)
    assert low < values.mean() < high
    assert capital_against(low, values.tolist()) == pytest.approx(1000, rel=1e-6)
    assert capital_against(1 - high, (1 - values).tolist()) == pytest.approx(1000, rel=1e-6)


@pytest.mark.parametrize("order", [1, -1])
def test_betting_covers_where_each_draw_has_a_mean_of_its_own(monkeypatch, order):
    """As where each input, in its order, is given something that is drawn."""
    monkeypatch.setattr(limits, "CONFIDENCE", 0.95)
    random, runs, means = np.random.default_rng(2), 300, np.linspace(0, 1, 300)[::order]
    found = np.array([betting(random.binomial(3, means) / 3) for _ in range(runs)])
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert (found[:, 0] > 0.5).mean() <= most
    assert (found[:, 1] < 0.5).mean() <= most
    assert (found[:, 1] - found[:, 0]).mean() < 0.2


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda random: random.random(40) < 0.9, 0.9),
        (lambda random: random.beta(0.2, 0.8, size=40), 0.2),
        (lambda random: random.integers(0, 10, size=40) / 9, 0.5),
    ],
)
def test_betting_misses_no_more_often_than_it_says(monkeypatch, draw, expected):
    """Told to be sure of 95 % a side, each side misses at most so often, whatever is drawn."""
    monkeypatch.setattr(limits, "CONFIDENCE", 0.95)
    random, runs = np.random.default_rng(1), 400
    found = np.array([betting(draw(random).astype(float)) for _ in range(runs)])
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert (found[:, 0] > expected).mean() <= most
    assert (found[:, 1] < expected).mean() <= most


def test_betting_is_tighter_than_hoeffding_where_little_varies():
    values = np.random.default_rng(0).beta(90, 10, size=200)
    low, high = betting(values)
    hoeffding = math.sqrt(math.log(1000) / (2 * 200))
    assert high - low < 2 * hoeffding / 3
    assert low > values.mean() - hoeffding / 2


def test_student_by_hand():
    """Of 1, 2, 3: mean 2, sd 1, t of two degrees of freedom at .999 = 22.327 (any table)."""
    off = 22.3271 / math.sqrt(3)
    assert student(np.array([1.0, 2.0, 3.0])) == pytest.approx((2 - off, 2 + off), abs=1e-4)


def test_student_misses_one_in_a_thousand_of_normal_values():
    runs = 20_000
    values = np.random.default_rng(2).normal(3, 2, size=(runs, 8))
    found = np.array([student(row) for row in values])
    for missed in ((found[:, 0] > 3).sum(), (found[:, 1] < 3).sum()):
        assert 6 <= missed <= 38, "20 are expected, +- 4 standard deviations"


@pytest.mark.parametrize("limit", [betting, student])
def test_of_no_number_there_is_no_limit(limit):
    for values in ([], [0.5, math.nan], [0.5, math.inf]):
        with pytest.raises(NothingMeasured):
            limit(np.array(values))
    with pytest.raises(ValueError, match=r"from 0.5 to 1.5 are not within"):
        betting(np.array([0.5, 1.5]))
    with pytest.raises(CannotJudge, match="one draw has no limits"):
        student(np.array([0.5]))


def test_draws_that_are_all_equal_have_no_limit_but_between_two_numbers():
    """Inputs of which none is wrong by chance: of the others nothing is known."""
    equal, of_each = torch.ones(30, dtype=torch.float64), torch.arange(30)
    found = mean(resting_on(equal, of_each))
    assert (found, found.low, found.high) == (1, -math.inf, math.inf)
    verdict = held_to(found, at_least=0.999)
    assert (verdict.holds, verdict.is_open, verdict.would_tell) == (False, True, "give between=")
    assert "30 draws, all equal: no limit without between=" in verdict.domain
    assert held_to(mean(resting_on(equal, of_each), between=(0, 1)), at_least=0.7).holds
    other = mean(resting_on(torch.arange(30.0), of_each))
    for made in (other - found, found - found, found * 0, 0 * other + found):
        for bound in ({"at_least": -100}, {"at_most": 100}, {"within": (-100, 100)}):
            assert held_to(made, **bound).is_open, "what is made of it has none either"
            assert held_to(made, excluded=True, **bound).is_open
    shuffled = torch.tensor(
        [[0.1, 0.2, 0.3], [0.3, 0.1, 0.2], [0.2, 0.3, 0.1]], dtype=torch.float64
    )
    by_rounding = mean(resting_on(shuffled, torch.arange(3)))
    assert by_rounding.domain.equal, "though their sums differ in their last bits"
    with pytest.raises(CannotJudge, match="give its mean between="):
        other / found
    with pytest.raises(CannotJudge, match="the limit of a number that has none"):
        found.upper_limit  # noqa: B018


def rows(values: list[float] | list[bool]) -> torch.Tensor:
    return resting_on(torch.tensor(values), OF_INPUTS)


def test_where_the_answers_of_an_input_agree_it_is_a_share_of_inputs():
    """To the bit as of one answer an input."""
    found = share(rows([True] * 9 + [False] * 3))
    assert (found, found.low, found.high) == (0.75, *clopper_pearson(0.75, 4))
    assert found.domain == Domain("sampled", 4)


def test_one_answer_more_is_not_one_draw_more():
    """Inputs with shares 1, 1, 2/3, 0: their mean, and limits of four draws."""
    found = share(rows([True] * 8 + [False] * 4))
    assert found == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    assert (found.low, found.high) == betting(np.array([1, 1, 2 / 3, 0]))
    assert found.domain == Domain("sampled", 4)
    other_order = torch.tensor([0, 11, 3, 6, 1, 7, 4, 9, 2, 5, 8, 10])
    assert share(rows([True] * 8 + [False] * 4)[other_order]).low == found.low


def test_an_input_counts_once_however_many_of_its_answers_are_asked():
    """Shares 1/2 of two, 0 of one."""
    chosen = torch.tensor([0, 1, 6])
    assert share(rows([True, False] + [False] * 10)[chosen]) == 0.25
    assert mean(rows([1.0, 3.0] + [8.0] * 10)[chosen]) == 5.0


def test_a_row_may_have_several_values():
    holds = torch.tensor([[True, True], [True, False]])
    assert share(resting_on(holds, torch.arange(2))) == 0.75


def test_a_mean_of_draws_has_the_limits_of_student():
    values = rows([1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 6.0, 6.0, 6.0, 0.0, 0.0, 0.0])
    found = mean(values)
    assert found == 3.0
    assert (found.low, found.high) == student(np.array([2.0, 4.0, 6.0, 0.0]))
    assert str(found.domain) == "sampled (4 draws, approximate 99.9% limit, Student's t)"
    assert held_to(found, at_least=found.low).domain == str(found.domain)
    assert not held_to(found, at_least=2.9).holds


def test_a_mean_of_what_is_bounded_has_limits_that_hold_of_any_distribution():
    values = drawn(torch.linspace(-1, 3, 50, dtype=torch.float64))
    found = mean(values, between=(-1, 3))
    low, high = betting(np.linspace(0, 1, 50))
    assert found == pytest.approx(1.0)
    assert (found.low, found.high) == pytest.approx((4 * low - 1, 4 * high - 1), abs=1e-9)
    assert str(found.domain) == "sampled (50 draws, 99.9% limit)"
    with pytest.raises(CannotJudge, match=r"-1 or 3 is not between 0 and 3"):
        mean(values, between=(0, 3))
    assert mean(drawn(torch.full((9,), 1.0000001)), between=(0, 1)) == 1.0, "a rounding"


def test_what_is_made_of_an_approximate_limit_is_approximate():
    about = mean(drawn(torch.tensor([1.0, 2.0, 4.0])))
    for made in (about - Measured.sampled(0.5, 100), Measured.sampled(0.5, 100) * about, 1 - about):
        assert made.domain == Domain("sampled", 3, approximate=True)


def test_a_paired_difference_has_the_limits_of_the_differences():
    """Losses that vary much more than their difference does."""
    numbers = drawn(torch.arange(20.0))
    loss, without = numbers * 3, numbers * 3 + torch.where(numbers > 9, 2.0, 1.0)
    found = mean(without - loss)
    assert found == 1.5
    assert (found.low, found.high) == student(np.array([1.0] * 10 + [2.0] * 10))
    assert found.low > 1.0 > (mean(without) - mean(loss)).low


def test_a_drawn_mean_that_is_no_number_is_an_error():
    for between in (None, (0, 1)):
        with pytest.raises(NothingMeasured, match="not finite"):
            mean(drawn(torch.tensor([0.5, math.nan])), between=between)


def test_what_is_not_drawn_is_exhaustive():
    for between in (None, (0, 5)):
        found = mean(torch.tensor([1.0, 2.0]), between=between)
        assert (found, found.low, found.high) == (1.5, 1.5, 1.5)
        assert str(found.domain) == "exhaustive"


@pytest.mark.parametrize(
    ("measured", "bound", "least"),
    [
        (share(rows([True] * 12)), {"at_least": 0.995}, 1379),
        (share(resting_on(torch.arange(400) < 396, torch.arange(400))), {"at_least": 0.98}, 400),
        (share(resting_on(torch.arange(400) < 4, torch.arange(400))), {"at_most": 0.02}, 400),
        (mean(resting_on(torch.arange(100.0) % 2, torch.arange(100))), {"at_least": 0.4}, 100),
    ],
)
def test_so_many_draws_as_are_asked_for_would_tell(measured, bound, least):
    """At the same mean; a tenth fewer would not. log(.001) / log(.995) = 1,378.1 (all right)."""
    verdict = held_to(measured, **bound)
    assert verdict.is_open
    enough = int(re.search(r"about ([\d,]+) in all", verdict.would_tell)[1].replace(",", ""))
    assert enough >= least
    for draws, holds in ((enough, True), (round(0.88 * enough), False)):
        if measured.domain.approximate:
            values = torch.tensor([0.0, 1.0]).repeat(draws // 2)
            found = mean(resting_on(values, torch.arange(len(values))))
        else:
            right = torch.arange(draws) < round(float(measured) * draws)
            found = share(resting_on(right, torch.arange(draws)))
        assert held_to(found, **bound).holds is holds


def test_of_a_bound_that_no_sample_reaches_is_said_so():
    """Though all are right: the limit of however many is below 1."""
    for share_of, bound, end in ((400, {"at_least": 1}, 1), (0, {"at_most": 0}, 0)):
        right = torch.arange(400) < share_of
        verdict = held_to(share(resting_on(right, torch.arange(400))), **bound)
        said = f"of no sample is the limit {end}: take another bound, or all inputs"
        assert (verdict.is_open, verdict.would_tell) == (True, said)


def test_no_number_of_draws_is_named_where_none_would_tell_or_it_is_not_known():
    found = share(resting_on(torch.arange(400) < 396, torch.arange(400)))
    bounds = ({"at_least": 0.991}, {"at_least": 0.99}, {"at_least": 0.98999999})
    for bound in (*bounds, {"within": (0.95, 0.99)}):
        verdict = held_to(found, **bound)
        assert (verdict.is_open, verdict.would_tell) == (True, "draw more")
    bet = mean(resting_on(torch.ones(12), torch.arange(12)), between=(0, 1))
    rival = Measured(3.0, Domain("sampled", 30, approximate=True), 2.0, 6.0)
    for verdict in (held_to(bet, at_least=0.9999), held_to(rival, at_least=5, excluded=True)):
        assert (verdict.is_open, verdict.would_tell) == (True, "draw more")


@pytest.mark.parametrize(
    ("right", "draws", "within", "limit", "least"),
    [
        (99, 100, (0.95, 1.0), 0.90, 250),  # its upper limit is within
        (9, 10, (0.5, 0.91), 0.376, 8_000),
        (27, 30, (0.75, 0.92), 0.65, 1_000),
        (30, 30, (0.95, 1.0), 0.79, 135),
    ],
)
def test_between_two_bounds_the_limit_that_is_farther_out_is_told(
    right, draws, within, limit, least
):
    found = share(resting_on(torch.arange(draws) < right, torch.arange(draws)))
    verdict = held_to(found, within=within)
    assert verdict.is_open
    assert verdict.limit == pytest.approx(limit, abs=0.02)
    enough = int(re.search(r"about ([\d,]+) in all", verdict.would_tell)[1].replace(",", ""))
    assert least <= enough <= 2 * least
    at = torch.arange(enough)
    assert held_to(share(resting_on(at < right / draws * enough, at)), within=within).holds


@pytest.mark.parametrize("every", [True, False], ids=["rows agree", "one does not"])
def test_each_draw_weighs_as_much_however_many_rows_it_has(every):
    """Of ten draws of eight rows and forty of one: a share of draws, with limits around it."""
    draw = torch.arange(10).repeat_interleave(8)
    draw = torch.cat([draw, torch.arange(10, 50)])
    holds = draw < 10
    if not every:
        holds[0] = False
    found = share(resting_on(holds, draw))
    assert found == pytest.approx((10 if every else 10 - 1 / 8) / 50)
    assert found.low < 0.2 < found.high < 0.5
