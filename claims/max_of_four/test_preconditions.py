"""What the story rests on: one attention head, which reads tokens and places, and no bias.

These hold of an untrained model too. Where one is refuted, the other claims speak of another model.
To rounding means: within what the sums that a number is made of may lose in the model's dtype. The
limit is derived of each from the weights (activations.rounding).
"""

import pytest

from mechanistic_claims import (
    decomposed_logits,
    decomposed_scores,
    differences,
    evidence,
    precondition,
    share,
)

pytestmark = precondition


@evidence("weights")
@pytest.mark.parametrize("at_most", [1])
def test_one_head(weights, verdict, at_most):
    """There is one attention head.

    layers × heads per layer

    Counted in the shapes of W_Q. The circuits and interventions of all other claims are those of
    one head.
    """
    verdict(weights.heads, at_most=at_most)


@evidence("weights")
@pytest.mark.parametrize("at_most", [0])
def test_biases_are_zero(weights, verdict, at_most):
    """Biases are zero.

    number of tensors x, other than W_E, W_pos, W_Q, W_K, W_V, W_O, W_U, with max |x| > 0

    Read from the stored weights. With one that is not zero, the circuits would not be all that the
    model computes.
    """
    biases = {name: x for name, x in weights.others.items() if name != "pos_embed.W_pos"}
    not_zero = [name for name, values in biases.items() if values.abs().amax() > 0]
    verdict(len(not_zero), at_most=at_most, exceptions=not_zero)


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.999])
def test_attention_only_without_normalization(task, activations, verdict, at_least):
    """What is unembedded at the last place is its embedding and what the head adds, to rounding.

    share of lists with max |r − (e + h)| ≤ lost

    r is what the real model unembeds there, e is W_E + W_pos and h what the head adds, each taken
    from a hook. Lost is what rounding may lose of a sum of two in the model's dtype.
    """
    added_up = activations.embedding.double() + activations.outputs.double().sum(dim=0)
    lost = activations.rounding.sum(activations.embedding, *activations.outputs)
    same = differences(activations.unembedded, added_up, lost) <= 1
    verdict(share(same), at_least=at_least, exceptions=task.inputs[~same])


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.999])
def test_scores_are_the_qk_circuit(task, activations, circuits, verdict, at_least):
    """Attention scores are the QK circuit of tokens and places, to rounding.

    share of lists with max |q·k / √d_head − (QK[x_K, x_i] + QK[x_K, p_i] + QK[p_K, x_i]
    + QK[p_K, p_i])| ≤ lost

    x_i is the number at place i, p_i the place, K the last one. q and k are taken from the model's
    hooks, QK = W W_Q W_Kᵀ W'ᵀ / √d_head with W and W' each W_E or W_pos is multiplied out in
    float64. Lost is what rounding may lose of sums over d_model and d_head in the model's dtype.
    """
    lost = activations.rounding.scores(task.inputs)
    scores = decomposed_scores(circuits, task.inputs)
    same = differences(activations.attention_scores, scores, lost) <= 1
    verdict(share(same), at_least=at_least, exceptions=task.inputs[~same])


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.999])
def test_the_pattern_is_the_softmax_of_the_scores(task, activations, verdict, at_least):
    """The pattern is the softmax of the scores, to rounding.

    share of lists with max |A − softmax(q·k / √d_head)| ≤ lost

    A is taken from the model's hook, from the last place to each. Lost is what the rounding of the
    scores and of the softmax may lose in the model's dtype, in the pattern and once more in what it
    is compared with.
    """
    softmax = activations.attention_scores.softmax(dim=-1)
    lost = 2 * activations.rounding.attention(task.inputs, softmax)
    same = differences(activations.attention, softmax, lost) <= 1
    verdict(share(same), at_least=at_least, exceptions=task.inputs[~same])


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.999])
def test_logits_are_pattern_ov_and_direct_path(task, activations, circuits, verdict, at_least):
    """The logits are pattern . OV + direct path, of tokens and places, to rounding.

    share of lists with max |logits − (Σ_i A_i (OV[x_i] + OV[p_i]) + (W_E W_U)[x_K]
    + (W_pos W_U)[K])| ≤ lost

    A_i is the model's own attention from the last place K to place i, where the number is x_i. OV =
    W W_V W_O W_U, W being W_E or W_pos, in float64. Lost is what rounding may lose in the model's
    dtype of all sums on the way.
    """
    algebra = decomposed_logits(circuits, task.inputs, activations.attention)
    lost = activations.rounding.logits(task.inputs, activations.attention)
    same = differences(activations.logits, algebra, lost) <= 1
    verdict(share(same), at_least=at_least, exceptions=task.inputs[~same])
