"""Step one of the story: the embedding gives cosines and sines of a few frequencies."""

import pytest

from mechanistic_claims import (
    energy_per_frequency,
    evidence,
    quantitative,
    refuted,
    share,
    share_in_frequencies,
)


def with_only(frequencies, task, activations, weights, intervene):
    """The model with each number's embedding cut to its mean and some frequencies."""
    of_number = task.only(frequencies, weights.W_E[: task.order]).to(activations.logits.dtype)
    written = activations.read("hook_embed")
    return intervene.put("hook_embed", task.embedded(of_number, written))


@quantitative
@evidence("weights")
@pytest.mark.parametrize("at_least", [0.85])
def test_it_is_of_the_key_frequencies(task, weights, keys, verdict, at_least):
    """The embedding of the numbers is of the key frequencies.

    Σ |F W_E|² over cos and sin of the key frequencies / Σ |F W_E|² over all

    F is the Fourier basis of the p numbers, W_E is read from the stored weights. Keys are the
    checkpoint's own: cos w_k (a + b − c) has a cosine of 0.05 or more with its logits.
    """
    embedding = weights.W_E[: task.order]
    picture = task.spectrum(
        energy_per_frequency(embedding), "Spectrum of the embedding", "squared norm", keys
    )
    verdict(share_in_frequencies(embedding, keys), at_least=at_least, picture=picture)


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.95])
def test_nothing_else_in_it_is_needed(
    task, activations, weights, keys, intervene, verdict, at_least
):
    """With only the key frequencies of the embedding, the model answers (a + b) mod p.

    share of the p² inputs answered rightly with W_E replaced by its projection on keys and mean

    The embedding of each number is replaced in the real model through its hook, that of '=' stays.
    A tie counts as wrong.
    """
    right = with_only(keys, task, activations, weights, intervene).answers(task.labels)
    verdict(share(right), at_least=at_least, exceptions=task.pairs[~right])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.9])
def test_without_them_the_answer_is_lost(
    task, activations, weights, keys, intervene, verdict, at_least
):
    """Without the key frequencies in the embedding the right answer is lost.

    share of the p² inputs that are right, and wrong with the keys taken out of W_E

    All other frequencies of each number's embedding stay, in the real model through its hook.
    """
    others = [k for k in range(1, task.order // 2 + 1) if k not in keys]
    without = with_only(others, task, activations, weights, intervene)
    lost = activations.correct & ~without.answers(task.labels)
    verdict(share(lost), at_least=at_least, exceptions=task.pairs[~lost])


@refuted("another frequency stands in for one of them")
@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.9])
def test_each_of_them_is_needed(task, activations, weights, keys, intervene, verdict, at_least):
    """Without any one of the key frequencies in the embedding the right answer is lost.

    min over keys k of the share of inputs that are right, and wrong with k taken out of W_E

    All other frequencies of each number's embedding stay, in the real model through its hook.
    """

    def lost(key):
        others = [k for k in range(1, task.order // 2 + 1) if k != key]
        without = with_only(others, task, activations, weights, intervene)
        return share(activations.correct & ~without.answers(task.labels))

    verdict(min(map(lost, keys)), at_least=at_least)
