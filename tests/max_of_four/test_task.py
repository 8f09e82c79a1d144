"""Lists, roles and replacements of max_of_four, against loops."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims import CannotJudge, Sizes
from mechanistic_claims.checkpoint.checkpoint import Checkpoint
from mechanistic_claims.model.task import TaskOfLists
from models.max_of_four import FAMILY
from models.max_of_four.task import Task
from tests.conftest import CPU, small_weights


@pytest.fixture(scope="module")
def task() -> Task:
    return Task(6, 3, CPU)


def test_roles_of_each_list(task):
    inputs = task.inputs.tolist()
    assert (len(inputs), len(inputs[0])) == (2**15, 3)
    assert task.labels.tolist() == [max(numbers) for numbers in inputs]
    once, differ = task.stands_once, task.differ
    for at, numbers in enumerate(inputs[:300]):
        m, others = max(numbers), [number for number in numbers if number < max(numbers)]
        assert task.is_max[at].tolist() == [number == m for number in numbers]
        assert task.max_position[at] == numbers.index(m)
        assert once[at] == (len(others) == 2)
        assert task.gap[at] == (m - max(others) if others else 0)
        assert differ[at] == bool(others)
        assert task.another[at] == numbers[task.another_position[at]]
        assert not others or task.another[at] < m


def test_lists_are_drawn_evenly_and_others_are_others(task):
    every = task.inputs @ torch.tensor([36, 6, 1])
    counts = every.bincount(minlength=216)
    assert counts.min() > 100  # of 152
    assert counts.max() < 205
    again = task.random_lists(3, 2**15)
    assert torch.equal(again, Task(6, 3, CPU).random_lists(3, 2**15))
    assert not torch.equal(again, task.inputs)
    assert task.random_lists(7, 5).shape == (5, 7)


def test_replacements(task):
    numbers, once = task.inputs, task.stands_once
    assert torch.equal(task.reordered.sort(dim=1).values, numbers.sort(dim=1).values)
    moved = (task.reordered != numbers).any(dim=1)
    assert 0.7 < moved.double().mean() < 0.9  # 5 of 6 orders, but for those of equal numbers
    other = task.with_other_numbers
    assert torch.equal(other == task.labels[:, None], task.is_max)
    assert torch.equal(other.amax(dim=1), task.labels)
    below = other[once & (task.labels == 5)][:, 0]
    assert below[below < 5].unique().tolist() == [0, 1, 2, 3, 4]
    assert not (task.donor == task.labels).any()
    assert task.donor[task.labels == 5].unique().tolist() == [0, 1, 2, 3, 4]
    assert task.donor[task.labels == 2].unique().tolist() == [0, 1, 3, 4, 5]
    assert task.repeated[4].tolist() == [4, 4, 4]
    assert task.another_position[once & (task.max_position == 0)].unique().tolist() == [1, 2]
    assert task.even_attention.sum(dim=1).allclose(torch.ones(2**15))


@pytest.mark.parametrize(
    ("numbers", "length", "least"),
    [(64, 4, 16), (200, 4, 50), (64, 5, 21), (64, 10, 36), (64, 20, 48), (511, 2, 31), (2, 20, 1)],
)
def test_below_the_upper_numbers_one_list_in_256_has_its_maximum(numbers, length, least):
    assert Task(numbers, length, CPU).upper.tolist() == list(range(least, numbers))
    assert (least / numbers) ** length <= 1 / 256 < ((least + 1) / numbers) ** length


def test_what_a_certificate_asks(task):
    assert isinstance(task, TaskOfLists)
    assert task.query is None
    assert task.companions[2].tolist() == [True, True, True, False, False, False]
    lists = torch.tensor([[1, 5, 0], [2, 2, 4]])
    assert task.labels_of(lists).tolist() == [5, 4]


def test_pictures_are_by_maximum_and_last_number(task):
    values = task.inputs[:, 0].double()
    found = task.map(values, "First", "number").values
    assert found[4, 1].item() == pytest.approx(
        values[(task.labels == 4) & (task.inputs[:, 2] == 1)].mean().item()
    )
    assert found[1, 4].isnan()
    shown = task.picture_of(torch.tensor([[0, 3, 1], [5, 5, 2]]))
    assert shown.false.nonzero().tolist() == [[3, 1], [5, 2]]
    assert task.picture_of(task.tokens) is None
    assert task.picture_of(torch.tensor([[3, 1]])) is None, "a pair is no list"
    assert task.picture_of(task.inputs[:0]) is None


@pytest.mark.parametrize(("numbers", "length"), [(1, 4), (64, 1)])
def test_a_model_of_one_number_is_none(numbers, length):
    with pytest.raises(CannotJudge, match="expected two or more of each"):
        Task.of(Sizes(numbers, numbers, length, layers=1, heads=1, d_model=2, d_head=2), CPU)


def test_a_file_of_min_of_two_is_none_of_this_model():
    """Of its eight tokens one has no logit; here every number is an answer."""
    checkpoint = Checkpoint(FAMILY.reference, "max_of_four", "", small_weights())
    said = "unembed.W_U is 5 x 7, expected 5 x 8 (d_model logit; embed.W_E has 8 tokens)"
    assert said in FAMILY.fits(checkpoint)
