"""How the answer comes about: through attention to both numbers, and through the MLP."""

import pytest

from mechanistic_claims import (
    evidence,
    head,
    logits,
    mlp,
    share,
)


@evidence("intervention")
@pytest.mark.parametrize("how", ["mean", "resample"])
@pytest.mark.parametrize("at_least", [0.9])
def test_the_answer_comes_through_the_mlp(task, activations, intervene, verdict, how, at_least):
    """Without the MLP (ablated: {how}) the right answer is lost.

    share of the p² inputs that are right, and wrong with what the MLP writes replaced ({how})

    What the MLP adds to the residual stream is replaced in the real model: by its mean over inputs,
    or by that of a random other input.
    """
    lost = activations.correct & ~intervene.ablate(mlp(0), how).answers(task.labels)
    verdict(share(lost), at_least=at_least, exceptions=task.pairs[~lost])


@evidence("intervention")
@pytest.mark.parametrize("how", ["mean", "zero"])
@pytest.mark.parametrize("at_least", [0.99])
def test_heads_write_nothing_to_the_logits_themselves(
    task, weights, intervene, verdict, how, at_least
):
    """Heads need no path to the logits but through the MLP (cut: {how}).

    share of the p² inputs answered rightly with what heads write cut where logits are read ({how})

    The MLP reads what the heads write as before; only the unembedding reads a replacement.
    """
    heads = sum((head(0, h) for h in range(1, weights.W_Q.shape[1])), start=head(0, 0))
    right = intervene.cut(heads, logits, how).answers(task.labels)
    verdict(share(right), at_least=at_least, exceptions=task.pairs[~right])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.95])
def test_heads_bring_the_numbers(task, activations, weights, intervene, verdict, at_least):
    """Without the heads (ablated: mean) the right answer is lost.

    share of the p² inputs that are right, and wrong with what all heads write replaced by its mean

    Only heads can bring a and b to '='.
    """
    heads = sum((head(0, h) for h in range(1, weights.W_Q.shape[1])), start=head(0, 0))
    lost = activations.correct & ~intervene.ablate(heads, "mean").answers(task.labels)
    picture = task.attention(activations.patterns, "Attention from '=' to a, mean over b")
    verdict(share(lost), at_least=at_least, exceptions=task.pairs[~lost], picture=picture)
