"""The OV circuit copies the number attended to, at whichever place it stands.

The least numbers are left out where the story holds: u is the least number below which one list in
256 at most has its maximum, v / 4 for lists of four. Training hardly shows what is below.
"""

import pytest
from einops import rearrange

from mechanistic_claims import evidence, margin, positions, refuted, share

LEAD = "OV diagonal minus the greatest other of its row, at the worst place"


def leads(circuits, task):
    """By how much each number leads where it is attended to, at the worst place."""
    of_places = rearrange(circuits.ov(values=positions).matrix, "place logit -> place 1 logit")
    at_places = circuits.ov().matrix + of_places[: task.length]
    return margin(at_places, task.tokens.expand(task.length, -1)).amin(dim=0)


@evidence("weights")
@pytest.mark.parametrize("at_least", [1.0])
def test_the_upper_numbers_get_the_highest_logit(task, circuits, verdict, at_least):
    """At any place all but the least numbers get the highest logit.

    share of tokens t ≥ u with OV[t, t] + OV[p, t] > OV[t, j] + OV[p, j] for all j ≠ t and places p

    OV = W W_V W_O W_U, W being W_E for tokens and W_pos for places, multiplied out in float64. A
    tie counts against the claim.
    """
    upper = task.upper
    lead = leads(circuits, task)
    verdict(
        share(lead[upper] > 0),
        at_least=at_least,
        exceptions=upper[lead[upper] <= 0],
        picture=task.circuit(circuits.ov().matrix, "Full OV circuit", "attended", "logit"),
    )


@refuted("the smallest numbers are hardly ever the max")
@evidence("weights")
@pytest.mark.parametrize("at_least", [1.0])
def test_every_number_gets_the_highest_logit(task, circuits, verdict, at_least):
    """Attending to any number gives it the highest logit, at any place.

    share of tokens t with OV[t, t] + OV[p, t] > OV[t, j] + OV[p, j] for all j ≠ t and places p

    OV = W W_V W_O W_U, W being W_E for tokens and W_pos for places, in float64. One row with its
    maximum off the diagonal refutes the sentence.
    """
    lead = leads(circuits, task)
    verdict(
        share(lead > 0),
        at_least=at_least,
        exceptions=task.tokens[lead <= 0],
        picture=task.row(lead, LEAD, "logits", lead <= 0),
    )


@evidence("weights")
@pytest.mark.parametrize("at_least", [5.0])
def test_the_diagonal_is_strong(task, circuits, verdict, at_least):
    """The OV diagonal leads by a median of {at_least} logits at the worst place.

    median over tokens t ≥ u of the least over places p of OV[t, t] + OV[p, t] − max over j ≠ t of
    (OV[t, j] + OV[p, j])

    OV = W W_V W_O W_U, W being W_E for tokens and W_pos for places, in float64. The exceptions are
    the tokens that lead by less than {at_least}.
    """
    lead = leads(circuits, task)
    verdict(
        lead[task.upper].median(),
        at_least=at_least,
        exceptions=task.upper[lead[task.upper] < at_least],
        picture=task.row(lead, LEAD, "logits", lead < at_least),
    )


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.99])
def test_the_copying_score(task, circuits, verdict, at_least):
    """The OV circuit copies: nearly all of its eigenvalues are positive.

    Σ λ / Σ |λ|, λ the eigenvalues of OV = W_E W_V W_O W_U

    In float64; 1 is a circuit that only copies (Elhage et al., 2021). It is blind to a shift by
    one, so it never stands alone.
    """
    picture = task.circuit(circuits.ov().matrix, "Full OV circuit", "attended", "logit")
    verdict(circuits.ov().copying_score, at_least=at_least, picture=picture)
