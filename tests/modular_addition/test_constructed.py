"""Models written by hand: what they answer is known, and how, and the suite has to find it."""

from __future__ import annotations

import math

import pytest
import torch

from mechanistic_claims import key_frequencies, logit_similarity
from models.modular_addition.constructed import AMPLITUDE, ATTENDED, CONSTRUCTED, HEADS_A_KEY, KEYS
from tests.conftest import subject_of

SIZES = (31, 59)
ONE_TOO_MANY = "add_one_more"


@pytest.fixture
def made(tmp_path):
    """The real model of an algorithm."""

    def made(name, p):
        path = tmp_path / f"{name}{p}.pt"
        torch.save(CONSTRUCTED[name](p), path)
        return subject_of(path, "modular_addition")

    return made


def pairs(p):
    """a and b of each pair, and every answer c, as columns and a row that broadcast."""
    numbers = torch.arange(p).double()
    return numbers.repeat_interleave(p)[:, None], numbers.repeat(p)[:, None], numbers


def close(logits, expected, within):
    return torch.allclose(logits.double(), expected, rtol=0, atol=within)


@pytest.mark.parametrize("p", SIZES)
@pytest.mark.parametrize("algorithm", CONSTRUCTED)
def test_the_model_answers_what_its_algorithm_says(made, algorithm, p):
    """By the real model on every input."""
    if (algorithm, p) in {("look_up_pairs", 59), ("look_up_waves", 59)}:
        pytest.skip("a neuron for each of 3,481 pairs: 31 numbers say the same")
    activations = made(algorithm, p).activations
    a, b, _ = pairs(p)
    expected = (a + b + (algorithm == ONE_TOO_MANY)).flatten() % p
    assert torch.equal(activations.prediction, expected.long())
    assert bool(activations.correct.all()) == (algorithm != ONE_TOO_MANY)


def test_the_story_has_the_logits_of_its_keys(made):
    """The wave of each key has the amplitude 20, and overtones at most a tenth of it."""
    logits = made("add_angles", 31).activations.logits
    a, b, c = pairs(31)
    by_hand = sum(AMPLITUDE * torch.cos(2 * math.pi * k / 31 * (a + b - c)) for k in KEYS)
    assert close(logits, by_hand, within=len(KEYS) * AMPLITUDE / 10)
    assert not close(logits, by_hand, within=0.1)
    assert key_frequencies(logits) == list(KEYS)


@pytest.mark.parametrize("p", SIZES)
def test_a_pizza_is_as_sure_as_the_two_are_near(made, p):
    """|cos w_k (a - b) / 2| of the wave, which is 2 / pi of it on average."""
    logits = made("average_angles", p).activations.logits
    a, b, c = pairs(p)
    by_hand = sum(
        AMPLITUDE
        * (math.pi / 2)
        * torch.cos(math.pi * k / p * (a - b)).abs()
        * torch.cos(2 * math.pi * k / p * (a + b - c))
        for k in KEYS
    )
    assert close(logits, by_hand, within=AMPLITUDE / 50)


def test_tables_have_the_entries_that_were_written(made):
    a, b, c = pairs(31)
    right = ((a + b - c) % 31 == 0).double()
    of_waves = sum(torch.cos(2 * math.pi * k / 31 * (a + b - c)) for k in KEYS)
    assert close(made("look_up_pairs", 31).activations.logits, AMPLITUDE * right, within=1e-5)
    assert close(made("count_along_a_line", 31).activations.logits, AMPLITUDE * right, within=1e-2)
    assert close(made("look_up_waves", 31).activations.logits, AMPLITUDE * of_waves, within=1e-4)


def test_heads_alone_multiply(made):
    """Attention to '=' beside weights of 2 + cos, written down by hand; neurons never fire."""
    subject = made("multiply_by_attending", 31)
    a, b, c = pairs(31)
    by_hand = torch.zeros(31 * 31, 31).double()
    for k in KEYS:
        for i in range(HEADS_A_KEY):
            w, phase = 2 * math.pi * k / 31, 2 * math.pi * i / HEADS_A_KEY
            paid = 1 / (1 + 2 + torch.cos(w * a - phase) + 2 + torch.cos(w * b - phase))
            by_hand += ATTENDED * paid * torch.cos(w * c - 2 * phase)
    assert close(subject.activations.logits, by_hand, within=0.01)
    assert not subject.activations.neurons(0).any()


def test_a_key_that_is_hardly_used_is_a_key(made):
    """Its similarity is a tenth of the others', and these are 1 / sqrt(3.01)."""
    logits = made("use_one_key_hardly", 31).activations.logits
    assert key_frequencies(logits) == [7, *KEYS]
    assert float(logit_similarity(logits)[7]) == pytest.approx(0.1 / math.sqrt(3.01), rel=0.01)
