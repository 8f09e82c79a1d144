"""Small models of one head, and what is wrong with their certificates, by every list there is."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal
from unittest.mock import patch

import torch
from torch.nn.functional import pad

from mechanistic_claims.measurement.certificates import counting
from mechanistic_claims.measurement.certificates.certificate import Certificates
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
    """A small model of one head that takes the least of lists, and lists of one length.

    The answer is read at a token after the list, or at its last operand; places have positions, or
    none, or some of them the same. Every weight is a float32.
    """

    kind: str
    n: int
    length: int
    scale: float
    seed: int
    at_operand: bool = False
    positions: Literal["none", "equal", "different"] = "none"

    @property
    def query(self) -> int | None:
        return None if self.at_operand else self.n

    @property
    def places(self) -> int:
        """Those of an input, its query's too."""
        return self.length + (not self.at_operand)

    @property
    def weights(self) -> Weights:
        d, draw = 3, torch.Generator().manual_seed(self.seed)

        def weight(*shape):
            return (KINDS[self.kind](draw, shape) * self.scale).double()

        positions = weight(self.places, d)
        if self.positions == "equal":
            positions[:-1:2] = positions[0].clone()
        with_tokens = self.n + (not self.at_operand)
        return Weights(
            W_E=weight(with_tokens, d),
            W_Q=weight(1, 1, d, d),
            W_K=weight(1, 1, d, d),
            W_V=weight(1, 1, d, d),
            W_O=weight(1, 1, d, d),
            W_U=weight(d, self.n),
            others={} if self.positions == "none" else {"pos_embed.W_pos": positions},
        )

    @property
    def certificates(self) -> Certificates:
        return Certificates(self.weights, self.query, companions(self.n), torch.float32)

    @property
    def can_be_decided(self) -> bool:
        """Numbers are neither so large nor so small that rounding hides what is clear."""
        moderate = 0.1 <= self.scale <= 6 and self.kind in ("normal", "integers")
        return moderate and float(spread(Circuits(self.weights).qk().matrix).amax()) < 150


def inputs_of(drawn):
    """Every list, with the query after it where there is one."""
    lists = list(itertools.product(range(drawn.n), repeat=drawn.length))
    read = torch.tensor(lists)
    labels = read.amin(dim=-1)
    return read if drawn.at_operand else pad(read, (0, 1), value=drawn.n), labels


def right_in(d_type, weights, inputs, labels):
    """The share of inputs that an attention layer in some type answers rightly."""
    e, q, k, v, o, u = (
        getattr(weights, name).to(d_type).squeeze()
        for name in ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_U")
    )
    read = e[inputs]
    if positions := weights.others:
        read = read + positions["pos_embed.W_pos"][: inputs.shape[1]].to(d_type)
    last = read[:, -1]
    scores = torch.einsum("ld,lsd->ls", last @ q, read @ k) / q.shape[-1] ** 0.5
    moved = torch.einsum("ls,lsd->ld", scores.softmax(dim=-1), read @ v)
    return share(margin((moved @ o + last) @ u, labels) > 0)


def complaint(drawn: Drawn) -> str | None:
    """What is wrong with the certificates of a model; None where nothing is."""
    length, found = drawn.length, drawn.certificates
    known = enumerated(Balls(drawn.weights, drawn.places), drawn.n, min, drawn.query)
    at_worst, counted = found.separable(length), found.counted(length)
    with patch.object(counting, "MOST_PARTS", 0):
        by_polynomials = drawn.certificates.counted(length)
    executed = found.counted(length, as_executed=True)
    right = balls.share(known, lambda k: k.right)
    for name, bound, truth in (
        ("separable", at_worst.accuracy, right),
        ("relaxed", found.relaxed(length), right),
        ("counted", counted.at_least, right),
        ("by polynomials", by_polynomials.at_least, right),
        ("enumerated", found.enumerated(length), right),
        (
            "as executed",
            executed.at_least,
            right_in(torch.float32, drawn.weights, *inputs_of(drawn)),
        ),
    ):
        if bound > truth:
            return f"{name}: {bound} certified, {truth} true"
    for most in (counted.at_most, by_polynomials.at_most):
        if most < right:
            return f"at most {most}, {right} true"
    uncertain = witnesses(at_worst)
    for at, lists in by_answer_and_query(known).items():
        if at not in uncertain and not all(k.right for k in lists.values()):
            return f"{at} is called certain and is not"
    return too_little(drawn, known, at_worst, counted) if drawn.can_be_decided else None


def witnesses(at_worst):
    """The worst list of each answer and query that are not certain."""
    found = zip(at_worst.answer.tolist(), map(tuple, at_worst.witness.tolist()), strict=True)
    return {(answer, tokens[-1]): tokens for answer, tokens in found}


def by_answer_and_query(known):
    """Every token of a list is at least its answer, and so is a query after it."""
    found = {}
    for tokens, is_known in known.items():
        found.setdefault((min(tokens), tokens[-1]), {})[tokens] = is_known
    return found


def too_little(drawn, known, at_worst, counted):
    """What is clear and yet not said."""
    uncertain = witnesses(at_worst)
    for at, lists in by_answer_and_query(known).items():
        if at in uncertain and all(k.clearly_right for k in lists.values()):
            return f"{at} is certain and not called so"
        if at in uncertain and (uncertain[at] not in lists or lists[uncertain[at]].clearly_right):
            return f"the witness of {at} is answered rightly"
    unclear = balls.share(known, lambda k: not (k.clearly_right or k.clearly_wrong))
    if counted.at_most - counted.at_least > unclear + 1e-8:
        return f"undecided: {counted}"
    clear = balls.share(known, lambda k: k.clearly_right)
    if drawn.length == 2 and at_worst.accuracy < clear:
        return f"separable: {at_worst.accuracy} of pairs, {clear} true"
    return None
