"""SmolLM2 with other weights: which claims fall of a real model in which something is broken.

`python -m tests.smollm2.mutants FOLDER NAME OUT` writes one into a folder of its own.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = dict[str, Tensor]
"""By the names of transformers."""
WIDTH = 64
HEADS_THAT_SHARE = 3
LARGEST = 127
"""Of eight bits with a sign, symmetric."""


def without_head(tensors: Tensors, layer: int, index: int) -> Tensors:
    """A head writes nothing: its columns of W_O are zero."""
    name = f"model.layers.{layer}.self_attn.o_proj.weight"
    W_O = tensors[name].clone()
    W_O[:, of_head(index)] = 0
    return tensors | {name: W_O}


def with_noise(tensors: Tensors, layer: int, shared: int) -> Tensors:
    """To the W_K and W_V of a key-value head noise of their own standard deviation is added."""
    generator = torch.Generator().manual_seed(0)
    changed = {}
    for letter in "kv":
        name = f"model.layers.{layer}.self_attn.{letter}_proj.weight"
        changed[name] = tensors[name].clone()
        rows = changed[name][of_head(shared)]
        rows += torch.randn(rows.shape, generator=generator) * rows.std()
    return tensors | changed


def swapped(tensors: Tensors, one: int, other: int) -> Tensors:
    """Two layers have changed places."""
    places = {str(one): str(other), str(other): str(one)}

    def moved(name: str) -> str:
        return re.sub(r"(?<=layers\.)\d+", lambda found: places.get(found[0], found[0]), name)

    return {moved(name): tensor for name, tensor in tensors.items()}


def quantised(tensors: Tensors) -> Tensors:
    """Each matrix, the embedding too, in 8 bits with one scale a row, and back again."""
    return {name: in_8_bits(t) if t.ndim == 2 else t for name, t in tensors.items()}


def in_8_bits(matrix: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
    """The nearest of 255 numbers with equal steps, the largest of a row among them."""
    step = (
        matrix.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(matrix.dtype).tiny) / LARGEST
    )
    return (matrix / step).round() * step


def of_head(index: int) -> slice:
    return slice(index * WIDTH, (index + 1) * WIDTH)


MUTANTS: dict[str, Callable[[Tensors], Tensors]] = {
    "without 16.0": lambda tensors: without_head(tensors, 16, 0),
    "18.6's keys and values noised": lambda tensors: with_noise(tensors, 18, 6 // HEADS_THAT_SHARE),
    "17 and 18 swapped": lambda tensors: swapped(tensors, 17, 18),
    "8 bits": quantised,
}


def write(folder: Path, name: str, out: Path) -> None:
    """The mutant of this name of a folder's weights, with the folder's config.json."""
    out.mkdir()
    save_file(MUTANTS[name](load_file(folder / "model.safetensors")), out / "model.safetensors")
    shutil.copy(folder / "config.json", out)


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
