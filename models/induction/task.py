"""The task: sequences in which a block of random tokens is repeated, asked for every next token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechanistic_claims import Attention, CannotJudge, Component, Sizes, plain

SEQUENCES = 256
SEED = 2**40 + 1
"""No step of training draws from it."""


@dataclass(frozen=True)
class Layout:
    """How sequences are made: a first token, or none, then a block that is repeated to fill.

    Blocks have `shortest` to `longest` tokens, each as often.
    """

    shortest: int
    longest: int
    first: int | None = None


LAYOUTS = {85: Layout(28, 28, first=0)}
"""By their number of positions, models that were trained on other sequences than ours.

85 is the public checkpoint of Nanda et al. 2023: token 0 and three times 28 tokens, as the norms of
its positions tell.
"""


@dataclass(frozen=True)
class Task:
    """Sequences drawn with a fixed seed. A case is a sequence and a position, asked for the next.

    `copy` counts at each position how often the block was told before: it is 0 on the first copy,
    where nothing is known of the next token, and 1 on the second, where all of it is.
    """

    number_of_tokens: int
    context: int
    device: torch.device
    layout: Layout
    seed: int = SEED

    is_sample = True

    @classmethod
    def of(cls, sizes: Sizes, device: torch.device) -> Task:
        """That of a model of some sizes.

        Raises:
            CannotJudge: it has too few positions for a block and its copy.
        """
        if sizes.context < 16:
            raise CannotJudge(f"{sizes.context} positions, expected 16 or more: a block is 8.")
        layout = LAYOUTS.get(sizes.context, Layout(8, sizes.context // 2))
        return cls(sizes.tokens, sizes.context, device, layout)

    @property
    def others(self) -> Task:
        """Other sequences of the same kind: heads are picked on these, and judged on those."""
        return replace(self, seed=self.seed + 2)

    @cached_property
    def lengths(self) -> Int[Tensor, " input"]:
        """How long the block of each sequence is."""
        generator = torch.Generator().manual_seed(self.seed)
        shortest, longest = self.layout.shortest, self.layout.longest
        drawn = torch.randint(shortest, longest + 1, (SEQUENCES,), generator=generator)
        return drawn.to(self.device)

    @property
    def offset(self) -> int:
        """How many tokens stand before the first block."""
        return int(self.layout.first is not None)

    @cached_property
    def tokens(self) -> Int[Tensor, "input place"]:
        """The sequences, with one token more than there are positions: the last answer."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        size = (SEQUENCES, self.layout.longest)
        blocks = torch.randint(self.number_of_tokens, size, generator=generator).to(self.device)
        place = torch.arange(self.context + 1 - self.offset, device=self.device)
        repeated = blocks.gather(1, place % self.lengths[:, None])
        if self.layout.first is None:
            return repeated
        return torch.nn.functional.pad(repeated, (1, 0), value=self.layout.first)

    @property
    def inputs(self) -> Int[Tensor, "input position"]:
        """The sequences as they are read."""
        return self.tokens[:, :-1]

    @property
    def answer_positions(self) -> tuple[int, ...]:
        """Every position is asked for the next token."""
        return tuple(range(self.context))

    @cached_property
    def labels(self) -> Int[Tensor, " case"]:
        """The next token at each position."""
        return self.tokens[:, 1:].flatten()

    @cached_property
    def copy(self) -> Int[Tensor, "input position"]:
        """How often the block was told before each position; -1 before the first."""
        place = torch.arange(self.context, device=self.device) - self.offset
        return place.div(self.lengths[:, None], rounding_mode="floor")

    @property
    def in_first_copy(self) -> Bool[Tensor, "input position"]:
        """The rows of the first copy."""
        return self.copy == 0

    @property
    def in_second_copy(self) -> Bool[Tensor, "input position"]:
        """The rows of the second copy."""
        return self.copy == 1

    @property
    def first_copy(self) -> Bool[Tensor, " case"]:
        """The cases of the first copy."""
        return self.in_first_copy.flatten()

    @property
    def second_copy(self) -> Bool[Tensor, " case"]:
        """The cases of the second copy."""
        return self.in_second_copy.flatten()

    def attention(
        self, patterns: Mapping[Component, Float[Tensor, "input query source"]], title: str
    ) -> Attention:
        """What heads attend to, as a picture: the first two copies of the shortest block."""
        sequence = int(self.lengths.argmin())
        length = int(self.lengths[sequence])
        shown = slice(self.offset + 2 * length)
        return Attention(
            f"{title}: {length} tokens, twice",
            torch.stack([plain(of_one)[sequence, shown, shown] for of_one in patterns.values()]),
            [*map(str, self.inputs[sequence, shown].tolist())],
            [*map(str, patterns)],
        )
