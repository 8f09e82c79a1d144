"""The network: embed, unembed, and a hook between. Its task: every [t], answered by t + 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from mechanistic_claims import AttentionWeights, Wiring

WIRING = Wiring("residual", (), "residual", "residual")


class Network(HookedRootModule):
    def __init__(self, read: Float[Tensor, "token d"], write: Float[Tensor, "d token"]) -> None:
        super().__init__()
        self.read, self.write = torch.nn.Parameter(read, False), torch.nn.Parameter(write, False)
        self.residual = HookPoint()
        self.setup()

    def forward(self, tokens: Int[Tensor, "input position"]) -> Float[Tensor, "input position t"]:
        return self.residual(self.read[tokens]) @ self.write


@dataclass(frozen=True)
class Task:
    number: int
    device: torch.device

    answer_positions = (-1,)

    @property
    def inputs(self) -> Int[Tensor, "input position"]:
        return torch.arange(self.number, device=self.device)[:, None]

    @property
    def labels(self) -> Int[Tensor, " input"]:
        return (self.inputs[:, 0] + 1) % self.number

    @property
    def representative(self) -> Int[Tensor, " input"]:
        return self.inputs[:, 0]

    @property
    def counterpart(self) -> Int[Tensor, "input position"]:
        return torch.zeros_like(self.inputs)

    def picture_of(self, exceptions: Any) -> None:
        return None


def exact(network: Network, device: torch.device) -> AttentionWeights:
    """Its matrices in float64, and no heads."""
    read, write = (w.to(device, torch.float64) for w in (network.read, network.write))
    of_no_head = read.new_zeros(0, 0, read.shape[1], 1)
    no_output = read.new_zeros(0, 0, 1, read.shape[1])
    return AttentionWeights(read, of_no_head, of_no_head, of_no_head, no_output, write, {})
