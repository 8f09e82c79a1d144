"""Why '=' attends to the smaller operand: its row of the QK circuit falls from 0 to N - 1."""

import pytest

from fixtures.claims import any_size, evidence, refuted
from fixtures.measures import falling_pairs, ordered_pairs, share, spread


def row_of_equals(circuits, task):
    return circuits.qk.matrix[task.equals, task.operands]


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.95])
def test_the_row_falls_at_almost_every_step(task, circuits, verdict, at_least):
    """The attention score from '=' falls from a number to the next."""
    row = row_of_equals(circuits, task)
    falls = row.diff() < 0
    verdict(
        share(falls),
        at_least=at_least,
        exceptions=task.operands[:-1][~falls],
        picture=task.row(row, "QK circuit, row of =", "attention score", ~falls),
    )


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.999])
def test_smaller_numbers_get_higher_scores(task, circuits, verdict, at_least):
    """Of two numbers the smaller gets the higher score from '='."""
    falls = falling_pairs(row_of_equals(circuits, task))
    pairs = ordered_pairs(len(task.operands))
    verdict(share(falls), at_least=at_least, exceptions=pairs[~falls.cpu()])


@evidence("weights")
@pytest.mark.parametrize("at_most", [0.01])
def test_where_the_row_rises_it_rises_little(task, circuits, verdict, at_most):
    """Where the row of '=' rises, it rises by little of its range."""
    row = row_of_equals(circuits, task)
    rise = row.diff().clamp(min=0) / spread(row)
    verdict(rise.amax(), at_most=at_most, exceptions=task.operands[:-1][rise > at_most])


@refuted("the row rises at a few steps")
@evidence("weights")
@pytest.mark.parametrize("at_least", [1.0])
def test_the_row_is_strictly_decreasing(task, circuits, verdict, at_least):
    """The row of '=' is strictly decreasing."""
    falls = row_of_equals(circuits, task).diff() < 0
    verdict(share(falls), at_least=at_least, exceptions=task.operands[:-1][~falls])


@any_size
@evidence("weights")
@pytest.mark.parametrize("at_least", [2.0])
def test_the_row_of_equals_has_the_most_structure(task, circuits, verdict, at_least):
    """The row of '=' has {at_least} times the range of any other row."""
    others = spread(circuits.qk.matrix[task.operands][:, task.operands])
    verdict(
        spread(row_of_equals(circuits, task)) / others.amax(),
        at_least=at_least,
        picture=task.circuit(
            circuits.qk.matrix[:, task.operands], "Full QK circuit", "destination", "source"
        ),
    )
