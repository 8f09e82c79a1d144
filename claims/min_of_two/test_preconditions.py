"""What the story rests on: one attention head, and logits that are its pattern . OV + direct path.

That weights are finite is no claim: a file in which they are not is an error and gets no verdict.
These hold of an untrained model too. Where one is refuted, the other claims speak of another model.
To rounding means: within what the sums that a number is made of may lose in the model's dtype. The
limit is derived of each from the weights (activations.rounding): it grows with the widths and with
the products that cancel, and 1 is all of it. In bfloat16 it is some percent of the largest logit,
and no claim can see less than that.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechanistic_claims import (
    decomposed_logits,
    evidence,
    largest_difference,
    precondition,
    reproducible,
)

pytestmark = precondition

operand = st.integers(0, 2**16)  # taken modulo the number of operands
weights_of_sources = st.lists(st.floats(0, 1, width=16), min_size=3, max_size=3)
attended_pairs = st.lists(st.tuples(operand, operand, weights_of_sources), min_size=1, max_size=40)


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
def test_biases_and_positions_are_zero(weights, verdict, at_most):
    """Biases and positions are zero.

    number of tensors x, other than W_E, W_Q, W_K, W_V, W_O, W_U, with max |x| > 0

    Read from the stored weights. With one that is not zero, the circuits would not be all that the
    model computes.
    """
    not_zero = [name for name, values in weights.others.items() if values.abs().amax() > 0]
    verdict(len(not_zero), at_most=at_most, exceptions=not_zero)


@evidence("activations")
@pytest.mark.parametrize("at_most", [1])
def test_attention_only_without_normalization(activations, verdict, at_most):
    """What is unembedded at '=' is its embedding and what the head adds, to rounding.

    max |r − (e + h)| / lost

    r is what the real model unembeds at '=', e its embedding there and h what the head adds, each
    taken from a hook on every input. Lost is what rounding may lose of a sum of two in the model's
    dtype.
    """
    added_up = activations.embedding.double() + activations.outputs.double().sum(dim=0)
    lost = activations.rounding.sum(activations.embedding, *activations.outputs)
    verdict(largest_difference(activations.unembedded, added_up, lost), at_most=at_most)


@evidence("activations")
@pytest.mark.parametrize("at_most", [1])
def test_scores_are_the_qk_circuit(task, activations, circuits, verdict, at_most):
    """Attention scores are the QK circuit of the two tokens, to rounding.

    max |q·k / √d_head − QK[=, t]| / lost

    q and k are taken from the model's hooks on every input, QK = W_E W_Q W_Kᵀ W_Eᵀ / √d_head is
    multiplied out in float64. Lost is what rounding may lose of sums over d_model and d_head in the
    model's dtype, relative to the moduli of what they add up.
    """
    scores = circuits.qk().matrix[task.equals, task.inputs]
    lost = activations.rounding.scores(task.inputs)
    verdict(largest_difference(activations.attention_scores, scores, lost), at_most=at_most)


@evidence("activations")
@pytest.mark.parametrize("at_most", [1])
def test_the_pattern_is_the_softmax_of_the_scores(task, activations, verdict, at_most):
    """The pattern is the softmax of the scores, to rounding.

    max |A − softmax(q·k / √d_head)| / lost

    A is taken from the model's hook on every input, from '=' to each position. Lost is what the
    rounding of the scores and of the softmax may lose in the model's dtype, in the pattern and once
    more in what it is compared with: p(1 − p)(exp 2r − 1) of p, if a score may be off by r.
    """
    softmax = activations.attention_scores.softmax(dim=-1)
    lost = 2 * activations.rounding.attention(task.inputs, softmax)
    verdict(largest_difference(activations.attention, softmax, lost), at_most=at_most)


@evidence("activations")
@pytest.mark.parametrize("at_most", [1])
def test_logits_are_pattern_ov_and_direct_path(task, activations, circuits, verdict, at_most):
    """The logits are pattern . OV + direct path, to rounding.

    max |logits − (Σ_p A_p OV[t_p] + (W_E W_U)[=])| / lost

    A_p is the model's own attention from '=' to position p, where the token is t_p, and OV = W_E
    W_V W_O W_U in float64. The real model's logits are compared on every input. Lost is what
    rounding may lose in the model's dtype of all sums on the way: Σ_p A_p lost[t_p] + lost[=].
    """
    algebra = decomposed_logits(circuits, task.inputs, activations.attention)
    lost = activations.rounding.logits(task.inputs, activations.attention)
    verdict(largest_difference(activations.logits, algebra, lost), at_most=at_most)


@evidence("intervention")
@pytest.mark.parametrize("at_most", [1])
@given(cases=attended_pairs)
@reproducible(examples=6)
def test_the_same_algebra_under_any_attention(
    task, activations, circuits, intervene, verdict, at_most, cases
):
    """With any attention set at all destinations, only that of '=' enters them, to rounding.

    max |logits(A) − (Σ_p A_p OV[t_p] + (W_E W_U)[=])| / lost

    Hypothesis draws pairs and attention weights A, which are set in the real model through its
    pattern hook, and other weights at every other destination. The largest difference of all
    examples counts. Lost is Σ_p A_p lost[t_p] + lost[=], as for the model's own attention.
    """
    inputs, attention = task.attended(cases)
    algebra = decomposed_logits(circuits, inputs, attention)
    logits = intervene.logits_attending(inputs, attention)
    lost = activations.rounding.logits(inputs, attention)
    verdict(largest_difference(logits, algebra, lost), at_most=at_most)


@evidence("activations")
@pytest.mark.parametrize("at_most", [1])
def test_the_order_of_the_operands_does_not_matter(task, activations, verdict, at_most):
    """[a, b, =] and [b, a, =] have the same logits, to rounding.

    max |logits(a, b) − logits(b, a)| / lost

    Both are run, for every pair a < b. Lost is what rounding may lose in the model's dtype, of the
    attention too, in one run and in the other.
    """
    logits = activations.logits
    lost = 2 * activations.rounding.runs(task.inputs, activations.attention)
    verdict(largest_difference(logits, logits[task.mirrored], lost), at_most=at_most)
