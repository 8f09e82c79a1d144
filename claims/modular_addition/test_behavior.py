"""What the model answers: (a + b) mod p. The correct logit must be strictly the greatest."""

import pytest

from mechanistic_claims import any_size, evidence, mean, share


@any_size
@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.999])
def test_accuracy_on_all_inputs(task, activations, verdict, at_least):
    """The model answers (a + b) mod p.

    share of the p² inputs with logit[(a + b) mod p] > every other logit

    The real model is run on every pair, those that it was trained on and the others. A tie counts
    as wrong.
    """
    verdict(
        share(activations.correct),
        at_least=at_least,
        exceptions=task.pairs[~activations.correct],
        picture=task.map(activations.margin, "Correct logit minus the greatest other", "logits"),
    )


@any_size
@evidence("behavior")
@pytest.mark.parametrize("at_most", [1e-3])
def test_it_is_sure(activations, verdict, at_most):
    """It is sure of its answers: the mean loss is at most {at_most} nats.

    mean of −log softmax(logits)[(a + b) mod p] over the p² inputs

    In float64, from the logits of the real model. A model that has only learned its training pairs
    by heart has a loss of several nats.
    """
    verdict(mean(activations.loss), at_most=at_most)
