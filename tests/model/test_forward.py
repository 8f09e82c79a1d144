"""The transformer as a function of its weights is transformer_lens's, gradients too."""

from __future__ import annotations

import math

import pytest
import torch

from mechanistic_claims.model.forward import cross_entropies, logits_of
from mechanistic_claims.model.starting import drawn_weights, transformer_shapes
from tests.model.bridges import as_in_bridge, bridge_name, bridge_of

SEEDS, POSITIONS, LOGITS = 2, 5, 6
SIZES = {"tokens": 7, "positions": POSITIONS, "logits": LOGITS, "d_model": 8, "d_head": 3}
ATTENTION_ONLY = transformer_shapes(**SIZES, layers=2, heads=2)
BIASES = {
    "blocks.0.attn.b_Q": (2, 3),
    "blocks.0.attn.b_K": (2, 3),
    "blocks.0.attn.b_V": (2, 3),
    "blocks.0.attn.b_O": (8,),
    "unembed.b_U": (LOGITS,),
}
WITH_MLP = transformer_shapes(**SIZES, layers=1, heads=2, d_mlp=9)
SHAPES = {
    "two layers": ATTENTION_ONLY,
    "an MLP": WITH_MLP,
    "an MLP and all biases": WITH_MLP | BIASES,
    "MLPs and norms": transformer_shapes(**SIZES, layers=2, heads=2, d_mlp=9, norm="LN"),
}


def random_weights(shapes):
    """Of two seeds, in float64, biases too."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(SEEDS, *shape, generator=generator, dtype=torch.float64) * 0.4
        for name, shape in shapes.items()
    }


def random_tokens(batch):
    """Others for each seed."""
    generator = torch.Generator().manual_seed(2)
    return torch.randint(7, (SEEDS, batch, POSITIONS), generator=generator)


@pytest.mark.parametrize("batch", [3, 40], ids=["less inputs than tokens", "more"])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@torch.enable_grad()
def test_logits_and_gradients_are_those_of_the_bridge(shapes, batch):
    weights = {name: weight.requires_grad_() for name, weight in random_weights(shapes).items()}
    tokens = random_tokens(batch)
    logits = logits_of(weights, tokens)
    (logits**2).sum().backward()
    for seed in range(SEEDS):
        network = bridge_of({name: weight.detach()[seed] for name, weight in weights.items()})
        parameters = network.state_dict(keep_vars=True)
        parameters["unembed.bias"].requires_grad_()  # a buffer there
        expected = network(tokens[seed])
        (expected**2).sum().backward()
        assert (logits[seed] - expected).abs().max() < 1e-12
        for name, weight in weights.items():
            gradient = as_in_bridge(name, weight.grad[seed])
            assert torch.allclose(gradient, parameters[bridge_name(name)].grad, rtol=1e-9), name


@pytest.mark.parametrize("function", ["relu", "gelu", "silu"])
def test_the_function_of_the_mlp(function):
    weights, tokens = random_weights(WITH_MLP), random_tokens(3)
    logits = logits_of(weights, tokens, mlp=function)
    for seed in range(SEEDS):
        network = bridge_of({name: weight[seed] for name, weight in weights.items()}, function)
        assert (logits[seed] - network(tokens[seed])).abs().max() < 1e-12


@pytest.mark.parametrize("rows", [slice(-1, None), slice(1, 3)], ids=["the last", "some"])
@pytest.mark.parametrize("batch", [3, 40])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_rows_are_those_among_all(shapes, batch, rows):
    weights, tokens = random_weights(shapes), random_tokens(batch)
    some, whole = logits_of(weights, tokens, rows), logits_of(weights, tokens)
    assert some.shape == (SEEDS, batch, len(range(POSITIONS)[rows]), LOGITS)
    assert torch.allclose(some, whole[:, :, rows], rtol=1e-12)


@pytest.mark.parametrize("batch", [3, 40])
def test_tokens_without_an_axis_of_seeds_are_the_same_for_each(batch):
    weights, tokens = random_weights(WITH_MLP), random_tokens(batch)[0]
    assert torch.equal(logits_of(weights, tokens), logits_of(weights, tokens.expand(2, -1, -1)))


@pytest.mark.parametrize("batch", [3, 40])
def test_a_model_may_have_no_positions(batch):
    weights, tokens = random_weights(ATTENTION_ONLY), random_tokens(batch)
    zero = weights | {"pos_embed.W_pos": torch.zeros(SEEDS, POSITIONS, 8, dtype=torch.float64)}
    del weights["pos_embed.W_pos"]
    assert torch.allclose(logits_of(weights, tokens), logits_of(zero, tokens), rtol=1e-12)


def test_cross_entropy_is_minus_the_log_of_the_share():
    """Logits log 1, 2 and 5 are shares 1/8, 1/4, 5/8."""
    logits = torch.tensor([1.0, 2.0, 5.0]).log().expand(2, 2, 1, 3)
    labels = torch.tensor([[[0], [1]], [[2], [2]]])
    expected = [(math.log(8) + math.log(4)) / 2, math.log(8 / 5)]
    found = cross_entropies(logits, labels)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, rel=1e-7)


def test_weights_are_drawn_as_by_hooked_transformer():
    """normal(0, 0.8 / sqrt(64)) is 0.1 wide; biases are zero; a seed decides them."""
    shapes = transformer_shapes(
        tokens=50, positions=3, logits=40, layers=1, heads=2, d_model=64, d_head=32, d_mlp=100
    )
    weights = drawn_weights(shapes, seed=4)
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == shapes
    for name, weight in weights.items():
        if ".b_" in name:
            assert not weight.any()
        elif weight.numel() > 2000:
            assert weight.std().item() == pytest.approx(0.1, rel=0.06), name
            assert abs(weight.mean().item()) < 0.01, name
    again, other = drawn_weights(shapes, seed=4), drawn_weights(shapes, seed=5)
    assert torch.equal(weights["embed.W_E"], again["embed.W_E"])
    assert not torch.equal(weights["embed.W_E"], other["embed.W_E"])
