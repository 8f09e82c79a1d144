"""The task: every [a, b, =], answered at '=' by min(a, b)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechanistic_claims import CannotJudge, Exceptions, Heatmap, Row, Sizes, drawn, mean_by

SPLIT_SEED = 4
DRAW_SEED = 0
TRAINING_SHARE = 0.8
MOST_OPERANDS = 1024
"""The logits of all pairs are held at once: 4 GiB of float32 for so many."""


@dataclass(frozen=True)
class Task:
    """All N * N inputs [a, b, =] with a, b in 0..N-1, and what is asked of them.

    Operand t is token t and '=' is token N. Inputs are in the order of the write-up: a is the
    slower index. The answer is read at '=', the last position.
    """

    number_of_operands: int
    device: torch.device

    is_sample = False
    answer_positions = (-1,)
    position = MappingProxyType({"a": 0, "b": 1, "=": 2})
    operand_positions = (0, 1)
    swapped_positions = (1, 0, 2)

    @classmethod
    def of(cls, sizes: Sizes, device: torch.device) -> Task:
        """That of a model of some sizes.

        Raises:
            CannotJudge: it has more operands than can be run in pairs, or fewer than two.
        """
        if not 2 <= sizes.logits <= MOST_OPERANDS:
            raise CannotJudge(
                f"{sizes.logits:,} operands, expected 2 to {MOST_OPERANDS:,}: every pair is run."
            )
        return cls(sizes.logits, device)

    @cached_property
    def operands(self) -> Int[Tensor, " operand"]:
        """The tokens that can be operands, and the logits that can be answers: 0..N-1."""
        return torch.arange(self.number_of_operands, device=self.device)

    @property
    def equals(self) -> int:
        """The token '='."""
        return self.number_of_operands

    @property
    def query(self) -> int:
        """The token at which the answer is read."""
        return self.equals

    @property
    def companions(self) -> Bool[Tensor, "answer token"]:
        """Whether a number may be in a list whose minimum is another one: if it is not below it."""
        return self.operands[None, :] >= self.operands[:, None]

    def random_lists(self, length: int, draws: int) -> Int[Tensor, "draw position"]:
        """Lists of numbers with '=' after them, drawn evenly with a fixed seed."""
        generator = torch.Generator().manual_seed(DRAW_SEED)
        drawn = torch.randint(self.number_of_operands, (draws, length), generator=generator)
        return torch.nn.functional.pad(drawn.to(self.device), (0, 1), value=self.equals)

    def labels_of(self, lists: Int[Tensor, "list position"]) -> Int[Tensor, " list"]:
        """The least number of each list, whatever its length; '=' is its last token."""
        return lists[:, :-1].amin(dim=-1)

    @cached_property
    def inputs(self) -> Int[Tensor, "input position"]:
        """Every [a, b, =]."""
        a = repeat(self.operands, "a -> (a b)", b=self.number_of_operands)
        b = repeat(self.operands, "b -> (a b)", a=self.number_of_operands)
        return torch.stack([a, b, torch.full_like(a, self.equals)], dim=-1)

    @property
    def pairs(self) -> Int[Tensor, "input 2"]:
        """Every (a, b): an input as it is named in reports."""
        return self.inputs[:, :2]

    @cached_property
    def labels(self) -> Int[Tensor, " input"]:
        """min(a, b)."""
        return self.labels_of(self.inputs)

    @cached_property
    def maximum(self) -> Int[Tensor, " input"]:
        """max(a, b)."""
        return self.pairs.amax(dim=-1)

    @cached_property
    def gap(self) -> Int[Tensor, " input"]:
        """|a - b|."""
        return self.maximum - self.labels

    @property
    def differ(self) -> Bool[Tensor, " input"]:
        """Whether a and b differ."""
        return self.gap > 0

    @cached_property
    def min_position(self) -> Int[Tensor, " input"]:
        """The position of the smaller operand; 0 where the operands are equal."""
        return (self.inputs[:, 1] < self.inputs[:, 0]).long()

    @property
    def max_position(self) -> Int[Tensor, " input"]:
        """The position of the larger operand; 1 where the operands are equal."""
        return 1 - self.min_position

    @cached_property
    def mirrored(self) -> Int[Tensor, " input"]:
        """For each [a, b, =] the index of [b, a, =]."""
        index = torch.arange(len(self.inputs), device=self.device)
        return rearrange(index, "(a b) -> (b a)", a=self.number_of_operands)

    @cached_property
    def representative(self) -> Int[Tensor, " input"]:
        """The index of [a, b, =] with a <= b: to a model without positions the same input."""
        index = torch.arange(len(self.inputs), device=self.device)
        return torch.where(self.min_position == 0, index, self.mirrored)

    @cached_property
    def held_out(self) -> Bool[Tensor, " input"]:
        """The fifth of the inputs that training never sees: the split of the write-up, seed 4."""
        generator = torch.Generator().manual_seed(SPLIT_SEED)
        shuffled = torch.randperm(len(self.inputs), generator=generator).to(self.device)
        held_out = torch.ones(len(self.inputs), dtype=torch.bool, device=self.device)
        held_out[shuffled[: int(TRAINING_SHARE * len(self.inputs))]] = False
        return held_out

    @property
    def even_attention(self) -> Float[Tensor, "input source"]:
        """Attention split evenly between a and b."""
        half = torch.tensor([0.5, 0.5, 0.0], device=self.device)
        return half.expand(len(self.inputs), -1)

    @cached_property
    def random_donor(self) -> Int[Tensor, " input"]:
        """For each pair a number that is not its minimum, drawn with a fixed seed."""
        drawn = self._draw(torch.full_like(self.labels, self.number_of_operands - 1))
        return drawn + (drawn >= self.labels)

    @property
    def twins(self) -> Int[Tensor, "operand position"]:
        """[t, t, =] for each operand t."""
        return self.inputs[:: self.number_of_operands + 1]

    @cached_property
    def inputs_with_another_maximum(self) -> Int[Tensor, "input position"]:
        """Each input with its larger operand replaced by another one that is larger than the min.

        Drawn with a fixed seed. It stays where there is no other one, and where a = b.
        """
        larger = self.number_of_operands - 1 - self.labels
        drawn = self.labels + 1 + self._draw((larger - 1).clamp(min=1))
        drawn = drawn + (drawn >= self.maximum)
        maximum = torch.where(self.differ & (larger > 1), drawn, self.maximum)
        return self.inputs.scatter(-1, self.max_position[:, None], maximum[:, None])

    def attended(
        self, cases: Sequence[tuple[int, int, Sequence[float]]]
    ) -> tuple[Int[Tensor, "case position"], Float[Tensor, "case source"]]:
        """[a, b, =] and attention for drawn cases; operands are taken modulo their number."""
        operands = torch.tensor([[a, b] for a, b, _ in cases], device=self.device)
        equals = torch.full_like(operands[:, :1], self.equals)
        attention = torch.tensor([weights for *_, weights in cases], device=self.device)
        return torch.cat([operands % self.number_of_operands, equals], dim=-1), attention

    def mean_by_gap(self, values: Float[Tensor, " input"]) -> Float[Tensor, " gap"]:
        """The mean over the inputs of each gap, from 1 on."""
        return mean_by(values, self.gap, self.number_of_operands)[1:]

    def map(
        self,
        values: Float[Tensor, " input"],
        title: str,
        unit: str,
        false: Bool[Tensor, " input"] | None = None,
    ) -> Heatmap:
        """A number for each input as a picture over (a, b), marked where the sentence is false."""
        over_pairs, n = "(a b) -> a b", self.number_of_operands
        marked = None if false is None else rearrange(false, over_pairs, a=n)
        over = rearrange(values, over_pairs, a=n)
        return Heatmap(title, over, "a (token)", "b (token)", unit, marked)

    def picture_of(self, exceptions: Any) -> Exceptions | None:
        """Where exceptions are among the inputs; None if there are none, or they are no pairs."""
        if not isinstance(exceptions, Tensor) or exceptions.ndim != 2 or not len(exceptions):
            return None
        false = torch.zeros(len(self.inputs), dtype=torch.bool, device=self.device)
        false[exceptions[:, 0] * self.number_of_operands + exceptions[:, 1]] = True
        over_pairs = rearrange(false, "(a b) -> a b", a=self.number_of_operands)
        return Exceptions("Where it is false", over_pairs, "a (token)", "b (token)")

    def circuit(self, matrix: Float[Tensor, "y x"], title: str, y: str, x: str) -> Heatmap:
        """A circuit as a picture; its values are logits or attention scores."""
        to_logits = x == "logit"
        unit = "logit" if to_logits else "attention score (q·k / √d_head)"
        x = "token whose logit it is" if to_logits else f"{x} (token)"
        return Heatmap(title, matrix, y=f"{y} (token)", x=x, unit=unit)

    def row(
        self, values: Float[Tensor, " operand"], title: str, unit: str, false: Bool[Tensor, " x"]
    ) -> Row:
        """A number for each operand as a picture, marked where the sentence is false."""
        return Row(title, values, x="operand (token)", unit=unit, marked=false)

    def _draw(self, below: Int[Tensor, " input"]) -> Int[Tensor, " input"]:
        """For each input a number in 0..below - 1, drawn with a fixed seed on the CPU.

        [a, b, =] and [b, a, =] are given the same.
        """
        generator = torch.Generator().manual_seed(DRAW_SEED)
        uniform = drawn(torch.rand(len(below), generator=generator, dtype=torch.float64))
        of_pair = uniform.to(self.device)[self.representative]
        return (of_pair * below).long()
