"""Equal to rounding: 8 epsilons at the largest modulus of each row."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims import drawn, equal_to_rounding, share
from mechanistic_claims.errors import NothingMeasured
from mechanistic_claims.measurement.domain import Domain

EPSILON = 2.0**-23
FOUND = torch.tensor([[1.0, 0.25], [1.0, 0.25], [-4.0, 0.25], [0.0, 0.0], [0.0, 0.0]])
OFF = torch.tensor([[0, 8], [0, 9], [0, 32], [0, 0], [0, 1]]).double() * EPSILON


def test_each_row_by_its_own_largest_value():
    expected = FOUND.double() + OFF
    assert equal_to_rounding(FOUND, expected).tolist() == [True, False, True, True, False]


def test_what_is_drawn_stays_drawn():
    known = Domain("sampled", 5)
    assert share(equal_to_rounding(drawn(FOUND), FOUND)).domain == known
    assert share(equal_to_rounding(FOUND, drawn(FOUND))).domain == known


def test_what_is_no_number():
    with pytest.raises(NothingMeasured, match="not a number"):
        equal_to_rounding(FOUND, FOUND * float("nan"))
