"""The published proof of the benchmarks: what its definition says, never more than is true."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from matplotlib.figure import Figure

from mechanistic_claims.measurement.certificates.compactness import Proof, Tradeoff
from mechanistic_claims.model.weights import Weights
from tests.benchmarks.published import POSITIONS, cubic, cubic_of_the_least

PROOFS = {"greatest": cubic, "least": cubic_of_the_least}
CASES = [
    (5, 2, 0.1, 3.0, 0),
    (4, 3, 0.1, 2.0, 0),
    (5, 3, 0.2, 2.0, 0),
    (3, 4, 0.1, 1.0, 0),
    (4, 3, 0.7, 1.0, 32),  # where the answer in the places most looked at is worst
]


def model(asked, numbers, length, noise=0.0, slope=0.0, seed=0):
    """Attention that rises (falls) by `slope` with each number, and copies it three times as much
    as the direct path copies the query; with noise.

    A model of the least has '=' as its last token, which answers nothing, and no positions.
    """
    least, d = asked == "least", numbers + 1
    draw = torch.Generator().manual_seed(seed)

    def noisy(matrix):
        drawn = torch.randn(matrix.shape, generator=draw, dtype=torch.float64)
        return matrix.double() + noise * drawn

    query, key = torch.zeros(d, d), torch.zeros(d, d)
    query[:, 0] = math.sqrt(d)
    key[:numbers, 0] = slope * (-1 if least else 1) * torch.arange(numbers)
    one = torch.eye(d)
    return Weights(
        W_E=noisy(one[: numbers + least]),
        W_Q=noisy(query[None, None]),
        W_K=noisy(key[None, None]),
        W_V=noisy(3 * one[None, None]),
        W_O=noisy(one[None, None]),
        W_U=noisy(one[:, :numbers]),
        others={} if least else {POSITIONS: noisy(torch.zeros(length, d))},
    )


class ByHand:
    """Scores and logits of one model, list by list; those of the least have '=' behind them."""

    def __init__(self, asked, weights, length):
        self.least, self.numbers, self.length = asked == "least", weights.answers, length
        self.last = length if self.least else length - 1
        self.answer = min if self.least else max
        none = torch.zeros(self.last + 1, weights.W_E.shape[1], dtype=torch.float64)
        self.positions, self.weights = weights.others.get(POSITIONS, none), weights
        self.values = weights.W_V[0, 0] @ weights.W_O[0, 0] @ weights.W_U
        self.queries = [self.numbers] if self.least else range(self.numbers)

    def attention(self, tokens):
        read = self.weights.W_E[list(tokens)] + self.positions
        scores = (read @ self.weights.W_K[0, 0]) @ (read[-1] @ self.weights.W_Q[0, 0])
        return (scores / math.sqrt(self.weights.W_Q.shape[-1])).softmax(dim=-1)

    def direct(self, query):
        return (self.weights.W_E[query] + self.positions[-1]) @ self.weights.W_U

    def is_right(self, tokens):
        read = self.weights.W_E[list(tokens)] + self.positions
        logits = self.attention(tokens) @ read @ self.values + self.direct(tokens[-1])
        answer = self.answer(tokens[: self.length])
        return all(logits[answer] > logits[j] for j in range(self.numbers) if j != answer)

    @property
    def share(self):
        lists = itertools.product(range(self.numbers), repeat=self.length)
        behind = (self.numbers,) if self.least else ()
        return sum(self.is_right(list_ + behind) for list_ in lists) / self.numbers**self.length

    def ahead(self, token, query, answer):
        """Each rival's logit less the answer's where a token is attended to, in its best place."""
        placed = self.positions @ self.values
        found = self.weights.W_E[token] @ self.values + self.direct(query) * self.least
        best = (placed - placed[:, [answer]]).amax(dim=0)
        return found - found[answer] + best

    def loses(self, tokens, answer, apart):
        """Whether no rival wins in a list: of each path its own worst one, or one for all."""
        query = tokens[-1]
        direct = self.direct(query) * (not self.least)
        direct = direct - direct[answer]
        paths = torch.stack([direct, *(self.ahead(token, query, answer) for token in tokens)])
        paths[:, answer] = -math.inf
        weight = torch.cat([torch.ones(1, dtype=torch.float64), self.attention(tokens)])
        return bool(weight @ paths.amax(1) < 0 if not apart else (weight @ paths).amax() < 0)

    @property
    def certified(self):
        """By its definition: every order of every list of m, q and one other token."""
        found = 0
        for answer, query in itertools.product(range(self.numbers), self.queries):
            if not self.least and query > answer:
                continue
            below = [k for k in range(self.numbers) if k != answer == self.answer(k, answer)]
            for others in range(self.last + (query == answer)):
                chosen = list(itertools.combinations(range(self.last), others))
                passed = sum(
                    all(
                        self.loses(
                            [k if i in places else answer for i in range(self.last)] + [query],
                            answer,
                            apart=not others,
                        )
                        for places in chosen
                    )
                    for k in (below if others else [answer])
                )
                found += len(chosen) * passed**others if others else passed
        return found / self.numbers**self.length


@pytest.mark.parametrize("asked", PROOFS)
@pytest.mark.parametrize("case", CASES)
def test_it_is_what_its_definition_says_and_no_more_than_is_true(asked, case):
    numbers, length, *drawn = case
    weights = model(asked, numbers, length, *drawn)
    by_hand = ByHand(asked, weights, length)
    found = PROOFS[asked](weights, length)
    assert found == by_hand.certified
    assert found <= by_hand.share


@pytest.mark.parametrize("asked", PROOFS)
def test_attention_on_the_answer_alone_is_certified(asked):
    assert PROOFS[asked](model(asked, 6, 5, slope=20.0), 5) == 1


@pytest.mark.parametrize(
    ("asked", "slope", "certified"),
    [
        *(("least", *case) for case in [(-0.01, 0.5), (0.0, 0.5), (0.01, 1.0)]),
        *(("greatest", *case) for case in [(-0.70, 0.5), (-0.69, 0.75), (0.69, 0.75), (0.70, 1.0)]),
    ],
)
def test_pairs_of_two_numbers(asked, slope, certified):
    """At '=' the number wins that more is attended to; a tie is no win.

    At an operand the other one wins where 3 a - 3 (1 - a) > 1: from a = 2/3 on, a slope of log 2.
    """
    assert PROOFS[asked](model(asked, 2, 2, slope=slope), 2) == certified


@pytest.mark.parametrize("asked", PROOFS)
def test_ties_are_no_wins(asked):
    drawn = model(asked, 3, 3)
    assert PROOFS[asked](replace(drawn, W_U=torch.zeros_like(drawn.W_U)), 3) == 0


def test_models_of_which_it_says_nothing():
    with_bias = model("greatest", 3, 2)
    with_bias.others["unembed.b_U"] = torch.ones(3)
    with pytest.raises(ValueError, match="one head"):
        cubic(with_bias, 2)
    with pytest.raises(ValueError, match="such positions"):
        cubic(model("greatest", 3, 2), 3)
    with pytest.raises(ValueError, match="such positions"):
        cubic_of_the_least(model("greatest", 3, 2, noise=0.1), 2)


def test_it_is_hollow_in_a_picture_with_one_legend():
    axes = Figure().add_subplot()
    made = [Proof("cubic", 4, 1000, 0.9), Proof("ours", 4, 2000, 0.99), Proof("ours", 5, 3000, 1.0)]
    Tradeoff("", lambda: made, ["cubic"]).draw(axes)
    drawn = [line for line in axes.lines if line.get_marker() != "None" and len(line.get_xdata())]
    assert [line.get_fillstyle() for line in drawn] == ["none", "full", "full"]
    assert [float(line.get_ydata()[0]) for line in drawn] == pytest.approx([0.1, 0.01, 1e-9])
    (legend,) = axes.figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["lists of 4", "lists of 5", "cubic", "ours"]
