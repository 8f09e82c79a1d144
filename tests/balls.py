"""The terms of a certificate once more, in ball arithmetic (Arb, by python-flint).

Nothing is shared with fixtures/certificates: the weights are multiplied out here, numbers are balls
of 400 bits that hold the real ones, and a comparison is true only if it is so of every number in
them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import flint
from flint import arb, arb_mat

PRECISION = 400
CLEARLY = arb(1e-9)


def matrix(tensor):
    return arb_mat(tensor.double().tolist())


class Balls:
    """h(t) = w(t) (L[t, m] - L[t, j]) of a one-head model, weights relative to a token's."""

    def __init__(self, weights, query):
        flint.ctx.prec = PRECISION
        d_head = weights.W_Q.shape[-1]
        embedding, unembedding = matrix(weights.W_E), matrix(weights.W_U)
        w_q, w_k, w_v, w_o = (
            matrix(w[0, 0]) for w in (weights.W_Q, weights.W_K, weights.W_V, weights.W_O)
        )
        scores = (embedding * w_q) * (embedding * w_k).transpose() * (1 / arb(d_head).sqrt())
        ov, direct = embedding * w_v * w_o * unembedding, embedding * unembedding
        self.query = query
        self.logits = range(unembedding.ncols())
        self.score = [scores[query, t] for t in range(embedding.nrows())]
        self.logit = [
            [ov[t, j] + direct[query, j] for j in self.logits] for t in range(embedding.nrows())
        ]

    def terms(self, answer, token, relative_to=0.0):
        """Against each rival; the weight is exp(score - relative_to)."""
        weight = (self.score[token] - arb(relative_to)).exp()
        row = self.logit[token]
        return [weight * (row[answer] - row[rival]) for rival in self.logits]


@dataclass(frozen=True)
class Known:
    """A list in all its orders, `ways`: is it answered rightly; and so by more than 1e-9?

    Right: every margin is certainly positive, and a tie never is. Clearly: a margin is more than
    1e-9 of the sum of its terms' moduli, which no rounding in float64 hides.
    """

    ways: int
    right: bool
    clearly_right: bool
    clearly_wrong: bool


def enumerated(balls, n, length):
    """Every list of the numbers 0 .. n-1, in ascending order; its answer is the first."""
    found = {}
    for answer in range(n):
        rivals = [j for j in balls.logits if j != answer]
        h = {t: balls.terms(answer, t) for t in [*range(answer, n), balls.query]}
        for others in itertools.combinations_with_replacement(range(answer, n), length - 1):
            tokens = (answer, *others)
            of_rivals = [[h[t][rival] for t in (*tokens, balls.query)] for rival in rivals]
            margins = [(sum(terms), CLEARLY * sum(map(abs, terms))) for terms in of_rivals]
            found[tokens] = Known(
                ways=math.factorial(length)
                // math.prod(math.factorial(tokens.count(t)) for t in set(tokens)),
                right=all(margin > 0 for margin, _ in margins),
                clearly_right=all(margin > clear for margin, clear in margins),
                clearly_wrong=any(margin < -clear for margin, clear in margins),
            )
    return found


def share(known, is_so):
    """Of all lists, in all orders, those of which something is so."""
    return sum(k.ways for k in known.values() if is_so(k)) / sum(k.ways for k in known.values())
