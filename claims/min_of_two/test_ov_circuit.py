"""Step two of the story: the OV circuit copies the token attended to."""

import pytest

from fixtures.claims import any_size, evidence, refuted
from fixtures.measures import margin, share


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.99])
def test_the_attended_token_gets_the_highest_logit(task, circuits, verdict, at_least):
    """Attending to a token gives that token the highest logit."""
    copied = margin(circuits.ov.matrix[task.operands], task.operands) > 0
    verdict(
        share(copied),
        at_least=at_least,
        exceptions=task.operands[~copied],
        picture=task.circuit(
            circuits.ov.matrix[task.operands], "Full OV circuit", "attended token", "logit"
        ),
    )


@any_size
@evidence("weights")
@pytest.mark.parametrize("at_least", [1.0])
def test_all_but_the_greatest_get_the_highest_logit(task, circuits, verdict, at_least):
    """Attending to any number but the greatest gives it the highest logit."""
    smaller = task.operands[:-1]
    copied = margin(circuits.ov.matrix[smaller], smaller) > 0
    verdict(share(copied), at_least=at_least, exceptions=smaller[~copied])


@refuted("the greatest number is never a minimum that matters")
@evidence("weights")
@pytest.mark.parametrize("at_least", [1.0])
def test_every_attended_token_gets_the_highest_logit(task, circuits, verdict, at_least):
    """Attending to any token gives that token the highest logit."""
    copied = margin(circuits.ov.matrix[task.operands], task.operands) > 0
    verdict(share(copied), at_least=at_least, exceptions=task.operands[~copied])


@any_size
@evidence("weights")
@pytest.mark.parametrize("at_least", [5.0])
def test_the_diagonal_is_strong(task, circuits, verdict, at_least):
    """The OV diagonal is strong: it leads its row by {at_least} logits (median)."""
    margins = margin(circuits.ov.matrix[task.operands], task.operands)
    verdict(
        margins.median(),
        at_least=at_least,
        exceptions=task.operands[margins < at_least],
        picture=task.row(
            margins, "OV diagonal minus the greatest of its row", "logits", margins < at_least
        ),
    )


@any_size
@evidence("weights")
@pytest.mark.parametrize("at_least", [0.99])
def test_the_copying_score(task, circuits, verdict, at_least):
    """The OV circuit copies: its eigenvalues sum to nearly the sum of their moduli."""
    ov = circuits.ov.rows(task.operands)
    picture = task.circuit(ov.matrix, "Full OV circuit", "attended token", "logit")
    verdict(ov.copying_score, at_least=at_least, picture=picture)
