"""Looking for a hole: weights that keep every claim and don't do what the story says.

hypothesis draws edits of the reference and holds every claim against them, in this process. Of what
survives it asks on how many inputs the answer still comes about in the way that the story tells.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

from mechanistic_claims.measurement.measures import share
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.session.opened import Opened
from models.min_of_two import FAMILY
from models.min_of_two.weights import canonical_weights
from tests.conftest import subject_of
from tests.kill import claims_of, subject_with
from tests.min_of_two.mutants import Original, Weights, attn

EXAMPLES = 100
STORY_HOLDS_ON = 0.95
"""The least share of inputs, of what survives: two interventions may each miss 3 %."""

original = Original(canonical_weights(subject_of(FAMILY.reference).checkpoint))


def refuted_by(subject: Opened) -> str | None:
    """The first claim that does not hold, but for overstated ones; None of a survivor."""
    for claim in claims_of("min_of_two"):
        if "xfail" not in claim.marks and claim.judged(subject)[0] != "holds":
            return claim.function.__name__
    return None


def story_holds_on(subject: Subject) -> float:
    """The share of inputs answered as the story tells, every step shown on the input itself."""
    task, intervene, attention = subject.task, subject.intervene, subject.activations.attention
    on_min = subject.activations.attention_to(task.min_position)
    others = attention.scatter(-1, task.min_position[:, None], 0.0)
    others = others.masked_fill(~task.differ[:, None] & (torch.arange(3) < 2), 0.0)
    attends = on_min > others.amax(dim=-1)
    copies = intervene.attend(task.min_position).answers(task.labels)
    follows = intervene.exchange_value(task.min_position, task.twins, task.random_donor)
    swapped = intervene.attend(attention[:, task.swapped_positions])
    causes = follows.answers(task.random_donor) | ~task.differ
    return share(attends & copies & causes & swapped.answers(task.maximum))


token = st.one_of(st.integers(0, original.n - 1), st.integers(original.n - 5, original.n - 1))
size = st.floats(-3, 2, width=16).map(lambda exponent: 10.0**exponent)
sign = st.sampled_from([-1.0, 1.0])
kinds = {
    "score of a number": st.tuples(token, size, sign),
    "score of =": st.tuples(size, sign),
    "value scaled": st.tuples(token, size, sign),
    "values swapped": st.tuples(token, token),
    "value of =": st.tuples(token, size),
    "direct path": st.tuples(st.integers(0, 9), size),
    "other rows": st.tuples(size),
    "noise": st.tuples(size),
}
edits = st.one_of([st.tuples(st.just(kind), drawn) for kind, drawn in kinds.items()])


def edited(now: Original, kind: str, drawn: tuple[Any, ...]) -> Weights:
    w, n, embedding = now.weights, now.n, now.embedding
    match kind, drawn:
        case "score of a number", (t, amount, sign):
            return now.scores_raised({t: sign * amount})
        case "score of =", (amount, sign):
            return now.scores_raised({n: sign * amount})
        case "value scaled", (t, factor, sign):
            value = (sign * factor - 1) * embedding[t] @ w[attn("W_V")][0]
            return now.with_feature({t: 1.0}, value=value)
        case "values swapped", (one, other):
            return now.values_swapped(one, other) if one != other else dict(w)
        case "value of =", (t, factor):
            return now.with_feature({n: 1.0}, value=factor * embedding[t] @ w[attn("W_V")][0])
        case "direct path", (seed, scale):
            noise = torch.randn(n, generator=torch.Generator().manual_seed(seed))
            return now.with_feature({n: 1.0}, unembedded=scale * noise)
        case "other rows", (factor,):
            query = factor * embedding[n] @ w[attn("W_Q")][0]
            return now.with_feature(dict.fromkeys(range(n), 1.0), query=query)
        case "noise", (scale,):
            return now.noisy(scale)
    raise AssertionError(kind)


@pytest.mark.slow
def test_the_reference_survives_and_does_what_the_story_says():
    assert refuted_by(subject_with("min_of_two", dict(original.weights))) is None
    assert story_holds_on(subject_with("min_of_two", dict(original.weights))) > 0.998


def test_who_votes_does_not_do_what_the_story_says():
    """Or the search could not find a hole."""
    from models.min_of_two.constructed import vote_against_all_above

    assert story_holds_on(subject_with("min_of_two", vote_against_all_above(20))) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("one", [original.n - 3, original.n - 2])
def test_a_known_survivor(one):
    """A hole that is left: the values of the two greatest numbers may be faint, or backwards.

    They are the minimum of few inputs. A closed one would fail this test.
    """
    faint = Original(edited(original, "value scaled", (one, 0.01, 1.0)))
    backwards = edited(faint, "value scaled", (original.n - 1, 0.01, -1.0))
    subject = subject_with("min_of_two", dict(backwards))
    assert refuted_by(subject) is None
    assert STORY_HOLDS_ON < story_holds_on(subject) < 0.98


@pytest.mark.slow
def test_what_survives_does_what_the_story_says(show):
    killed_by: Counter[str] = Counter()
    survivors: list[tuple[float, str]] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(edits, min_size=1, max_size=2))
    def search(drawn):
        now = original
        for kind, how in drawn:
            now = Original(edited(now, kind, how))
        subject = subject_with("min_of_two", dict(now.weights))
        killer = refuted_by(subject)
        if killer:
            killed_by[killer] += 1
            return
        holds_on = story_holds_on(subject)
        survivors.append((holds_on, str(drawn)))
        target(1 - holds_on)
        assert holds_on >= STORY_HOLDS_ON

    search()
    lines = [f"{len(survivors)} of {len(survivors) + killed_by.total()} edits survive every claim"]
    lines += ["the survivors of which the story holds on the fewest inputs:"]
    lines += [f"  {holds_on:.5f} {drawn}" for holds_on, drawn in sorted(set(survivors))[:12]]
    lines += [f"killed by {claim}: {count}" for claim, count in killed_by.most_common()]
    show("survivors", "\n".join(lines))
    assert survivors
    assert len(killed_by) >= 5
