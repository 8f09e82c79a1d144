"""Step two of the story: each neuron is of one frequency, and together they know a + b."""

import pytest

from mechanistic_claims import (
    Histogram,
    energy_per_frequency,
    evidence,
    neuron_frequencies,
    quantitative,
    share,
    share_in_frequencies,
    sums_explained,
)


@quantitative
@evidence("activations")
@pytest.mark.parametrize(("explained", "at_least"), [(0.85, 0.6)])
def test_each_is_of_one_frequency(neurons, verdict, explained, at_least):
    """Most neurons are of one frequency, which explains {explained} of their variance or more.

    share of neurons whose variance over (a, b) is explained to {explained} by the 8 terms of one k

    The terms are cos and sin of w_k a, of w_k b, and their four products. Neurons are read at '='
    on every input, after the ReLU.
    """
    found = neuron_frequencies(neurons)
    verdict(
        share(found.share >= explained),
        at_least=at_least,
        picture=Histogram(
            "Neurons by how much one frequency explains of them",
            found.share,
            "share of the variance over (a, b)",
            explained,
            "of one frequency",
            "neurons",
        ),
    )


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.9])
def test_their_sums_are_waves_of_a_plus_b(neurons, neuron_logits, keys, verdict, at_least):
    """What neurons write at the key frequencies is cos and sin of w_k (a + b).

    mean over keys k of the variance of u_k · MLP explained by cos w_k (a + b), and v_k · MLP by sin

    u_k and v_k are what of W_L = W_out W_U writes cos w_k c and sin w_k c to the logits; MLP are
    the neurons at '=' on every input.
    """
    explained = sums_explained(neurons, neuron_logits, keys)
    verdict(explained.mean(), at_least=at_least)


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.97])
def test_they_write_the_key_frequencies(task, neuron_logits, keys, verdict, at_least):
    """Neurons write the key frequencies to the logits, and hardly anything else.

    Σ |W_L F|² over cos and sin of the key frequencies / Σ |W_L F|² over all

    W_L = W_out W_U in float64, centred over the logits: what is the same for all answers is none.
    """
    picture = task.spectrum(
        energy_per_frequency(neuron_logits, axis=1),
        "Spectrum of what neurons write to the logits",
        "squared norm",
        keys,
    )
    verdict(share_in_frequencies(neuron_logits, keys, axis=1), at_least=at_least, picture=picture)
