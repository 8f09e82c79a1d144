"""Why '=' attends to the smaller operand: its row of the QK circuit falls from 0 to N - 1."""

import pytest

from mechanistic_claims import (
    any_size,
    evidence,
    falling_pairs,
    ordered_pairs,
    ratio,
    refuted,
    share,
    spread,
)

SCORE = "attention score (q·k / √d_head)"


def row_of_equals(circuits, task):
    return circuits.qk().matrix[task.equals, task.operands]


def picture_of_the_row(circuits, task):
    row = row_of_equals(circuits, task)
    return task.row(row, "QK circuit, row of =", SCORE, row.diff() >= 0)


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.95])
def test_the_row_falls_at_almost_every_step(task, circuits, verdict, at_least):
    """The score from '=' falls from a number to the next.

    share of steps t → t + 1 with s(t + 1) < s(t), s(t) = QK[=, t]

    QK = W_E W_Q W_Kᵀ W_Eᵀ / √d_head, multiplied out in float64 from the stored weights. An
    exception t is a step from t to t + 1 that does not fall.
    """
    falls = row_of_equals(circuits, task).diff() < 0
    verdict(
        share(falls),
        at_least=at_least,
        exceptions=task.operands[:-1][~falls],
        picture=picture_of_the_row(circuits, task),
    )


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.999])
def test_smaller_numbers_get_higher_scores(task, circuits, verdict, at_least):
    """The smaller of two scores higher from '='.

    share of pairs i < j with s(j) < s(i), s(t) = QK[=, t]

    QK = W_E W_Q W_Kᵀ W_Eᵀ / √d_head, in float64. Every pair of numbers is compared, not only
    neighbors; a tie counts against the claim.
    """
    falls = falling_pairs(row_of_equals(circuits, task))
    pairs = ordered_pairs(len(task.operands))
    verdict(
        share(falls),
        at_least=at_least,
        exceptions=pairs[~falls.cpu()],
        picture=picture_of_the_row(circuits, task),
    )


@evidence("weights")
@pytest.mark.parametrize("at_most", [0.01])
def test_where_the_row_rises_it_rises_little(task, circuits, verdict, at_most):
    """Where the row of '=' rises, it rises by little of its range.

    max over t of max(0, s(t + 1) − s(t)) / (max s − min s), s(t) = QK[=, t]

    QK = W_E W_Q W_Kᵀ W_Eᵀ / √d_head, in float64. It is the largest step in the wrong direction, as
    a share of the whole row's range.
    """
    row = row_of_equals(circuits, task)
    rise = row.diff().clamp(min=0) / spread(row)
    verdict(
        rise.amax(),
        at_most=at_most,
        exceptions=task.operands[:-1][rise > at_most],
        picture=task.row(
            rise, "Rise of the row of = at each step", "share of its range", rise > at_most
        ),
    )


@refuted("the row rises at a few steps")
@evidence("weights")
@pytest.mark.parametrize("at_least", [1.0])
def test_the_row_is_strictly_decreasing(task, circuits, verdict, at_least):
    """The row of '=' is strictly decreasing.

    share of steps t → t + 1 with s(t + 1) < s(t), s(t) = QK[=, t]

    QK = W_E W_Q W_Kᵀ W_Eᵀ / √d_head, in float64. One step that does not fall refutes the sentence;
    an exception t is such a step from t to t + 1.
    """
    falls = row_of_equals(circuits, task).diff() < 0
    verdict(
        share(falls),
        at_least=at_least,
        exceptions=task.operands[:-1][~falls],
        picture=picture_of_the_row(circuits, task),
    )


@any_size
@evidence("weights")
@pytest.mark.parametrize("at_least", [2.0])
def test_the_row_of_equals_has_the_most_structure(task, circuits, verdict, at_least):
    """The row of '=' has {at_least} times the range of any other row.

    range of QK[=, ·] / max over operands u of the range of QK[u, ·]

    QK = W_E W_Q W_Kᵀ W_Eᵀ / √d_head, in float64; a range is the greatest minus the least score of a
    row. Only the row of '=' is read by the answer.
    """
    others = spread(circuits.qk().matrix[task.operands][:, task.operands])
    verdict(
        ratio(spread(row_of_equals(circuits, task)), others.amax()),
        at_least=at_least,
        picture=task.circuit(
            circuits.qk().matrix[:, task.operands],
            "Full QK circuit (the last row is that of =)",
            "destination",
            "source",
        ),
    )
