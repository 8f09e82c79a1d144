"""Models and tasks at the edge of what certificates are of: each once certified too much."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.measurement.certificates import certificate
from mechanistic_claims.measurement.certificates.certificate import Certificates
from mechanistic_claims.measurement.circuits import Weights
from tests.measurement import balls
from tests.measurement.balls import Balls, enumerated
from tests.measurement.drawn import companions

NOTHING, BOTH = [[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]


def weights(embedding, query, key, value, output, unembedding, positions=None):
    def matrix(numbers):
        return torch.tensor(numbers, dtype=torch.float64)

    return Weights(
        W_E=matrix(embedding),
        W_Q=matrix(query)[None, None],
        W_K=matrix(key)[None, None],
        W_V=matrix(value)[None, None],
        W_O=matrix(output)[None, None],
        W_U=matrix(unembedding),
        others={} if positions is None else {"pos_embed.W_pos": matrix(positions)},
    )


def bounds(found, length):
    """Every lower bound that there is of lists of a length."""
    return {
        "relaxed": found.relaxed(length),
        "separable": found.separable(length).accuracy,
        "counted": found.counted(length).at_least,
        "as executed": found.counted(length, as_executed=True).at_least,
        "enumerated": found.enumerated(length),
    }


@pytest.mark.parametrize("query", [None, 2])
def test_as_many_positions_as_the_longest_list_are_positions(monkeypatch, query):
    """Both logits are equal but for positions, which are for 1."""
    monkeypatch.setattr(certificate, "LONGEST", 4)
    positions = [[0.0, -100.0]] * (4 if query is None else 5)
    embedding = [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]][: 3 if query else 2]
    model = weights(embedding, NOTHING, NOTHING, BOTH, BOTH, [[1.0, 0.0], [1.0, 0.0]], positions)
    found = Certificates(model, query, companions(2), torch.float32)
    assert max(bounds(found, 2).values()) <= 0.25


def test_what_a_single_operand_adds_directly_is_not_left_out():
    """It gives 1 to its own logit where it is attended to, and 1.5 directly to another."""
    value, unembedding = [[0.0, 1.0], [0.0, 0.0]], [[0.0, 1.5], [1.0, 0.0]]
    model = weights([[1.0, 0.0]], NOTHING, NOTHING, value, BOTH, unembedding)
    assert max(bounds(Certificates(model, None, companions(1), torch.float32), 4).values()) == 0


def test_weights_that_vanish_are_multiplied_by_logits():
    """A third token has the greatest score, and all of a list next to none."""
    embedding = [[-1, 0, 1], [-745.5 / 743.5, 0, -20], [-3, 1, 0], [0, 0, 0]]
    model = weights(
        embedding,
        [[0.0], [743.5], [0.0]],
        [[1.0], [0.0], [0.0]],
        [[0.0], [0.0], [1.0]],
        [[0.0, 0.0, 2.0**120]],
        [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]],
    )
    known = enumerated(Balls(model, 3), 2, min, 2)
    right = balls.share(known, lambda one: one.right)
    assert right == 0.5
    found = bounds(Certificates(model, 2, companions(2), torch.float32), 2)
    assert max(found.values()) <= right
    assert found["counted"] > right - 1e-8


def test_lists_that_are_hardly_decided_are_not_called_lost():
    """By polynomials, of which the deficit is a weight that all but vanishes."""
    embedding = [[1, 0, 1, 0], [1, 0, -6.2, 0], [0, 1, 0, 0]]
    value = torch.zeros(4, 4)
    value[2, 2] = 1.0
    positions = torch.zeros(8, 4)
    positions[:, 3] = torch.arange(8.0)
    model = weights(
        embedding,
        [[0.0] * 4, [-1300.0, 0.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4],
        [[1.0, 0.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4, [0.0] * 4],
        value.tolist(),
        torch.eye(4).tolist(),
        [[0, 0], [0, 0], [1.0, 0.0], [0, 0]],
        positions.tolist(),
    )
    right = balls.share(enumerated(Balls(model, 8), 2, min, 2), lambda one: one.right)
    counted = Certificates(model, 2, companions(2), torch.float32).counted(7)
    assert counted.at_least <= right <= counted.at_most


OF_TWO = weights([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], NOTHING, NOTHING, BOTH, BOTH, BOTH)
ONE_LOGIT = weights([[1.0, 0.0]], NOTHING, NOTHING, BOTH, BOTH, [[0.0], [1.0]])
REFUSED = {
    "lists of two answers": (OF_TWO, 2, torch.ones(2, 2, dtype=torch.bool), "1 may be in a list w"),
    "an operand before every list": (OF_TWO, 0, companions(2), "the query is token 0: expected"),
    "a query that is no token": (OF_TWO, 7, companions(2), "the query is token 7: expected"),
    "more operands than logits": (OF_TWO, None, companions(3), "3 x 3, of 3 tokens and 2 logits"),
    "no rival": (ONE_LOGIT, None, companions(1), "of 1 tokens and 1 logits"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_certificate_says_so(case):
    model, query, may_be_with, said = REFUSED[case]
    with pytest.raises(CannotJudge, match=said):
        Certificates(model, query, may_be_with, torch.float32)


def test_lists_fit_before_a_query_in_one_position_less():
    model = weights(
        OF_TWO.W_E.tolist(), NOTHING, NOTHING, BOTH, BOTH, BOTH, positions=[[1.0, 0.0]] * 3
    )
    with pytest.raises(CannotJudge, match="expected 1 to 2, of a model of 3 positions"):
        Certificates(model, 2, companions(2), torch.float32).counted(3)
