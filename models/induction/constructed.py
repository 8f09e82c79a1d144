"""Checkpoints written by hand: a known mechanism in exact weights, two layers of two heads.

The residual stream has a part for each kind of content. They are what a verdict is checked against:
the truth is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

TOKENS = POSITIONS = 64
CODE = 16
"""How many numbers tell a token to keys. Of r equal singular values the composition (Frobenius) is
1 / sqrt(r): by 64 numbers, one for each token, it would be 1 / 8, as that of random matrices.
"""
CODE_SEED = 0
WIDTHS = {
    "token": TOKENS,
    "position": POSITIONS,
    "previous": CODE,
    "before": CODE,
    "earlier": POSITIONS,
    "answer": TOKENS,
}
SHARP = 16.0
"""The score of a match. No two tokens' codes come nearer to one than three quarters."""
TILT = 0.05
"""How much lower the score is for each position later. Of two tokens that match it is the earlier
that counts for more; which of them goes on, no token tells.
"""
LOUDNESS = 8.0
"""The logit of a token that is fully attended to."""

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Comparison:
    """A score: what of the query is compared with what of the key, as many columns of both."""

    of_query: str
    queries: Float[Tensor, "query column"]
    of_key: str
    keys: Float[Tensor, "key column"]
    score: float = SHARP


@dataclass(frozen=True)
class Head:
    """What a head compares, and what it moves, from a part of the stream to another."""

    compared: Sequence[Comparison] = ()
    source: str = "token"
    target: str = "answer"
    moved: Float[Tensor, "source column"] | None = None

    @property
    def d_head(self) -> int:
        """How many columns it needs."""
        moved = 0 if self.moved is None else self.moved.shape[1]
        return max(moved, sum(one.queries.shape[1] for one in self.compared))

    @property
    def parts(self) -> set[str]:
        """The parts of the stream that it reads or writes."""
        compared = {name for one in self.compared for name in (one.of_query, one.of_key)}
        return compared if self.moved is None else compared | {self.source, self.target}

    def weights(self, stream: Stream, d_head: int) -> Weights:
        """W_Q, W_K and W_V [d_model d_head], W_O [d_head d_model]."""
        W_Q, W_K, W_V, W_O = (torch.zeros(stream.d_model, d_head) for _ in range(4))
        start = 0
        for one in self.compared:
            columns = slice(start, start := start + one.queries.shape[1])
            W_Q[stream.part(one.of_query), columns] = one.queries * one.score * math.sqrt(d_head)
            W_K[stream.part(one.of_key), columns] = one.keys
        if self.moved is not None:
            width = self.moved.shape[1]
            W_V[stream.part(self.source), :width] = self.moved
            W_O[stream.part(self.target), :width] = torch.eye(width)
        return {"W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O.T}


@dataclass(frozen=True)
class Stream:
    """The residual stream of a model: its parts, side by side."""

    names: Sequence[str]

    @classmethod
    def of(cls, heads: Iterable[Head]) -> Stream:
        """No wider than it has to be: what no head reads or writes is left out."""
        used = {"token", "position", "answer"}.union(*(head.parts for head in heads))
        return cls([name for name in WIDTHS if name in used])

    @property
    def d_model(self) -> int:
        """How wide it is."""
        return sum(WIDTHS[name] for name in self.names)

    def part(self, name: str) -> slice:
        """Where a part of it is."""
        start = sum(WIDTHS[before] for before in self.names[: self.names.index(name)])
        return slice(start, start + WIDTHS[name])


def written(first: Sequence[Head], second: Sequence[Head], itself: float = 0.0) -> Weights:
    """Canonical weights of a model with the heads of two layers, none being one that does nothing.

    Tokens and positions are embedded as unit vectors, and the answers are read as they are, and
    with them, as loudly as `itself` says, the token that is asked.
    """
    stream = Stream.of((*first, *second))
    d_head = max(head.d_head for head in (*first, *second))
    W_E, W_pos, W_U = (torch.zeros(stream.d_model, TOKENS) for _ in range(3))
    W_E[stream.part("token")] = W_pos[stream.part("position")] = torch.eye(TOKENS)
    W_U[stream.part("answer")] = torch.eye(TOKENS)
    W_U[stream.part("token")] = itself * torch.eye(TOKENS)
    weights = {"embed.W_E": W_E.T, "pos_embed.W_pos": W_pos.T, "unembed.W_U": LOUDNESS * W_U}
    weights["unembed.b_U"] = torch.zeros(TOKENS)
    for layer, given in enumerate((first, second)):
        both = (*given, Head(), Head())[:2]
        heads = [head.weights(stream, d_head) for head in both]
        for name in ("W_Q", "W_K", "W_V", "W_O"):
            weights[f"blocks.{layer}.attn.{name}"] = torch.stack([head[name] for head in heads])
        for name in ("b_Q", "b_K", "b_V"):
            weights[f"blocks.{layer}.attn.{name}"] = torch.zeros(2, d_head)
        weights[f"blocks.{layer}.attn.b_O"] = torch.zeros(stream.d_model)
    return {name: weight.contiguous() for name, weight in weights.items()}


def code() -> Float[Tensor, "token code"]:
    """A direction of length 1 for each token, drawn at random."""
    drawn = torch.randn(TOKENS, CODE, generator=torch.Generator().manual_seed(CODE_SEED))
    return torch.nn.functional.normalize(drawn, dim=1)


def back(by: int) -> Float[Tensor, "position position"]:
    """From each position to that so many before; to the first or the last where there is none."""
    there = (torch.arange(POSITIONS) - by).clamp(0, POSITIONS - 1)
    return torch.nn.functional.one_hot(there, POSITIONS).float()


def attends_back(by: int) -> Comparison:
    """To the position so many before, whatever is there."""
    return Comparison("position", back(by), "position", torch.eye(POSITIONS))


def earlier_rather(by: float = TILT, but: int = 0) -> Comparison:
    """A little more to each earlier position, but for some at the start, which get much less."""
    scores = -by * torch.arange(float(POSITIONS))
    scores[:but] -= SHARP / 4
    return Comparison("token", torch.ones(TOKENS, 1), "position", scores[:, None], 1.0)


def matches(of_query: str, of_key: str, score: float = SHARP) -> Comparison:
    """Tokens, by their codes: one's own, or one that a head has written."""
    reads = {"token": code(), "previous": torch.eye(CODE), "before": torch.eye(CODE)}
    return Comparison(of_query, reads[of_query], of_key, reads[of_key], score)


def writes_back(by: int, target: str) -> Head:
    """Which token was so many positions before, written into a part of the stream."""
    return Head([attends_back(by)], "token", target, code())


def copies(*compared: Comparison, loudness: float = 1.0) -> Head:
    """Of whatever is attended to the token gets the highest logit."""
    return Head(compared, "token", "answer", loudness * torch.eye(TOKENS))


NOT_THE_FIRST = earlier_rather(but=1)
"""The first position has itself written as its previous token."""
ON_ITSELF = ("position", torch.eye(POSITIONS), "position", torch.eye(POSITIONS))
NOT_ITSELF = Comparison(*ON_ITSELF, -2 * SHARP)
PREVIOUS_TOKEN = writes_back(1, "previous")
TWO_BEFORE = writes_back(2, "before")
INDUCTION = copies(matches("token", "previous"), NOT_THE_FIRST)
DUPLICATE_TOKEN = Head(
    [matches("token", "token"), NOT_ITSELF, earlier_rather(TILT / 8)],
    "position",
    "earlier",
    torch.eye(POSITIONS),
)
"""It writes where its own token was before."""
ONE_LATER = copies(Comparison("earlier", back(-1), "position", torch.eye(POSITIONS)))


def two_later(loudness: float) -> Head:
    """It attends two after its own token, and copies what was the previous token there.

    At two positions the first token is written as what was two before.
    """
    compared = [matches("token", "before"), earlier_rather(but=2)]
    return Head(compared, "previous", "answer", loudness * code().T)


def match_the_previous_token_and_copy() -> Weights:
    """The story itself."""
    return written([PREVIOUS_TOKEN], [INDUCTION])


def match_in_two_heads() -> Weights:
    """The story itself, by the other heads, of which two copy half each."""
    half = copies(*INDUCTION.compared, loudness=0.5)
    return written([Head(), PREVIOUS_TOKEN], [half, half])


def two_previous_token_heads() -> Weights:
    """The previous token is written twice, and once is enough."""
    return written([PREVIOUS_TOKEN, PREVIOUS_TOKEN], [INDUCTION])


def match_two_tokens_and_copy() -> Weights:
    """The story, and the token before is compared too: the previous-token head is read as queries.

    It knows which of two equal tokens goes on, as checkpoints/refuted/seed3 does.
    """
    both = copies(*INDUCTION.compared, matches("previous", "before"))
    return written([PREVIOUS_TOKEN, TWO_BEFORE], [both])


def look_one_later_than_the_same_token() -> Weights:
    """By query: the first layer finds where the token was, the second looks one further."""
    return written([DUPLICATE_TOKEN], [ONE_LATER])


def look_one_later_beside_a_previous_token_head() -> Weights:
    """The same, and what a previous-token head writes is read by nobody."""
    return written([DUPLICATE_TOKEN, PREVIOUS_TOKEN], [ONE_LATER])


def copy_from_two_later() -> Weights:
    """What followed is copied from where it is the previous token: read as values."""
    return written([PREVIOUS_TOKEN, TWO_BEFORE], [two_later(1.0), two_later(1.0)])


def copy_from_both() -> Weights:
    """The story, and one that does the same by other means."""
    half = copies(*INDUCTION.compared, loudness=0.5)
    return written([PREVIOUS_TOKEN, TWO_BEFORE], [half, two_later(1.5)])


def attend_mostly_to_itself() -> Weights:
    """The story, but most attention is on the own token, which the direct path takes back.

    Here tokens are told to keys exactly, so that no score depends on which they are.
    """
    exactly = torch.eye(TOKENS)
    previous = Head([attends_back(1)], "token", "earlier", exactly)
    matched = Comparison("token", exactly, "earlier", exactly)
    itself = Comparison(*ON_ITSELF, SHARP + 1.0)
    head = copies(matched, itself, earlier_rather(TILT / 4, but=1), loudness=2.5)
    return written([previous], [head], itself=-2.0)


def look_back_by_a_fixed_offset() -> Weights:
    """Right where blocks have 32 tokens."""
    return written([PREVIOUS_TOKEN], [copies(attends_back(POSITIONS // 2 - 1))])


def copy_the_matched_token() -> Weights:
    """Every answer is the token itself, where it stood before."""
    return written([PREVIOUS_TOKEN], [copies(matches("token", "token"), NOT_ITSELF)])


def without_a_second_layer() -> Weights:
    """The previous token is written, and nobody reads it."""
    return written([PREVIOUS_TOKEN], [])


CONSTRUCTED: dict[str, Callable[[], Weights]] = {
    mechanism.__name__: mechanism
    for mechanism in (
        match_the_previous_token_and_copy,
        match_in_two_heads,
        two_previous_token_heads,
        match_two_tokens_and_copy,
        look_one_later_than_the_same_token,
        look_one_later_beside_a_previous_token_head,
        copy_from_two_later,
        copy_from_both,
        attend_mostly_to_itself,
        look_back_by_a_fixed_offset,
        copy_the_matched_token,
        without_a_second_layer,
    )
}
"""Each mechanism by its name."""
