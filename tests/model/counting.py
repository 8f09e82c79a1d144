"""Networks that are no transformers, of weights that are known: a loop that counts, and a sum.

The loop keeps a state of as many units as inputs have tokens. Each token 1 adds WEIGHTS to it, and
logit k is 2 k c - k^2 of the sum c of its units: the greatest is that of the number nearest to c.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from mechanistic_claims.checkpoint.checkpoint import Checkpoint
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.any_network import network

LENGTH = 4
WEIGHTS = torch.tensor([0.5, 0.25, 0.25, 0.0])
CPU = torch.device("cpu")


class Step(nn.Module):
    def __init__(self):
        super().__init__()
        self.hook_state = HookPoint()


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.add = nn.Parameter(torch.randn(LENGTH))
        self.readout = nn.Linear(LENGTH, LENGTH + 1)
        self.steps = nn.ModuleList(Step() for _ in range(LENGTH))
        self.hook_states, self.hook_unread = HookPoint(), HookPoint()

    def forward(self, tokens):
        state, states = self.add.new_zeros(len(tokens), LENGTH), []
        for step, token in zip(self.steps, tokens.T, strict=False):
            state = step.hook_state(state + token[:, None] * self.add)
            states.append(state)
        states = torch.stack(states, dim=1)
        self.hook_unread(states)
        return self.readout(self.hook_states(states))


def counts() -> dict[str, torch.Tensor]:
    """Weights with which it counts."""
    k = torch.arange(LENGTH + 1.0)
    readout = 2 * k[:, None].expand(-1, LENGTH)
    return {"add": WEIGHTS, "readout.weight": readout.contiguous(), "readout.bias": -(k**2)}


@dataclass
class Ones:
    """All strings of two tokens, asked at each position how many ones there have been."""

    answer_positions: object = tuple(range(LENGTH))
    is_sample = False
    inputs = torch.cartesian_prod(*[torch.arange(2)] * LENGTH)
    labels = inputs.cumsum(dim=1).flatten()


class Brightness(nn.Module):
    """Whether an image [1 2 2] is bright at its first place or at its last, of [input logit]."""

    def __init__(self):
        super().__init__()
        self.read = nn.Conv2d(1, 3, 2)
        self.head = nn.Linear(3, 2)
        self.hook_weight, self.hook_read = HookPoint(), HookPoint()

    def forward(self, images):
        weight = self.hook_weight(self.read.weight[None, :, 0])[0]
        read = torch.nn.functional.conv2d(images, weight[:, None], self.read.bias)
        return self.head(self.hook_read(read.flatten(1)))


class Adder(nn.Module):
    """Of pairs the sum, by logits [input logit]."""

    def __init__(self, shapes):
        super().__init__()
        self.of_sum = nn.Parameter(torch.randn(shapes["of_sum"]))
        self.hook_pair = HookPoint()

    def forward(self, pairs):
        total = self.hook_pair(pairs.float()).sum(dim=1, keepdim=True)
        k = torch.arange(len(self.of_sum), dtype=torch.float)
        return total * self.of_sum - k**2


@dataclass
class Sums:
    """All pairs of three numbers."""

    answer_positions: object = None
    is_sample = False
    inputs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    labels = inputs.sum(dim=1)


class Rooted(HookedRootModule):
    """One of transformer_lens's own, which tells of a name in its own way."""

    def __init__(self):
        super().__init__()
        self.hook_ones = HookPoint()
        self.setup()

    def forward(self, tokens):
        return torch.nn.functional.one_hot(self.hook_ones(tokens), LENGTH + 1).float()


def subject(make=Counter, weights=None, task=None) -> Subject:
    """A network of some weights, built as one of a file is."""
    family = network(
        make=make, task=lambda shapes, device: task or Ones(), reference=Path("of no file")
    )
    checkpoint = Checkpoint(Path("written"), "counting", "", weights or counts())
    return Subject(checkpoint, family.build(checkpoint, CPU), CPU)


def adder(task=None) -> Subject:
    """One that adds."""
    return subject(Adder, {"of_sum": 2 * torch.arange(5.0)}, task or Sums())
