"""What the model answers: the next token, where the block was told before."""

import pytest

from mechanistic_claims import evidence, mean, share


@evidence("behavior")
@pytest.mark.parametrize("at_most", [1.0])
def test_the_second_copy_is_predicted(task, activations, verdict, at_most):
    """On the second copy of a block the mean loss is at most {at_most} nat.

    mean over sequences of the mean of −log softmax(logits)[next token] over rows of the second copy

    Blocks are of independent random tokens, so that nothing but the first copy tells the next one.
    Guessing among 64 tokens evenly is 4.16 nats.
    """
    verdict(mean(activations.loss[task.second_copy]), at_most=at_most)


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.8])
def test_the_second_copy_is_answered(task, activations, verdict, at_least):
    """On the second copy of a block the next token is answered.

    mean over sequences of the share of rows of the second copy with logit[next token] > all others

    A tie counts as wrong. In .30 of the rows the token stood there more than once before. Who
    matches one token and prefers the earlier answers .85; who matches two, .98.
    """
    verdict(share(activations.correct[task.second_copy]), at_least=at_least)


@evidence("behavior")
@pytest.mark.parametrize("at_least", [3.0])
def test_it_is_the_first_copy_that_helps(task, activations, verdict, at_least):
    """The loss falls by {at_least} nats or more from the first copy to the second.

    mean loss over rows of the first copy − mean loss over rows of the second copy

    Each is a mean over sequences of the mean over rows.
    """
    first, second = (activations.loss[rows] for rows in (task.first_copy, task.second_copy))
    verdict(mean(first) - mean(second), at_least=at_least)
