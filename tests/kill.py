"""Claims by mutants, as one matrix: what refutes each claim, and whether it answers as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from tests.runs import Run

AS_ACCURATE = 0.999
SIGNS = {"refuted": "X", "holds": ".", "error": "e"}
WIDTH = 46

Checkpoints = Mapping[str, Mapping[str, Tensor]]
"""Canonical weights by the name of a mutant."""


@dataclass(frozen=True)
class Story:
    """The claims of a model: where they are, and which one is its accuracy.

    `none_can_exist` says, by the names of tests, why no mutant that answers as well can refute it.
    """

    claims: str
    accuracy: str
    none_can_exist: Mapping[str, str]

    def why_none(self, claim: str) -> str:
        return self.none_can_exist.get(claim.partition("[")[0], "")


@dataclass(frozen=True)
class Matrix:
    """Verdicts of all claims on all mutants, in the order of the story and of making.

    One of the mutants is the `original`, which is none.
    """

    story: Story
    runs: list[Run]
    mutants: list[str]

    @cached_property
    def found(self) -> dict[tuple[str, str], dict[str, str]]:
        return {key: found for run in self.runs for key, found in run.claims.items()}

    @cached_property
    def claims(self) -> list[str]:
        return list(dict.fromkeys(claim for claim, _ in self.found))

    def of(self, claim: str, mutant: str) -> dict[str, str]:
        return self.found[claim, f"{mutant}.pt"]

    def verdict(self, claim: str, mutant: str) -> str:
        return self.of(claim, mutant)["verdict"]

    def verdicts(self, mutant: str) -> dict[str, str]:
        """Verdict by claim of one mutant."""
        return {claim: self.verdict(claim, mutant) for claim in self.claims}

    def that_are(self, verdict: str, mutant: str) -> set[str]:
        """The names of the tests that have a verdict on a mutant, without their parameters."""
        found = self.verdicts(mutant).items()
        return {claim.partition("[")[0] for claim, its in found if its == verdict}

    def refuted_by(self, mutant: str) -> set[str]:
        """The names of the tests that a mutant refutes, and the original does not."""
        return self.that_are("refuted", mutant) - self.that_are("refuted", "original")

    def accuracy(self, mutant: str) -> float:
        return float(self.of(self.story.accuracy, mutant).get("measured", "nan"))

    def kills(self, claim: str, least_accuracy: float = 0.0) -> list[str]:
        return [
            mutant
            for mutant in self.mutants
            if self.verdict(claim, mutant) == "refuted" and self.accuracy(mutant) >= least_accuracy
        ]

    def told_too_strongly(self, claim: str) -> bool:
        """Whether the sentence is one that the trained original refutes too."""
        return self.verdict(claim, "original") == "refuted"

    def alive(self) -> list[str]:
        """Mutants that refute no claim that holds of the original."""
        told = [claim for claim in self.claims if not self.told_too_strongly(claim)]
        return [m for m in self.mutants if all(self.verdict(c, m) != "refuted" for c in told)]

    def without_a_reason(self) -> list[str]:
        """Claims that no mutant refutes which answers as well, though one could; or the reverse."""
        return [
            claim
            for claim in self.claims
            if bool(self.kills(claim, AS_ACCURATE)) == bool(self.story.why_none(claim))
        ]

    def __str__(self) -> str:
        """The matrix as text: X refuted, . holds, e error; mutants by number."""
        lines = [
            f"{i:3} {mutant:28} accuracy {self.accuracy(mutant):.5f}"
            for i, mutant in enumerate(self.mutants)
        ]
        for digit in (10, 1):
            numbers = "".join(str(i // digit % 10) for i in range(len(self.mutants)))
            lines.append(" " * (WIDTH + 1) + numbers)
        lines += map(self._row, self.claims)
        lines.append(f"last: by how many mutants of accuracy {AS_ACCURATE} or more it is refuted;")
        lines.append("~ told too strongly: refuted of the original too")
        return "\n".join(lines)

    def _row(self, claim: str) -> str:
        name = "~" * self.told_too_strongly(claim) + claim.removeprefix("test_")
        name = name if len(name) <= WIDTH else f"{name[: WIDTH - 14]}…{name[-13:]}"
        row = "".join(SIGNS[self.verdict(claim, mutant)] for mutant in self.mutants)
        as_accurate = len(self.kills(claim, AS_ACCURATE))
        why = "" if as_accurate else "  " + (self.story.why_none(claim) or "?")
        return f"{name:{WIDTH}} {row}  {as_accurate}{why}"


def judged(
    run_claims: Callable[..., Run], story: Story, folder: Path, *groups: Checkpoints
) -> Matrix:
    """Each group in a process of its own: what is of one shape has one control."""
    names = [name for group in groups for name in group]
    for group in groups:
        for name, weights in group.items():
            torch.save(dict(weights), folder / f"{name}.pt")

    def judge(group: Checkpoints) -> Run:
        given = [f"--checkpoint={folder / name}.pt" for name in group]
        return run_claims(story.claims, *given, OMP_NUM_THREADS="1")

    with ThreadPoolExecutor(len(groups)) as threads:
        return Matrix(story, list(threads.map(judge, groups)), names)
