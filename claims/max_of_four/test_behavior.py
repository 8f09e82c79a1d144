"""What the model answers: the max. The correct logit must be strictly the greatest."""

import pytest

from mechanistic_claims import evidence, refuted, share


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.99])
def test_accuracy(task, activations, verdict, at_least):
    """The model answers the greatest number of a list.

    share of random lists with logit[max] > every other logit

    The real model is run on lists drawn evenly with a fixed seed, in its own dtype. A tie counts as
    wrong. Of lists of four out of 64 numbers the published models answer .9915 to .9999.
    """
    verdict(
        share(activations.correct),
        at_least=at_least,
        exceptions=task.inputs[~activations.correct],
        picture=task.map(activations.margin, "Correct logit minus the greatest other", "logits"),
    )


@refuted("neighbors are confused, and the smallest numbers, which are hardly ever the max")
@evidence("behavior")
@pytest.mark.parametrize("at_least", [1])
def test_every_answer_is_right(task, activations, verdict, at_least):
    """It answers the greatest number of every list that is drawn.

    share of random lists with logit[max] > every other logit

    The real model is run on lists drawn evenly with a fixed seed, in its own dtype. A tie counts as
    wrong. One wrong list refutes it.
    """
    right = activations.correct
    verdict(share(right), at_least=at_least, exceptions=task.inputs[~right])
