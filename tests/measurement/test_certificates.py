"""Certificates against every list in ball arithmetic: never more than is true, hardly less."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from flint import arb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mechanistic_claims.measurement.certificates import (
    certificate,
    classes,
    convolution,
    counting,
    relaxed,
    separable,
    table,
    terms,
)
from mechanistic_claims.measurement.certificates.certificate import LONGEST
from mechanistic_claims.measurement.certificates.places import Places
from mechanistic_claims.measurement.certificates.separable import WorstTerms
from mechanistic_claims.measurement.certificates.table import Table
from mechanistic_claims.measurement.certificates.terms import Enclosure, Terms
from tests.measurement.balls import Balls
from tests.measurement.drawn import KINDS, Drawn, complaint


def models(most_tokens, longest):
    return st.builds(
        Drawn,
        kind=st.sampled_from(sorted(KINDS)),
        n=st.integers(2, most_tokens),
        length=st.integers(1, longest),
        scale=st.integers(-12, 12).map(lambda exponent: 10.0 ** (exponent / 4)),
        seed=st.integers(0, 10**6),
        at_operand=st.booleans(),
        positions=st.sampled_from(["none", "equal", "different"]),
    ).filter(lambda drawn: drawn.places > 1)


def soundness(examples):
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@soundness(20)
@given(drawn=models(4, 3))
def test_certified_is_never_more_than_true(drawn):
    assert complaint(drawn) is None


def test_a_query_in_a_place_of_its_own_weight():
    """All others are one group, and what it looks at its own place is not what it looks at them."""
    drawn = Drawn("normal", 4, 2, 10**0.25, 545921, at_operand=True, positions="equal")
    assert complaint(drawn) is None


@pytest.mark.slow
@soundness(1_000)
@given(drawn=models(6, 4))
def test_certified_is_never_more_than_true_of_many(drawn):
    assert complaint(drawn) is None


@pytest.mark.parametrize("scale", [1e5, 1e9, 1e-9])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_scales_at_which_numbers_overflow_or_vanish(kind, scale):
    assert complaint(Drawn(kind, 3, 2, scale, seed=0)) is None
    assert (
        complaint(Drawn(kind, 3, 2, scale, seed=1, at_operand=True, positions="different")) is None
    )


def negated(interval: Enclosure) -> Enclosure:
    return Enclosure(-interval.high, -interval.low)


def raised(interval: Enclosure, by: torch.Tensor | float) -> Enclosure:
    return Enclosure(interval.low + by, interval.high + by)


def changed_terms(change):
    def of(table: Table, *arguments: object) -> Terms:
        return change(TERMS(table, *arguments))

    return Table, "terms", of


def changed_least(change):
    return WorstTerms, "of_lists", change


TERMS, COUNT, AHEAD = Table.terms, counting._count, relaxed._ahead
LOG_FACTORIALS, LOG_WAYS, WAYS = counting.log_factorials, counting.log_ways, separable._ways
AGAINST, EXECUTED, IN_STEPS = classes.Classes.against, certificate.executed, convolution._in_steps
MULTIPLIED_OUT, OF_LISTS, OF_PLACES = table._multiplied_out, WorstTerms.of_lists, Places.of
BROKEN = {
    "the sign of the answer's own term": changed_terms(lambda t: replace(t, own=negated(t.own))),
    "the sign of the others' terms": changed_terms(lambda t: replace(t, others=negated(t.others))),
    "no term of the query": changed_terms(
        lambda t: replace(t, fixed=raised(t.fixed, -t.fixed.low))
    ),
    "ties are wins": changed_terms(lambda t: replace(t, fixed=raised(t.fixed, 1e-9))),
    "one token less": changed_terms(
        lambda t: replace(t, tokens=t.tokens[:-1], others=t.others[:-1])
    ),
    "the answer need not occur": changed_terms(lambda t: replace(t, must_occur=False)),
    "the answer must occur beside itself": changed_terms(lambda t: replace(t, must_occur=True)),
    "no other token at worst": changed_least(
        lambda worst, many: worst.fixed + (worst.own * torch.tensor(many)[:, None]).sum(dim=1)
    ),
    "any token at worst is the answer's companion": changed_least(
        lambda worst, many: OF_LISTS(replace(worst, other=worst.own.clamp(min=0)), many)
    ),
    "no term of the query at worst": changed_least(
        lambda worst, many: OF_LISTS(replace(worst, fixed=torch.zeros_like(worst.fixed)), many)
    ),
    "ways counted for a place more": (
        counting,
        "log_factorials",
        lambda length: LOG_FACTORIALS(length + 1)[1:],
    ),
    "one token more is left": (
        counting,
        "log_ways",
        lambda some, left, log_factorial: LOG_WAYS(some, left + 1, log_factorial),
    ),
    "a rival is forgotten that may win": (
        classes.Classes,
        "against",
        lambda some, term: AGAINST(some, term & (some.rival > 0)),
    ),
    "wrong is counted as right": (
        counting,
        "_count",
        lambda *a: replace(COUNT(*a), right=COUNT(*a).right + COUNT(*a).wrong),
    ),
    "the answer may be before its first place": (
        separable,
        "_ways",
        lambda safe, places, is_safe, group, first: WAYS(safe, places, is_safe, group, None),
    ),
    "nothing is lost in execution": (
        certificate,
        "executed",
        lambda *a: (EXECUTED(*a)[0], torch.zeros_like(EXECUTED(*a)[1])),
    ),
    "all places are as the first": (
        certificate.Places,
        "of",
        lambda positions, free: OF_PLACES(positions[:1], free),
    ),
    "no position at the query": (
        table,
        "_multiplied_out",
        lambda w, at, q: MULTIPLIED_OUT(w, torch.cat([at[:-1], 0 * at[-1:]]), q),
    ),
    "the worst rival may be the second": (
        relaxed,
        "_ahead",
        lambda logits: logits - logits.topk(2, dim=-1).values[..., 1:],
    ),
    "steps are rounded up": (
        convolution,
        "_in_steps",
        lambda terms, fixed, steps, at_most: IN_STEPS(terms, fixed, steps, False),
    ),
    "steps are rounded down": (
        convolution,
        "_in_steps",
        lambda terms, fixed, steps, at_most: IN_STEPS(terms, fixed, steps, True),
    ),
}


@pytest.fixture(scope="module")
def sound_models():
    """Models of which the certificates are right: each broken one is caught by two or more."""
    found = [
        Drawn("integers", 3, 3, 1.0, 0, True, "equal"),
        Drawn("normal", 3, 2, 1.0, 0, True, "equal"),
        Drawn("nearly_equal", 3, 2, 1.0, 1),
        Drawn("normal", 3, 3, 1.0, 1, True, "equal"),
        Drawn("integers", 3, 3, 1.0, 0, True, "different"),
        Drawn("normal", 3, 2, 1.0, 0, True, "different"),
        Drawn("nearly_equal", 3, 2, 1.0, 1, False, "different"),
        Drawn("normal", 3, 3, 1.0, 1, True, "different"),
    ]
    assert not any(map(complaint, found))
    return found


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_certificate_is_caught(monkeypatch, sound_models, show, broken):
    """By the same check, on some of the same models."""
    monkeypatch.setattr(*BROKEN[broken])
    found = next(filter(None, map(complaint, sound_models)), None)
    show(f"a certificate changed: {broken}", str(found))
    assert found


def inside(interval: Enclosure, truth) -> bool:
    low, high = interval.low.tolist(), interval.high.tolist()
    return all(a < h < b for a, h, b in zip(low, truth, high, strict=True))


def all_inside(weights, n, length, query, answers):
    """Every term of some answers holds the ball of it."""
    at_operand = query is None
    known = Balls(weights, length + (not at_operand))
    positions = weights.others.get("pos_embed.W_pos", torch.zeros_like(weights.W_E[:1]))
    places = Places.of(positions, length - at_operand)
    others = [torch.arange(answer + 1, n) for answer in range(n)]
    found = Table.of(weights, places, query, others, LONGEST)
    for answer in answers:
        listed = found.listed(answer)
        for at in range(len(listed.queries)):
            if not inside_of_query(known, found, listed, at):
                return False
    return True


def inside_of_query(known, found, listed, at):
    terms_, last = found.terms(listed, at, torch.arange(len(known.logits))), known.places - 1
    query, answer, group_of = terms_.query, terms_.answer, found.places.group_of.tolist()
    top = max(
        [float(known.score(query, last, query).mid())]
        + [
            float(known.score(query, place, token).mid())
            for place in range(len(group_of))
            for token in listed.tokens.tolist()
        ]
    )
    top = arb(top)
    for place, group in enumerate(group_of):
        for token, interval in (
            (answer, terms_.own[group]),
            *((t, terms_.others[i, group]) for i, t in enumerate(terms_.tokens.tolist())),
        ):
            if not inside(interval, known.terms(query, place, token, answer, top)):
                return False
    return inside(terms_.fixed, known.terms(query, last, query, answer, top))


def test_every_term_is_inside_its_interval(reference, monkeypatch):
    answers = (100, 150, 199)
    assert not reference.weights["pos_embed.W_pos"].any()
    of_reference = replace(reference.weights, others={})
    assert all_inside(of_reference, 200, 1, 200, answers)
    for seed, at_operand in itertools.product(range(4), (False, True)):
        drawn = Drawn("normal", 4, 3, 10.0 ** (seed / 2 - 1), seed, at_operand, "different")
        assert all_inside(drawn.weights, 4, 3, drawn.query, range(4))
    monkeypatch.setattr(table, "gamma", lambda *_: 0.0)
    monkeypatch.setattr(table, "UNDERFLOW", 0.0)
    monkeypatch.setattr(terms, "UNDERFLOW", 0.0)
    assert not all_inside(of_reference, 200, 1, 200, answers)
