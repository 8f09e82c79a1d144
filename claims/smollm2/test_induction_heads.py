"""How it does that: heads that attend to what followed the same token before."""

from functools import reduce

import pytest

from mechanistic_claims import Beside, evidence, head, mean, others_like, quantitative, refuted

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
        picture=task.by_layer(
            matching, "Prefix matching of each head", "attention", heads.places[:1]
        ),
    )


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.5])
def test_four_match_it_with_half_of_their_attention(
    task, activations, heads, matching, verdict, at_least
):
    """Four heads do so with half of their attention or more.

    mean over sequences and rows of the least of the four heads' pattern[q, q − 50 + 1]

    They are the four that do so most on other sequences.
    """
    each = [matching[:, layer, index] for layer, index in heads.places[:4]]
    weakest = each[0].minimum(each[1]).minimum(each[2]).minimum(each[3])
    short = activations.on(task.shown)
    patterns = {one: short.pattern(one) for one in (head(*place) for place in heads.places[:4])}
    picture = task.shown.attention(patterns, "Attention of four induction heads")
    verdict(mean(weakest, between=(0, 1)), at_least=at_least, picture=picture)


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


@quantitative
@evidence("activations")
@pytest.mark.parametrize("at_least", [0.65])
def test_they_are_the_same_after_another_first_token(task, activations, heads, verdict, at_least):
    """They are the same heads after the token that begins a message: {at_least} of the eight.

    mean over sequences of the share of the eight that are among its own eight strongest heads

    A text begins with token 0, a message with token 1.
    """
    other = task.beginning_otherwise
    own = activations.on(other).by_head(other.prefix_matching)
    verdict(mean(task.share_of_strongest(heads.places, own), between=(0, 1)), at_least=at_least)


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.65])
def test_five_of_them_copy(copying, heads, verdict, at_least):
    """Five of them copy what they attend to, in context: {at_least} of the time or more.

    mean over sequences of the least of the five of the share of positions t, j with
    logit[x_t] written of t > logit[x_t] written of j

    What a head would write of a position, were all of its attention there, goes to the logits
    through the gain of the last norm. They are those of later layers than the earliest.
    """
    least = reduce(lambda one, other: one.minimum(other), copying[heads.later])
    verdict(mean(least, between=(0, 1)), at_least=at_least)


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.1])
def test_the_earliest_do_not_copy(copying, heads, verdict, at_least):
    """Those of the earliest layer do not copy: by {at_least} less often than the others or more.

    mean over sequences of the mean copying of the later ones − that of the earliest

    Copying is counted as above, and is a half by chance. They match the prefix as well as the
    others; later heads read what they write.
    """
    earliest, later = (sum(copying[some]) / len(some) for some in (heads.earliest, heads.later))
    verdict(mean(later - earliest, between=(-1, 1)), at_least=at_least)


@refuted("half of them do not: directions turn between a token's embedding and what heads read")
@evidence("weights")
@pytest.mark.parametrize("at_least", [0.5])
def test_each_copies_by_its_eigenvalues(copying_scores, verdict, at_least):
    """The OV circuit of each copies, by its eigenvalues.

    min over the eight of Σ λ / Σ |λ|, λ of W_E W_V W_O W_U

    Norms are left out (Elhage et al. 2021). Five of the eight do copy, in context.
    """
    verdict(min(copying_scores), at_least=at_least)


@evidence("intervention")
@pytest.mark.parametrize("how", ["mean", "zero"])
@pytest.mark.parametrize("at_least", [5])
def test_without_them_it_is_lost(task, activations, heads, intervene, verdict, how, at_least):
    """Without the eight heads ({how}) the loss on the second half rises by {at_least} nats or more.

    mean over sequences of the rise of the loss on the second half, the eight ablated

    What they write at each position is replaced by its mean over sequences, or by nothing.
    """
    without = intervene.ablate(heads.together, how)
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
    sets = others_like(heads.together, weights, OTHER_SETS)
    others = [intervene.ablate(one, "mean").loss[rows] for one in sets]
    picture = Beside(
        "Without eight heads of these layers",
        mean(without),
        [*map(mean, others)],
        "loss on the second half, nats",
        {"none ablated": mean(activations.loss[rows]), "others at most": mean(without) - at_least},
    )
    verdict(mean(without - max(others, key=mean)), at_least=at_least, picture=picture)


@evidence("intervention")
@pytest.mark.parametrize("at_least", [1.2])
def test_the_strongest_alone_is_missed(task, activations, heads, intervene, verdict, at_least):
    """Without the strongest head alone the loss rises by {at_least} nats or more.

    mean over sequences of the rise of the loss on the second half, that head ablated (mean)

    It is the one that matches the prefix most on other sequences.
    """
    without = intervene.ablate(heads.strongest, "mean")
    verdict(mean((without.loss - activations.loss)[task.second_half]), at_least=at_least)
