"""The story is causal: what it says about attention and copying holds when each is set by hand.

Every intervention is on the real model: by a hook where it has to run again, and on the logits of
its own run where nothing comes after. Below u one list in 256 at most has its maximum, v / 4 for
lists of four.
"""

import pytest

from mechanistic_claims import evidence, head, share


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.997])
def test_attending_only_to_the_max_is_enough(task, intervene, verdict, at_least):
    """With all attention on the max, the model answers the max.

    share of random lists answered by their max with A_i = 1 at the first i with x_i = max

    The pattern from the last place is set through the real model's hook, and the rest runs as it
    is. A tie counts as wrong.
    """
    right = intervene.attend(task.max_position).answers(task.labels)
    verdict(share(right), at_least=at_least, exceptions=task.inputs[~right])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.99])
def test_attending_to_another_number_gives_that(task, intervene, verdict, at_least):
    """With all attention on another number, the model answers that one.

    share of random lists answered x_i with A_i = 1, i drawn among x_i ≠ max, x_i ≥ u

    The pattern from the last place is set through the real model's hook. If attention chooses the
    answer, the other number must come out. Training hardly shows what is below u.
    """
    asked = task.differ & (task.another >= task.upper[0])
    follows = intervene.attend(task.another_position).answers(task.another)
    verdict(share(follows[asked]), at_least=at_least, exceptions=task.inputs[asked & ~follows])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.8])
def test_uniform_attention_loses_the_answer(task, activations, intervene, verdict, at_least):
    """With attention split evenly, {at_least} of right answers are lost.

    share of random lists that are right, and wrong with A_i = 1 / K

    The pattern from the last place is set through the real model's hook. An exception is a list on
    which the answer is right without a choice by attention; one that wins by less than what
    rounding may lose of two logits is as good as a tie.
    """
    even = intervene.attend(task.even_attention)
    a_tie = 2 * activations.rounding.logits(task.inputs, task.even_attention).squeeze(-1)
    lost = activations.correct & ~(even.margin > a_tie)
    verdict(share(lost), at_least=at_least, exceptions=task.inputs[~lost])


@evidence("intervention")
@pytest.mark.parametrize(("how", "at_least"), [("zero", 0.75), ("mean", 0.85), ("resample", 0.8)])
def test_without_the_head_the_answer_is_lost(task, activations, intervene, verdict, how, at_least):
    """Without the head (ablated: {how}) the right answer is lost.

    share of random lists that are right, and wrong with the head's output ablated ({how})

    What the head adds is replaced in the real model: by zero, by its mean over lists, or by that of
    a random other list. A tie counts as wrong.
    """
    lost = activations.correct & ~intervene.ablate(head(0, 0), how).answers(task.labels)
    verdict(share(lost), at_least=at_least, exceptions=task.inputs[~lost])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.97])
def test_the_value_attended_to_is_the_answer(task, intervene, verdict, at_least):
    """Given another number's value for the max's, it answers that number.

    share of random lists in which the max stands once, answered d with the value of the max
    replaced by that of d ≥ u

    An interchange intervention: the value vector comes from a run on [d, ..., d], while keys and
    queries, so attention, stay. d is drawn, for each list, among the numbers that are not its max.
    """
    asked = task.stands_once & (task.donor >= task.upper[0])
    patched = intervene.exchange_value(task.max_position, task.repeated, task.donor)
    follows = patched.answers(task.donor)
    verdict(share(follows[asked]), at_least=at_least, exceptions=task.inputs[asked & ~follows])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.985])
def test_the_ov_diagonal_is_enough(task, circuits, intervene, verdict, at_least):
    """With only the diagonal of the OV circuit, the model answers the max.

    share of random lists answered by their max with OV[t, j] = 0 for every j ≠ t

    What attending to each number adds to the logits is replaced by the diagonal of OV = W_E W_V W_O
    W_U; attention, what places write, and the direct path stay the model's own.
    """
    right = intervene.replace_ov(circuits.ov().diagonal).answers(task.labels)
    verdict(share(right), at_least=at_least, exceptions=task.inputs[~right])


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.985])
def test_the_other_numbers_do_not_matter(task, activations, intervene, verdict, at_least):
    """With all but the max drawn anew, the right answer stays.

    share of random lists that are right, and stay so with all others replaced by ones below the max

    The real model is run again. Where the last number is not the max, it is another one too.
    """
    other = intervene.replace_inputs(task.with_other_numbers)
    stays = activations.correct & other.answers(task.labels)
    verdict(share(stays), at_least=at_least, exceptions=task.inputs[~stays])
