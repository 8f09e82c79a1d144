"""Step one of the story: the last place attends to the greatest number."""

import pytest

from mechanistic_claims import Row, evidence, mean, quantitative, share

SHARE = "attention (share)"


def prefers_the_max(task, activations):
    paid = activations.attention
    on_others = paid.masked_fill(task.is_max, 0.0).amax(dim=-1)
    return paid.masked_fill(~task.is_max, 0.0).amax(dim=-1) > on_others


def on_the_max(task, activations):
    return (activations.attention * task.is_max).sum(dim=-1)


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.99])
def test_more_attention_on_the_max(task, activations, verdict, at_least):
    """The last place attends more to the max than to any other number.

    share of random lists of several numbers with A_i > A_j for some i with x_i = max and every j
    with x_j ≠ max

    A is the softmax attention from the last place, read from the model's pattern hook. Equal
    attention counts against the claim.
    """
    prefers = prefers_the_max(task, activations)
    verdict(
        share(prefers[task.differ]),
        at_least=at_least,
        exceptions=task.inputs[task.differ & ~prefers],
        picture=task.map(on_the_max(task, activations), "Attention on the max", SHARE),
    )


@quantitative
@evidence("activations")
@pytest.mark.parametrize(("gap", "at_least"), [(1, 0.7), (2, 0.85), (3, 0.93), (5, 0.98)])
def test_attention_on_the_max_at_a_gap(task, activations, verdict, gap, at_least):
    """Where the max leads by {gap}, mean attention on it is at least {at_least}.

    mean of Σ A_i over x_i = max, over random lists with max − (greatest other number) = {gap}

    A is the softmax attention from the last place, read from the model's pattern hook.
    """
    paid = on_the_max(task, activations)
    picture = Row(
        "Mean attention on the max, by gap",
        task.mean_by_gap(paid),
        "gap max − (greatest other number)",
        SHARE,
        task.tokens[1:] == gap,
        first=1,
        marked_as="the claim's gap",
    )
    verdict(mean(paid[task.gap == gap], between=(0, 1)), at_least=at_least, picture=picture)
