"""Circuits and the algebra, on random weights: what they say is what the model does."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mechanistic_claims.checkpoint.checkpoint import Checkpoint
from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.measurement.algebra import decomposed_logits
from mechanistic_claims.measurement.circuits import Circuit, Circuits
from mechanistic_claims.measurement.properties import reproducible
from mechanistic_claims.measurement.rounding import largest_difference, rounding_unit
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.components import head
from mechanistic_claims.model.weights import Weights
from models.min_of_two import FAMILY
from tests.conftest import CPU, ROOT, small_weights


def random_subject(operands: int, width: int, scale: float, seed: int) -> Subject:
    weights = small_weights(operands, width, seed)
    scaled = {name: tensor * scale for name, tensor in weights.items()}
    checkpoint = Checkpoint(ROOT / "random.pt", "min_of_two", "0" * 64, scaled)
    return Subject(checkpoint, FAMILY.build(checkpoint, CPU), CPU)


@given(
    operands=st.integers(2, 9),
    width=st.integers(1, 8),
    scale=st.sampled_from([1e-3, 1.0, 3.0, 10.0]),
    seed=st.integers(0, 2**16),
)
@reproducible(examples=40)
def test_the_algebra_holds_for_any_weights(operands, width, scale, seed):
    subject = random_subject(operands, width, scale, seed)
    activations, circuits, inputs = subject.activations, subject.circuits, subject.task.inputs
    logits = decomposed_logits(circuits, inputs, activations.attention)
    assert largest_difference(activations.logits, logits) <= 8
    scores = circuits.qk().matrix[operands, inputs]
    assert largest_difference(activations.attention_scores, scores) <= 8
    mirrored = activations.logits[subject.task.mirrored]
    assert largest_difference(activations.logits, mirrored) <= 8


def test_a_bias_breaks_the_algebra(save):
    from tests.conftest import subject_of

    weights = small_weights()
    weights["unembed.b_U"] = torch.full_like(weights["unembed.b_U"], 0.01)
    subject = subject_of(save(weights))
    logits = decomposed_logits(subject.circuits, subject.task.inputs, subject.activations.attention)
    assert largest_difference(subject.activations.logits, logits) > 8


def test_circuits_are_those_of_the_write_up(reference):
    """W_E W_V W_O W_U and W_E W_Q W_K^T W_E^T / sqrt(d_head), from the bridge's own properties."""
    bridge, circuits = reference.model, reference.circuits
    full_ov = bridge.W_E @ bridge.W_V[0, 0] @ bridge.W_O[0, 0] @ bridge.W_U
    full_qk = bridge.W_E @ bridge.W_Q[0, 0] @ bridge.W_K[0, 0].T @ bridge.W_E.T / 32**0.5
    assert circuits.ov().matrix.dtype == torch.float64
    assert torch.allclose(circuits.ov().matrix.float(), full_ov, atol=1e-4)
    assert torch.allclose(circuits.qk().matrix.float(), full_qk, atol=1e-3)


def test_copying_score_and_diagonal():
    copies, shifts = torch.eye(4).double(), torch.eye(4).double().roll(1, dims=1)
    assert Circuit(copies, copies).copying_score == pytest.approx(1.0)
    assert Circuit(-copies, copies).copying_score == pytest.approx(-1.0)
    assert Circuit(copies, shifts).copying_score == pytest.approx(0.0, abs=1e-12)
    matrix = Circuit(copies * torch.arange(4.0).double(), copies + shifts)
    assert torch.equal(matrix.diagonal, torch.diag(torch.arange(4.0).double()))


def test_several_heads_have_no_only_circuit():
    weight = torch.ones(1, 2, 3, 3).double()
    outer = torch.ones(4, 3).double()
    circuits = Circuits(Weights(outer, weight, weight, weight, weight, outer.T, {}))
    assert circuits.ov(head(0, 1)).matrix.shape == (4, 4)
    with pytest.raises(CannotJudge, match="2 heads"):
        circuits.ov()


def test_differences_are_in_units_of_rounding():
    values = torch.tensor([1.0, -8.0])
    unit = 8 * torch.finfo(torch.float32).eps
    assert rounding_unit(values) == pytest.approx(unit)
    assert largest_difference(values, values.double() + 3 * unit) == pytest.approx(3.0)
    assert largest_difference(torch.zeros(2), torch.zeros(2)) == 0.0
    assert largest_difference(torch.zeros(2), torch.ones(2)) == float("inf")


def test_nan_is_never_a_small_difference():
    values = torch.ones(3)
    for other in (torch.tensor([1.0, float("nan"), 1.0]), torch.tensor([float("nan"), 1.0, 1.0])):
        assert math.isnan(largest_difference(values, other))
        assert math.isnan(largest_difference(other, values))


def test_weights_go_by_their_canonical_names_too(reference):
    weights = reference.weights
    assert torch.equal(weights["embed.W_E"], weights.W_E)
    assert torch.equal(weights["unembed.W_U"], weights.W_U)
    assert torch.equal(weights["blocks.0.attn.W_K"], weights.W_K[0])
    for name in ("embed.W_U", "blocks.1.attn.W_K", "blocks.0.attn.W_E", "W_Q"):
        said = rf'weights\["{name}"\]: expected one of .*, or weights.W_E'
        with pytest.raises(CannotJudge, match=said):
            weights[name]


def test_an_attribute_that_weights_have_not_is_told_by_its_name(reference):
    weights = reference.weights
    with pytest.raises(AttributeError, match=r'expected weights\["pos_embed.W_pos"\]\.$'):
        _ = weights.W_pos
    with pytest.raises(AttributeError, match=r'expected weights\["NAME"\] of one of .* and .W_U'):
        _ = weights.W_nothing
    assert repr(weights) == "Weights(1 x 1 heads, d_model 32, 201 tokens)"
    assert torch.equal(copy.deepcopy(weights).W_E, weights.W_E)
