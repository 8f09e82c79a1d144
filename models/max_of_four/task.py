"""The task: lists of random numbers, answered at the last one by the greatest of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from einops import repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechanistic_claims import CannotJudge, Exceptions, Heatmap, Row, Sizes, mean_by, plain

LISTS = 2**15
SEED = 2**40 + 1
"""No step of training draws from it, nor from those that follow."""


@dataclass(frozen=True)
class Task:
    """Lists of `length` numbers in 0..v-1, drawn evenly with a fixed seed, of all v^length.

    Number t is token t. The answer is read at the last number of a list, its query.
    """

    number_of_tokens: int
    length: int
    device: torch.device

    is_sample = True
    answer_positions = (-1,)
    query = None

    @classmethod
    def of(cls, sizes: Sizes, device: torch.device) -> Task:
        """That of a model of some sizes: its context is the length of a list.

        Raises:
            CannotJudge: it has fewer than two numbers, or lists of fewer than two.
        """
        if sizes.logits < 2 or sizes.context < 2:
            raise CannotJudge(
                f"lists of {sizes.context} out of {sizes.logits:,} numbers, expected two or more "
                "of each: the greatest is asked for."
            )
        return cls(sizes.logits, sizes.context, device)

    @cached_property
    def tokens(self) -> Int[Tensor, " token"]:
        """The numbers, and the logits that can be answers: 0..v-1."""
        return torch.arange(self.number_of_tokens, device=self.device)

    @cached_property
    def upper(self) -> Int[Tensor, " token"]:
        """All numbers but the least, below which one list in 256 at most has its maximum.

        Training hardly shows those. Of lists of four they are a quarter of the numbers.
        """
        v, length = self.number_of_tokens, self.length
        least = max(t for t in range(v) if 256 * t**length <= v**length)
        return self.tokens[least:]

    @property
    def companions(self) -> Bool[Tensor, "answer token"]:
        """Whether a number may be in a list whose maximum is another one: if it is not above it."""
        return self.tokens[None, :] <= self.tokens[:, None]

    def random_lists(self, length: int, draws: int) -> Int[Tensor, "draw position"]:
        """Lists of numbers, drawn evenly with a fixed seed."""
        return self._drawn(1, (draws, length))

    def labels_of(self, lists: Int[Tensor, "list position"]) -> Int[Tensor, " list"]:
        """The greatest number of each list."""
        return lists.amax(dim=-1)

    @cached_property
    def inputs(self) -> Int[Tensor, "input position"]:
        """The lists."""
        return self._drawn(0, (LISTS, self.length))

    @cached_property
    def labels(self) -> Int[Tensor, " input"]:
        """The maximum of each list."""
        return self.labels_of(self.inputs)

    @cached_property
    def is_max(self) -> Bool[Tensor, "input position"]:
        """Where the maximum stands, at one position or more."""
        return self.inputs == self.labels[:, None]

    @cached_property
    def max_position(self) -> Int[Tensor, " input"]:
        """The first position of the maximum."""
        return self.is_max.int().argmax(dim=-1)

    @property
    def stands_once(self) -> Bool[Tensor, " input"]:
        """Whether the maximum stands at one position only."""
        return self.is_max.sum(dim=-1) == 1

    @cached_property
    def gap(self) -> Int[Tensor, " input"]:
        """By how much the maximum exceeds the greatest other number; 0 where there is none."""
        others = self.inputs.masked_fill(self.is_max, -1).amax(dim=-1)
        return torch.where(others < 0, 0, self.labels - others)

    def mean_by_gap(self, values: Float[Tensor, " input"]) -> Float[Tensor, " gap"]:
        """The mean over the lists of each gap, from 1 on."""
        return mean_by(values, self.gap, self.number_of_tokens)[1:]

    @property
    def differ(self) -> Bool[Tensor, " input"]:
        """Whether a list has several numbers."""
        return self.gap > 0

    @cached_property
    def another_position(self) -> Int[Tensor, " input"]:
        """A position of another number than the maximum, drawn; the first where there is none."""
        return self._uniform(2).masked_fill(self.is_max, -1.0).argmax(dim=-1)

    @cached_property
    def another(self) -> Int[Tensor, " input"]:
        """The number at that position."""
        return self.inputs.gather(-1, self.another_position[:, None]).squeeze(-1)

    @property
    def reordered(self) -> Int[Tensor, "input position"]:
        """Each list in an order that is drawn, its last number too."""
        return self.inputs.gather(-1, self._uniform(3).argsort(dim=-1))

    @property
    def with_other_numbers(self) -> Int[Tensor, "input position"]:
        """Each list with all numbers but the maximum drawn anew, below it."""
        drawn = (self._uniform(4) * self.labels[:, None]).long()
        return torch.where(self.is_max, self.inputs, drawn)

    @cached_property
    def donor(self) -> Int[Tensor, " input"]:
        """For each list a number that is not its maximum, drawn."""
        drawn = (self._uniform(5)[:, 0] * (self.number_of_tokens - 1)).long()
        return drawn + (drawn >= self.labels)

    @property
    def repeated(self) -> Int[Tensor, "token position"]:
        """[t, t, ..., t] for each number t."""
        return repeat(self.tokens, "token -> token position", position=self.length)

    @property
    def even_attention(self) -> Float[Tensor, "input source"]:
        """The same attention to all positions."""
        return torch.full(self.inputs.shape, 1 / self.length, device=self.device)

    def map(self, values: Float[Tensor, " input"], title: str, unit: str) -> Heatmap:
        """A number of each list as a picture: its mean for each maximum and last number."""
        sums, counts = (self._by_maximum_and_last(one) for one in (values, torch.ones_like(values)))
        return Heatmap(title, sums / counts, "maximum (token)", "last number (token)", unit)

    def picture_of(self, exceptions: Any) -> Exceptions | None:
        """Where exceptions are, by maximum and last number; None if there are none, or no lists."""
        if not isinstance(exceptions, Tensor) or exceptions.shape[1:] != (self.length,):
            return None
        if not len(exceptions):
            return None
        false = torch.zeros(self.number_of_tokens, self.number_of_tokens, dtype=torch.bool)
        false[self.labels_of(exceptions).cpu(), exceptions[:, -1].cpu()] = True
        return Exceptions("Where it is false", false, "maximum (token)", "last number (token)")

    def circuit(self, matrix: Float[Tensor, "y x"], title: str, y: str, x: str) -> Heatmap:
        """A circuit as a picture; its values are logits or attention scores."""
        to_logits = x == "logit"
        unit = "logit" if to_logits else "attention score (q·k / √d_head)"
        x = "token whose logit it is" if to_logits else f"{x} (token)"
        return Heatmap(title, matrix, y=f"{y} (token)", x=x, unit=unit)

    def row(
        self, values: Float[Tensor, " token"], title: str, unit: str, false: Bool[Tensor, " token"]
    ) -> Row:
        """A number for each token as a picture, marked where the sentence is false."""
        return Row(title, values, x="number (token)", unit=unit, marked=false)

    def _by_maximum_and_last(self, values: Float[Tensor, " input"]) -> Float[Tensor, "token token"]:
        n = self.number_of_tokens
        sums = torch.zeros(n * n, dtype=torch.float64, device=self.device)
        cells = self.labels * n + self.inputs[:, -1]
        return sums.index_add_(0, cells, plain(values).double()).reshape(n, n)

    def _drawn(self, which: int, size: tuple[int, int]) -> Int[Tensor, "list position"]:
        """Numbers of lists, drawn evenly on the CPU, by a seed of their own."""
        generator = torch.Generator().manual_seed(SEED + which)
        return torch.randint(self.number_of_tokens, size, generator=generator).to(self.device)

    def _uniform(self, which: int) -> Float[Tensor, "input position"]:
        """A number in [0, 1) for each position of each list, likewise."""
        generator = torch.Generator().manual_seed(SEED + which)
        size = (LISTS, self.length)
        return torch.rand(size, generator=generator, dtype=torch.float64).to(self.device)
