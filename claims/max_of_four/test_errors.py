"""Where the model is wrong, and that its weights say so."""

import pytest

from mechanistic_claims import (
    decomposed_logits,
    decomposed_scores,
    evidence,
    margin,
    precondition,
    share,
)


@precondition
@evidence("weights")
@pytest.mark.parametrize("at_least", [0.999])
def test_the_weights_alone_tell_which_lists_are_wrong(
    task, activations, circuits, verdict, at_least
):
    """The lists wrong by the weights alone are those it gets wrong.

    share of decided random lists on which sign(margin by the weights) = sign(margin of the real
    model)

    The margin by the weights is of softmax(QK) · OV + direct path, of tokens and places, in float64
    without a run. A list is decided if it is further from a tie than what rounding may lose of two
    logits in the model's dtype.
    """
    attention = decomposed_scores(circuits, task.inputs).softmax(dim=-1)
    by_weights = margin(decomposed_logits(circuits, task.inputs, attention), task.labels)
    lost = activations.rounding.runs(task.inputs, attention).squeeze(-1)
    decided = by_weights.abs() > 2 * lost
    agree = activations.correct == (by_weights > 0)
    verdict(
        share(agree[decided]),
        at_least=at_least,
        exceptions=task.inputs[decided & ~agree],
        picture=task.map(by_weights, "Margins by the weights", "logits"),
    )


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.998])
def test_only_near_numbers_are_confused(task, activations, verdict, at_least):
    """Only near numbers are confused: where the max leads by 3 it is right.

    share of random lists with max − (greatest other number) ≥ 3 with logit[max] > all others

    The real model is run on lists drawn evenly with a fixed seed. An exception is a wrong answer to
    numbers that are further apart.
    """
    apart = task.gap >= 3
    wrong = apart & ~activations.correct
    verdict(share(activations.correct[apart]), at_least=at_least, exceptions=task.inputs[wrong])
