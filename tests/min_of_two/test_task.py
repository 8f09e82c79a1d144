"""The task is that of the write-up, and its draws are what they say."""

from __future__ import annotations

import torch

from mechanistic_claims.measurement.cases import plain
from models.min_of_two.task import Task
from tests.conftest import CPU


def test_the_split_is_that_of_the_write_up():
    """The write-up prints the first five training and held-out inputs of its split (seed 4)."""
    task = Task(200, CPU)
    shuffled = torch.randperm(40_000, generator=torch.Generator().manual_seed(4))
    first_trained = [[7, 130], [182, 0], [110, 155], [82, 8], [126, 97]]
    first_held_out = [[19, 171], [6, 195], [77, 0], [97, 39], [194, 42]]
    assert task.pairs[shuffled[:5]].tolist() == first_trained
    assert task.pairs[shuffled[32_000:32_005]].tolist() == first_held_out
    assert not task.held_out[shuffled[:32_000]].any()
    assert task.held_out[shuffled[32_000:]].all()


def test_inputs_labels_and_positions():
    task = Task(5, CPU)
    assert task.inputs[7].tolist() == [1, 2, 5]
    for (a, b, _), label, largest, lower, upper, gap in zip(
        task.inputs.tolist(),
        task.labels.tolist(),
        task.maximum.tolist(),
        task.min_position.tolist(),
        task.max_position.tolist(),
        task.gap.tolist(),
        strict=True,
    ):
        assert (label, largest, gap) == (min(a, b), max(a, b), abs(a - b))
        assert (a, b)[lower] == min(a, b)
        assert (a, b)[upper] == max(a, b)
        assert {lower, upper} == {0, 1}


def test_mirrored_and_representative():
    task = Task(5, CPU)
    assert torch.equal(task.pairs[task.mirrored], task.pairs.flip(-1))
    stands = task.pairs[task.representative]
    assert torch.equal(stands, task.pairs.sort(dim=-1).values)
    assert len(task.representative.unique()) == 15


def test_a_donor_is_another_number_and_any_other():
    task = Task(6, CPU)
    donor = plain(task.random_donor)
    assert not (donor == task.labels).any()
    assert donor.min() == 0
    assert donor.max() == 5
    large = Task(200, CPU)
    assert len(large.random_donor.unique()) == 200


def test_another_maximum_is_larger_than_the_minimum_and_new_where_it_can_be():
    task = Task(6, CPU)
    inputs = plain(task.inputs_with_another_maximum)
    changed = (inputs != task.inputs).any(dim=-1)
    assert torch.equal(changed, task.differ & (task.labels < 4))
    kept = inputs.gather(-1, task.min_position[:, None]).squeeze(-1)
    assert torch.equal(kept, task.labels)
    other = inputs.gather(-1, task.max_position[:, None]).squeeze(-1)
    assert (other[task.differ] > task.labels[task.differ]).all()
    assert (inputs[:, 2] == task.equals).all()


def test_mean_by_gap():
    task = Task(4, CPU)
    values = task.inputs[:, 0].double()
    by_hand = [values[task.gap == gap].mean() for gap in (1, 2, 3)]
    assert torch.allclose(task.mean_by_gap(values), torch.stack(by_hand))
