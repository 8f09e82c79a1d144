"""What the models are trained on, and what their accuracy is of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.induction import training as induction
from models.max_of_four import training as maximum
from models.modular_addition import training as addition
from tests.model.bridges import bridge_of
from tests.model.recipes import ADDITION, INDUCTION, MAXIMUM


@torch.enable_grad()
def test_accuracy_of_addition_is_over_all_pairs():
    run = addition.Training(replace(ADDITION, training_share=0.8))
    for _ in range(60):
        run.advance()
    network = bridge_of(run.weights_of(0))
    correct = 0
    for a in range(7):
        for b in range(7):
            logits = network(torch.tensor([[a, b, 7]]))[0, -1].tolist()
            answer = logits.pop((a + b) % 7)
            correct += answer > max(logits)
    assert 0.2 < run.accuracy() < 1
    assert run.accuracy() == pytest.approx(correct / 49)


@torch.enable_grad()
def test_accuracy_of_induction_is_over_the_second_copy():
    """Row t of a block of s: s <= t < 2s."""
    run = induction.Training(INDUCTION)
    for _ in range(150):
        run.advance()
    tokens, lengths = induction.sequences(INDUCTION, 256, 2**40)
    logits = bridge_of(run.weights_of(0))(tokens[:, :-1]).tolist()
    correct = []
    for of_sequence, sequence, length in zip(
        logits, tokens.tolist(), lengths.tolist(), strict=True
    ):
        for row in range(length, 2 * length):
            answer = of_sequence[row].pop(sequence[row + 1])
            correct.append(answer > max(of_sequence[row]))
    assert 0.2 < run.accuracy() < 1
    assert run.accuracy() == pytest.approx(sum(correct) / len(correct))


@torch.enable_grad()
def test_accuracy_of_the_maximum_is_at_the_last_number():
    run = maximum.Training(MAXIMUM)
    for _ in range(30):
        run.advance()
    lists = maximum.lists(MAXIMUM, 2**14, 2**40)
    every, correct = torch.cartesian_prod(*[torch.arange(6)] * 3), []
    answered = bridge_of(run.weights_of(0))(every)[:, -1].tolist()
    for numbers, logits in zip(every.tolist(), answered, strict=True):
        answer = logits.pop(max(numbers))
        correct.append(answer > max(logits))
    drawn = (lists @ torch.tensor([36, 6, 1])).tolist()
    assert 0.2 < run.accuracy() < 1
    assert run.accuracy() == pytest.approx(sum(correct[at] for at in drawn) / 2**14)


def test_sequences_repeat_blocks_of_independent_tokens():
    recipe = induction.Recipe()
    tokens, lengths = induction.sequences(recipe, 4000, seed=0)
    assert tokens.shape == (4000, 65)
    for sequence, length in zip(tokens[:200].tolist(), lengths.tolist(), strict=False):
        assert sequence[length:] == sequence[: 65 - length]
    counts = lengths.bincount(minlength=40)
    assert not counts[:8].any()
    assert not counts[33:].any()
    assert counts[8:33].min() > 100  # of 160
    first, second = tokens[:, 0], tokens[:, 1]
    assert (first == second).double().mean().item() == pytest.approx(1 / 64, abs=0.008)
    assert first.bincount(minlength=64).min() > 30  # of 62


def test_each_seed_and_step_has_data_of_its_own():
    drawn = {}
    for seed in range(3):
        for step in range(3):
            at = seed * induction.STEPS_OF_A_SEED + step
            tokens, _ = induction.sequences(INDUCTION, 8, at)
            again, _ = induction.sequences(INDUCTION, 8, at)
            assert torch.equal(tokens, again)
            drawn[seed, step] = str(tokens.tolist())
    assert len(set(drawn.values())) == 9


def test_lists_are_of_numbers_that_are_as_frequent():
    lists = maximum.lists(maximum.Recipe(), 4000, seed=0)
    assert lists.shape == (4000, 4)
    assert lists.flatten().bincount(minlength=64).min() > 190  # of 250
    first, last = lists[:, 0], lists[:, -1]
    assert (first == last).double().mean().item() == pytest.approx(1 / 64, abs=0.008)


def test_every_pair_has_its_sum():
    inputs, labels = addition.every_input(3)
    sums = {(0, 0): 0, (0, 1): 1, (0, 2): 2, (1, 0): 1, (1, 1): 2}
    sums |= {(1, 2): 0, (2, 0): 2, (2, 1): 0, (2, 2): 1}
    assert [(a, b) for a, b, _ in inputs.tolist()] == list(sums)
    assert labels.tolist() == list(sums.values())
    assert inputs[:, 2].tolist() == [3] * 9
    splits = [set(addition.trained_on(9, 0.3, seed).tolist()) for seed in range(3)]
    assert [len(split) for split in splits] == [24, 24, 24]  # .3 of 81 is 24.3
    assert splits[0] != splits[1] != splits[2]
