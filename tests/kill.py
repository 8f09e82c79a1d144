"""Claims by models, judged in this process: what refutes each, and whether it answers as well."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from mechanistic_claims.checkpoint.checkpoint import Checkpoint
from mechanistic_claims.errors import CannotJudge, NothingMeasured
from mechanistic_claims.measurement.passes import Key
from mechanistic_claims.session.opened import Opened
from mechanistic_claims.verdict.verdict import Judge
from tests.conftest import CPU

AS_ACCURATE = 0.999
SIGNS = {"refuted": "X", "holds": ".", "error": "e", "left out": " "}
LEFT_OUT, UNTRAINED = ("left out", float("nan")), "untrained"
WIDTH = 46
READ_BEFORE: dict[str, dict[Key, None]] = {}
"""What the claims of each model have read of one checkpoint they read of the next at once."""


@dataclass(frozen=True)
class Claim:
    """A claim with one set of its parameters; `name` is its test's, with their values."""

    name: str
    function: Callable[..., None]
    parameters: Mapping[str, Any]
    marks: frozenset[str]
    evidence: str

    def judged(self, subject: Opened) -> tuple[str, float]:
        """The verdict, and the number measured."""
        judge = Judge(of_rival="rival" in self.marks)
        given = {**self.parameters, "verdict": judge}
        names = inspect.signature(self.function).parameters
        try:
            self.function(**{n: given[n] if n in given else subject.fixture(n) for n in names})
        except (CannotJudge, NothingMeasured):
            return "error", float("nan")
        assert judge.verdict is not None, self.name
        word = "holds" if judge.verdict.holds else "refuted"  # what is left open fails a gate too
        return word, judge.verdict.measured


def subject_with(model: str, weights: Mapping[str, Tensor], **asked: Any) -> Opened:
    """Everything about a model of canonical weights, as if a file had these.

    It is asked on the task's own inputs, or on those of a task that differs in what is `asked`.
    """
    checkpoint = Checkpoint(Path("written"), model, "", dict(weights))
    family = import_module(f"models.{model}").FAMILY
    parts = family.build(checkpoint, CPU)
    if asked:
        parts = replace(parts, task=replace(parts.task, **asked))
    return Opened(checkpoint, parts, CPU, READ_BEFORE.setdefault(model, {}))


def claims_of(model: str) -> Iterator[Claim]:
    """Each claim of a model's story with each set of its parameters."""
    for part in import_module(f"claims.{model}").STORY:
        file = import_module(f"claims.{model}.test_{part}")
        of_file = getattr(file, "pytestmark", [])
        of_file = of_file if isinstance(of_file, list) else [of_file]
        for name, function in vars(file).items():
            if not name.startswith("test_"):
                continue
            marks = [*of_file, *getattr(function, "pytestmark", [])]
            choices = [
                [of_names(names, value) for value in values]
                for names, values in (mark.args for mark in marks if mark.name == "parametrize")
            ]
            for chosen in itertools.product(*choices):
                parameters = {key: value for one in chosen for key, value in one.items()}
                full = f"{name}[{'-'.join(map(str, parameters.values()))}]"
                names = frozenset(mark.name for mark in marks)
                (evidence,) = (mark.args[0] for mark in marks if mark.name == "evidence")
                yield Claim(full, function, parameters, names, evidence)


def of_names(names: str | tuple[str, ...], value: Any) -> dict[str, Any]:
    return {names: value} if isinstance(names, str) else dict(zip(names, value, strict=True))


@dataclass(frozen=True)
class Matrix:
    """Verdicts and numbers by model, then by claim, each in the order in which they were given.

    `first` is the trained model that all others are compared with. `as_good` tells of a model's
    numbers whether it answers as well. `none_can_exist` says, by the names of tests, why no model
    that answers as well can refute one.
    """

    told: Mapping[str, Claim]
    found: Mapping[str, Mapping[str, tuple[str, float]]]
    as_good: Callable[[Callable[[str], float]], bool]
    none_can_exist: Mapping[str, str]

    @property
    def first(self) -> str:
        return next(iter(self.found))

    @property
    def claims(self) -> list[str]:
        return list(self.told)

    def verdict(self, claim: str, model: str) -> str:
        return self.found[model][claim][0]

    def measured(self, claim: str, model: str) -> float:
        return self.found[model][claim][1]

    def verdicts(self, model: str) -> dict[str, str]:
        """Verdict by claim."""
        return {claim: word for claim, (word, _) in self.found[model].items()}

    def that_are(self, verdict: str, model: str) -> set[str]:
        """The names of the tests that have a verdict on a model, without their parameters."""
        found = self.verdicts(model).items()
        return {claim.partition("[")[0] for claim, its in found if its == verdict}

    def refuted_by(self, model: str) -> set[str]:
        """The names of the tests that a model refutes, and the first does not."""
        return self.that_are("refuted", model) - self.that_are("refuted", self.first)

    def fallen(self, model: str) -> set[str]:
        """The names of the tests that hold of the first and not of a model: errors too."""
        held = [c for c in self.claims if self.verdict(c, self.first) == "holds"]
        left = "holds", "left out"
        return {c.partition("[")[0] for c in held if self.verdict(c, model) not in left}

    def is_as_good(self, model: str) -> bool:
        return self.as_good(lambda claim: self.measured(claim, model))

    def kills(self, claim: str) -> list[str]:
        """The models that answer as well and refute a claim: an error is no refutation."""
        refuting = (model for model in self.found if self.verdict(claim, model) == "refuted")
        return [model for model in refuting if self.is_as_good(model)]

    def told_too_strongly(self, claim: str) -> bool:
        """Whether the sentence is one that the trained model refutes too."""
        return self.verdict(claim, self.first) == "refuted"

    def alive(self) -> list[str]:
        """Models that refute no claim that holds of the first."""
        told = [claim for claim in self.claims if not self.told_too_strongly(claim)]
        return [m for m in self.found if all(self.verdict(c, m) != "refuted" for c in told)]

    def why_none(self, claim: str) -> str:
        return self.none_can_exist.get(claim.partition("[")[0], "")

    def without_a_reason(self) -> list[str]:
        """Claims that no model refutes which answers as well, though one could; or the reverse."""
        return [c for c in self.claims if bool(self.kills(c)) == bool(self.why_none(c))]

    def __str__(self) -> str:
        """The matrix as text: X refuted, . holds, e error, blank left out; models by number."""
        lines = [
            f"{i:3} {model:44} {'answers as well' * self.is_as_good(model)}".rstrip()
            for i, model in enumerate(self.found)
        ]
        for digit in (10, 1):
            numbers = "".join(str(i // digit % 10) for i in range(len(self.found)))
            lines.append(" " * (WIDTH + 1) + numbers)
        lines += map(self._row, self.claims)
        lines.append("last: by how many models that answer as well it is refuted;")
        lines.append("~ overstated: refuted of the trained model too")
        return "\n".join(lines)

    def _row(self, claim: str) -> str:
        name = "~" * self.told_too_strongly(claim) + claim.removeprefix("test_")
        name = name if len(name) <= WIDTH else f"{name[: WIDTH - 14]}…{name[-13:]}"
        row = "".join(SIGNS[self.verdict(claim, model)] for model in self.found)
        kills = len(self.kills(claim))
        why = "" if kills else "  " + (self.why_none(claim) or "?")
        return f"{name:{WIDTH}} {row}  {kills}{why}"


def judged(
    model: str,
    subjects: Iterable[tuple[str, Opened]],
    as_good: Callable[[Callable[[str], float]], bool],
    none_can_exist: Mapping[str, str],
) -> Matrix:
    """Every claim of a story on some models of its kind, each let go when it is judged.

    Proofs take longest where there is least to be proved: they are left out of models that don't
    answer as well, which refute nothing here, but for the untrained one.
    """
    told = {claim.name: claim for claim in claims_of(model)}
    found: dict[str, Mapping[str, tuple[str, float]]] = {}
    for name, subject in subjects:
        proofs = [claim for claim in told.values() if claim.evidence == "certificate"]
        of_model = {one.name: one.judged(subject) for one in told.values() if one not in proofs}
        good = as_good(lambda claim, of_model=of_model: of_model[claim][1])
        if good or name.startswith(UNTRAINED):
            of_model |= {claim.name: claim.judged(subject) for claim in proofs}
        found[name] = {claim: of_model.get(claim, LEFT_OUT) for claim in told}
    return Matrix(told, found, as_good, none_can_exist)


def answers(claim: str, at_least: float = AS_ACCURATE) -> Callable[[Callable[[str], float]], bool]:
    """As good is who answers so many, by the number of a claim."""
    return lambda measured: measured(claim) >= at_least
