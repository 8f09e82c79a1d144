"""Of claims without a bound, and of such as say little: what their author is to write."""

from __future__ import annotations

import json
import math
import re
import textwrap
from dataclasses import replace

import pytest

from mechanistic_claims.measurement.measures import share
from mechanistic_claims.model.components import head
from mechanistic_claims.outputs.table import unbound
from mechanistic_claims.verdict.advice import (
    RUN_AS_IT_WAS,
    UNTRAINED_IS_BETTER,
    no_bound,
)
from mechanistic_claims.verdict.document import as_json, record_of
from mechanistic_claims.verdict.headings import Heading
from mechanistic_claims.verdict.record import Checked, Control, Record, Told
from mechanistic_claims.verdict.verdict import Judge, held_to
from tests.outputs.recorded import HELD, record, told
from tests.runs import ROOT


def without_bound(measured, untrained, evidence="behavior", **bound):
    """Of a claim that is judged so."""
    told = Told("claims/toy/test_a.py::test_new", "toy", "a", "It is sure.", evidence)
    control, judge = Control(untrained, holds=True), Judge()
    judge(measured, **bound)
    said = no_bound(judge.verdict, control, told, source="")
    return Record(told, HELD, Heading.ERROR, None, control, said, unbound=measured)


def test_claims_without_a_bound_are_a_table():
    """Also when a record came from another process."""
    records = without_bound(0.25, 0.01, at_least=None), without_bound(30.284, 1.73, at_most=None)
    again = tuple(record_of(json.loads(json.dumps(as_json(one)))) for one in records)
    assert again == records
    assert list(unbound(Checked(HELD, (record(), *again)), 60)) == [
        "[red]no bound yet: write the number that each requires for None[/red]",
        "[dim]  measured untrained  claim[/dim]",
        "[bold red]![/bold red]     0.25      0.01  It is sure.",
        "[bold red]![/bold red]   30.284      1.73  It is sure.",
        *(" " * 22 + line for line in textwrap.wrap(UNTRAINED_IS_BETTER + RUN_AS_IT_WAS, 38)),
    ]
    assert list(unbound(Checked(HELD, (record(),)), 60)) == []


@pytest.mark.parametrize(
    ("numbers", "bound", "evidence", "worse"),
    [
        ((30.0, 1.7), {"at_most": None}, "behavior", True),
        ((0.1, 0.3), {"at_least": None}, "behavior", True),
        ((1.7, 30.0), {"at_most": None}, "behavior", False),
        ((1.7, 1.7), {"at_most": None}, "behavior", False),
        ((30.0, 1.7), {"at_most": None}, "weights", False),
        ((30.0, 1.7), {"within": None}, "behavior", False),
        ((30.0, 1.7), {}, "behavior", False),
        ((30.0, math.nan), {"at_most": None}, "behavior", False),
    ],
)
def test_where_an_untrained_model_does_better_it_is_said(numbers, bound, evidence, worse):
    assert (UNTRAINED_IS_BETTER in without_bound(*numbers, evidence, **bound).error) == worse


@pytest.mark.parametrize(
    ("measured", "bound", "said"),
    [
        (0.95, {"at_least": 0.9}, "Raise the bound above 0.921, or claim what training makes"),
        (
            0.91,
            {"at_least": 0.9},
            "Claim what training makes different. An untrained",
        ),
        (0.9, {"at_most": 0.95}, "Lower the bound below 0.921, or claim"),
        (
            0.93,
            {"at_most": 0.95},
            "Claim what training makes different, as share(activations.correct) -",
        ),
        (0.93, {"within": (0.9, 0.95)}, "Claim what training makes different"),
    ],
)
def test_what_says_nothing_is_told_what_to_say(measured, bound, said):
    verdict, one = (
        held_to(measured, **bound),
        record(heading=Heading.SAYS_NOTHING, evidence="intervention"),
    )
    one = replace(one, verdict=verdict, control=Control(0.921, holds=True))
    assert said in " ".join(" ".join(told(one)).split())
    assert said not in " ".join(told(replace(one, heading=Heading.HOLDS)))


def test_of_a_difference_that_is_little_what_is_left_is_to_be_claimed():
    one = record(heading=Heading.SAYS_NOTHING, evidence="intervention")
    verdict = replace(held_to(0.01, at_most=0.1), unedited=0.0)
    said = told(replace(one, verdict=verdict, control=Control(0.0, holds=True)))
    assert "as share(without.correct), at least so many" in " ".join(" ".join(said).split())


def test_what_is_said_to_be_written_can_be_run(reference):
    """In the page of claims it is the same."""
    one = record(heading=Heading.SAYS_NOTHING, evidence="intervention")
    one = replace(one, verdict=held_to(0.1, at_most=0.3), control=Control(0.01, holds=True))
    said = " ".join(" ".join(told(one)).split())
    code = re.search(r", as (share\(.*\)): how many more are right", said)[1]
    assert f"`{code}`" in (ROOT / "claims/README.md").read_text()
    without = reference.intervene.ablate(head(0, 0), "zero")
    activations = reference.activations
    lost = activations.correct.double().mean() - without.correct.double().mean()
    assert eval(
        code, {"share": share, "activations": activations, "without": without}
    ) == pytest.approx(float(lost))
    assert lost > 0.5


def test_why_a_claim_says_little_is_told():
    """What an untrained model lacks, and what another set of components has."""
    none = replace(
        record(heading=Heading.NOT_COMPARED), control=Control(math.nan, False, why="0 / 0")
    )
    assert told(none)[3].strip() == "An untrained model: 0 / 0"
    beside = held_to(0.95, at_least=0.9, beside=[0.2, 0.94, 0.91])
    other = replace(record(heading=Heading.NOT_PARTICULAR), verdict=beside)
    assert told(other)[3].strip() == "Of 3 other sets the nearest to the bound has 0.94."
