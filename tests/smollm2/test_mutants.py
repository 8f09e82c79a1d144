"""Each mutant is broken where it says, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from tests.smollm2.mutants import MUTANTS, WIDTH

LAYERS, SHARED, COLUMNS = range(15, 20), 3, 9 * WIDTH
"""Few outputs, and as many heads as there are."""


@pytest.fixture(scope="module")
def tensors():
    generator = torch.Generator().manual_seed(0)
    shapes = {"model.embed_tokens.weight": (7, 11)}
    for layer in LAYERS:
        block = f"model.layers.{layer}"
        shapes[f"{block}.self_attn.o_proj.weight"] = (5, COLUMNS)
        shapes |= {f"{block}.self_attn.{k}_proj.weight": (SHARED * WIDTH, 5) for k in "kv"}
        shapes[f"{block}.input_layernorm.weight"] = (5,)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def changed(tensors, name):
    """What a mutant has otherwise, and where."""
    mutant = MUTANTS[name](tensors)
    assert mutant.keys() == tensors.keys()
    different = {n: mutant[n] != t for n, t in tensors.items() if not torch.equal(mutant[n], t)}
    return mutant, different


def test_a_head_is_silent(tensors):
    mutant, different = changed(tensors, "without 16.0")
    ((name, where),) = different.items()
    assert name == "model.layers.16.self_attn.o_proj.weight"
    assert where.any(dim=0).nonzero().flatten().tolist() == list(range(64))
    assert not (torch.ones(64) @ mutant[name][:, :64].T).any()


def test_keys_and_values_of_three_heads_are_others(tensors):
    mutant, different = changed(tensors, "18.6's keys and values noised")
    assert set(different) == {f"model.layers.18.self_attn.{k}_proj.weight" for k in "kv"}
    for name, where in different.items():
        assert where.any(dim=1).nonzero().flatten().tolist() == list(range(128, 192))
        noise = (mutant[name] - tensors[name])[128:]
        assert float(noise.std()) == pytest.approx(1, abs=0.2)


def test_layers_change_places(tensors):
    mutant, different = changed(tensors, "17 and 18 swapped")
    assert {name.split(".")[2] for name in different} == {"17", "18"}
    assert len(different) == 2 * 4
    for name in different:
        here, there = ("17", "18") if ".17." in name else ("18", "17")
        assert torch.equal(mutant[name], tensors[name.replace(here, there)])


def test_rows_have_255_numbers(tensors):
    mutant, different = changed(tensors, "8 bits")
    assert set(different) == {name for name, tensor in tensors.items() if tensor.ndim == 2}
    for name in different:
        before, after = tensors[name], mutant[name]
        largest = before.abs().amax(dim=1, keepdim=True)
        levels = after / largest * 127
        assert (levels - levels.round()).abs().max() < 1e-4
        assert torch.allclose(after.abs().amax(dim=1, keepdim=True), largest)
        assert (after - before).abs().max() <= 1.001 * largest.max() / 127 / 2
