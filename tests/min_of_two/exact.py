"""The story itself in exact weights, of any width, sharpness, rotation, scale and type.

Number t is e_t, its score from '=' is -step t, and it adds `loud` to its own logit and nothing to
any other. All other rows of the QK circuit are zero, and so is the direct path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.min_of_two.weights import with_zero_biases

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Exact:
    """`n` numbers, in a residual stream of `d_model` and a head of `d_head`: more than `n` each.

    `seed` rotates the residual stream and the head; 0 leaves them as they are. `scale` is how large
    the embedding is, and what reads it is smaller by as much. What is written goes to directions of
    its own where there is room for them.
    """

    n: int
    d_model: int
    d_head: int
    step: float = 8.0
    loud: float = 20.0
    seed: int = 0
    scale: float = 1.0
    d_type: torch.dtype = torch.float32

    @cached_property
    def scores(self) -> Tensor:
        """From '=': of each number, and of '=' itself, two steps below the last."""
        return -self.step * torch.cat([torch.arange(self.n), torch.tensor([self.n + 1])]).double()

    @cached_property
    def ov(self) -> Tensor:
        """Each number's own logit; nothing of '='."""
        return self.loud * torch.eye(self.n + 1, self.n, dtype=torch.float64)

    @property
    def weights(self) -> Weights:
        """Canonical weights of these scores and this OV circuit."""
        return self.written(self.scores, self.ov)

    def written(self, scores: Tensor, ov: Tensor) -> Weights:
        """The same with other scores from '=', or another OV circuit."""
        n, first = self.n, self.n + 1 if self.d_model > 2 * self.n else 0

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64)

        W_E, W_U = zeros(n + 1, self.d_model), zeros(self.d_model, n)
        W_Q, W_K, W_V = (zeros(self.d_model, self.d_head) for _ in range(3))
        W_O = zeros(self.d_head, self.d_model)
        W_E[:, : n + 1].fill_diagonal_(1.0)
        W_Q[n, 0], W_K[: n + 1, 0] = math.sqrt(self.d_head), scores
        W_V[: n + 1, : n + 1].fill_diagonal_(1.0)
        W_O[: n + 1, first : first + n] = ov
        W_U[first : first + n].fill_diagonal_(1.0)
        stream, head = self._rotation(self.d_model), self._rotation(self.d_head)
        read, write = stream.T / self.scale, stream * self.scale
        named = {
            "W_E": W_E @ write,
            "W_Q": read @ W_Q,
            "W_K": read @ W_K,
            "W_V": read @ W_V @ head,
            "W_O": head.T @ W_O @ write,
            "W_U": read @ W_U,
        }
        return with_zero_biases({name: weight.to(self.d_type) for name, weight in named.items()})

    def _rotation(self, size: int) -> Tensor:
        if not self.seed:
            return torch.eye(size, dtype=torch.float64)
        generator = torch.Generator().manual_seed(self.seed)
        random = torch.randn(size, size, generator=generator, dtype=torch.float64)
        return torch.linalg.qr(random).Q
