"""What the claims about modular addition share."""

import pytest

from mechanistic_claims import key_frequencies, logit_similarity, losses_without

MOST = 5
"""The paper's model has five key frequencies."""


@pytest.fixture(scope="session")
def similarity(activations):
    """How much of the logits is cos w_k (a + b - c), for each frequency k: a cosine."""
    return logit_similarity(activations.logits)


@pytest.fixture(scope="session")
def keys(activations, similarity):
    """The checkpoint's own key frequencies, the five strongest; if it has none, the nearest to one.

    More would say nothing: a table has them all, and all that there is, is of its key frequencies.
    """
    of_waves = similarity[1:]
    strongest = (of_waves.topk(min(MOST, len(of_waves))).indices + 1).tolist()
    found = key_frequencies(activations.logits)
    return sorted(k for k in strongest if k in found or not found)


@pytest.fixture(scope="session")
def neurons(activations):
    """The neurons at '=' on every input, after the activation function."""
    return activations.neurons(0)


@pytest.fixture(scope="session")
def neuron_logits(weights):
    """W_L = W_out W_U: what each neuron writes to the logits, centred over them."""
    written = weights["blocks.0.mlp.W_out"] @ weights.W_U
    return written - written.mean(dim=-1, keepdim=True)


@pytest.fixture(scope="session")
def loss_without(activations):
    """The mean loss without each frequency in the logits; [0] is that of the logits as they are."""
    return losses_without(activations.logits)
