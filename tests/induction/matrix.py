"""All claims of a story about some models, judged in this process, as one matrix."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mechanistic_claims.errors import CannotJudge, NothingMeasured
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.session.given import MAY_ASK_FOR
from mechanistic_claims.verdict.verdict import Judge

SIGNS = {"refuted": "X", "holds": ".", "error": "e"}
Fixtures = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Claim:
    """A claim with one set of its parameters, named as pytest names it."""

    name: str
    function: Callable[..., None]
    parameters: Mapping[str, Any]
    of_rival: bool

    def judged(self, given: Mapping[str, Any]) -> tuple[str, float]:
        """The verdict, and the number measured."""
        judge = Judge(of_rival=self.of_rival)
        try:
            called(self.function, {**given, **self.parameters, "verdict": judge})
        except (CannotJudge, NothingMeasured):
            return "error", float("nan")
        assert judge.verdict is not None, self.name
        return judge.verdict.word, judge.verdict.measured


@dataclass(frozen=True)
class Matrix:
    """Verdicts and numbers by model, then by claim, each in the order in which they were given."""

    found: Mapping[str, Mapping[str, tuple[str, float]]]

    @property
    def models(self) -> list[str]:
        return list(self.found)

    @property
    def claims(self) -> list[str]:
        return list(self.found[self.models[0]])

    def verdict(self, claim: str, model: str) -> str:
        return self.found[model][claim][0]

    def measured(self, claim: str, model: str) -> float:
        return self.found[model][claim][1]

    def refuted(self, model: str) -> set[str]:
        """The claims that do not hold of a model, by their functions' names."""
        of_model = self.found[model].items()
        return {claim.partition("[")[0] for claim, (word, _) in of_model if word != "holds"}

    def kills(self, claim: str, models: Sequence[str]) -> list[str]:
        """Which of some models refute a claim: an error is no refutation."""
        return [model for model in models if self.verdict(claim, model) == "refuted"]

    @property
    def numbers(self) -> list[str]:
        """Two lines: tens and ones of the models' numbers, above their columns."""
        count = range(len(self.models))
        return [" " * 45 + "".join(str(i // of % 10) for i in count) for of in (10, 1)]

    @property
    def rows(self) -> dict[str, str]:
        """A line of each claim: X refuted, . holds, e error, a column a model."""
        return {
            claim: f"{claim:44} " + "".join(SIGNS[self.verdict(claim, m)] for m in self.models)
            for claim in self.claims
        }


def judged(subjects: Mapping[str, Subject], story: str, fixtures: Fixtures) -> Matrix:
    """Every claim of claims/`story`; `fixtures` are its own, as functions of what claims get."""
    claims, found = list(claims_of(story)), {}
    functions = [*(claim.function for claim in claims), *fixtures.values()]
    asked = {name for function in functions for name in inspect.signature(function).parameters}
    for name, subject in subjects.items():
        given = given_of(subject, fixtures, asked)
        found[name] = {claim.name: claim.judged(given) for claim in claims}
    return Matrix(found)


def claims_of(story: str) -> Iterator[Claim]:
    """Each claim of a story with each set of its parameters, but what is told too strongly."""
    for part in import_module(f"claims.{story}").STORY:
        for name, function in vars(import_module(f"claims.{story}.test_{part}")).items():
            if not name.startswith("test_"):
                continue
            marks = getattr(function, "pytestmark", [])
            if any(mark.name == "xfail" for mark in marks):
                continue
            choices = [mark.args for mark in marks if mark.name == "parametrize"]
            of_rival = any(mark.name == "rival" for mark in marks)
            for chosen in itertools.product(*(values for _, values in choices)):
                sets = [named(names, v) for (names, _), v in zip(choices, chosen, strict=True)]
                parameters = {name: value for one in sets for name, value in one.items()}
                label = "-".join(map(str, parameters.values()))
                full = f"{name.removeprefix('test_')}[{label}]"
                yield Claim(full, function, parameters, of_rival)


def named(names: str | tuple[str, ...], value: Any) -> dict[str, Any]:
    return {names: value} if isinstance(names, str) else dict(zip(names, value, strict=True))


def called(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """A function called with what it asks for by name."""
    return function(**{name: given[name] for name in inspect.signature(function).parameters})


def given_of(subject: Subject, fixtures: Fixtures, names: Iterable[str]) -> dict[str, Any]:
    """What claims get of a subject by these names: its own properties, then the story's."""
    given = {name: getattr(subject, name) for name in MAY_ASK_FOR if name in names}
    return given | {name: called(fixture, given) for name, fixture in fixtures.items()}
