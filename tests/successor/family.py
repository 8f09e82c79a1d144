"""successor: two matrices that answer t + 1 to a token t. It ships a .pt file.

Importing this package imports no torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from mechanistic_claims import Checkpoint, Parts

REFERENCE = Path(__file__).parent / "checkpoints" / "reference.pt"
BUFFERS = ("temperature",)
NAMES = {"read.weight", "write.weight"}


def fits(checkpoint: Checkpoint) -> str:
    if checkpoint.tensors.keys() == NAMES:
        return ""
    return f"it has {len(checkpoint.tensors)} tensors, not {' and '.join(sorted(NAMES))}."


def build(checkpoint: Checkpoint, device: torch.device) -> Parts:
    if why := fits(checkpoint):
        raise checkpoint.error(f"not a checkpoint of successor: {why}", "Give another.")
    from models.successor.network import WIRING, Network, Task, exact

    from mechanistic_claims import Parts

    network = Network(checkpoint.tensors["read.weight"], checkpoint.tensors["write.weight"])
    return Parts(
        Task(network.read.shape[0], device), network.to(device), WIRING, exact(network, device)
    )


def untrained(checkpoint: Checkpoint) -> Checkpoint:
    import torch

    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(tensor.shape, generator=generator).to(tensor)
        for name, tensor in checkpoint.tensors.items()
    }
    return replace(checkpoint, tensors=tensors, metadata={})
