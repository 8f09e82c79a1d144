"""Texts that are gone on with by what they say: a later year, the number of a noun, a capital."""

from __future__ import annotations

import random

import torch
from jaxtyping import Float
from torch import Tensor

from mechanistic_claims import logit_difference, plain
from models.smollm2 import texts
from models.smollm2.prompts import PROMPTS, Prompts, words

SEED = 2
DIGITS = "0123456789"


class Years(Prompts):
    """[first, The, war, lasted, .., 1, 7, 3, 2, to, the, year, , 1, 7], asked for the tens."""

    @classmethod
    def drawn(cls, device: torch.device) -> Years:
        """Of an event, a century, and a year that is neither early nor late in it."""
        choose, prompts, tens = random.Random(SEED), [], []
        for _ in range(PROMPTS):
            begins = words("The {event} lasted from the year", event=choose.choice(texts.EVENTS))
            century, ten = choose.choice("12345678"), choose.choice("2345678")
            year = [" ", "1", century, ten, choose.choice(DIGITS)]
            prompts.append((*begins, *year, " to", " the", " year", " ", "1", century))
            tens.append(ten)
        return cls(tuple(prompts), tuple(tens), device)

    def later(self, logits: Float[Tensor, "case logit"]) -> Float[Tensor, " case"]:
        """The probability of tens of a later decade, less that of an earlier one."""
        logits = plain(logits)
        all_of = logits.double().logsumexp(dim=1)
        digits = torch.stack([logits[:, n] for n in self.tokens(DIGITS).tolist()], dim=1).double()
        share = (digits - all_of.unsqueeze(1)).exp()
        tens = torch.tensor([int(ten) for ten in self.answers], device=self.device).unsqueeze(1)
        others = torch.arange(len(DIGITS), device=self.device)
        return (share * (others - tens).sign()).sum(dim=1)


class Agreement(Prompts):
    """[first, The, keys, near, the, cabinet]: are, or is."""

    @classmethod
    def drawn(cls, device: torch.device) -> Agreement:
        """Of two nouns, each in the singular or the plural."""
        choose, prompts, verbs = random.Random(SEED), [], []
        for _ in range(2 * PROMPTS):
            plural, of_other = choose.choice(["", "s"]), choose.choice(["", "s"])
            noun = choose.choice(texts.NOUNS) + plural
            other = choose.choice(texts.OTHER_NOUNS) + of_other
            said = f"The {noun} {choose.choice(texts.BESIDE)} the {other}"
            prompts.append(words(said))
            verbs.append(" are" if plural else " is")
        return cls(tuple(prompts), tuple(verbs), device)

    def before_the_wrong(self, logits: Float[Tensor, "case logit"]) -> Float[Tensor, " case"]:
        """How far the right verb is before that of the other number."""
        wrong = self.tokens([" is" if verb == " are" else " are" for verb in self.answers])
        return logit_difference(logits, self.labels, wrong)


def capitals(device: torch.device) -> Prompts:
    """The capital of France is: countries of which both names are one token."""
    prompts = (words("The capital of {country} is", country=country) for country in texts.CAPITALS)
    answers = (f" {capital}" for capital in texts.CAPITALS.values())
    return Prompts(tuple(prompts), tuple(answers), device)
