"""The network: embed, unembed, and a hook between. Its task: every [t], answered by t + 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from mechanistic_claims import Sites, Weights

SITES = Sites("residual", "residual", (), "residual", "residual", "residual")


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

    is_sample = False
    answer_positions = (-1,)

    @property
    def inputs(self) -> Int[Tensor, "input position"]:
        return torch.arange(self.number, device=self.device)[:, None]

    @property
    def labels(self) -> Int[Tensor, " input"]:
        return (self.inputs[:, 0] + 1) % self.number


def exact(network: Network, device: torch.device) -> Weights:
    """Its matrices in float64, and no heads."""
    read, write = (w.to(device, torch.float64) for w in (network.read, network.write))
    of_no_head = read.new_zeros(0, 0, read.shape[1], 1)
    no_output = read.new_zeros(0, 0, 1, read.shape[1])
    return Weights(read, of_no_head, of_no_head, of_no_head, no_output, write, {})
