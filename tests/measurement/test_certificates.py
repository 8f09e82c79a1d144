"""Certificates against every list in ball arithmetic: never more than is true, hardly less."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mechanistic_claims.measurement.certificates import certificate, counting, terms
from mechanistic_claims.measurement.certificates.certificate import LONGEST, Certificates
from mechanistic_claims.measurement.certificates.terms import Enclosure, Table, Terms, WorstTerms
from mechanistic_claims.measurement.circuits import Circuits, Weights
from mechanistic_claims.measurement.measures import margin, share, spread
from tests.measurement import balls
from tests.measurement.balls import Balls, enumerated


def companions(n):
    return torch.arange(n)[None, :] >= torch.arange(n)[:, None]


def normal(draw, shape):
    return torch.randn(shape, generator=draw)


def integers(draw, shape):
    """Many ties, equal rows and zeros."""
    return torch.randint(-1, 2, shape, generator=draw).float()


def nearly_equal(draw, shape):
    """Rows that differ by less than what float32 can tell apart in a product."""
    return torch.ones(shape) + torch.randint(-2, 3, shape, generator=draw) * 2.0**-23


def denormal(draw, shape):
    """Half of the numbers are at the end of what float32 can hold."""
    small = torch.rand(shape, generator=draw) < 0.5
    return torch.where(small, 2.0**-149, 1.0) * torch.randint(-3, 4, shape, generator=draw)


KINDS = {f.__name__: f for f in (normal, integers, nearly_equal, denormal)}


@dataclass(frozen=True)
class Drawn:
    """A small model of one head, and lists of one length; every weight is a float32."""

    kind: str
    n: int
    length: int
    scale: float
    seed: int

    @property
    def circuits(self) -> Circuits:
        d, draw = 3, torch.Generator().manual_seed(self.seed)

        def weight(*shape):
            return (KINDS[self.kind](draw, shape) * self.scale).double()

        return Circuits(
            Weights(
                W_E=weight(self.n + 1, d),
                W_Q=weight(1, 1, d, d),
                W_K=weight(1, 1, d, d),
                W_V=weight(1, 1, d, d),
                W_O=weight(1, 1, d, d),
                W_U=weight(d, self.n),
                others={},
            )
        )

    @property
    def can_be_decided(self) -> bool:
        """Numbers are neither so large nor so small that rounding hides what is clear."""
        moderate = 0.1 <= self.scale <= 6 and self.kind in ("normal", "integers")
        return moderate and float(spread(self.circuits.qk().matrix[self.n])) < 600


def right_in(d_type, circuits, n, length):
    """The share of lists that an attention layer in some type answers rightly."""
    w = circuits.weights
    e, q, k, v, o, u = (
        getattr(w, name).to(d_type).squeeze() for name in ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_U")
    )
    lists = torch.tensor(list(itertools.product(range(n), repeat=length)))
    read = torch.cat([lists, torch.full((len(lists), 1), n)], dim=1)
    scores = torch.einsum("d,lsd->ls", e[n] @ q, e[read] @ k) / q.shape[-1] ** 0.5
    moved = torch.einsum("ls,lsd->ld", scores.softmax(dim=-1), e[read] @ v)
    return share(margin((moved @ o + e[n]) @ u, lists.amin(dim=-1)) > 0)


def complaint(drawn: Drawn) -> str | None:
    """What is wrong with the certificates of a model; None where nothing is."""
    n, length, circuits = drawn.n, drawn.length, drawn.circuits
    known = enumerated(Balls(circuits.weights, n), n, length)
    found = Certificates(circuits, n, companions(n), torch.float32)
    separable, counted = found.separable(length), found.counted(length)
    executed = found.counted(length, as_executed=True)
    right = balls.share(known, lambda k: k.right)
    for name, bound, truth in (
        ("separable", separable.accuracy, right),
        ("quadratic", found.quadratic(length), right),
        ("counted", counted.at_least, right),
        ("as executed", executed.at_least, right_in(torch.float32, circuits, n, length)),
    ):
        if bound > truth:
            return f"{name}: {bound} certified, {truth} true"
    if counted.at_most < right:
        return f"at most {counted.at_most}, {right} true"
    for answer, certain in enumerate(separable.certain.tolist()):
        if certain and not all(k.right for tokens, k in known.items() if tokens[0] == answer):
            return f"{answer} is called certain and is not"
    return too_little(known, separable, counted) if drawn.can_be_decided else None


def too_little(known, separable, counted):
    """What is clear and yet not said."""
    for answer, certain in enumerate(separable.certain.tolist()):
        clear = [k.clearly_right for tokens, k in known.items() if tokens[0] == answer]
        if not certain and all(clear):
            return f"{answer} is certain and not called so"
        witness = tuple(sorted(separable.witness[answer].tolist()))
        if not certain and (witness[0] != answer or known[witness].clearly_right):
            return f"the witness of {answer} is answered rightly"
    unclear = balls.share(known, lambda k: not (k.clearly_right or k.clearly_wrong))
    if counted.at_most - counted.at_least > unclear + 1e-8:
        return f"undecided: {counted}"
    if len(next(iter(known))) == 2:
        clear = balls.share(known, lambda k: k.clearly_right)
        if separable.accuracy < clear:
            return f"separable: {separable.accuracy} of pairs, {clear} true"
    return None


MODELS = st.builds(
    Drawn,
    kind=st.sampled_from(sorted(KINDS)),
    n=st.integers(2, 6),
    length=st.integers(1, 4),
    scale=st.integers(-12, 12).map(lambda exponent: 10.0 ** (exponent / 4)),
    seed=st.integers(0, 10**6),
)


def soundness(examples):
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@soundness(75)
@given(drawn=MODELS)
def test_certified_is_never_more_than_true(drawn):
    assert complaint(drawn) is None


@pytest.mark.slow
@soundness(10_000)
@given(drawn=MODELS)
def test_certified_is_never_more_than_true_of_many(drawn):
    assert complaint(drawn) is None


@pytest.mark.parametrize("scale", [1e5, 1e9, 1e-9])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_scales_at_which_numbers_overflow_or_vanish(kind, scale):
    for seed in range(5):
        assert complaint(Drawn(kind, 4, 3, scale, seed)) is None


def negated(interval: Enclosure) -> Enclosure:
    return Enclosure(-interval.high, -interval.low)


def raised(interval: Enclosure, by: torch.Tensor | float) -> Enclosure:
    return Enclosure(interval.low + by, interval.high + by)


def changed_terms(change):
    def of(table: Table, *arguments: object) -> Terms:
        return change(TERMS(table, *arguments))

    return Table, "terms", of


def changed_least(change):
    def of(least: WorstTerms, length: int) -> torch.Tensor:
        return change(least, length).fill_diagonal_(torch.inf)

    return WorstTerms, "of_length", of


TERMS, COUNT, GREATEST = Table.terms, counting._count, Table.two_greatest.func
LOG_FACTORIALS, BY_THEIR_OWN = counting._log_factorials, counting._by_their_own
AGAINST, EXECUTED = counting._Classes.against, certificate.executed
BROKEN = {
    "the sign of the answer's own term": changed_terms(lambda t: replace(t, own=negated(t.own))),
    "the sign of the others' terms": changed_terms(lambda t: replace(t, others=negated(t.others))),
    "no term of the query": changed_terms(
        lambda t: replace(t, query=raised(t.query, -t.query.low))
    ),
    "ties are wins": changed_terms(lambda t: replace(t, own=raised(t.own, 1e-9))),
    "one token less": changed_terms(
        lambda t: replace(t, tokens=t.tokens[:-1], others=t.others[:-1])
    ),
    "no other token at worst": changed_least(lambda least, k: least.query + k * least.own),
    "the answer at every place but one at worst": changed_least(
        lambda least, k: least.query + (k - 1) * least.own + torch.minimum(least.own, least.other)
    ),
    "no term of the query at worst": changed_least(
        lambda least, k: k * torch.minimum(least.own, least.other)
    ),
    "ways counted for a place more": (
        counting,
        "_log_factorials",
        lambda length: LOG_FACTORIALS(length + 1)[1:],
    ),
    "one place more to fill": (
        counting,
        "_by_their_own",
        lambda *a: replace(BY_THEIR_OWN(*a), free=BY_THEIR_OWN(*a).free + 1),
    ),
    "a rival is forgotten that may win": (
        counting._Classes,
        "against",
        lambda classes, term: AGAINST(classes, term & (classes.rival > 0)),
    ),
    "wrong is counted as right": (
        counting,
        "_count",
        lambda *a: replace(COUNT(*a), right=COUNT(*a).right + COUNT(*a).wrong),
    ),
    "nothing is lost in execution": (
        certificate,
        "executed",
        lambda *a: replace(EXECUTED(*a), lost=torch.zeros_like(EXECUTED(*a).lost)),
    ),
    "the worst rival may be the second": (
        Table,
        "two_greatest",
        property(lambda t: [found.flip(-1) for found in GREATEST(t)]),
    ),
}


@pytest.fixture(scope="module")
def sound_models():
    """Models of which the certificates are right."""
    models = [
        Drawn(kind, n, length, 1.0, seed)
        for kind, n, length, seed in itertools.product(KINDS, (3, 4), (2, 3), range(8))
    ]
    assert not any(map(complaint, models))
    return models


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


def all_inside(circuits, query, answers):
    """Every term of some answers holds the ball of it."""
    known = Balls(circuits.weights, query)
    others = [torch.arange(answer + 1, query) for answer in range(query)]
    table = Table.of(circuits, query, others, LONGEST)
    score = circuits.qk().rows(torch.tensor([query])).matrix[0]
    logits = torch.arange(len(known.logits))
    for answer in answers:
        found = table.terms(answer, logits, 4)
        top = float(score[answer:].amax())
        for token, interval in (
            (answer, found.own),
            (query, found.query),
            *((t, found.others[at]) for at, t in enumerate(found.tokens.tolist())),
        ):
            if not inside(interval, known.terms(answer, token, relative_to=top)):
                return False
    return True


def test_every_term_is_inside_its_interval(reference, monkeypatch):
    answers = range(0, 200, 19)
    assert all_inside(reference.circuits, 200, answers)
    for seed in range(10):
        assert all_inside(Drawn("normal", 6, 2, 10.0 ** (seed / 5 - 1), seed).circuits, 6, range(6))
    monkeypatch.setattr(terms, "gamma", lambda *_: 0.0)
    monkeypatch.setattr(terms, "UNDERFLOW", 0.0)
    assert not all_inside(reference.circuits, 200, answers)
