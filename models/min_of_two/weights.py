"""The weights of a min_of_two checkpoint: their names, their shapes, and what an untrained one has.

Canonical names are those of HookedTransformer (`blocks.0.attn.W_Q`, one matrix a head). The
bridge's own names (`blocks.0.attn.q.weight`, heads stacked, transposed) are read too and are what
training writes, so that `load_state_dict` takes the file as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor

from mechanistic_claims import CannotJudge, Checkpoint

AXES = {
    "embed.W_E": "token d_model",
    "pos_embed.W_pos": "position d_model",
    "blocks.0.attn.W_Q": "head d_model d_head",
    "blocks.0.attn.W_K": "head d_model d_head",
    "blocks.0.attn.W_V": "head d_model d_head",
    "blocks.0.attn.W_O": "head d_head d_model",
    "blocks.0.attn.b_Q": "head d_head",
    "blocks.0.attn.b_K": "head d_head",
    "blocks.0.attn.b_V": "head d_head",
    "blocks.0.attn.b_O": "d_model",
    "unembed.W_U": "d_model operand",
    "unembed.b_U": "operand",
}
BRIDGE_NAMES = {
    "embed.weight": ("embed.W_E", "token d_model -> token d_model"),
    "pos_embed.weight": ("pos_embed.W_pos", "position d_model -> position d_model"),
    "blocks.0.attn.q.weight": ("blocks.0.attn.W_Q", "(head d_head) d_model -> head d_model d_head"),
    "blocks.0.attn.k.weight": ("blocks.0.attn.W_K", "(head d_head) d_model -> head d_model d_head"),
    "blocks.0.attn.v.weight": ("blocks.0.attn.W_V", "(head d_head) d_model -> head d_model d_head"),
    "blocks.0.attn.o.weight": ("blocks.0.attn.W_O", "d_model (head d_head) -> head d_head d_model"),
    "blocks.0.attn.q.bias": ("blocks.0.attn.b_Q", "(head d_head) -> head d_head"),
    "blocks.0.attn.k.bias": ("blocks.0.attn.b_K", "(head d_head) -> head d_head"),
    "blocks.0.attn.v.bias": ("blocks.0.attn.b_V", "(head d_head) -> head d_head"),
    "blocks.0.attn.o.bias": ("blocks.0.attn.b_O", "d_model -> d_model"),
    "unembed.weight": ("unembed.W_U", "operand d_model -> d_model operand"),
    "unembed.bias": ("unembed.b_U", "operand -> operand"),
}
MOST_OPERANDS = 1024
"""The logits of all pairs are held at once: 4 GiB of float32 for so many."""
TRAINED = ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_U")
REMEDY = (
    "Give a checkpoint of one layer of attention, without MLP or normalization, "
    "saved by HookedTransformer, by the bridge, or by `mechanistic-claims train min_of_two`."
)

Tensors = Mapping[str, Tensor]


def canonical_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights of a checkpoint under their HookedTransformer names, with their shapes checked.

    Raises:
        CheckpointError: a weight is missing, unknown, or of a shape that the others don't allow.
    """
    weights = dict(checkpoint.tensors)
    if "embed.weight" in weights:
        weights = _from_bridge_names(checkpoint, weights)
    unknown, missing = sorted(weights.keys() - AXES.keys()), sorted(AXES.keys() - weights.keys())
    if unknown or missing:
        said = [f"{_some(missing)} missing"] * bool(missing)
        said += [f"{_some(unknown)} unknown"] * bool(unknown)
        raise checkpoint.error(
            f"not a checkpoint of min_of_two: {', '.join(said)} "
            f"({len(AXES) - len(missing)} of {len(AXES)} weights found).",
            REMEDY,
        )
    for name in AXES:
        if not weights[name].is_floating_point():
            raise checkpoint.error(
                f"not a checkpoint of min_of_two: {name} is {weights[name].dtype}, "
                f"expected {checkpoint.dtype} as the other weights.",
                REMEDY,
            )
    _require_shapes_that_agree(checkpoint, weights)
    return {name: weights[name].contiguous() for name in AXES}


def bridge_state_dict(weights: Tensors) -> dict[str, Tensor]:
    """Canonical weights under the bridge's own names, as `load_state_dict(strict=True)` wants."""
    state = {}
    for bridge_name, (name, pattern) in BRIDGE_NAMES.items():
        there, here = pattern.split(" -> ")
        state[bridge_name] = rearrange(weights[name], f"{here} -> {there}").contiguous()
    return state


def untrained_parameters(
    number_of_operands: int, d_model: int, d_head: int, seed: int
) -> dict[str, Tensor]:
    """What training starts from: HookedTransformer's normal(0, 0.8 / sqrt(d_model)), float32."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "W_E": (number_of_operands + 1, d_model),
        "W_Q": (d_model, d_head),
        "W_K": (d_model, d_head),
        "W_V": (d_model, d_head),
        "W_O": (d_head, d_model),
        "W_U": (d_model, number_of_operands),
    }
    scale = 0.8 / math.sqrt(d_model)
    return {name: torch.randn(shapes[name], generator=generator) * scale for name in TRAINED}


def with_zero_biases(parameters: Tensors, positions: int = 3) -> dict[str, Tensor]:
    """The canonical weights of a model of one head whose biases and positions are zero."""
    sizes = {
        "token": parameters["W_E"].shape[0],
        "d_model": parameters["W_E"].shape[1],
        "d_head": parameters["W_Q"].shape[1],
        "operand": parameters["W_U"].shape[1],
        "head": 1,
        "position": positions,
    }
    weights = {}
    for name, axes in AXES.items():
        shape = [sizes[axis] for axis in axes.split()]
        short = name.rsplit(".", 1)[1]
        if short in TRAINED:
            weights[name] = parameters[short].detach().reshape(shape)
        else:
            weights[name] = torch.zeros(shape, dtype=parameters["W_E"].dtype)
    return weights


def with_positions(weights: Tensors, length: int) -> dict[str, Tensor]:
    """The same weights for inputs of up to another length.

    Raises:
        CannotJudge: positions are trained, and there are none for other lengths.
    """
    positions = weights["pos_embed.W_pos"]
    if positions.abs().amax() > 0:
        raise CannotJudge(
            f"its positions are trained: {len(positions)} of them, and none for inputs of another "
            "length. Only a model whose positions are zero can be given longer inputs."
        )
    return {**weights, "pos_embed.W_pos": positions.new_zeros(length, positions.shape[1])}


def untrained_weights(weights: Tensors, seed: int = 0) -> dict[str, Tensor]:
    """Untrained weights of the sizes, type and device of the ones given: the control."""
    tokens, d_model = weights["embed.W_E"].shape
    heads, _, d_head = weights["blocks.0.attn.W_Q"].shape
    parameters = untrained_parameters(tokens - 1, d_model, heads * d_head, seed)
    control = with_zero_biases(parameters, positions=len(weights["pos_embed.W_pos"]))
    return {
        name: tensor.reshape_as(weights[name]).to(weights[name]) for name, tensor in control.items()
    }


def _from_bridge_names(checkpoint: Checkpoint, weights: Tensors) -> dict[str, Tensor]:
    twice = [
        name
        for bridge_name, (name, _) in BRIDGE_NAMES.items()
        if {name, bridge_name} <= weights.keys()
    ]
    if twice:
        raise checkpoint.error(
            f"not a checkpoint of min_of_two: {_some(twice)} there twice, under both of its names.",
            REMEDY,
        )
    heads = _heads(checkpoint, weights)
    renamed = {}
    for bridge_name, tensor in weights.items():
        if bridge_name not in BRIDGE_NAMES:
            renamed[bridge_name] = tensor
            continue
        name, pattern = BRIDGE_NAMES[bridge_name]
        axes, there = pattern.split(" -> ")[0], AXES[name]
        if tensor.ndim != len(rearrange_axes(axes)):
            raise checkpoint.error(
                f"not a checkpoint of min_of_two: {bridge_name} is {_sizes(tensor)}, "
                f"expected {axes}.",
                REMEDY,
            )
        sizes = {"head": heads} if "head" in there.split() else {}
        renamed[name] = rearrange(tensor, pattern, **sizes)
    return renamed


def _heads(checkpoint: Checkpoint, weights: Tensors) -> int:
    """The number of heads that the bridge's stacked weights hold: one, if the file does not say.

    A safetensors file says it as `n_heads` in its metadata.
    """
    said = checkpoint.metadata.get("n_heads", "1")
    rows = {
        name: weights[name].shape[rearrange_axes(pattern.split(" -> ")[0]).index("head*d_head")]
        for name, (_, pattern) in BRIDGE_NAMES.items()
        if "(head d_head)" in pattern and _has_axes(weights.get(name), pattern)
    }
    heads = int(said) if re.fullmatch("[1-9][0-9]{0,3}", said) else 0
    odd = [name for name, count in rows.items() if not heads or count % heads]
    if odd or not heads:
        raise checkpoint.error(
            f"its metadata says n_heads = {said[:20]!r}, which does not divide the "
            f"{rows[odd[0]] if odd else 'missing'} rows of {odd[0] if odd else 'attention'}.",
            "Write the number of heads into the metadata, or leave it out for one head.",
        )
    return heads


def _has_axes(tensor: Tensor | None, pattern: str) -> bool:
    return tensor is not None and tensor.ndim == len(rearrange_axes(pattern.split(" -> ")[0]))


def rearrange_axes(axes: str) -> list[str]:
    """The axes of one side of an einops pattern, a group in brackets being one axis."""
    return axes.replace("(head d_head)", "head*d_head").split()


def _require_shapes_that_agree(checkpoint: Checkpoint, weights: Tensors) -> None:
    sizes: dict[str, int] = {}
    for name, axes in AXES.items():
        tensor, expected = weights[name], axes.split()
        if tensor.ndim == len(expected):
            for axis, size in zip(expected, tensor.shape, strict=True):
                sizes.setdefault(axis, size)
            sizes.setdefault("operand", sizes["token"] - 1)
        wanted = [sizes.get(axis, axis) for axis in expected]
        if list(tensor.shape) != wanted:
            raise checkpoint.error(
                f"not a checkpoint of min_of_two: {name} is {_sizes(tensor)}, expected "
                f"{' x '.join(map(str, wanted))} ({axes}; embed.W_E has {sizes.get('token', 'no')} "
                "tokens, one of them '=').",
                "Give a checkpoint of one model: two of its weights disagree.",
            )
    if sizes["operand"] > MOST_OPERANDS:
        raise checkpoint.error(
            f"{sizes['operand']:,} operands, expected at most {MOST_OPERANDS:,}.",
            "Give a checkpoint of fewer numbers: every pair of them is run.",
        )
    if sizes["operand"] < 2 or sizes["position"] < 3 or 0 in sizes.values():
        raise checkpoint.error(
            f"not a checkpoint of min_of_two: {sizes['operand']} operands and {sizes['position']} "
            "positions, expected at least 2 operands and the 3 positions of [a, b, =].",
            REMEDY,
        )


def _sizes(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
