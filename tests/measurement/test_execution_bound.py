"""What is proved of a run, against runs: rounding, overflow and underflow in each type."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.measurement.certificates.certificate import Certificates
from mechanistic_claims.measurement.certificates.terms import gamma
from models.min_of_two.weights import with_zero_biases
from tests.conftest import subject_of
from tests.measurement.drawn import Drawn, companions, inputs_of, right_in


def of_two_numbers(
    d_model=8, d_head=4, d_type=torch.float32, common=0.0, scores=(8, 0, -8), lifted=0.0, **scales
):
    """'=' attends to 0 much more than to 1, and each is copied; every matrix may be scaled.

    `common` is added to all logits by the direct path, `lifted` to all scores: in a sum with them.
    """
    W_E, W_U = torch.zeros(3, d_model), torch.zeros(d_model, 2)
    W_Q, W_K, W_V = (torch.zeros(d_model, d_head) for _ in range(3))
    W_O = torch.zeros(d_head, d_model)
    W_E[[0, 1, 2], [0, 1, 2]] = 1.0
    W_Q[2, :2] = 1.0
    W_K[:3, 0], W_K[:3, 1] = torch.tensor(scores) * d_head**0.5, lifted * d_head**0.5
    W_V[[0, 1], [0, 1]] = W_O[[0, 1], [3, 4]] = W_U[[3, 4], [0, 1]] = 1.0
    W_U[2] = common
    named = {"W_E": W_E, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O, "W_U": W_U}
    scaled = {name: (w.double() * scales.get(name, 1.0)).to(d_type) for name, w in named.items()}
    return with_zero_biases(scaled)


def share_right_when_run(subject, length):
    """An answer of inf or NaN is none."""
    lists = torch.tensor(list(itertools.product(range(2), repeat=length)))
    logits = subject.logits_of(torch.nn.functional.pad(lists, (0, 1), value=2))[:].float()
    label = lists.amin(dim=-1)
    own, other = (logits.gather(1, at[:, None]).squeeze(1) for at in (label, 1 - label))
    return float(((own > other) & own.isfinite()).double().mean())


FLOAT16 = torch.float16
OVERTURNED = {
    "rounding in bfloat16": {"d_type": torch.bfloat16, "common": 256.0, "W_O": 0.5},
    "more terms than bfloat16 has digits": {
        "d_model": 512,
        "d_type": torch.bfloat16,
        "common": 256.0,
        "W_O": 0.5,
    },
    "overflow of float32": {"W_O": 1e20, "W_U": 1e20},
    "overflow of float16": {"d_type": FLOAT16, "W_O": 300, "W_U": 300},
    "weights that vanish in float32": {"scores": (8, 0, 118), "W_V": 1e20},
    "weights that vanish in bfloat16": {
        **{"d_type": torch.bfloat16, "scores": (8, 0, 118), "W_V": 1e20},
    },
    "weights that vanish in float16": {"d_type": FLOAT16, "scores": (8, 0, 30)},
    "underflow of float32": {
        **{"W_E": 1e-16, "W_Q": 1e16, "W_K": 1e16, "W_V": 1e-30},
        **{"W_O": 1e30, "W_U": 1e30},
    },
    "underflow of float16": {
        **{"d_type": FLOAT16, "W_E": 2**-6, "W_Q": 2**6, "W_K": 2**6},
        **{"W_V": 2**-20, "W_O": 2**12, "W_U": 2**13},
    },
}


@pytest.mark.parametrize("length", [2, 3])
@pytest.mark.parametrize("case", OVERTURNED)
def test_a_run_that_may_go_wrong_is_not_proved(save, case, length):
    """Right as a function of real numbers, not as it is computed."""
    subject = subject_of(save(of_two_numbers(**OVERTURNED[case])))
    assert subject.certificate.counted(length).at_least > 1 - 1e-8
    assert subject.certificate.counted(length, as_executed=True).at_least == 0.0
    assert share_right_when_run(subject, length) < 1.0


NOT_TOLD_APART = {
    torch.float32: {"scores": (1, 0, -8), "lifted": 2.0**25},
    torch.bfloat16: {"scores": (1, 0, -8), "lifted": 2.0**9},
    FLOAT16: {"scores": (1, 0, -8), "lifted": 2.0**12},
}


@pytest.mark.parametrize("d_type", NOT_TOLD_APART)
@pytest.mark.parametrize("length", [2, 3])
def test_scores_that_are_not_told_apart_prove_only_what_hangs_on_none(save, d_type, length):
    """Lists of one number twice or more: in all others a run takes both numbers for the same."""
    subject = subject_of(save(of_two_numbers(d_type=d_type, **NOT_TOLD_APART[d_type])))
    of_one_number = 2 / 2**length
    assert subject.certificate.counted(length).at_least > of_one_number
    assert subject.certificate.counted(length, as_executed=True).at_least <= of_one_number
    assert share_right_when_run(subject, length) < 1.0


@pytest.mark.parametrize("d_type", [torch.bfloat16, FLOAT16])
def test_of_sixteen_bits_no_more_is_certified_than_runs(d_type):
    """And something is, of models that are small and loud."""
    certified = []
    for kind, scale, seed, at_operand in itertools.product(
        ("normal", "integers"), (0.5, 2.0), range(4), (False, True)
    ):
        model = Drawn(kind, 4, 2, scale, seed, at_operand, "different" if at_operand else "none")
        drawn = model.weights
        names = ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_U")
        cut = {name: getattr(drawn, name).to(d_type).double() for name in names}
        others = {name: one.to(d_type).double() for name, one in drawn.others.items()}
        weights = replace(drawn, **cut, others=others)
        certificates = Certificates(weights, model.query, companions(4), d_type)
        found = certificates.counted(2, as_executed=True)
        assert found.at_least <= right_in(d_type, weights, *inputs_of(model))
        certified.append(found.at_least)
    assert max(certified) > 0.1


@pytest.mark.parametrize("d_type", [torch.float64, torch.float32, FLOAT16])
def test_a_run_with_room_is_proved(save, d_type):
    subject = subject_of(save(of_two_numbers(d_type=d_type, W_O=8.0)))
    executed = subject.certificate.counted(2, as_executed=True)
    assert executed.at_least > 1 - 1e-8
    assert executed.at_most == 1.0
    assert share_right_when_run(subject, 2) == 1.0


@pytest.mark.parametrize("d_type", [torch.float64, torch.float32, torch.bfloat16, FLOAT16])
@pytest.mark.parametrize("below", [100, 1000, 7000])
def test_a_weight_that_vanishes_where_nothing_hangs_on_it_does_no_harm(save, d_type, below):
    """By the softmax of the greater number, which is nothing beside that of the smaller one."""
    subject = subject_of(save(of_two_numbers(d_type=d_type, scores=(0, -below, -2 * below))))
    assert float(subject.circuits.qk().matrix[2, 1]) == pytest.approx(-below, rel=0.01)
    for length in (2, 3):
        assert subject.certificate.counted(length, as_executed=True).at_least > 1 - 1e-8
        assert share_right_when_run(subject, length) == 1.0


def test_nothing_is_known_of_more_terms_than_a_type_has_digits():
    assert gamma(255, 2.0**-8) == 255
    assert gamma(256, 2.0**-8) == gamma(300, 2.0**-8) == float("inf")


@pytest.mark.parametrize("scale", [1e-80, 1e80])
def test_weights_whose_products_leave_float64_are_not_certified(save, scale):
    subject = subject_of(save(of_two_numbers(d_type=torch.float64, W_V=scale)))
    with pytest.raises(CannotJudge, match=r"W_V has numbers above 2\^200 or, not zero, below"):
        _ = subject.certificate
