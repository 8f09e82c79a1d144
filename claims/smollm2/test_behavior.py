"""What the model does: random tokens that come again are predicted."""

import pytest

from mechanistic_claims import evidence, mean


@evidence("behavior")
@pytest.mark.parametrize("at_least", [8])
def test_the_second_half_is_predicted(task, activations, verdict, at_least):
    """Random tokens that come again are predicted: their loss is lower by {at_least} nats or more.

    mean over sequences of loss on the first half − loss on the second

    Sequences are a first token and twice the same 50 random ones. Rows of both halves are those
    whose token is random, and in the second was there before.
    """
    first, second = activations.loss[task.first_half], activations.loss[task.second_half]
    verdict(mean(first - second), at_least=at_least)
