"""Where the model is wrong, and that its weights say so."""

import pytest

from mechanistic_claims import (
    any_size,
    decomposed_logits,
    evidence,
    margin,
    precondition,
    share,
)


@precondition
@evidence("weights")
@pytest.mark.parametrize("at_most", [0.0])
def test_the_weights_alone_tell_which_inputs_are_wrong(
    task, activations, circuits, verdict, at_most
):
    """The inputs wrong by the weights alone are those it gets wrong.

    share of decided inputs on which sign(margin by the weights) ≠ sign(margin of the real model)

    The margin by the weights is of softmax(QK[=, t]) · OV + direct path in float64, without a run.
    An input is decided if it is further from a tie than what rounding may lose of two logits in the
    model's dtype; the picture shows the margins and circles what the model gets wrong.
    """
    attention = circuits.qk().matrix[task.equals, task.inputs].softmax(dim=-1)
    by_weights = margin(decomposed_logits(circuits, task.inputs, attention), task.labels)
    lost = activations.rounding.runs(task.inputs, attention).squeeze(-1)
    decided = by_weights.abs() > 2 * lost
    disagree = decided & ((by_weights > 0) != activations.correct)
    verdict(
        share(disagree[decided]),
        at_most=at_most,
        exceptions=task.pairs[disagree],
        picture=task.map(by_weights, "Margins by the weights", "logits", ~activations.correct),
    )


@any_size
@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.9999])
def test_only_neighbors_are_confused(task, activations, verdict, at_least):
    """Only neighbors are confused: from a gap of 2 on it is right.

    share of inputs with |a − b| ≥ 2 with logit[min(a, b)] > every other logit

    The real model is run on every input. An exception is a wrong answer to numbers that are no
    neighbors.
    """
    apart = task.gap >= 2
    verdict(
        share(activations.correct[apart]),
        at_least=at_least,
        exceptions=task.pairs[apart & ~activations.correct],
    )
