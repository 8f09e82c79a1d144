"""Step three of the story: the logits add up cos w_k (a + b - c) over the key frequencies."""

import pytest

from mechanistic_claims import (
    any_size,
    cross_entropy,
    distance_irrelevance,
    evidence,
    key_frequencies,
    logit_variance_explained,
    mean,
    ratio,
    restricted_logits,
    rival,
)


@any_size
@evidence("activations")
@pytest.mark.parametrize("within", [(2, 5)])
def test_there_are_few_keys(task, activations, similarity, verdict, within):
    """The model has two to five key frequencies.

    number of k with cosine(logits, cos w_k (a + b − c)) ≥ 0.05

    Logits are those of the real model on all pairs, centred over c; both are vectors of p³ entries.
    """
    keys = key_frequencies(activations.logits)
    picture = task.spectrum(similarity, "Logits by frequency", "cosine with cos w(a + b - c)", keys)
    verdict(len(keys), within=within, picture=picture)


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.93])
def test_they_are_waves_of_the_key_frequencies(
    task, activations, similarity, keys, verdict, at_least
):
    """The logits are waves of the key frequencies in a + b − c.

    Σ over keys k of cosine(logits, cos w_k (a + b − c))²

    Of the logits on all pairs, centred over c, the share of their squared norm along these waves,
    which are orthogonal.
    """
    picture = task.spectrum(similarity.square(), "Share of the logits by frequency", "share", keys)
    explained = logit_variance_explained(activations.logits, keys)
    verdict(explained, at_least=at_least, picture=picture)


@any_size
@evidence("activations")
@pytest.mark.parametrize("at_most", [0.99])
def test_nothing_else_in_them_helps(task, activations, keys, verdict, at_most):
    """Without all else in the logits it answers better: the loss is lower.

    loss of the logits projected on cos w_k (a + b − c) of the keys / loss of the logits

    The restricted loss of the paper, over all pairs, in float64.
    """
    restricted = cross_entropy(restricted_logits(activations.logits, keys), task.labels)
    verdict(ratio(mean(restricted), mean(activations.loss)), at_most=at_most)


@evidence("activations")
@pytest.mark.parametrize("at_least", [10.0])
def test_each_key_is_used(activations, keys, loss_without, verdict, at_least):
    """Each key is used: without any of them in the logits the loss is at least {at_least} times.

    min over keys k of loss(logits − their part along cos w_k (a + b − c)) / loss(logits)

    Removed from the logits and not from the embedding: there another frequency may stand in.
    """
    verdict(ratio(loss_without[keys].min(), mean(activations.loss)), at_least=at_least)


@evidence("activations")
@pytest.mark.parametrize("at_least", [8.0])
def test_no_other_is_used_like_them(keys, loss_without, verdict, at_least):
    """No other frequency is used: without a key the loss is {at_least} times that without another.

    min over keys k of loss(logits without k) / max over other k of loss(logits without k)

    Without k means less their part along cos w_k (a + b − c). Losses are over all pairs.
    """
    others = [k for k in range(1, len(loss_without)) if k not in keys]
    verdict(ratio(loss_without[keys].min(), loss_without[others].max()), at_least=at_least)


@rival
@evidence("activations")
@pytest.mark.parametrize("at_most", [0.4])
def test_it_averages_angles(activations, verdict, at_most):
    """It averages the two angles instead of adding them: it is a pizza and no clock.

    mean over d of std of L[a, a + d] over a / std of L[a, b] over all pairs

    L is the correct logit. Pizzas are sure of their answer by how far a is from b, and have a
    distance irrelevance near 0.2; clocks are above 0.5 (Zhong et al. 2023, arXiv 2306.17844).
    """
    verdict(distance_irrelevance(activations.logits), at_most=at_most)
