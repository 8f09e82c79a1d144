"""How it does that: heads that attend to what followed the same token before."""

import pytest

from mechanistic_claims import evidence, mean, others_like, quantitative

OTHER_SETS = 8


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.7])
def test_one_matches_the_prefix(task, heads, matching, verdict, at_least):
    """One head attends to what followed the same token before, with {at_least} of its attention.

    mean over sequences and rows of the second half of pattern[q, q − 50 + 1]

    It is the head that does so most on other sequences. Those of another layer share the work.
    """
    layer, index = heads.places[0]
    verdict(
        mean(matching[:, layer, index], between=(0, 1)),
        at_least=at_least,
        picture=task.by_layer(matching, "Prefix matching of each head", "attention"),
    )


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.5])
def test_four_match_it_with_half_of_their_attention(heads, matching, verdict, at_least):
    """Four heads do so with half of their attention or more.

    mean over sequences and rows of the least of the four heads' pattern[q, q − 50 + 1]

    They are the four that do so most on other sequences.
    """
    each = [matching[:, layer, index] for layer, index in heads.places[:4]]
    weakest = each[0].minimum(each[1]).minimum(each[2]).minimum(each[3])
    verdict(mean(weakest, between=(0, 1)), at_least=at_least)


@quantitative
@evidence("activations")
@pytest.mark.parametrize(("length", "at_least"), [(20, 0.65), (100, 0.7)])
def test_they_are_the_same_at_another_length(task, activations, heads, verdict, length, at_least):
    """They are the same heads where {length} tokens come again: {at_least} of the eight or more.

    mean over sequences of the share of the eight that are among its own eight strongest heads

    The eight are picked on sequences in which 50 tokens come again, a sequence's own by their
    prefix matching there.
    """
    other = task.of_length(length)
    own = activations.on(other).by_head(other.prefix_matching)
    verdict(mean(task.share_of_strongest(heads.places, own), between=(0, 1)), at_least=at_least)


@evidence("intervention")
@pytest.mark.parametrize("at_least", [5])
def test_without_them_it_is_lost(task, activations, heads, intervene, verdict, at_least):
    """Without the eight heads the loss on the second half rises by {at_least} nats or more.

    mean over sequences of the rise of the loss on the second half, the eight ablated (mean)

    What they write at each position is replaced by its mean over sequences, in the real model.
    """
    without = intervene.ablate(heads.together, "mean")
    verdict(mean((without.loss - activations.loss)[task.second_half]), at_least=at_least)


@quantitative
@evidence("intervention")
@pytest.mark.parametrize("at_least", [3.5])
def test_without_others_it_is_not(task, activations, heads, intervene, weights, verdict, at_least):
    """No other eight heads of the same layers are missed so: by {at_least} nats less or more.

    mean over sequences of loss without the eight − the greatest loss without one of 8 other sets

    Sets are drawn at random, of as many heads of each layer, none of the eight among them.
    """
    rows = task.second_half
    without = intervene.ablate(heads.together, "mean").loss[rows]
    others = others_like(heads.together, weights, OTHER_SETS)
    most = max((intervene.ablate(one, "mean").loss[rows] for one in others), key=mean)
    verdict(mean(without - most), at_least=at_least)


@evidence("intervention")
@pytest.mark.parametrize("at_least", [1.2])
def test_the_strongest_alone_is_missed(task, activations, heads, intervene, verdict, at_least):
    """Without the strongest head alone the loss rises by {at_least} nats or more.

    mean over sequences of the rise of the loss on the second half, that head ablated (mean)

    It is the one that matches the prefix most on other sequences.
    """
    without = intervene.ablate(heads.strongest, "mean")
    verdict(mean((without.loss - activations.loss)[task.second_half]), at_least=at_least)
