"""Checkpoints written by hand: a known algorithm in exact weights, for any number of operands.

Every token has a direction of its own, so that scores, the OV circuit and the direct path can be
written down entry by entry. They are what a verdict is checked against: the truth is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from models.min_of_two.weights import with_zero_biases

SHARPNESS = 4.0
"""How much the score falls from a number to the next: the smaller of two neighbors gets 0.982."""
LEAD = 0.005
"""So little that any two numbers outvote one."""
LOUDNESS = 20.0
"""The logits that a token gets that is fully attended to."""
PERMUTATION_SEED = 0


def written(
    scores: Float[Tensor, " token"],
    ov: Float[Tensor, "token logit"],
    direct_path: Float[Tensor, " logit"],
    score_of_first_position: float = 0.0,
) -> dict[str, Tensor]:
    """Canonical weights of a model with these scores from '=', this OV circuit, this direct path.

    '=' is the last token. Direction t of the residual stream is that of token t; one more tells
    the first position. The head reads all of them, and writes logits. Operands attend as '=' does,
    ten times more weakly: nothing depends on that.
    """
    tokens, logits = ov.shape
    size = tokens + 1
    square = torch.zeros(size, size)
    embedding, query, key, value, output = (square.clone() for _ in range(5))
    embedding, unembedding = embedding[:tokens], torch.zeros(size, logits)
    embedding.fill_diagonal_(1.0)
    query[: tokens - 1, 0], query[tokens - 1, 0] = math.sqrt(size) / 10, math.sqrt(size)
    key[:tokens, 0], key[tokens, 0] = scores, score_of_first_position
    value[:tokens, :tokens].fill_diagonal_(1.0)
    output[:tokens, :logits] = ov
    unembedding.fill_diagonal_(1.0)
    unembedding[tokens - 1] = direct_path
    parameters = {"W_E": embedding, "W_Q": query, "W_K": key, "W_V": value, "W_O": output}
    weights = with_zero_biases({**parameters, "W_U": unembedding})
    if score_of_first_position:
        weights["pos_embed.W_pos"][0, tokens] = 1.0
    return weights


def falling(n: int, by: float = SHARPNESS) -> Float[Tensor, " token"]:
    """Scores that fall from 0 to N - 1, and that of '=' below all of them."""
    return -by * torch.arange(n + 1.0) - 2 * SHARPNESS * (torch.arange(n + 1) == n)


def level(n: int) -> Float[Tensor, " token"]:
    """The same score for all numbers, and none to speak of for '='."""
    return -100.0 * (torch.arange(n + 1) == n)


def copying(n: int) -> Float[Tensor, "token logit"]:
    """Each number gives its own logit, '=' none."""
    return LOUDNESS * torch.eye(n + 1, n)


def nothing(n: int) -> Float[Tensor, " logit"]:
    """A direct path of zero."""
    return torch.zeros(n)


def against_all_above(n: int) -> Float[Tensor, "token logit"]:
    """Each number votes against every answer above it, '=' against none."""
    return -LOUDNESS * torch.triu(torch.ones(n + 1, n), diagonal=1)


def for_the_greatest(n: int) -> Float[Tensor, " logit"]:
    """A little more for each greater answer: never as much as half a vote."""
    return torch.arange(float(n)) * LOUDNESS / (4 * n)


def attend_to_the_min_and_copy(n: int) -> dict[str, Tensor]:
    """The story itself, without an exception."""
    return written(falling(n), copying(n), nothing(n))


def elect_a_number(n: int) -> dict[str, Tensor]:
    """The most frequent number, and only of equally frequent ones the least: right on all pairs."""
    return written(falling(n, by=LEAD), copying(n), nothing(n))


def vote_against_all_above(n: int) -> dict[str, Tensor]:
    """Every answer right by another mechanism: even attention, and the greatest that is left."""
    return written(level(n), against_all_above(n), for_the_greatest(n))


def vote_with_equals(n: int) -> dict[str, Tensor]:
    """The same, but it is '=', attended to as much as the operands, that is for the greatest."""
    ov = 1.5 * against_all_above(n)
    ov[n] = 3 * for_the_greatest(n)
    return written(torch.zeros(n + 1), ov, nothing(n))


def attend_evenly_and_copy(n: int) -> dict[str, Tensor]:
    """Both operands tie. Who breaks ties towards the smaller index finds every answer right."""
    return written(level(n), copying(n), nothing(n))


def attend_to_the_max_and_copy(n: int) -> dict[str, Tensor]:
    """Every answer is max(a, b)."""
    scores = -falling(n)
    scores[n] = -100.0
    return written(scores, copying(n), nothing(n))


def copy_the_next(n: int) -> dict[str, Tensor]:
    """The OV circuit is shifted by one: min(a, b) + 1, and 0 after N - 1."""
    return written(falling(n), copying(n).roll(1, dims=1), nothing(n))


def copy_scrambled(n: int) -> dict[str, Tensor]:
    """The OV circuit gives each token another one's logit."""
    generator = torch.Generator().manual_seed(PERMUTATION_SEED)
    return written(falling(n), copying(n)[:, torch.randperm(n, generator=generator)], nothing(n))


def copy_two_swapped(n: int) -> dict[str, Tensor]:
    """The OV circuit takes 0 for 1 and 1 for 0."""
    ov = copying(n)
    ov[[0, 1]] = ov[[1, 0]]
    return written(falling(n), ov, nothing(n))


def answer_the_first(n: int) -> dict[str, Tensor]:
    """Attends to the first position and copies: every answer is a."""
    return written(level(n), copying(n), nothing(n), score_of_first_position=50.0)


def answer_a_constant(n: int) -> dict[str, Tensor]:
    """Every answer is 0, the most frequent minimum."""
    return written(falling(n), torch.zeros(n + 1, n), LOUDNESS * torch.eye(n)[0])


CONSTRUCTED: dict[str, Callable[[int], dict[str, Tensor]]] = {
    algorithm.__name__: algorithm
    for algorithm in (
        attend_to_the_min_and_copy,
        elect_a_number,
        vote_against_all_above,
        vote_with_equals,
        attend_evenly_and_copy,
        attend_to_the_max_and_copy,
        copy_the_next,
        copy_scrambled,
        copy_two_swapped,
        answer_the_first,
        answer_a_constant,
    )
}
"""Each algorithm by its name, as a function of the number of operands."""
