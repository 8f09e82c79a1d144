"""The term W_E W_U can be ignored: it is the same on every input, and too small to matter."""

import pytest

from mechanistic_claims import (
    Histogram,
    embedding,
    evidence,
    logits,
    precondition,
    refuted,
    share,
    spread,
)


@precondition
@evidence("intervention")
@pytest.mark.parametrize("how", ["mean", "resample"])
@pytest.mark.parametrize("at_most", [0.0])
def test_it_is_the_same_on_every_input(task, activations, intervene, verdict, how, at_most):
    """The direct path is the same on every input (ablated: {how}).

    share of inputs whose answer changes when W_E[=] is replaced at the end ({how})

    The embedding at '=' is replaced in the last residual stream, which only the direct path reads:
    by its mean over inputs, or by that of a random other input. Inputs whose answer is tied are
    left out.
    """
    changed = ~intervene.cut(embedding, logits, how).answers(activations.prediction)
    decided = activations.prediction >= 0
    verdict(share(changed[decided]), at_most=at_most, exceptions=task.pairs[changed & decided])


@evidence("intervention")
@pytest.mark.parametrize("at_most", [0.001])
def test_without_it_predictions_stay(task, activations, intervene, verdict, at_most):
    """Without the direct path (ablated: zero) predictions stay.

    share of the N² inputs whose answer changes without (W_E W_U)[=]

    The embedding at '=' is subtracted from the last residual stream of the real model, which keeps
    attention as it is. An answer that becomes a tie has changed.
    """
    changed = ~intervene.cut(embedding, logits, "zero").answers(activations.prediction)
    verdict(share(changed), at_most=at_most, exceptions=task.pairs[changed])


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.999])
def test_margins_exceed_its_range(task, activations, circuits, verdict, at_least):
    """Margins exceed the whole range of the direct path.

    share of inputs with logit[min(a, b)] − max of the others > max d − min d, d = (W_E W_U)[=]

    The margins are those of the real model on every input. Where one exceeds the whole range of the
    direct path, no choice of the direct path within it could change the answer.
    """
    direct_path = circuits.direct_path.matrix[task.equals]
    exceeds = activations.margin > spread(direct_path)
    verdict(
        share(exceeds),
        at_least=at_least,
        exceptions=task.pairs[~exceeds],
        picture=Histogram(
            "Margins of the answers against the direct path",
            activations.margin,
            "correct logit minus the greatest other",
            float(spread(direct_path)),
            "range of the direct path",
        ),
    )


@refuted("a few near-ties are decided by it")
@evidence("intervention")
@pytest.mark.parametrize("at_most", [0.0])
def test_without_it_every_prediction_stays(task, activations, intervene, verdict, at_most):
    """Without the direct path every prediction stays.

    share of the N² inputs whose answer changes without (W_E W_U)[=]

    The embedding at '=' is subtracted from the last residual stream of the real model. One answer
    that changes refutes the sentence.
    """
    changed = ~intervene.cut(embedding, logits, "zero").answers(activations.prediction)
    verdict(share(changed), at_most=at_most, exceptions=task.pairs[changed])
