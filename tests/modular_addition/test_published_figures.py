"""What its authors measured of a public checkpoint, measured here: to six digits.

Chughtai et al. 2023 (arXiv 2302.03025), rep_theory/batch_experiments/C113_T_seed1. Losses without a
frequency are over their training split, all others over all pairs. Their figures of neurons are no
oracle: a QR of four columns of rank two adds noise to them.
"""

from __future__ import annotations

import json

import pytest
import torch

from mechanistic_claims import (
    cross_entropy,
    energy_per_frequency,
    key_frequencies,
    logit_similarity,
    logit_variance_explained,
    restricted_logits,
)
from tests.conftest import REAL, subject_of

CHECKPOINT = REAL.with_name("modular_addition_C113_T_seed1.pt")
FIGURES = CHECKPOINT.with_suffix(".json")
TRAINING_SHARE = 0.3
TRACE = "logit_freq_{}_rep_trace_similarity"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FIGURES.exists(), reason=f"the public {CHECKPOINT.name} is not here"),
]


@pytest.fixture(scope="module")
def published():
    return json.loads(FIGURES.read_text())


@pytest.fixture(scope="module")
def measured():
    """Each figure under its authors' name for it."""
    with torch.no_grad():
        subject = subject_of(CHECKPOINT, "modular_addition")
        return {**of_logits(subject), **of_weights(subject)}


def of_logits(subject):
    logits, labels = subject.activations.logits.double(), subject.task.labels
    keys, similarity = key_frequencies(logits), logit_similarity(logits)
    torch.manual_seed(1)
    order = torch.randperm(len(labels))
    trained, others = order.tensor_split([int(TRAINING_SHARE * len(order))])
    loss = subject.activations.loss
    found = {"all_loss": loss.mean(), "train_loss": loss[trained].mean()}
    found["test_loss"] = loss[others].mean()
    for k in keys:
        alone = restricted_logits(logits, [k])
        without = cross_entropy(logits - alone, labels)[trained].mean()
        found[TRACE.format(k)] = similarity[k]
        found[f"logit_excluded_loss_freq_{k}_rep"] = without
        found[f"logit_restricted_loss_freq_{k}_rep"] = cross_entropy(alone, labels).mean()
    without = cross_entropy(logits - restricted_logits(logits, keys), labels)
    found["total_logit_excluded_loss"] = without[trained].mean()
    return found | {"percent_logits_explained": logit_variance_explained(logits, keys)}


def of_weights(subject):
    """Shares of the squared norm of W_E, and of W_out W_U, which they don't centre."""
    weights, p = subject.weights, subject.task.order
    neuron_logits = weights["blocks.0.mlp.W_out"] @ weights.W_U
    energies = {
        "x_embed": energy_per_frequency(weights.W_E[:p]),
        "unembed": energy_per_frequency(neuron_logits, axis=1),
    }
    keys = key_frequencies(subject.activations.logits)
    found = {}
    for name, energy in energies.items():
        share = energy / energy.sum()
        found |= {f"percent_{name}_freq_{k}_rep": share[k] for k in keys}
        found[f"percent_{name}_explained"] = share[keys].sum()
    return found


def test_the_authors_figures_to_six_digits(measured, published, show):
    """In float32, which theirs are: a rounding of it is 6e-8 of a number, and there are many."""
    lines = [f"{name:40} {published[name]:<15.9g} {float(measured[name]):.9g}" for name in measured]
    show("published, and measured here", "\n".join(lines))
    assert len(measured) == 22
    for name, found in measured.items():
        assert float(found) == pytest.approx(published[name], rel=2e-6), name


def test_their_keys_are_those_found_here(measured, published):
    """The frequencies whose similarity is .05 or more, in their figures."""
    theirs = {k for k in range(1, 57) if published[TRACE.format(k)] >= 0.05}
    assert theirs == {16, 30, 56}
    assert {k for k in range(1, 57) if TRACE.format(k) in measured} == theirs


def test_explained_is_the_sum_of_squares_of_theirs(measured, published):
    by_hand = sum(published[TRACE.format(k)] ** 2 for k in (16, 30, 56))
    assert measured["percent_logits_explained"] == pytest.approx(by_hand, rel=1e-6)
