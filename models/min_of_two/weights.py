"""Canonical weights of min_of_two as its training has them: six matrices, and zeros."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mechanistic_claims import Checkpoint
from models.min_of_two import FAMILY

NAMES = FAMILY.reading.names
TRAINED = ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_U")

Tensors = Mapping[str, Tensor]


def canonical_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights of a checkpoint under their HookedTransformer names.

    Raises:
        CheckpointError: they are not those of a min_of_two model.
    """
    return FAMILY.reading.canonical(checkpoint)


def bridge_state_dict(weights: Tensors) -> dict[str, Tensor]:
    """Canonical weights under the bridge's own names, as `load_state_dict(strict=True)` wants."""
    return NAMES.under_bridge_names(weights)


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
        "logit": parameters["W_U"].shape[1],
        "head": 1,
        "position": positions,
    }
    weights = {}
    for name, axes in NAMES.axes.items():
        shape = [sizes[axis] for axis in axes.split()]
        short = name.rsplit(".", 1)[1]
        if short in TRAINED:
            weights[name] = parameters[short].detach().reshape(shape)
        else:
            weights[name] = torch.zeros(shape, dtype=parameters["W_E"].dtype)
    return weights
