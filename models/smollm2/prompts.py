"""Prompts, asked for their next token: indirect objects, years, numbers of nouns, capitals."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechanistic_claims import Attention, Component, at, logit_difference, plain
from models.smollm2 import texts

PROMPTS = 128
FIRST = 0
"""The token that stands before each text: the one that begins it."""
Score = Float[Tensor, "input query source"]


@cache
def numbers() -> dict[str, int]:
    """By each token as text its number."""
    found: dict[str, int] = json.loads(Path(__file__).with_name("tokens.json").read_text("utf-8"))
    return found


@dataclass(frozen=True)
class Prompts:
    """Texts of equally many tokens, and the next one of each."""

    texts: tuple[tuple[str, ...], ...]
    answers: tuple[str, ...]
    device: torch.device

    is_sample = True
    answer_positions = (-1,)

    @cached_property
    def inputs(self) -> Int[Tensor, "input position"]:
        """The token that begins a text, and the text."""
        return torch.tensor([[FIRST, *self.of(text)] for text in self.texts], device=self.device)

    @cached_property
    def labels(self) -> Int[Tensor, " case"]:
        """The next token."""
        return self.tokens(self.answers)

    def named(self, which: Bool[Tensor, " input"]) -> list[str]:
        """Some of the texts, as one reads them."""
        return [
            f"“{''.join(self.texts[at]).strip()}”"
            for at in plain(which).nonzero().flatten().tolist()
        ]

    def of(self, text: Sequence[str]) -> list[int]:
        return [numbers()[token] for token in text]

    def tokens(self, text: Sequence[str]) -> Int[Tensor, " token"]:
        """Tokens by their text."""
        return torch.tensor(self.of(text), device=self.device)


@dataclass(frozen=True)
class IndirectObjects(Prompts):
    """[first, When, A, and, B, .., S, .., to]: S is A or B, and the other is asked for."""

    subjects: tuple[str, ...] = ()
    thirds: tuple[str, ...] = ()
    """In each prompt, its subject, and a name that is not in it."""
    SECOND, END = 10, 14
    """The places of the subject where it comes again, and of the last token."""

    @classmethod
    def drawn(cls, device: torch.device, sentences: Sequence[str], seed: int) -> IndirectObjects:
        """Prompts of some sentences, each with names, place, thing and order of its own."""
        choose = random.Random(seed)
        prompts, answers, subjects, thirds = [], [], [], []
        for _ in range(PROMPTS):
            first, second, third = choose.sample(texts.NAMES, 3)
            subject, answer = choose.sample([first, second], 2)
            prompts.append(
                words(
                    choose.choice(sentences),
                    A=first,
                    B=second,
                    S=subject,
                    place=choose.choice(texts.PLACES),
                    thing=choose.choice(texts.THINGS),
                )
            )
            answers.append(f" {answer}")
            subjects.append(f" {subject}")
            thirds.append(f" {third}")
        return cls(
            tuple(prompts), tuple(answers), device, subjects=tuple(subjects), thirds=tuple(thirds)
        )

    @property
    def corrupted(self) -> Int[Tensor, "input position"]:
        """The same with a third name where the subject comes again: nobody is named twice."""
        inputs = self.inputs.clone()
        inputs[:, self.SECOND] = self.tokens(self.thirds)
        return inputs

    @property
    def shown(self) -> IndirectObjects:
        """The first prompt alone, to be looked at."""
        first = {
            name: getattr(self, name)[:1] for name in ("texts", "answers", "subjects", "thirds")
        }
        return replace(self, **first)

    def attention(
        self, patterns: Mapping[Component, Float[Tensor, "input query source"]], title: str
    ) -> Attention:
        """What heads attend to in the first prompt, as a picture."""
        length = self.inputs.shape[1]
        marked = torch.zeros(length, length, dtype=torch.bool)
        marked[self.END, int(self.first_place(self.labels)[0])] = True
        shown = torch.stack([plain(pattern)[0] for pattern in patterns.values()])
        words = ["(first)", *self.texts[0]]
        return Attention(title, shown, words, [*map(str, patterns)], marked, "indirect object")

    @cached_property
    def subject(self) -> Int[Tensor, " case"]:
        """The name that is not asked for."""
        return self.tokens(self.subjects)

    @property
    def names(self) -> Int[Tensor, " name"]:
        """All names of which prompts are drawn."""
        return self.tokens([f" {name}" for name in texts.NAMES])

    def before_the_subject(self, logits: Float[Tensor, "case logit"]) -> Float[Tensor, " case"]:
        """How far the name asked for is before the subject: logit[IO] - logit[S]."""
        return logit_difference(logits, self.labels, self.subject)

    def before_other_names(self, logits: Float[Tensor, "case logit"]) -> Float[Tensor, " case"]:
        """How far it is before the mean of the names that are not in the prompt."""
        asked, subject = at(logits, self.labels), at(logits, self.subject)
        of_names = torch.stack([logits[:, name] for name in self.names.tolist()], dim=1)
        return asked - (of_names.sum(dim=1) - asked - subject) / (len(self.names) - 2)

    def first_place(self, names: Int[Tensor, " input"]) -> Int[Tensor, " input"]:
        """Where names come first."""
        return (self.inputs == names.unsqueeze(1)).int().argmax(dim=1)

    def end_to_object(self, pattern: Score, part: slice) -> Float[Tensor, " input"]:
        """The attention of the last token to the name that is asked for."""
        return self._at(pattern, self.END, self.first_place(self.labels)[part])

    def end_to_subject(self, pattern: Score, part: slice) -> Float[Tensor, " input"]:
        """The attention of the last token to the subject where it comes again."""
        return pattern[:, self.END, self.SECOND]

    def subject_to_itself(self, pattern: Score, part: slice) -> Float[Tensor, " input"]:
        """The attention of the subject where it comes again to where it was first."""
        return self._at(pattern, self.SECOND, self.first_place(self.subject)[part])

    def _at(self, pattern: Score, query: int, source: Int[Tensor, " input"]) -> Tensor:
        return pattern[torch.arange(len(pattern), device=pattern.device), query, source]


def words(sentence: str, **named: str) -> tuple[str, ...]:
    """The tokens of a sentence: all but the first and commas with the space before them."""
    first, *others = sentence.format(**named).split()
    return (first, *(word if word == "," else f" {word}" for word in others))


def indirect_objects(device: torch.device) -> IndirectObjects:
    """Those on which claims are judged."""
    return IndirectObjects.drawn(device, texts.SENTENCES, seed=2)


def picked(device: torch.device) -> IndirectObjects:
    """Those on which heads are picked: of other sentences, and drawn otherwise."""
    return IndirectObjects.drawn(device, texts.OTHER_SENTENCES, seed=0)
