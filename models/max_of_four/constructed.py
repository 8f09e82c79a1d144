"""Checkpoints written by hand: a known algorithm in exact weights, for any numbers and lengths.

The residual stream has a direction for each number, for each place and for each answer, so that
scores, what is moved, and the direct path can be written down entry by entry. They are what a
verdict is checked against: the truth is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

SHARPNESS = 4.0
"""How much the score rises from a number to the next: the greater of two neighbors gets 0.982."""
LEAD = 0.005
"""So little that any two numbers outvote one."""
LOUDNESS = 20.0
"""The logits that a number gets that is fully attended to."""
NEVER = -100.0
"""A score that gets no attention to speak of."""
PERMUTATION_SEED = 0

Weights = dict[str, Tensor]


def written(
    length: int,
    ov: Float[Tensor, "number answer"],
    *,
    row: Float[Tensor, " number"] | None = None,
    rows: Float[Tensor, "number number"] | None = None,
    places: Float[Tensor, " place"] | None = None,
    ov_of_places: Float[Tensor, "place answer"] | None = None,
    direct_path: Float[Tensor, "number answer"] | None = None,
) -> Weights:
    """Canonical weights of a model that moves this to the answers, by these scores.

    The last place gives numbers the scores of `row`, and places those of `places`. The number that
    stands there adds its own of `rows`. What is not given is zero.
    """
    v = len(ov)
    row = torch.zeros(v) if row is None else row
    places = torch.zeros(length) if places is None else places
    numbers, stands, answers = slice(v), slice(v, v + length), slice(v + length, None)
    size, width = 2 * v + length, v + length + 1
    W_E, W_pos, W_U = torch.zeros(v, size), torch.zeros(length, size), torch.zeros(size, v)
    W_Q, W_K, W_V, W_O = (torch.zeros(size, width) for _ in range(4))
    W_E[:, numbers], W_pos[:, stands], W_U[answers] = torch.eye(v), torch.eye(length), torch.eye(v)
    W_Q[v + length - 1, v] = math.sqrt(width)
    W_K[numbers, v], W_K[stands, v] = row, places
    if rows is not None:
        W_Q[numbers, :v], W_K[numbers, :v] = math.sqrt(width) * torch.eye(v), rows.T
    W_V[numbers, :v], W_V[stands, v : v + length] = torch.eye(v), torch.eye(length)
    W_O[answers, :v] = ov.T
    if ov_of_places is not None:
        W_O[answers, v : v + length] = ov_of_places.T
    if direct_path is not None:
        W_U[numbers] = direct_path
    of_the_head = {"W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O.T}
    return {
        "embed.W_E": W_E,
        "pos_embed.W_pos": W_pos,
        **{f"blocks.0.attn.{name}": one[None].contiguous() for name, one in of_the_head.items()},
        **{f"blocks.0.attn.b_{letter}": torch.zeros(1, width) for letter in "QKV"},
        "blocks.0.attn.b_O": torch.zeros(size),
        "unembed.W_U": W_U,
        "unembed.b_U": torch.zeros(v),
    }


def rising(v: int, by: float = SHARPNESS) -> Float[Tensor, " number"]:
    """Scores that rise from 0 to v - 1."""
    return by * torch.arange(float(v))


def copying(v: int) -> Float[Tensor, "number answer"]:
    """Each number gives its own logit."""
    return LOUDNESS * torch.eye(v)


def against_all_below(v: int) -> Float[Tensor, "number answer"]:
    """Each number votes against every answer below it."""
    return -LOUDNESS * torch.tril(torch.ones(v, v), diagonal=-1)


def for_the_least(v: int) -> Float[Tensor, "number answer"]:
    """A little more for each lesser answer, whatever the number: never as much as half a vote."""
    return -preference(v) * torch.arange(float(v)).expand(v, -1)


def preference(v: int) -> float:
    """How much an answer is preferred to the next greater one, for lists of up to eight."""
    return LOUDNESS / (16 * v)


def attend_to_the_max_and_copy(v: int, length: int) -> Weights:
    """The story itself, without an exception."""
    return written(length, copying(v), row=rising(v))


def let_numbers_ask(v: int, length: int) -> Weights:
    """The same, but it is the last number that asks, whichever it is, and not the last place."""
    return written(length, copying(v), rows=rising(v).expand(v, -1))


def ask_for_what_is_greater(v: int, length: int) -> Weights:
    """The last number asks for those above it, and tells none below it apart. Right on all lists.

    Of two that stand alike it prefers the earlier a little.
    """
    number = torch.arange(v)
    rows = rising(v).expand(v, -1).clone()
    rows = torch.where(number < number[:, None], SHARPNESS * (number[:, None] - 1), rows)
    places = torch.linspace(SHARPNESS / 8, 0, length)
    return written(length, copying(v), rows=rows, places=places)


def vote_against_all_below(v: int, length: int) -> Weights:
    """Every answer right by another mechanism: even attention, and the least that is left."""
    return written(length, against_all_below(v), direct_path=for_the_least(v))


def vote_by_the_direct_path(v: int, length: int) -> Weights:
    """The same, but the last number votes by the direct path. What is moved of its place is wrong.

    It gets no attention.
    """
    places, of_places = torch.zeros(length), torch.zeros(length, v)
    places[-1], of_places[-1, 0] = NEVER, 8 * LOUDNESS
    direct_path = for_the_least(v) + against_all_below(v)
    return written(
        length,
        against_all_below(v),
        places=places,
        ov_of_places=of_places,
        direct_path=direct_path,
    )


def vote_against_itself_too(v: int, length: int) -> Weights:
    """Votes as before, and a number votes against itself, so little that two of a kind may.

    Where all attention is on it, it answers the next.
    """
    itself = -0.4 * length * preference(v) * torch.eye(v)
    return written(length, against_all_below(v) + itself, direct_path=for_the_least(v))


def let_places_take_back_a_bias(v: int, length: int) -> Weights:
    """The story, but whatever is attended to is loud for 0 too, which its place takes back."""
    bias = torch.zeros(v)
    bias[0] = 4 * LOUDNESS
    return written(length, copying(v) + bias, row=rising(v), ov_of_places=-bias.expand(length, -1))


def let_the_first_place_be_against_0(v: int, length: int) -> Weights:
    """The story, but the first place speaks against 0, which is hardly ever the max."""
    of_places = torch.zeros(length, v)
    of_places[0, 0] = -2 * LOUDNESS
    return written(length, copying(v), row=rising(v), ov_of_places=of_places)


def elect_a_number(v: int, length: int) -> Weights:
    """The most frequent number, and only of equally frequent ones the greatest."""
    return written(length, copying(v), row=rising(v, by=LEAD))


def attend_evenly_and_copy(v: int, length: int) -> Weights:
    """The most frequent number; several that are equally frequent tie."""
    return written(length, copying(v))


def attend_to_the_min_and_copy(v: int, length: int) -> Weights:
    """Every answer is the least number."""
    return written(length, copying(v), row=-rising(v))


def copy_the_next(v: int, length: int) -> Weights:
    """The OV circuit is shifted by one: the max + 1, and 0 after v - 1."""
    return written(length, copying(v).roll(1, dims=1), row=rising(v))


def copy_scrambled(v: int, length: int) -> Weights:
    """The OV circuit gives each number another one's logit."""
    generator = torch.Generator().manual_seed(PERMUTATION_SEED)
    scrambled = copying(v)[:, torch.randperm(v, generator=generator)]
    return written(length, scrambled, row=rising(v))


def answer_the_last(v: int, length: int) -> Weights:
    """Every answer is the last number, by the direct path."""
    return written(length, torch.zeros(v, v), row=rising(v), direct_path=copying(v))


def answer_a_constant(v: int, length: int) -> Weights:
    """Every answer is v - 1, the most frequent maximum."""
    constant = torch.zeros(v, v)
    constant[:, -1] = LOUDNESS
    return written(length, constant, row=rising(v))


CONSTRUCTED: dict[str, Callable[[int, int], Weights]] = {
    algorithm.__name__: algorithm
    for algorithm in (
        attend_to_the_max_and_copy,
        let_numbers_ask,
        ask_for_what_is_greater,
        vote_against_all_below,
        vote_by_the_direct_path,
        vote_against_itself_too,
        let_places_take_back_a_bias,
        let_the_first_place_be_against_0,
        elect_a_number,
        attend_evenly_and_copy,
        attend_to_the_min_and_copy,
        copy_the_next,
        copy_scrambled,
        answer_the_last,
        answer_a_constant,
    )
}
"""Each algorithm by its name, of so many numbers and lists of such a length."""
