"""What the model answers: min(a, b). The correct logit must be strictly the greatest."""

import pytest

from mechanistic_claims import evidence, refuted, share


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.999])
def test_accuracy_on_all_inputs(task, activations, verdict, at_least):
    """The model answers min(a, b).

    share of the N² inputs with logit[min(a, b)] > every other logit

    The real model is run on every input, in its own dtype. A tie counts as wrong.
    """
    verdict(
        share(activations.correct),
        at_least=at_least,
        exceptions=task.pairs[~activations.correct],
        picture=task.map(activations.margin, "Correct logit minus the greatest other", "logits"),
    )


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.995])
def test_accuracy_on_held_out_inputs(task, activations, verdict, at_least):
    """It answers min(a, b) on held-out inputs.

    share of the held-out inputs with logit[min(a, b)] > every other logit

    The fifth of all inputs that the write-up's split, of seed 4, keeps from training. A tie counts
    as wrong.
    """
    wrong = task.held_out & ~activations.correct
    verdict(
        share(activations.correct[task.held_out]), at_least=at_least, exceptions=task.pairs[wrong]
    )


@refuted("a few adjacent pairs are answered wrongly")
@evidence("behavior")
@pytest.mark.parametrize("at_least", [1.0])
def test_every_answer_is_right(task, activations, verdict, at_least):
    """The model answers min(a, b) on every input.

    share of the N² inputs with logit[min(a, b)] > every other logit

    The real model is run on every input, in its own dtype. A tie counts as wrong; one wrong input
    refutes the sentence.
    """
    verdict(
        share(activations.correct),
        at_least=at_least,
        exceptions=task.pairs[~activations.correct],
    )
