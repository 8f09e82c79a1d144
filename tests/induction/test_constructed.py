"""Models of induction written by hand: what they answer is known, and the real model gives it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mechanistic_claims.measurement.measures import prediction
from models.induction.constructed import CONSTRUCTED, code
from tests.induction.subjects import subject_of

SEQUENCES = 32
NO_ANSWER = -1

Sequence = list[int]


def the_next(tokens: Sequence, at: int) -> int | None:
    """What followed the only earlier occurrence of the token."""
    earlier = [j for j in range(at) if tokens[j] == tokens[at]]
    return tokens[earlier[0] + 1] if len(earlier) == 1 else None


def the_next_of_two(tokens: Sequence, at: int) -> int | None:
    """What followed the only earlier occurrence of the token and the one before it."""
    pair = tokens[at - 1 : at + 1]
    earlier = [j for j in range(1, at) if tokens[j - 1 : j + 1] == pair]
    return tokens[earlier[0] + 1] if at and len(earlier) == 1 else None


def the_next_but_not_itself(tokens: Sequence, at: int) -> int | None:
    """The same, where the position after that is there to copy from."""
    return None if at and tokens[at - 1] == tokens[at] else the_next(tokens, at)


def fixed(tokens: Sequence, at: int) -> int | None:
    return tokens[at - 31] if at >= 31 else None


def itself(tokens: Sequence, at: int) -> int | None:
    return None if the_next(tokens, at) is None else tokens[at]


def nothing(tokens: Sequence, at: int) -> int | None:
    return NO_ANSWER


ANSWERS: dict[str, Callable[[Sequence, int], int | None]] = {
    "match_the_previous_token_and_copy": the_next,
    "match_in_two_heads": the_next,
    "two_previous_token_heads": the_next,
    "match_two_tokens_and_copy": the_next_of_two,
    "look_one_later_than_the_same_token": the_next,
    "look_one_later_beside_a_previous_token_head": the_next,
    "copy_from_two_later": the_next_but_not_itself,
    "copy_from_both": the_next_but_not_itself,
    "attend_mostly_to_itself": the_next,
    "look_back_by_a_fixed_offset": fixed,
    "copy_the_matched_token": itself,
    "without_a_second_layer": nothing,
}
"""What each answers at a position; None where its mechanism leaves it open."""


@pytest.mark.parametrize("mechanism", CONSTRUCTED)
def test_the_model_answers_what_its_mechanism_says(mechanism):
    """By the real model, on every position of some sequences that decides an answer."""
    subject = subject_of(CONSTRUCTED[mechanism]())
    inputs = subject.task.inputs[:SEQUENCES]
    answered = prediction(subject.logits_of(inputs)[:]).reshape(inputs.shape).tolist()
    expected = [
        (sequence, at, answer)
        for sequence, tokens in enumerate(inputs.tolist())
        for at in range(len(tokens))
        if (answer := ANSWERS[mechanism](tokens, at)) is not None
    ]
    assert len(expected) > SEQUENCES * 10
    wrong = [one for one in expected if answered[one[0]][one[1]] != one[2]]
    assert wrong == []


def test_no_two_tokens_are_alike_to_keys():
    """What is said of SHARP."""
    alike = (code() @ code().T).fill_diagonal_(-1.0)
    assert 0.7 < alike.max() < 0.75
    assert torch.allclose(code().norm(dim=1), torch.ones(64))
