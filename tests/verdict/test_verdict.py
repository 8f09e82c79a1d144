"""Verdicts: bounds, limits of samples, exceptions, and what is never a verdict."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from mechanistic_claims.errors import CannotJudge, NothingMeasured
from mechanistic_claims.measurement.domain import Measured
from mechanistic_claims.measurement.limits import CONFIDENCE, clopper_pearson
from mechanistic_claims.measurement.measures import (
    falling_pairs,
    margin,
    mean,
    prediction,
    ratio,
    share,
    spread,
)
from mechanistic_claims.measurement.properties import reproducible
from mechanistic_claims.model.components import mlp
from mechanistic_claims.verdict.raised import in_a_line
from mechanistic_claims.verdict.verdict import Judge, held_to, number, signed
from tests.runs import ROOT


@pytest.mark.parametrize(
    ("bound", "holds", "margin_", "text"),
    [
        ({"at_least": 0.9}, True, 0.05, "≥ 0.9"),
        ({"at_least": 0.95}, True, 0.0, "≥ 0.95"),
        ({"at_least": 0.96}, False, -0.01, "≥ 0.96"),
        ({"at_most": 0.96}, True, 0.01, "≤ 0.96"),
        ({"at_most": 0.9}, False, -0.05, "≤ 0.9"),
        ({"within": (0.9, 0.96)}, True, 0.01, "0.9..0.96"),
        ({"within": (0.96, 1.0)}, False, -0.01, "0.96..1"),
    ],
)
def test_bounds(bound, holds, margin_, text):
    verdict = held_to(0.95, **bound)
    assert verdict.holds is holds
    assert verdict.margin == pytest.approx(margin_)
    assert str(verdict.bound) == text


@pytest.mark.parametrize("excluded", [False, True])
def test_a_bound_the_wrong_way_round_is_an_error(excluded):
    """It would refute everything, or let every rival hold."""
    with pytest.raises(CannotJudge, match=r"smaller number first: within=\(0.5, 1\)"):
        held_to(0.75, within=(1, 0.5), excluded=excluded)
    assert held_to(0.5, within=(0.5, 0.5), excluded=excluded).holds is not excluded


@pytest.mark.parametrize("measured", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("bound", [{"at_least": 0.5}, {"at_most": 0.5}, {"within": (0, 1)}])
def test_what_is_no_number_is_an_error(measured, bound):
    with pytest.raises(NothingMeasured):
        held_to(measured, **bound)


def test_nothing_measured():
    empty = torch.tensor([])
    for measure, of_none in ((share, empty.bool()), (mean, empty)):
        with pytest.raises(NothingMeasured, match="no cases"):
            measure(of_none)
    with pytest.raises(NothingMeasured, match="no draws"):
        Measured.sampled(1.0, 0)


@pytest.mark.parametrize("beside", [{}, {"beside": (0.1,)}])
@pytest.mark.parametrize("name", ["at_least", "at_most", "within"])
def test_a_bound_that_is_yet_to_be_chosen(name, beside):
    judge = Judge()
    judge(0.25, **{name: None}, **beside)
    assert judge.verdict.bound.is_missing
    assert judge.verdict.measured == 0.25
    judge = Judge()
    judge(0.25, at_most=0.5)
    assert not judge.verdict.bound.is_missing


@pytest.mark.parametrize("bounds", [{}, {"at_least": 0.5, "at_most": 0.6}])
def test_one_bound_is_given(bounds):
    with pytest.raises(CannotJudge, match="one bound"):
        held_to(0.5, **bounds)


@given(draws=st.integers(1, 50_000), part=st.floats(0, 1))
@reproducible(examples=200)
def test_the_limits_of_a_share_are_those_of_the_binomial_distribution(draws, part):
    """At each limit what was found, or further from it, has probability 0.001."""
    successes = round(part * draws)
    low, high = clopper_pearson(successes / draws, draws)
    if successes:
        assert binom.sf(successes - 1, draws, low) == pytest.approx(1 - CONFIDENCE, rel=1e-6)
    if successes < draws:
        assert binom.cdf(successes, draws, high) == pytest.approx(1 - CONFIDENCE, rel=1e-6)
    assert low <= successes / draws <= high


def test_a_sample_is_held_by_its_limit():
    assert held_to(0.98, at_least=0.97).holds
    assert not held_to(Measured.sampled(0.98, 100), at_least=0.97).holds
    assert held_to(Measured.sampled(0.98, 100_000), at_least=0.97).holds
    assert not held_to(Measured.sampled(0.02, 100), at_most=0.03).holds


@pytest.mark.parametrize(
    ("bound", "excluded", "is_open", "best"),
    [
        ({"at_least": 0.35}, False, False, 0.25),
        ({"at_least": 0.45}, False, True, 0.15),
        ({"at_least": 0.6}, False, True, 0.0),
        ({"at_least": 0.61}, False, False, -0.01),
        ({"at_most": 0.45}, False, True, 0.05),
        ({"at_most": 0.39}, False, False, -0.01),
        ({"within": (0.3, 0.5)}, False, True, 0.1),
        ({"within": (0.5, 0.55)}, False, True, 0.025),
        ({"within": (0.1, 0.39)}, False, False, -0.01),
        ({"within": (0.3, 0.7)}, False, False, 0.2),
        ({"at_most": 0.45}, True, True, 0.15),
        ({"at_most": 0.65}, True, False, -0.05),
        ({"within": (0.45, 0.7)}, True, True, 0.05),
    ],
)
def test_too_few_draws_establish_neither(bound, excluded, is_open, best):
    """Of an interval from 0.4 to 0.6: it is refuted where none of it keeps the bound."""
    found = held_to(Measured(0.5, low=0.4, high=0.6), **bound, excluded=excluded)
    assert found.best == pytest.approx(best)
    assert found.is_open == is_open
    assert found.is_refuted == (not found.holds and not is_open)


def test_what_is_of_all_cases_is_never_open():
    assert not held_to(0.5, at_least=0.51).is_open
    assert held_to(0.5, at_least=0.51).is_refuted


def test_what_is_computed_of_a_sample_stays_one():
    """Whatever an author does with the number, the limit goes along."""
    share = Measured.sampled(0.98, 100)
    low, high = share.low, share.high
    for made, ends in {
        1 - share: (1 - high, 1 - low),
        share - 0.5: (low - 0.5, high - 0.5),
        2 * share: (2 * low, 2 * high),
        -share / 2: (-high / 2, -low / 2),
        share - share: (low - high, high - low),
        1 / share: (1 / high, 1 / low),
        abs(share - 1): (1 - high, 1 - low),
        abs(share - (low + high) / 2): (0, (high - low) / 2),
    }.items():
        assert (made.low, made.high) == pytest.approx(ends)
        assert str(made.domain) == "sampled (100 draws, 99.9% limit)"
    for lost in (lambda: share**2, lambda: round(share, 2), lambda: share // 1, lambda: 1 % share):
        with pytest.raises(CannotJudge, match="no limits are known"):
            lost()
    assert (Measured(0.5) ** 2, round(Measured(0.25), 1)) == (0.25, 0.2)
    assert held_to(share.upper_limit, at_least=high).margin == 0
    assert held_to(1 - Measured.proved(0.25), at_most=0.75).domain == "certified"
    assert (share - Measured.sampled(0.5, 20)).domain.draws == 20


def test_of_nothing_there_is_infinitely_much():
    """And 0 / 0 is no number, nor is what overflows."""
    zero, some = torch.tensor(0.0), torch.tensor(3.0)
    assert ratio(some, torch.tensor(1.5)) == 2
    assert held_to(ratio(some, zero), at_least=2.0).holds
    assert not held_to(ratio(some, zero), at_most=2.0).holds
    assert (number(ratio(some, zero)), signed(-math.inf)) == ("∞", "-∞")
    for one, other in ((zero, zero), (some, -some), (some, torch.inf), (torch.nan, some)):
        with pytest.raises(NothingMeasured):
            ratio(one, other)
    with pytest.raises(NothingMeasured):
        held_to(math.inf, at_least=2.0)


def test_a_ratio_of_a_sample_is_one_of_a_sample():
    some = Measured.sampled(0.5, 100)
    assert ratio(some, 0.25).domain == some.domain
    assert ratio(0.25, some).high == 0.25 / some.low
    for none in (Measured.sampled(0.0, 100), some - 0.5):
        with pytest.raises(CannotJudge, match="which may be 0, has no limits"):
            ratio(0.25, none)


def test_exceptions_are_counted_and_named():
    pairs = torch.tensor([[9, 10], [10, 9]])
    assert held_to(1, at_least=0, exceptions=pairs).exceptions == ("(9,10)", "(10,9)")
    assert held_to(1, at_least=0, exceptions=torch.tensor([199])).exceptions == ("199",)
    many = held_to(1, at_least=0, exceptions=torch.arange(5000))
    assert many.exception_count == 5000
    assert len(many.exceptions) == 1000


def test_a_property_keeps_its_worst_example():
    judged = Judge()
    for measured in (0.9, 0.6, 0.8):
        judged(measured, at_least=0.5)
    assert judged.verdict is not None
    assert judged.verdict.measured == 0.6
    for measured in (0.3, 0.4, 0.7):
        judged(measured, at_least=0.5)
    assert judged.verdict.measured == 0.4, "the last refuted: hypothesis ends with the smallest"


def test_a_tie_is_wrong():
    logits = torch.tensor([[3.0, 3.0, 1.0], [1.0, 3.0, 2.0], [-1.0, -1.0, -1.0]])
    assert margin(logits, torch.tensor([0, 1, 2])).tolist() == [0.0, 1.0, 0.0]
    assert prediction(logits).tolist() == [-1, 1, -1]


def test_a_margin_of_nan_is_an_error():
    with pytest.raises(NothingMeasured, match="NaN"):
        margin(torch.tensor([[1.0, float("nan")]]), torch.tensor([0]))


def test_rows():
    row = torch.tensor([5.0, 3.0, 4.0, 1.0])
    assert falling_pairs(row).tolist() == [True, True, True, False, True, True]
    assert spread(row) == 4.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.99965, "0.99965"),
        (16.4824, "16.482"),
        (8.64e-6, "8.6e-06"),
        (-0.184512, "-0.18451"),
        (0, "0"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_an_error_is_told_by_the_last_line_of_the_project_that_is_not_ours():
    with pytest.raises(ValueError, match="only heads have keys") as raised:
        _ = mlp(0).keys
    line = inspect.currentframe().f_lineno - 1
    said = f"ValueError in tests/verdict/test_verdict.py:{line}: mlp 0: only heads have keys."
    assert in_a_line(raised, ROOT) == said
    assert in_a_line(raised, ROOT / "claims") == "mlp 0: only heads have keys."
