"""Why the last place attends to the max: its scores rise with the number, whichever number asks.

The order of the least numbers is left out where the story holds: below u one list in 256 at most
has its maximum, v / 4 for lists of four, and training hardly shows which of them is greater.
"""

import pytest

from mechanistic_claims import (
    evidence,
    ordered_pairs,
    positions,
    refuted,
    share,
    spread,
)

TITLE = "QK circuit from the last place"


def rows_of_the_last_place(circuits, task):
    """[asking number, number]: the scores by which numbers differ; a place adds the same to all."""
    of_the_place = circuits.qk(queries=positions).matrix[task.length - 1]
    return circuits.qk().matrix + of_the_place


def picture(circuits, task):
    return task.circuit(rows_of_the_last_place(circuits, task), TITLE, "asking", "attended")


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.99])
def test_greater_numbers_get_higher_scores(task, circuits, verdict, at_least):
    """Of two numbers the greater gets the higher score, whichever asks.

    share of (q, i, j), i < j ≥ u, with s_q(j) > s_q(i), s_q(t) = QK[q, t] + QK[p_K, t]

    QK = W W_Q W_Kᵀ W_Eᵀ / √d_head, W being W_E for the number q that asks and W_pos for the last
    place, multiplied out in float64. A tie counts against the claim. An exception is a pair (i, j)
    in the wrong order for some q.
    """
    pairs = ordered_pairs(len(task.tokens)).to(task.device)
    pairs = pairs[pairs[:, 1] >= task.upper[0]]
    rows = rows_of_the_last_place(circuits, task)
    rises = rows[:, pairs[:, 1]] > rows[:, pairs[:, 0]]
    verdict(
        share(rises),
        at_least=at_least,
        exceptions=pairs[~rises.all(dim=0)],
        picture=picture(circuits, task),
    )


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.9])
def test_the_rows_rise_at_almost_every_step(task, circuits, verdict, at_least):
    """The score rises from a number to the next, whichever number asks.

    share of (q, t), t ≥ u, with s_q(t) > s_q(t − 1), s_q(t) = QK[q, t] + QK[p_K, t]

    QK = W W_Q W_Kᵀ W_Eᵀ / √d_head, W being W_E for the number q that asks and W_pos for the last
    place, in float64. An exception t is a step from t − 1 to t that does not rise for some q.
    """
    rises = rows_of_the_last_place(circuits, task).diff(dim=1)[:, task.upper - 1] > 0
    verdict(
        share(rises),
        at_least=at_least,
        exceptions=task.upper[~rises.all(dim=0)],
        picture=picture(circuits, task),
    )


@evidence("weights")
@pytest.mark.parametrize("at_most", [0.1])
def test_where_a_row_falls_it_falls_little(task, circuits, verdict, at_most):
    """Where a row falls, it falls by little of its range.

    max over q, t of max(0, s_q(t) − s_q(t + 1)) / (max s_q − min s_q), s_q = QK[q, ·] + QK[p_K, ·]

    QK = W W_Q W_Kᵀ W_Eᵀ / √d_head, W being W_E for the number q that asks and W_pos for the last
    place, in float64. It is the largest step in the wrong direction.
    """
    rows = rows_of_the_last_place(circuits, task)
    fall = (-rows.diff(dim=1)).clamp(min=0).amax(dim=1) / spread(rows)
    verdict(fall.amax(), at_most=at_most, exceptions=task.tokens[fall > at_most])


@refuted("a few steps fall")
@evidence("weights")
@pytest.mark.parametrize("at_least", [1.0])
def test_the_rows_are_strictly_increasing(task, circuits, verdict, at_least):
    """The rows are strictly increasing.

    share of (q, t) with s_q(t + 1) > s_q(t), s_q(t) = QK[q, t] + QK[p_K, t]

    QK = W W_Q W_Kᵀ W_Eᵀ / √d_head, W being W_E for the number q that asks and W_pos for the last
    place, in float64. One step that does not rise refutes the sentence.
    """
    rises = rows_of_the_last_place(circuits, task).diff(dim=1) > 0
    verdict(share(rises), at_least=at_least, exceptions=task.tokens[:-1][~rises.all(dim=0)])


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.999])
def test_it_is_one_row(task, circuits, verdict, at_least):
    """Whichever number asks, it is the same row, times a number.

    Σ_q (s_q · u)² / Σ_q |s_q|², s_q = QK[q, ·] + QK[p_K, ·] without its mean, u the direction of
    the mean over q of s_q

    QK = W W_Q W_Kᵀ W_Eᵀ / √d_head, W being W_E for the number q that asks and W_pos for the last
    place, in float64. A constant on a row is nothing to its softmax.
    """
    rows = rows_of_the_last_place(circuits, task)
    rows = rows - rows.mean(dim=1, keepdim=True)
    along = rows @ rows.mean(dim=0) / rows.mean(dim=0).norm()
    explained = along.square().sum() / rows.square().sum()
    verdict(explained, at_least=at_least, picture=picture(circuits, task))
