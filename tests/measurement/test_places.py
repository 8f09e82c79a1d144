"""The algebra of one head that knows where a token is, and what rounding may do to it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from claims.max_of_four import test_preconditions as claims
from mechanistic_claims.errors import CannotJudge, NothingMeasured
from mechanistic_claims.measurement.algebra import decomposed_logits, decomposed_scores
from mechanistic_claims.measurement.cases import drawn
from mechanistic_claims.measurement.circuits import Circuits
from mechanistic_claims.measurement.domain import Domain
from mechanistic_claims.measurement.measures import share
from mechanistic_claims.measurement.rounded import Rounding
from mechanistic_claims.measurement.rounding import differences
from mechanistic_claims.model.starting import drawn_weights, transformer_shapes
from models.max_of_four.constructed import attend_to_the_max_and_copy
from tests.kill import claims_of, subject_with

V, LENGTH, D_MODEL, D_HEAD = 5, 3, 4, 3
LISTS = torch.tensor(list(product(range(V), repeat=LENGTH)))


def small(seed=0):
    """Weights of a small model that was never trained, in float64; embeddings are large."""
    shapes = transformer_shapes(
        tokens=V, positions=LENGTH, logits=V, layers=1, heads=1, d_model=D_MODEL, d_head=D_HEAD
    )
    weights = {name: one.double() for name, one in drawn_weights(shapes, seed).items()}
    return {name: 3 * one if "embed.W_" in name else one for name, one in weights.items()}


def complete(weights):
    """With the biases that the family adds."""
    from mechanistic_claims.checkpoint.checkpoint import Checkpoint
    from models.max_of_four import FAMILY

    return FAMILY.reading.canonical(Checkpoint(FAMILY.reference, "max_of_four", "", weights))


@pytest.mark.parametrize("query", [0, 1, -1])
def test_logits_and_scores_are_those_of_the_real_model(query):
    """At every position: from the first two not all others are seen."""
    subject = subject_with("max_of_four", complete(small()))
    model, at = subject.model, range(LENGTH)[query]
    found = {}
    hooks = [
        (f"blocks.0.attn.hook_{name}", lambda value, hook, name=name: found.update({name: value}))
        for name in ("q", "k", "pattern")
    ]
    logits = model.run_with_hooks(LISTS, fwd_hooks=hooks)[:, at]
    pattern = found["pattern"][:, 0, at]
    by_algebra = decomposed_logits(subject.circuits, LISTS, pattern, query).all()
    assert (by_algebra - logits).abs().max() < 1e-12
    scores = (found["q"][:, at] * found["k"][:, :, 0]).sum(dim=-1) / math.sqrt(D_HEAD)
    assert (decomposed_scores(subject.circuits, LISTS, query) - scores).abs().max() < 1e-12
    assert logits.std() > 0.1
    assert scores.std() > 0.1


def test_where_it_does_not_matter_where_a_token_is_there_are_no_places():
    """No positions, and positions that are zero, are the same to the bit."""
    weights = complete(small())
    weights["pos_embed.W_pos"] = torch.zeros_like(weights["pos_embed.W_pos"])
    subject = subject_with("max_of_four", weights)
    known = subject.weights
    assert not known.has_positions
    even = torch.full(LISTS.shape, 1 / LENGTH, dtype=torch.float64)
    scores = subject.circuits.qk().matrix[LISTS[:, -1:], LISTS]
    assert torch.equal(decomposed_scores(subject.circuits, LISTS), scores)
    without = Circuits(replace(known, others={}))
    assert torch.equal(decomposed_scores(without, LISTS), scores)
    longer = torch.cat([LISTS, LISTS], dim=1)
    rounding = Rounding(known, torch.float32, LENGTH)
    assert rounding.scores(longer).shape == longer.shape
    ov, direct = subject.circuits.ov().matrix, subject.circuits.direct_path.matrix
    logits = decomposed_logits(subject.circuits, LISTS, even).all()
    assert (logits - (ov[LISTS].mean(dim=1) + direct[LISTS[:, -1]])).abs().max() < 1e-12


def test_rounding_knows_the_lists_that_were_trained():
    weights = subject_with("max_of_four", complete(small())).weights
    rounding = Rounding(weights, torch.float32, LENGTH)
    assert rounding.scores(LISTS).shape == LISTS.shape
    with pytest.raises(CannotJudge, match="rounding on inputs of 2 tokens: positions are trained"):
        rounding.scores(LISTS[:, :2])


def test_a_place_that_is_added_costs_the_rounding_of_a_sum():
    """More than the same stream in the embedding of tokens alone, and not twice as much."""
    weights = complete(small())
    place = weights["pos_embed.W_pos"][:1].expand(LENGTH, -1)
    apart = subject_with("max_of_four", {**weights, "pos_embed.W_pos": place}).weights
    added = {"embed.W_E": weights["embed.W_E"] + place[:1], "pos_embed.W_pos": 0 * place}
    together = subject_with("max_of_four", {**weights, **added}).weights
    even = torch.full(LISTS.shape, 1 / LENGTH, dtype=torch.float64)
    more, less = (Rounding(one, torch.float32, LENGTH) for one in (apart, together))
    for ratio in (
        more.scores(LISTS) / less.scores(LISTS),
        more.logits(LISTS, even) / less.logits(LISTS, even),
    ):
        assert ratio.min() > 1
        assert ratio.max() < 2


PRECONDITIONS = [
    claim
    for claim in claims_of("max_of_four")
    if claim.function.__module__ == claims.__name__ and "at_least" in claim.parameters
]


def rotated(v, d_type, **biases):
    """The story by hand in a random rotation, where numbers of d_model cancel in every product."""
    weights = {name: w.double() for name, w in attend_to_the_max_and_copy(v, LENGTH).items()}
    for name, amount in biases.items():
        full = next(one for one in weights if one.endswith(name))
        drawn_bias = torch.randn(
            weights[full].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        weights[full] = amount * drawn_bias
    size, width = weights["blocks.0.attn.W_Q"].shape[1:]
    stream, of_head = (torch.linalg.qr(random(n)).Q for n in (size, width))
    for name in ("embed.W_E", "pos_embed.W_pos", "blocks.0.attn.W_O", "blocks.0.attn.b_O"):
        weights[name] = weights[name] @ stream
    for letter in "QKV":
        weights[f"blocks.0.attn.W_{letter}"] = stream.T @ weights[f"blocks.0.attn.W_{letter}"]
    weights["blocks.0.attn.W_V"] = weights["blocks.0.attn.W_V"] @ of_head
    weights["blocks.0.attn.W_O"] = of_head.T @ weights["blocks.0.attn.W_O"]
    weights["unembed.W_U"] = stream.T @ weights["unembed.W_U"]
    return {name: w.to(d_type).contiguous() for name, w in weights.items()}


def random(size):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(size, size, generator=generator, dtype=torch.float64)


def hold(v, d_type):
    subject = subject_with("max_of_four", rotated(v, d_type))
    for claim in PRECONDITIONS:
        assert claim.judged(subject) == ("holds", 1.0), claim.name


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("v", "d_type"),
    [
        (12, torch.bfloat16),
        *(pytest.param(12, d_type, marks=SLOW) for d_type in (torch.float16, torch.float64)),
        pytest.param(100, torch.float32, marks=SLOW),
    ],
)
def test_no_width_and_no_type_loses_more(v, d_type):
    subject = subject_with("max_of_four", rotated(v, d_type))
    assert len(PRECONDITIONS) == 4
    for claim in PRECONDITIONS:
        assert claim.judged(subject) == ("holds", 1.0), claim.name


@pytest.mark.parametrize(
    ("bias", "amount", "refuted"),
    [
        pytest.param("b_U", 4.0, {"test_logits_are_pattern_ov_and_direct_path"}, marks=SLOW),
        ("b_K", 2.0, {"test_scores_are_the_qk_circuit"}),
    ],
)
def test_limits_are_not_so_wide_that_nothing_exceeds_them(bias, amount, refuted):
    """In bfloat16, where they are widest."""
    subject = subject_with("max_of_four", rotated(12, torch.bfloat16, **{bias: amount}))
    words = {claim.function.__name__: claim.judged(subject)[0] for claim in PRECONDITIONS}
    assert {name for name, word in words.items() if word == "refuted"} == refuted


def test_differences_of_each_row_are_over_what_may_be_lost():
    found = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    expected = found.double() + torch.tensor([[0.0, 0.5], [-0.125, 0.0], [0.0, 0.0]])
    lost = torch.tensor([[1.0], [0.0625], [1.0]])
    assert differences(found, expected, lost).tolist() == [0.5, 2.0, 0.0]
    each = torch.tensor([[1.0, 0.25], [1.0, 1.0], [1.0, 1.0]])
    assert differences(found, expected, each).tolist() == [2.0, 0.125, 0.0]
    assert share(differences(drawn(found), expected, lost) <= 1).domain == Domain("sampled", 3)
    with pytest.raises(NothingMeasured, match="not a number"):
        differences(found, expected * math.nan, lost)
    with pytest.raises(CannotJudge, match="in float32 a sum of this model may overflow"):
        differences(found, expected, torch.tensor([[1.0], [math.inf], [1.0]]))
