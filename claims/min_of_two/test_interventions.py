"""The story is causal: what it says about attention and copying holds when each is set by hand.

Every intervention is on the real model: by a hook where it has to run again, and on the logits of
its own run where nothing comes after.
"""

import pytest

from mechanistic_claims import evidence, head, share


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.999])
def test_attending_only_to_the_min_is_enough(task, intervene, verdict, at_least):
    """With all attention on the min, the model answers min(a, b).

    share of the N² inputs answered min(a, b) with A_min = 1

    The pattern from '=' is set through the real model's hook, and the rest runs as it is. A tie
    counts as wrong.
    """
    right = intervene.attend(task.min_position).answers(task.labels)
    verdict(share(right), at_least=at_least, exceptions=task.pairs[~right])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.97])
def test_swapped_attention_gives_the_max(task, activations, intervene, verdict, at_least):
    """With attention on a and b swapped, the model answers max(a, b).

    share of the N² inputs answered max(a, b) with A_a and A_b exchanged

    The model's own attention on each input, with the weights of a and b exchanged, is put back
    through its hook. If attention chooses the answer, the other operand must come out.
    """
    swapped = intervene.attend(activations.attention[:, task.swapped_positions])
    is_max = swapped.answers(task.maximum)
    verdict(share(is_max), at_least=at_least, exceptions=task.pairs[~is_max])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.5])
def test_uniform_attention_loses_the_answer(task, activations, intervene, verdict, at_least):
    """With attention split evenly, half of the answers or more are lost.

    share of the N² inputs that are right, and wrong with A_a = A_b = 0.5

    The pattern from '=' is set through the real model's hook. An exception is an input on which the
    answer is right without a choice by attention; one that wins by less than what rounding may lose
    of two logits is as good as a tie.
    """
    even = intervene.attend(task.even_attention)
    a_tie = 2 * activations.rounding.logits(task.inputs, task.even_attention).squeeze(-1)
    lost = activations.correct & ~(even.margin > a_tie)
    verdict(share(lost), at_least=at_least, exceptions=task.pairs[~lost])


@evidence("intervention")
@pytest.mark.parametrize("how", ["zero", "mean", "resample"])
@pytest.mark.parametrize("at_least", [0.98])
def test_without_the_head_the_answer_is_lost(task, activations, intervene, verdict, how, at_least):
    """Without the head (ablated: {how}) the right answer is lost.

    share of the N² inputs that are right, and wrong with the head's output ablated ({how})

    What the head adds at '=' is replaced in the real model: by zero, by its mean over inputs, or by
    that of a random other input. A tie counts as wrong.
    """
    ablated = intervene.ablate(head(0, 0), how)
    lost = activations.correct & ~ablated.answers(task.labels)
    verdict(share(lost), at_least=at_least, exceptions=task.pairs[~lost])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.97])
def test_the_value_attended_to_is_the_answer(task, intervene, verdict, at_least):
    """Given another token's value for the min's, it answers that token.

    share of inputs with a ≠ b answered d with the value of the min replaced by that of d

    An interchange intervention: the value vector comes from a run on [d, d, =], while keys and
    queries, so attention, stay. d is drawn at random, for each input, among the numbers that are
    not its minimum.
    """
    donor = task.random_donor
    patched = intervene.exchange_value(task.min_position, donors=task.twins, donor_of=donor)
    follows = patched.answers(donor)
    verdict(
        share(follows[task.differ]),
        at_least=at_least,
        exceptions=task.pairs[task.differ & ~follows],
    )


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.99])
def test_the_ov_diagonal_is_enough(task, circuits, intervene, verdict, at_least):
    """With only the diagonal of the OV circuit, the model answers min(a, b).

    share of the N² inputs answered min(a, b) with OV[t, j] = 0 for every j ≠ t

    What attending to each token adds to the logits is replaced by the diagonal of OV = W_E W_V W_O
    W_U; attention and direct path stay the model's own. A tie counts as wrong.
    """
    right = intervene.replace_ov(circuits.ov().diagonal).answers(task.labels)
    verdict(share(right), at_least=at_least, exceptions=task.pairs[~right])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.99])
def test_the_larger_operand_does_not_matter(task, activations, intervene, verdict, at_least):
    """With the larger operand resampled, the right answer stays.

    share of inputs with a ≠ b that are right, and stay so with the larger operand resampled

    The larger operand is replaced by another number above the minimum, drawn at random, and the
    real model is run again. Where there is no other number, it stays.
    """
    resampled = intervene.replace_inputs(task.inputs_with_another_maximum)
    stays = activations.correct & resampled.answers(task.labels)
    verdict(
        share(stays[task.differ]),
        at_least=at_least,
        exceptions=task.pairs[task.differ & ~stays],
    )
