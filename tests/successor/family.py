"""successor: two matrices that answer t + 1 to a token t. It ships a .pt file.

Importing this package imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from mechanistic_claims import Checkpoint, Parts

NAMES = {"read.weight", "write.weight"}


@dataclass(frozen=True)
class Successor:
    reference = Path(__file__).parent / "checkpoints" / "reference.pt"
    buffers = ("temperature",)

    def fits(self, checkpoint: Checkpoint) -> str:
        if checkpoint.tensors.keys() == NAMES:
            return ""
        return f"it has {len(checkpoint.tensors)} tensors, not {' and '.join(sorted(NAMES))}."

    def build(self, checkpoint: Checkpoint, device: torch.device) -> Parts:
        if why := self.fits(checkpoint):
            raise checkpoint.error(f"not a checkpoint of successor: {why}", "Give another.")
        from models.successor.network import SITES, Network, Task, exact

        from mechanistic_claims import Parts

        network = Network(checkpoint.tensors["read.weight"], checkpoint.tensors["write.weight"])
        task = Task(network.read.shape[0], device)
        return Parts(task, network.to(device).eval(), SITES, exact(network, device))

    def untrained(self, checkpoint: Checkpoint) -> Checkpoint:
        import torch

        generator = torch.Generator().manual_seed(0)
        tensors = {
            name: torch.randn(tensor.shape, generator=generator).to(tensor)
            for name, tensor in checkpoint.tensors.items()
        }
        return replace(checkpoint, tensors=tensors, metadata={})


FAMILY = Successor()
