"""The terms of a certificate once more, in ball arithmetic (Arb, by python-flint).

Nothing is shared with fixtures/certificates: the weights are multiplied out here, numbers are balls
of 400 bits that hold the real ones, and a comparison is true only if it is so of every number in
them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import flint
import torch
from flint import arb, arb_mat

PRECISION = 400
CLEARLY = arb(1e-9)


def matrix(tensor):
    return arb_mat(tensor.double().tolist())


class Balls:
    """h(t) = w(t) (L[t, m] - L[t, j]) of a one-head model, with a position for each place or none.

    Weights are relative to a score. `places` is the length of an input, the query's place included.
    """

    def __init__(self, weights, places):
        flint.ctx.prec = PRECISION
        positions = weights.others.get("pos_embed.W_pos")
        if positions is None:
            positions = torch.zeros(places, weights.W_E.shape[1], dtype=torch.float64)
        self.places, self.tokens = places, len(weights.W_E)
        self.logits = range(weights.W_U.shape[1])
        self.scale = 1 / arb(weights.W_Q.shape[-1]).sqrt()
        heads = [getattr(weights, name)[0, 0] for name in ("W_Q", "W_K", "W_V", "W_O")]
        self._exact = self._paths(weights.W_E, positions, heads, weights.W_U)
        self._moduli = self._paths(
            weights.W_E.abs(), positions.abs(), [w.abs() for w in heads], weights.W_U.abs()
        )

    def _paths(self, embedding, positions, heads, unembedding):
        w_q, w_k, w_v, w_o = map(matrix, heads)
        u, one_by_one, of_position = matrix(unembedding), matrix(embedding), {}
        last = one_by_one + matrix(positions[self.places - 1].expand_as(embedding))
        paths = {"score": [], "ov": [], "direct": last * u}
        for place in range(self.places):
            position = tuple(positions[place].tolist())
            if position not in of_position:
                read = one_by_one + matrix(positions[place].expand_as(embedding))
                score = last * w_q * (read * w_k).transpose() * self.scale
                of_position[position] = score, read * w_v * w_o * u
            for name, path in zip(("score", "ov"), of_position[position], strict=True):
                paths[name].append(path)
        return paths

    def score(self, query, place, token):
        return self._exact["score"][place][query, token]

    def terms(self, query, place, token, answer, relative_to=0.0):
        """Against each rival; the weight is exp(score - relative_to)."""
        weight = (self.score(query, place, token) - arb(relative_to)).exp()
        row = self._row(self._exact, query, place, token)
        return [weight * (row[answer] - row[rival]) for rival in self.logits]

    def moduli(self, query, place, token, answer):
        """What is multiplied and added up on the way to each term, without its signs."""
        weight = self.score(query, place, token).exp()
        row = self._row(self._moduli, query, place, token)
        return [weight * (row[answer] + row[rival]) for rival in self.logits]

    def _row(self, paths, query, place, token):
        return [paths["ov"][place][token, j] + paths["direct"][query, j] for j in self.logits]


@dataclass(frozen=True)
class Known:
    """Of a list: is it answered rightly; and is that clear?

    Right: every margin is certainly positive, and a tie never is. Clearly: a margin is more than
    1e-9 of the sum of the moduli, which no rounding in float64 hides.
    """

    right: bool
    clearly_right: bool
    clearly_wrong: bool


def enumerated(balls, n, answer_of, query=None):
    """Every list of the numbers 0 .. n-1, in every order: followed by a query, or read at its last.

    By inputs.
    """
    found = {}
    free = balls.places - (query is not None)
    kept = {}

    def of_each(what, *at):
        key = (what.__name__, *at)
        if key not in kept:
            kept[key] = what(*at)
        return kept[key]

    for numbers in itertools.product(range(n), repeat=free):
        tokens = numbers if query is None else (*numbers, query)
        answer = answer_of(numbers)
        h, moduli = (
            [of_each(what, tokens[-1], place, token, answer) for place, token in enumerate(tokens)]
            for what in (balls.terms, balls.moduli)
        )
        margins = [
            (sum(term[j] for term in h), CLEARLY * sum(term[j] for term in moduli))
            for j in balls.logits
            if j != answer
        ]
        found[tokens] = Known(
            right=all(margin > 0 for margin, _ in margins),
            clearly_right=all(margin > clear for margin, clear in margins),
            clearly_wrong=any(margin < -clear for margin, clear in margins),
        )
    return found


def share(known, is_so):
    """Of all lists those of which something is so."""
    return sum(map(is_so, known.values())) / len(known)
