"""Step one of the story: a head of the first layer attends to the previous token."""

import pytest

from mechanistic_claims import evidence, mean, others_like, previous_token


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.75])
def test_it_attends_to_the_previous_token(task, weights, activations, heads, verdict, at_least):
    """A head of the first layer attends to the previous token.

    mean over sequences of A[q, q − 1] over rows q of the first copy

    A is the softmax attention of the head, read from the model's pattern hook. Rows of the first
    copy are those that later serve as keys.
    """

    def score(one):
        paid = previous_token(activations.pattern(one), task.in_first_copy)
        return mean(paid, between=(0, 1))

    pattern = activations.pattern(heads.previous_token)
    verdict(
        score(heads.previous_token),
        at_least=at_least,
        beside=map(score, others_like(heads.previous_token, weights)),
        picture=task.attention(
            {heads.previous_token: pattern}, "Attention of the previous-token head"
        ),
    )


@evidence("intervention")
@pytest.mark.parametrize("how", ["mean", "zero"])
@pytest.mark.parametrize("at_least", [2.5])
def test_without_it_the_copy_is_lost(
    task, weights, activations, heads, intervene, verdict, how, at_least
):
    """Without it (ablated: {how}) the loss on the second copy rises by {at_least} nats or more.

    mean over sequences of the rise of the loss over rows of the second copy

    What the head writes is replaced at every position, by its mean over sequences or by zero, and
    all that follows is run anew.
    """

    def rise(one):
        risen = intervene.ablate(one, how).loss - activations.loss
        return mean(risen[task.second_copy])

    verdict(
        rise(heads.previous_token),
        at_least=at_least,
        beside=map(rise, others_like(heads.previous_token, weights)),
    )


@evidence("intervention")
@pytest.mark.parametrize("at_least", [2.0])
def test_no_other_head_of_its_layer_does_it(task, activations, heads, intervene, verdict, at_least):
    """Without the other heads of its layer far less is lost: by {at_least} nats or more.

    loss over the second copy without the head − loss without all other heads of its layer

    Each ablated to its mean over sequences, at every position.
    """
    without, without_others = (
        intervene.ablate(component, "mean").loss[task.second_copy]
        for component in (heads.previous_token, heads.others)
    )
    patterns = {one: activations.pattern(one) for one in heads.previous_token + heads.others}
    verdict(
        mean(without - without_others),
        at_least=at_least,
        picture=task.attention(patterns, "Attention of the heads of the first layer"),
    )
