"""Step two of the story: the OV circuit copies the token attended to."""

import pytest

from mechanistic_claims import any_size, evidence, margin, refuted, share

LEAD = "OV diagonal minus the greatest other of its row"


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.99])
def test_the_attended_token_gets_the_highest_logit(task, circuits, verdict, at_least):
    """Attending to a token gives that token the highest logit.

    share of tokens t with OV[t, t] > OV[t, j] for every j ≠ t

    OV = W_E W_V W_O W_U, multiplied out in float64 from the stored weights. Row t is what full
    attention to t adds to the logits; a tie counts against the claim.
    """
    copied = margin(circuits.ov().matrix[task.operands], task.operands) > 0
    verdict(
        share(copied),
        at_least=at_least,
        exceptions=task.operands[~copied],
        picture=task.circuit(
            circuits.ov().matrix[task.operands], "Full OV circuit", "attended token", "logit"
        ),
    )


@any_size
@evidence("weights")
@pytest.mark.parametrize("at_least", [1.0])
def test_all_but_the_greatest_get_the_highest_logit(task, circuits, verdict, at_least):
    """Attending to any number but the greatest gives it the highest logit.

    share of tokens t < N − 1 with OV[t, t] > OV[t, j] for every j ≠ t

    OV = W_E W_V W_O W_U, in float64. The greatest number is left out: it is the minimum only of a
    list of nothing else.
    """
    smaller = task.operands[:-1]
    leads = margin(circuits.ov().matrix[smaller], smaller)
    verdict(
        share(leads > 0),
        at_least=at_least,
        exceptions=smaller[leads <= 0],
        picture=task.row(leads, LEAD, "logits", leads <= 0),
    )


@refuted("the greatest number is never a minimum that matters")
@evidence("weights")
@pytest.mark.parametrize("at_least", [1.0])
def test_every_attended_token_gets_the_highest_logit(task, circuits, verdict, at_least):
    """Attending to any token gives that token the highest logit.

    share of tokens t with OV[t, t] > OV[t, j] for every j ≠ t

    OV = W_E W_V W_O W_U, in float64. One row with its maximum off the diagonal refutes the
    sentence.
    """
    leads = margin(circuits.ov().matrix[task.operands], task.operands)
    verdict(
        share(leads > 0),
        at_least=at_least,
        exceptions=task.operands[leads <= 0],
        picture=task.row(leads, LEAD, "logits", leads <= 0),
    )


@any_size
@evidence("weights")
@pytest.mark.parametrize("at_least", [5.0])
def test_the_diagonal_is_strong(task, circuits, verdict, at_least):
    """The OV diagonal is strong: it leads its row by {at_least} logits (median).

    median over tokens t of OV[t, t] − max over j ≠ t of OV[t, j]

    OV = W_E W_V W_O W_U, in float64, in logits. The exceptions are the tokens that lead by less
    than {at_least}.
    """
    margins = margin(circuits.ov().matrix[task.operands], task.operands)
    verdict(
        margins.median(),
        at_least=at_least,
        exceptions=task.operands[margins < at_least],
        picture=task.row(margins, LEAD, "logits", margins < at_least),
    )


@any_size
@evidence("weights")
@pytest.mark.parametrize("at_least", [0.99])
def test_the_copying_score(task, circuits, verdict, at_least):
    """The OV circuit copies: nearly all of its eigenvalues are positive.

    Σ λ / Σ |λ|, λ the eigenvalues of OV

    OV = W_E W_V W_O W_U over the operands, in float64; 1 is a circuit that only copies (Elhage et
    al., 2021). It is blind to a shift by one, so it never stands alone.
    """
    ov = circuits.ov().rows(task.operands)
    picture = task.circuit(ov.matrix, "Full OV circuit", "attended token", "logit")
    verdict(ov.copying_score, at_least=at_least, picture=picture)
