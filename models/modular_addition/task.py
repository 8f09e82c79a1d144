"""The task: every [a, b, =], answered at '=' by (a + b) mod p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechanistic_claims import Bars, CannotJudge, Exceptions, Heatmap, Sizes, fourier_basis

LEAST = 13
"""Six frequencies: with five keys there is another one to compare them with."""
MOST = 251
"""The logits of all pairs are held at once, in float64: 126 MB for so many numbers."""


@dataclass(frozen=True)
class Task:
    """All p * p inputs [a, b, =]: number t is token t, '=' is token p, and a is the slower one."""

    order: int
    device: torch.device

    is_sample = False
    answer_positions = (-1,)

    @classmethod
    def of(cls, sizes: Sizes, device: torch.device) -> Task:
        """That of a model of some sizes.

        Raises:
            CannotJudge: p is even, too small or too large.
        """
        if sizes.logits % 2 == 0 or not LEAST <= sizes.logits <= MOST:
            raise CannotJudge(
                f"{sizes.logits:,} numbers, expected an odd number of {LEAST} to {MOST}: every "
                "pair is run, and frequencies come in pairs of cosine and sine."
            )
        return cls(sizes.logits, device)

    @property
    def equals(self) -> int:
        """The token '='."""
        return self.order

    @cached_property
    def pairs(self) -> Int[Tensor, "input 2"]:
        """Every (a, b): an input as it is named in reports."""
        numbers = torch.arange(self.order, device=self.device)
        return torch.cartesian_prod(numbers, numbers)

    @cached_property
    def inputs(self) -> Int[Tensor, "input position"]:
        """Every [a, b, =]."""
        return torch.nn.functional.pad(self.pairs, (0, 1), value=self.equals)

    @cached_property
    def labels(self) -> Int[Tensor, " input"]:
        """(a + b) mod p."""
        return self.pairs.sum(dim=-1) % self.order

    def only(
        self, frequencies: Sequence[int], values: Float[Tensor, "number x"]
    ) -> Float[Tensor, "number x"]:
        """Of a function of the numbers its mean and some frequencies, in its own dtype."""
        components = [0, *(c for k in frequencies for c in (2 * k - 1, 2 * k))]
        kept = fourier_basis(self.order).to(self.device)[components]
        return (kept.T @ (kept @ values.double())).to(values.dtype)

    def embedded(
        self, of_number: Float[Tensor, "number d_model"], written: Float[Tensor, "input position d"]
    ) -> Float[Tensor, "input position d"]:
        """What is embedded in each input, with other embeddings of the numbers."""
        return torch.cat([of_number[self.pairs], written[:, 2:]], dim=1)

    def map(self, values: Float[Tensor, " input"], title: str, unit: str) -> Heatmap:
        """A number for each input as a picture over (a, b)."""
        return Heatmap(title, self._over_pairs(values), "a (token)", "b (token)", unit)

    def attention(self, patterns: Float[Tensor, "input layer head source"], title: str) -> Heatmap:
        """The attention that each head pays from '=' to a, on average over b, as a picture."""
        of_a = reduce(patterns[:, 0, :, 0], "(a b) head -> head a", "mean", a=self.order)
        return Heatmap(title, of_a, "head", "a (token)", "attention")

    def spectrum(
        self, values: Float[Tensor, " frequency"], title: str, unit: str, keys: Sequence[int]
    ) -> Bars:
        """A number for each frequency from 1 on as a picture, with the key frequencies marked."""
        return Bars(title, values[1:], "frequency k", unit, tuple(keys), "keys", first=1)

    def picture_of(self, exceptions: Any) -> Exceptions | None:
        """Where exceptions are among the inputs; None if there are none, or they are no pairs."""
        if not isinstance(exceptions, Tensor) or exceptions.ndim != 2 or not len(exceptions):
            return None
        false = torch.zeros(len(self.inputs), dtype=torch.bool, device=self.device)
        false[exceptions[:, 0] * self.order + exceptions[:, 1]] = True
        return Exceptions("Where it is false", self._over_pairs(false), "a (token)", "b (token)")

    def _over_pairs(self, values: Float[Tensor, " input"] | Bool[Tensor, " input"]) -> Tensor:
        return rearrange(values, "(a b) -> a b", a=self.order)
