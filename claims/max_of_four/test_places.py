"""Where a number stands hardly matters, but the last place has to be there: it asks."""

import pytest

from mechanistic_claims import (
    embedding,
    evidence,
    head,
    positions,
    quantitative,
    refuted,
    share,
    spread,
)

HEAD = head(0, 0)


@evidence("weights")
@pytest.mark.parametrize("at_most", [0.02])
def test_their_scores_are_small(task, circuits, verdict, at_most):
    """Scores of places differ by {at_most} or less of what numbers' do.

    max over q of the range over places i of QK[q, p_i] + QK[p_K, p_i], over the range over t of
    QK[q, t] + QK[p_K, t]

    QK = W W_Q W_Kᵀ W'ᵀ / √d_head, W and W' each W_E or W_pos, in float64. Of 64 numbers a step from
    one to the next is 0.016 of the range.
    """
    last, places = task.length - 1, slice(task.length)
    of_numbers = circuits.qk().matrix + circuits.qk(queries=positions).matrix[last]
    between = circuits.qk(queries=positions, keys=positions).matrix[last, places]
    of_places = circuits.qk(keys=positions).matrix[:, places] + between
    verdict((spread(of_places) / spread(of_numbers)).amax(), at_most=at_most)


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.98])
def test_margins_exceed_what_they_write(task, activations, circuits, verdict, at_least):
    """Margins exceed what the head writes of another place.

    share of random lists with logit[max] − max of the others > max over places i, j of the range of
    OV[p_i] − OV[p_j]

    OV = W_pos W_V W_O W_U in float64; margins are those of the real model. What is the same of all
    places is a bias of the logits.
    """
    written = circuits.ov(values=positions).matrix[: task.length]
    apart = spread(written[:, None] - written).amax()
    exceeds = activations.margin > apart
    verdict(share(exceeds), at_least=at_least, exceptions=task.inputs[~exceeds])


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.99])
def test_in_another_order_the_answer_stays(task, activations, intervene, verdict, at_least):
    """Reordered, with another last number, the right answer stays.

    share of random lists that are right, and right in an order that is drawn for each

    The real model is run on the same numbers in another order.
    """
    stays = activations.correct & intervene.replace_inputs(task.reordered).answers(task.labels)
    verdict(share(stays), at_least=at_least, exceptions=task.inputs[~stays])


@evidence("intervention")
@pytest.mark.parametrize("read", ["keys", "values"])
@pytest.mark.parametrize("at_least", [0.99])
def test_they_are_not_needed_to_be_found(task, activations, intervene, verdict, read, at_least):
    """Without places in its {read} the head finds the right answer too.

    share of random lists that are right, and stay so with W_pos subtracted from what {read} read

    An edge is ablated (zero), at every position: all other readers have places as they were.
    """
    without = intervene.cut(positions, getattr(HEAD, read), "zero")
    stays = activations.correct & without.answers(task.labels)
    verdict(share(stays), at_least=at_least, exceptions=task.inputs[~stays])


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.99])
def test_which_number_asks_does_not_matter(task, activations, intervene, verdict, at_least):
    """With another list's last number as the query, the right answer stays.

    share of random lists that are right, and stay so with W_E[x_K] of another list as query

    The embedding is resampled where the head's queries read it; the last place, keys, values and
    the direct path stay.
    """
    resampled = intervene.cut(embedding, HEAD.queries, "resample")
    stays = activations.correct & resampled.answers(task.labels)
    verdict(share(stays), at_least=at_least, exceptions=task.inputs[~stays])


@quantitative
@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.1])
def test_the_last_place_asks(task, activations, intervene, verdict, at_least):
    """Without the last place in its query, {at_least} of right answers are lost.

    share of random lists that are right, and wrong with W_pos[K] subtracted from what queries read

    An edge is ablated (zero): keys, values and the direct path have places as they were.
    """
    without = intervene.cut(positions, HEAD.queries, "zero")
    lost = activations.correct & ~without.answers(task.labels)
    verdict(share(lost), at_least=at_least, exceptions=task.inputs[~lost])


@refuted("the last place asks")
@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.99])
def test_places_do_not_matter(task, activations, intervene, verdict, at_least):
    """Places don't matter: without them the right answer stays.

    share of random lists that are right, and stay so with W_pos ablated (zero)

    The real model is run with zero for what positions write to the residual stream.
    """
    stays = activations.correct & intervene.ablate(positions, "zero").answers(task.labels)
    verdict(share(stays), at_least=at_least, exceptions=task.inputs[~stays])
