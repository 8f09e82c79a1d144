"""min_of_two: one attention head that answers min(a, b) to [a, b, =].

Importing this package imports neither torch nor transformer_lens: only building does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from mechanistic_claims import Checkpoint, Parts

REFERENCE = Path(__file__).parent / "checkpoints" / "reference.safetensors"
BUFFERS = ("blocks.0.attn.mask", "blocks.0.attn.IGNORE")


def fits(checkpoint: Checkpoint) -> str:
    """Why a checkpoint is none of min_of_two; "" where it is one."""
    from mechanistic_claims import CheckpointError
    from models.min_of_two.weights import canonical_weights

    try:
        canonical_weights(checkpoint)
    except CheckpointError as error:
        return error.found
    return ""


def build(checkpoint: Checkpoint, device: torch.device) -> Parts:
    """The task, the network, its wiring and its weights, from a checkpoint's tensors.

    Raises:
        CheckpointError: the tensors are not those of a min_of_two model.
    """
    from mechanistic_claims import Parts
    from models.min_of_two.network import WIRING, attention_weights, build_network
    from models.min_of_two.task import Task
    from models.min_of_two.weights import canonical_weights, with_positions

    weights = canonical_weights(checkpoint)
    return Parts(
        task=Task(weights["unembed.W_U"].shape[1], device),
        model=build_network(weights, device),
        wiring=WIRING,
        weights=attention_weights(weights, device),
        of_length=lambda length: build_network(with_positions(weights, length), device),
    )


def untrained(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint of the same sizes and type that was never trained: the control."""
    from dataclasses import replace

    from models.min_of_two.weights import canonical_weights, untrained_weights

    tensors = untrained_weights(canonical_weights(checkpoint))
    return replace(checkpoint, tensors=tensors, metadata={})
