"""The published proof that ours are compared with: the cubic one of Gross et al., Compact Proofs of
Model Performance via Mechanistic Interpretability (2024, arXiv 2406.11779), written anew.

How it works. In a list with query q and answer m one other token k stands in for all that are
neither: c places have k, the other ones m. Where they stand is taken at its worst: m where q looks
least, or most. Of the logits "wrong minus right" each path is taken at its own worst rival: the
direct path of q; and what attending to a token adds, with each rival's best place. This is a mean
weighted by attention, so that several other tokens are no worse than the worst of them in all their
places. With n(q, m, c) tokens k that can't win, all C(K - 1, c) n(q, m, c)^c lists with c others
are right. Lists without others are few, and their rivals are kept apart.

The bound is theirs, but for a slip in their code: it gives the other tokens together the attention
of the query, and none where the query is the answer; here they have what is left of it. What is not
needed is not computed: denominators cancel, k can't win where its term is below one threshold, and
rivals are kept apart only where the cheaper test fails. As in theirs, rounding is not bounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechanistic_claims.measurement.certificates.certificate import ENUMERATED_TO
from mechanistic_claims.measurement.certificates.compactness import Proof, one_thread, proofs
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.weights import Weights

POSITIONS = "pos_embed.W_pos"
PUBLISHED = "published cubic"


def cubic(weights: Weights, length: int) -> float:
    """The share of all lists of a length on which the greatest number is answered, at least.

    The answer is read at the last number, and there are learned positions.

    Raises:
        ValueError: the model has several heads, norms, biases or MLPs, or not so many positions.
    """
    return _certified(Paths.of_operands(weights, length), length)


def cubic_of_the_least(weights: Weights, length: int) -> float:
    """The same of the least number, read at a token '=' behind them, without positions.

    For a single query there are means to add its direct path to every token's rivals too; and
    without places a row's two greatest logits tell its worst rival, whatever the answer.

    Raises:
        ValueError: the model has several heads, norms, biases, MLPs or positions.
    """
    return _certified(Paths.of_equals(weights, length), length)


def proofs_beside(
    subject: Subject, lengths: Sequence[int], enumerated_to: int = ENUMERATED_TO
) -> list[Proof]:
    """The published proof of each length, then ours: operations and bounds.

    The task tells which one: its query is one token, or whatever operand is last.
    """
    bound_of = cubic if subject.task.query is None else cubic_of_the_least
    published = {PUBLISHED: lambda length: bound_of(subject.weights, length)}
    with torch.no_grad():
        ours = subject.certificate.proofs(lengths, enumerated_to)
        return [*proofs(published, lengths, {}), *ours]


@dataclass(frozen=True)
class Paths:
    """The paths of a model multiplied out, for lists of one length and the greatest number.

    A query's attention to itself is `own`, to another operand `token` times `place`, both up to one
    factor. `direct`, `attended` and `placed` are logits: of the query's own embedding, of attending
    to a token, and to a place. `row` is the token that a query is.
    """

    token: Float[Tensor, "query token"]
    place: Float[Tensor, "query place"]
    own: Float[Tensor, " query"]
    direct: Float[Tensor, "query answer"]
    attended: Float[Tensor, "token answer"]
    placed: Float[Tensor, "position answer"] | None
    row: Int[Tensor, " query"]

    @classmethod
    def of_operands(cls, weights: Weights, length: int) -> Paths:
        """Every operand is a query, in the last place."""
        tokens, positions = weights.W_E, weights[POSITIONS][:length]
        _require_plain(weights, len(positions) == length)
        last, values = tokens + positions[-1], weights.W_V[0, 0] @ weights.W_O[0, 0]
        asked = last @ (weights.W_Q[0, 0] @ weights.W_K[0, 0].T / math.sqrt(weights.W_Q.shape[-1]))
        token, place = _weights(asked @ tokens.T), _weights(asked @ positions.T)
        return cls(
            token=token,
            place=place[:, :-1],
            own=token.diagonal() * place[:, -1],
            direct=last @ weights.W_U,
            attended=tokens @ values @ weights.W_U,
            placed=positions @ values @ weights.W_U,
            row=torch.arange(len(tokens)),
        )

    @classmethod
    def of_equals(cls, weights: Weights, length: int) -> Paths:
        """'=' is the query, in a place of its own; numbers are named from the greatest down."""
        _require_plain(weights, not weights.others.get(POSITIONS, torch.zeros(1)).any())
        numbers, equals = weights.answers, weights.W_E[-1:]
        asked = equals @ weights.W_Q[0, 0] / math.sqrt(weights.W_Q.shape[-1])
        token = _weights(asked @ weights.W_K[0, 0].T @ weights.W_E.T)
        values = weights.W_V[0, 0] @ weights.W_O[0, 0]
        logits = weights.W_E @ values @ weights.W_U + equals @ weights.W_U
        renamed = torch.cat([torch.arange(numbers).flip(0), torch.tensor([numbers])])
        return cls(
            token=token[:, renamed],
            place=torch.ones(1, length, dtype=token.dtype),
            own=token[:, -1],
            direct=torch.zeros(1, numbers, dtype=token.dtype),
            attended=logits[renamed].flip(1),
            placed=None,
            row=renamed[-1:],
        )

    @cached_property
    def answers_places(self) -> Float[Tensor, "extreme query other"]:
        """What q looks at the places of m, least and most, where 0, 1, .. places have others."""
        ordered = self.place.sort(dim=-1).values
        added = torch.ones(self.place.shape[1], self.place.shape[1], dtype=ordered.dtype).triu()
        both = torch.stack([ordered, ordered.flip(-1)]) @ added
        return torch.nn.functional.pad(both, (1, 0)).flip(-1)

    @cached_property
    def others_places(self) -> Float[Tensor, "extreme query other"]:
        """What is left for the others' places."""
        return self.answers_places[..., :1] - self.answers_places

    @cached_property
    def direct_rival(self) -> Float[Tensor, "query answer"]:
        """How far the worst rival of each answer is ahead in a query's direct path."""
        return _ahead(self.direct)

    @cached_property
    def attended_rival(self) -> Float[Tensor, "token answer"]:
        """How far the worst rival is ahead where a token is attended to, without positions."""
        return _ahead(self.attended)

    def best_place(self, answer: int) -> Float[Tensor, " answer"]:
        """How far each rival is ahead where the place is attended to that is best for it."""
        if self.placed is None:
            return torch.zeros_like(self.direct[0])
        return (self.placed - self.placed[:, answer, None]).amax(dim=0)


def _certified(paths: Paths, length: int) -> float:
    """Lists are counted as integers: their share is rounded once."""
    numbers, places = paths.direct.shape[1], paths.place.shape[1]
    with one_thread():
        found = [_of_answer(paths, answer) for answer in range(numbers)]
    lists = sum(alone for alone, _ in found)
    for others, column in enumerate(torch.cat([n for _, n in found]).T, start=1):
        chosen = math.comb(places, others)
        for n, times in zip(*column.unique(return_counts=True), strict=True):
            lists += int(times) * chosen * int(n) ** others
    return lists / numbers**length


def _of_answer(paths: Paths, answer: int) -> tuple[int, Int[Tensor, "query other"]]:
    """How many lists without others are right, and for 1, 2, .. others how many tokens they may
    be of.
    """
    m = answer
    q = slice(m + 1 if len(paths.row) > 1 else 1)  # operands that are queries are no greater
    best = paths.best_place(m)
    if paths.placed is None:
        rival = paths.attended_rival[:, m]
    else:
        rivals = best.index_fill(0, torch.tensor(m), -math.inf)
        rival = (paths.attended[: m + 1] + rivals).amax(dim=-1) - paths.attended[: m + 1, m]
    direct = paths.direct_rival[q, m]
    of_answer = paths.token[q, m] * (direct + rival[m])
    of_query = paths.own[q] * (direct + rival[paths.row[q]])
    of_others = paths.token[q, :m] * (direct[:, None] + rival[:m])
    right, rest = paths.answers_places[:, q], paths.others_places[:, q, 1:]

    ahead = of_answer[:, None] * right + of_query[:, None]
    less_than = (-ahead[:, :, 1:] / rest).amin(dim=0)
    tokens = (of_others[:, :, None] < less_than[:, None]).sum(dim=1)
    tokens[:m, -1:] = 0  # with the answer nowhere
    alone = ahead[0, :, 0] < 0
    return int(alone.sum()) + _rivals_apart(paths, m, best, ~alone), tokens


def _rivals_apart(
    paths: Paths, answer: int, best: Float[Tensor, " answer"], doubtful: Bool[Tensor, " query"]
) -> int:
    """How many lists of a query and the answer alone are right, rival by rival."""
    q = doubtful.nonzero().squeeze(-1)
    for_answer = paths.token[q, answer] * paths.answers_places[0, q, 0]
    everywhere = paths.direct[q] + best
    ahead = for_answer[:, None] * (everywhere + paths.attended[answer])
    ahead = ahead + paths.own[q, None] * (everywhere + paths.attended[paths.row[q]])
    ahead[:, answer], own = -math.inf, ahead[:, answer].clone()
    return int((ahead.amax(dim=-1) < own).sum())


def _ahead(logits: Float[Tensor, "row answer"]) -> Float[Tensor, "row answer"]:
    """max over j != m of logit j, less logit m, for every m."""
    first = logits.amax(dim=-1, keepdim=True)
    place = logits.argmax(dim=-1, keepdim=True)
    second = logits.scatter(1, place, -math.inf).amax(dim=-1, keepdim=True)
    return first.expand_as(logits).scatter(1, place, second) - logits


def _weights(scores: Float[Tensor, "query token"]) -> Float[Tensor, "query token"]:
    """exp(score), up to a factor of the query."""
    return (scores - scores.amax(dim=-1, keepdim=True)).exp()


def _require_plain(weights: Weights, positions_fit: bool) -> None:
    plain = all(not w.any() for name, w in weights.others.items() if name != POSITIONS)
    if weights.heads != 1 or weights.normalized or not plain or not positions_fit:
        raise ValueError("expected one head in one layer of attention only, and such positions.")
