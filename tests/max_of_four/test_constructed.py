"""Models of max_of_four written by hand: what they answer is known, and the real model gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product

import pytest
import torch

from mechanistic_claims.measurement.measures import prediction
from models.max_of_four.constructed import CONSTRUCTED, PERMUTATION_SEED
from tests.kill import subject_with

V, LENGTH = 5, 3
TIE = -1

List = tuple[int, ...]


def the_max(numbers: List) -> int:
    return max(numbers)


def the_next_of_three(numbers: List) -> int:
    """Three votes of a number against itself are more than the preference for it."""
    m = max(numbers)
    return m + 1 if numbers.count(m) > 2 and m < V - 1 else m


def elected(numbers: List) -> int:
    counts = Counter(numbers)
    return max(counts, key=lambda number: (counts[number], number))


def elected_alone(numbers: List) -> int:
    (first, most), *others = Counter(numbers).most_common()
    return TIE if any(count == most for _, count in others) else first


def scrambled(numbers: List) -> int:
    order = torch.randperm(V, generator=torch.Generator().manual_seed(PERMUTATION_SEED))
    return order.tolist().index(max(numbers))


ANSWERS: dict[str, Callable[[List], int]] = {
    "attend_to_the_max_and_copy": the_max,
    "let_numbers_ask": the_max,
    "ask_for_what_is_greater": the_max,
    "vote_against_all_below": the_max,
    "vote_by_the_direct_path": the_max,
    "vote_against_itself_too": the_next_of_three,
    "let_places_take_back_a_bias": the_max,
    "let_the_first_place_be_against_0": the_max,
    "elect_a_number": elected,
    "attend_evenly_and_copy": elected_alone,
    "attend_to_the_min_and_copy": min,
    "copy_the_next": lambda numbers: (max(numbers) + 1) % V,
    "copy_scrambled": scrambled,
    "answer_the_last": lambda numbers: numbers[-1],
    "answer_a_constant": lambda numbers: V - 1,
}


@pytest.mark.parametrize("algorithm", CONSTRUCTED)
def test_the_model_answers_what_its_algorithm_says(algorithm):
    """By the real model, on every list."""
    lists = list(product(range(V), repeat=LENGTH))
    subject = subject_with("max_of_four", CONSTRUCTED[algorithm](V, LENGTH))
    answered = prediction(subject.logits_of(torch.tensor(lists))[:]).tolist()
    expected = [ANSWERS[algorithm](numbers) for numbers in lists]
    wrong = [one for one in zip(lists, answered, expected, strict=True) if one[1] != one[2]]
    assert wrong == []
