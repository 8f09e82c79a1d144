"""Step one of the story: '=' attends to the smaller operand."""

import math

import pytest

from mechanistic_claims import (
    Row,
    any_size,
    at,
    evidence,
    falling_pairs,
    mean,
    ordered_pairs,
    quantitative,
    refuted,
    share,
)

SHARE, SCORE = "attention (share)", "mean difference of attention scores"


def prefers_the_min(task, activations):
    on_min = activations.attention_to(task.min_position)
    return on_min > activations.attention_to(task.max_position)


@any_size
@evidence("activations")
@pytest.mark.parametrize("operand", ["a", "b"])
@pytest.mark.parametrize("within", [(0.49, 0.51)])
def test_mean_attention_to_each_operand(task, activations, verdict, operand, within):
    """On average '=' pays half of its attention to {operand}.

    mean of A_{operand} over all N² inputs

    A is the softmax attention from '=', read from the model's pattern hook. By symmetry it is one
    half, unless '=' attends elsewhere or to one side.
    """
    paid = activations.attention[:, task.position[operand]]
    picture = task.map(paid, f"Attention from = to {operand}", SHARE)
    verdict(mean(paid), within=within, picture=picture)


@any_size
@evidence("activations")
@pytest.mark.parametrize("at_most", [0.005])
def test_mean_attention_to_itself(task, activations, verdict, at_most):
    """On average '=' pays no attention to itself.

    mean of A_= over all N² inputs

    A is the softmax attention from '=', read from the model's pattern hook. What is left over goes
    to the operands.
    """
    paid = activations.attention[:, task.position["="]]
    picture = task.map(paid, "Attention from = to itself", SHARE)
    verdict(mean(paid), at_most=at_most, picture=picture)


@refuted("where both operands are the greatest, '=' attends to itself")
@evidence("activations")
@pytest.mark.parametrize("at_most", [0.005])
def test_never_attends_to_itself(task, activations, verdict, at_most):
    """'=' never attends to itself, on any input.

    max of A_= over all N² inputs

    A is the softmax attention from '=', read from the model's pattern hook. The exceptions are the
    inputs on which it is above {at_most}.
    """
    paid = activations.attention[:, task.position["="]]
    verdict(
        paid.amax(),
        at_most=at_most,
        exceptions=task.pairs[paid > at_most],
        picture=task.map(paid, "Attention from = to itself", SHARE),
    )


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.99])
def test_more_attention_on_the_min(task, activations, verdict, at_least):
    """When a and b differ, '=' attends more to the min.

    share of inputs with a ≠ b and A_min > A_max

    A is the softmax attention from '=' on every input, read from the model's pattern hook. Equal
    attention counts against the claim.
    """
    prefers_min = prefers_the_min(task, activations)
    verdict(
        share(prefers_min[task.differ]),
        at_least=at_least,
        exceptions=task.pairs[task.differ & ~prefers_min],
    )


@refuted("where the QK row rises, it attends more to the max")
@evidence("activations")
@pytest.mark.parametrize("at_least", [1.0])
def test_always_more_attention_on_the_min(task, activations, verdict, at_least):
    """'=' always attends more to the minimum.

    share of inputs with a ≠ b and A_min > A_max

    A is the softmax attention from '=' on every input, read from the model's pattern hook. One pair
    on which the max gets as much refutes the sentence.
    """
    prefers_min = prefers_the_min(task, activations)
    verdict(
        share(prefers_min[task.differ]),
        at_least=at_least,
        exceptions=task.pairs[task.differ & ~prefers_min],
    )


@evidence("activations")
@pytest.mark.parametrize("smaller", ["a", "b"])
@pytest.mark.parametrize(("paid", "at_least"), [(0.95, 0.9)])
def test_attention_on_the_smaller_operand(task, activations, verdict, smaller, paid, at_least):
    """Where {smaller} is smaller, it gets {paid} of the attention or more.

    share of inputs where {smaller} is smaller that have A_{smaller} ≥ {paid}

    A is the softmax attention from '=', read from the model's pattern hook. Most exceptions are
    neighbors, between which it is split.
    """
    share_of_it = activations.attention[:, task.position[smaller]]
    attends = share_of_it >= paid
    is_smaller = task.differ & (task.min_position == task.position[smaller])
    verdict(
        share(attends[is_smaller]),
        at_least=at_least,
        exceptions=task.pairs[is_smaller & ~attends],
        picture=task.map(
            share_of_it.where(is_smaller, math.nan),
            f"Attention on {smaller}, where it is smaller",
            SHARE,
        ),
    )


@refuted("between neighbors attention is split")
@evidence("activations")
@pytest.mark.parametrize(("paid", "at_least"), [(0.95, 1.0)])
def test_all_attention_on_the_min(task, activations, verdict, paid, at_least):
    """When a and b differ, '=' attends fully to the min: {paid} or more.

    share of inputs with a ≠ b that have A_min ≥ {paid}

    A is the softmax attention from '=', read from the model's pattern hook. One pair with less
    refutes the sentence.
    """
    fully = activations.attention_to(task.min_position) >= paid
    verdict(
        share(fully[task.differ]),
        at_least=at_least,
        exceptions=task.pairs[task.differ & ~fully],
    )


@quantitative
@evidence("activations")
@pytest.mark.parametrize(("gap", "at_least"), [(1, 0.6), (2, 0.75), (5, 0.95), (10, 0.99)])
def test_attention_on_the_min_at_a_gap(task, activations, verdict, gap, at_least):
    """At a gap of {gap}, mean attention on the min is at least {at_least}.

    mean of A_min over inputs with |a − b| = {gap}

    A is the softmax attention from '=', read from the model's pattern hook. An even split would
    give 0.5.
    """
    on_min = activations.attention_to(task.min_position)
    picture = Row(
        "Mean attention on the min, by gap",
        task.mean_by_gap(on_min),
        "gap |a − b|",
        SHARE,
        task.operands[1:] == gap,
        first=1,
        marked_as="the claim's gap",
    )
    verdict(mean(on_min[task.gap == gap]), at_least=at_least, picture=picture)


@any_size
@evidence("activations")
@pytest.mark.parametrize("at_least", [0.99])
def test_preference_for_the_min_grows_with_the_gap(task, activations, verdict, at_least):
    """The larger the gap, the further the min's score is above the max's.

    share of gaps g < h with d(g) < d(h), d(g) = mean of s_min − s_max at |a − b| = g

    s are the attention scores from '=', of q and k, before the softmax. All pairs of gaps from 1 on
    are compared; an exception (g, h) is a pair that does not grow.
    """
    scores = activations.attention_scores
    above = at(scores, task.min_position) - at(scores, task.max_position)
    by_gap = task.mean_by_gap(above)
    grows = falling_pairs(-by_gap)
    smaller_then_larger = 1 + ordered_pairs(len(by_gap))
    verdict(
        share(grows),
        at_least=at_least,
        exceptions=smaller_then_larger[~grows.cpu()],
        picture=Row(
            "Score of the min minus that of the max", by_gap, "gap |a − b|", SCORE, first=1
        ),
    )


@evidence("activations")
@pytest.mark.parametrize(("tolerance", "at_least"), [(0.01, 0.97)])
def test_attention_is_split_evenly_between_equals(task, activations, verdict, tolerance, at_least):
    """When a = b, each gets half of the attention, within {tolerance}.

    share of inputs with a = b that have |A_a − 0.5| ≤ {tolerance} and |A_b − 0.5| ≤ {tolerance}

    A is the softmax attention from '=', read from the model's pattern hook. What '=' pays to itself
    is missing from both.
    """
    to_operands = activations.attention[:, task.operand_positions]
    even = ((to_operands - 0.5).abs() <= tolerance).all(dim=-1)
    verdict(
        share(even[~task.differ]),
        at_least=at_least,
        exceptions=task.pairs[~task.differ & ~even],
    )
