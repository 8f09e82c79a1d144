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


def logits_of(matrices, query):
    """OV circuit plus the query's direct path, [token][logit]."""
    embedding, w_v, w_o, unembedding = matrices
    ov, direct = embedding * w_v * w_o * unembedding, embedding * unembedding
    logits = range(ov.ncols())
    return [[ov[t, j] + direct[query, j] for j in logits] for t in range(ov.nrows())]


class Balls:
    """h(t) = w(t) (L[t, m] - L[t, j]) of a one-head model, weights relative to a token's."""

    def __init__(self, weights, query):
        flint.ctx.prec = PRECISION
        d_head = weights.W_Q.shape[-1]
        writing = [weights.W_E, weights.W_V[0, 0], weights.W_O[0, 0], weights.W_U]
        self.query = query
        self.logit = logits_of([matrix(w) for w in writing], query)
        self.modulus = logits_of([matrix(w.abs()) for w in writing], query)
        self.logits = range(len(self.logit[0]))
        embedding, w_q, w_k = (
            matrix(w) for w in (weights.W_E, weights.W_Q[0, 0], weights.W_K[0, 0])
        )
        scores = (embedding * w_q) * (embedding * w_k).transpose() * (1 / arb(d_head).sqrt())
        self.score = [scores[query, t] for t in range(len(self.logit))]

    def terms(self, answer, token, relative_to=0.0):
        """Against each rival; the weight is exp(score - relative_to)."""
        weight = (self.score[token] - arb(relative_to)).exp()
        row = self.logit[token]
        return [weight * (row[answer] - row[rival]) for rival in self.logits]

    def moduli(self, answer, token):
        """What is multiplied and added up on the way to each term, without its signs."""
        weight, row = self.score[token].exp(), self.modulus[token]
        return [weight * (row[answer] + row[rival]) for rival in self.logits]


@dataclass(frozen=True)
class Known:
    """A list in all its orders, `ways`: is it answered rightly; and so by more than 1e-9?

    Right: every margin is certainly positive, and a tie never is. Clearly: a margin is more than
    1e-9 of the sum of the moduli, which no rounding in float64 hides.
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
        tokens_of = [*range(answer, n), balls.query]
        h = {t: balls.terms(answer, t) for t in tokens_of}
        moduli = {t: balls.moduli(answer, t) for t in tokens_of}
        for others in itertools.combinations_with_replacement(range(answer, n), length - 1):
            tokens = (answer, *others)
            read = (*tokens, balls.query)
            margins = [
                (sum(h[t][rival] for t in read), CLEARLY * sum(moduli[t][rival] for t in read))
                for rival in rivals
            ]
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
