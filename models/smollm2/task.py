"""The task: random tokens and the same again, asked for the next token in both halves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from einops import einsum, reduce, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechanistic_claims import (
    Attention,
    CannotJudge,
    Component,
    Heatmap,
    Sizes,
    fetched,
    plain,
)
from models.smollm2.completions import Agreement, Years, capitals
from models.smollm2.prompts import IndirectObjects, Prompts, indirect_objects, picked

SEQUENCES, MANY = 32, 96
"""Of those on which the model answers, and of those on which its heads are only looked at."""
FIRST = 0
"""The token that stands before the first half: the one that begins a text."""
DRAWN = (1_000, 40_000)
"""Tokens are drawn from these: the first are special, the last are rare."""
JUDGED, PICKED = 3, 0
"""Seeds: heads are picked on the one, and judged on the other."""
SHOWN = 6
"""So many tokens come again in the sequence of a picture: more could not be read."""


@dataclass(frozen=True)
class Task:
    """Sequences of a first token and twice the same `length` random tokens.

    A case is a sequence and a position, asked for the next token: on all rows of the first half but
    the last, which nothing tells, and on all rows of the second.
    """

    sizes: Sizes
    device: torch.device
    length: int = 50
    seed: int = JUDGED
    first: int = FIRST
    count: int = SEQUENCES

    is_sample = True

    @classmethod
    def of(cls, sizes: Sizes, device: torch.device) -> Task:
        """That of a model of some sizes.

        Raises:
            CannotJudge: it has too few tokens or positions.
        """
        if sizes.tokens < DRAWN[1] or sizes.context < 2 * cls.length + 1:
            raise CannotJudge(
                f"{sizes.tokens:,} tokens and {sizes.context:,} positions, expected {DRAWN[1]:,} "
                f"and {2 * cls.length + 1} or more."
            )
        return cls(sizes, device)

    @property
    def others(self) -> Task:
        """Other sequences of the same kind: heads are picked on these."""
        return replace(self, seed=PICKED)

    @property
    def many(self) -> Task:
        """More of the same, on which heads are looked at: that takes less than answers."""
        return replace(self, count=MANY)

    @property
    def shown(self) -> Task:
        """One short sequence, to be looked at."""
        return replace(self, length=SHOWN, count=1)

    @property
    def beginning_otherwise(self) -> Task:
        """The same after the token that begins a message, instead of a text."""
        return replace(self, first=1)

    @property
    def prompts(self) -> IndirectObjects:
        """Prompts that ask for an indirect object."""
        return indirect_objects(self.device)

    @property
    def other_prompts(self) -> IndirectObjects:
        """Prompts of other sentences and names: heads are picked on these."""
        return picked(self.device)

    @property
    def years(self) -> Years:
        """Texts that go on with a later year."""
        return Years.drawn(self.device)

    @property
    def agreement(self) -> Agreement:
        """Texts that go on with a verb."""
        return Agreement.drawn(self.device)

    @property
    def capitals(self) -> Prompts:
        """Texts that go on with a capital."""
        return capitals(self.device)

    def of_length(self, length: int) -> Task:
        """Sequences in which so many tokens come again."""
        return replace(self, length=length)

    @cached_property
    def inputs(self) -> Int[Tensor, "input position"]:
        """[first, x_1 .. x_S, x_1 .. x_S]."""
        generator = torch.Generator().manual_seed(self.seed)
        half = torch.randint(*DRAWN, (self.count, self.length), generator=generator)
        twice = repeat(half, "input token -> input (copy token)", copy=2)
        return torch.nn.functional.pad(twice, (1, 0), value=self.first).to(self.device)

    @property
    def answer_positions(self) -> tuple[int, ...]:
        """Every position with a next token."""
        return tuple(range(2 * self.length))

    @cached_property
    def labels(self) -> Int[Tensor, " case"]:
        """The next token."""
        return self.inputs[:, 1:].flatten()

    @property
    def second_half(self) -> Bool[Tensor, " case"]:
        """The cases whose next token was there before, after the same token."""
        at = torch.arange(2 * self.length, device=self.device) > self.length
        return at.expand(self.count, -1).flatten()

    @property
    def first_half(self) -> Bool[Tensor, " case"]:
        """The cases of the first half whose token is a random one, as many as of the second."""
        at = torch.arange(2 * self.length, device=self.device)
        return ((at > 0) & (at < self.length)).expand(self.count, -1).flatten()

    def prefix_matching(
        self, pattern: Float[Tensor, "input query source"], part: slice
    ) -> Float[Tensor, " input"]:
        """The mean attention of the second half's rows to what followed their token before."""
        query = torch.arange(self.length + 1, 2 * self.length, device=pattern.device)
        return pattern[:, query, query - self.length + 1].mean(dim=-1)

    def previous_token(
        self, pattern: Float[Tensor, "input query source"], part: slice
    ) -> Float[Tensor, " input"]:
        """The mean attention of all rows but the first to the position before."""
        return pattern.diagonal(-1, dim1=1, dim2=2).mean(dim=-1)

    def copied(
        self,
        outputs: Float[Tensor, "input source d_model"],
        unembedding: Callable[[Tensor], Float[Tensor, "d_model input token"]],
    ) -> Float[Tensor, " input"]:
        """How often a token's logit is higher by its own position than by another's.

        `outputs` are what a head would write of each position, were all of its attention there; of
        the first half all pairs of positions are compared.
        """
        half = slice(1, self.length + 1)
        asked = unembedding(self.inputs[:, half])
        by = einsum(plain(outputs)[:, half], asked, "i source d, d i token -> i token source")
        own = by.diagonal(dim1=1, dim2=2).unsqueeze(-1)
        higher: Tensor = (own > by).double().sum(dim=(1, 2))
        return higher / (self.length * (self.length - 1))

    def sink(
        self, pattern: Float[Tensor, "input query source"], part: slice
    ) -> Float[Tensor, " input"]:
        """The mean attention of all rows but the first to position 0."""
        return pattern[:, 1:, 0].mean(dim=-1)

    def strongest(
        self, scores: Float[Tensor, "input layer head"], count: int, layers: range | None = None
    ) -> list[tuple[int, int]]:
        """The places, (layer, head), of the greatest scores in the mean over inputs, in order.

        Where `layers` are given, only heads of these are looked at.
        """
        layers = layers or range(scores.shape[1])
        some = plain(scores)[:, list(layers)]
        of_heads = reduce(some, "input layer head -> (layer head)", "mean")
        found = (divmod(int(at), scores.shape[2]) for at in of_heads.topk(count).indices)
        return [(layers[layer], index) for layer, index in found]

    def share_of_strongest(
        self, places: Sequence[tuple[int, int]], scores: Float[Tensor, "input layer head"]
    ) -> Float[Tensor, " input"]:
        """The share of some heads that are among as many strongest ones on each input."""
        own = scores.flatten(1).topk(len(places), dim=1).indices
        given = torch.tensor([layer * scores.shape[2] + index for layer, index in places])
        return (own.unsqueeze(-1) == given.to(own.device)).any(dim=-1).double().mean(dim=1)

    def by_layer(
        self,
        scores: Float[Tensor, "input layer head"],
        title: str,
        of: str,
        spoken_of: Sequence[tuple[int, int]] = (),
    ) -> Heatmap:
        """A score of every head, as a picture in which some are marked."""
        values: Any = plain(scores).mean(dim=0)
        marked = torch.zeros_like(values, dtype=torch.bool)
        for place in spoken_of:
            marked[place] = True
        marked_as = "heads that the claim is of"
        return Heatmap(title, values, "layer", "head", of, marked, marked_as=marked_as)

    def attention(
        self, patterns: Mapping[Component, Float[Tensor, "input query source"]], title: str
    ) -> Attention:
        """What heads attend to in the first sequence, as a picture; what they match is framed."""
        places = 2 * self.length + 1
        query = torch.arange(self.length + 1, 2 * self.length)  # as prefix_matching
        matched = torch.zeros(places, places, dtype=torch.bool)
        matched[query, query - self.length + 1] = True
        shown = torch.stack([plain(pattern)[0] for pattern in patterns.values()])
        return Attention(
            title,
            shown,
            self.words,
            [*map(str, patterns)],
            matched,
            "what followed the same token before",
        )

    @property
    def words(self) -> list[str]:
        """The tokens of the first sequence as text; their numbers if no tokenizer is fetched."""
        from tokenizers import Tokenizer

        from models.smollm2 import WEIGHTS

        tokens, folder = self.inputs[0].tolist(), fetched(WEIGHTS)
        if folder is not None:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            if tokenizer.get_vocab_size() == self.sizes.tokens:
                return [tokenizer.decode([t], skip_special_tokens=False) for t in tokens]
        return [*map(str, tokens)]
