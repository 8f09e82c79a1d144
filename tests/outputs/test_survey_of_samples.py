"""Many checkpoints of which too few draws tell: what is open is not refuted."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from mechanistic_claims.measurement.limits import clopper_pearson
from mechanistic_claims.outputs.survey.surveys import surveys
from mechanistic_claims.outputs.survey.terminal import print_surveys
from mechanistic_claims.outputs.terminal import _why
from mechanistic_claims.verdict.headings import Heading
from mechanistic_claims.verdict.record import Checked
from tests.outputs.recorded import HELD, record

OPEN = record(heading=Heading.NOT_ESTABLISHED, margin=-0.008, best=0.005)
REFUTED = record(heading=Heading.REFUTED, margin=-0.95, best=-0.9)
HOLDS = record()
UNBOUND = replace(record("It is sure.", heading=Heading.ERROR), verdict=None, unbound=0.2)


def checked(number, *records):
    held = replace(HELD, path=f"runs/{number}.pt", sha256=f"{number:064}")
    return Checked(held, tuple(replace(one, held=held) for one in records))


def survey_of(*checkpoints):
    (found,) = surveys(checkpoints)
    return found


def said_of(survey, **how):
    console = Console(width=100, record=True, file=io.StringIO())
    print_surveys(console, [survey], **how)
    return console.export_text()


def test_words_of_records_are_those_of_their_headings():
    assert [one.word for one in (OPEN, REFUTED, HOLDS)] == ["not established", "refuted", "holds"]


def test_what_is_open_is_a_kind_of_its_own_and_counts_either_way():
    found = survey_of(*(checked(n, OPEN) for n in range(4)), checked(4, REFUTED))
    left_open, refuted = found.kinds
    assert (len(left_open.names), left_open.refuted) == (4, frozenset())
    assert left_open.open == refuted.refuted == {OPEN.told.claim}
    (row,) = found.rows
    assert (row.holds, row.open, row.judged, row.is_law) == (0, 4, 5, False)
    assert row.low == 0
    assert row.high == pytest.approx(clopper_pearson(0.8, 5)[1])
    said = said_of(found)
    assert "?X" in said
    assert "A 4: refutes none, 1 not established 0.pt, 1.pt" in said
    assert "not established: It attends to the min." in said
    assert "B 1: 1 refuted 4.pt" in said
    assert {*found.matrix.verdicts[0]} == {"not established", "refuted"}
    assert "? not established: too few draws tell" in said


def test_kinds_of_as_many_checkpoints_begin_with_those_of_which_more_holds():
    other = replace(OPEN, told=replace(OPEN.told, claim="other", sentence="It copies."))
    found = survey_of(
        *(checked(n, OPEN, other) for n in range(3)), *(checked(n, HOLDS) for n in (3, 4, 5))
    )
    assert [len(kind.open) for kind in found.kinds] == [0, 2]


def test_what_is_expected_to_be_false_and_not_shown_to_be_alarms_nobody():
    expected = record(heading=Heading.NOT_SHOWN_FALSE, margin=-0.008, best=0.005)
    found = survey_of(*(checked(n, expected) for n in range(5)))
    assert {*found.matrix.verdicts[0]} == {"not shown false"}
    assert "not established" not in said_of(found)


def test_what_has_no_bound_is_in_no_survey_where_others_have_one():
    found = survey_of(*(checked(n, HOLDS, UNBOUND) for n in range(5)))
    assert [row.sentence for row in found.rows] == ["It attends to the min."]
    assert "It is sure" not in said_of(found)
    alone = survey_of(*(checked(n, UNBOUND) for n in range(5)))
    assert [row.errors for row in alone.rows] == [5]


def test_a_claim_that_was_not_asked_of_a_kind_is_no_claim_that_holds_of_it():
    other = replace(HOLDS, told=replace(HOLDS.told, claim="other", sentence="It copies."))
    found = survey_of(*(checked(n, HOLDS) for n in range(4)), checked(4, REFUTED, other))
    assert said_of(found).count("It copies.") == 0, "it holds on all that were asked"
    by_claim = {row.claim: row for row in found.rows}
    assert "other" not in found.kinds[0].told
    assert by_claim["other"].is_law
    (line,) = (
        line for line in said_of(found, every_claim=True).splitlines() if "It copies." in line
    )
    assert line.rstrip().endswith("  ."), "nothing of the first kind, and it holds of the second"


def test_copies_of_a_file_are_named():
    one = checked(0, HOLDS)
    again = replace(one, held=replace(one.held, path="again/of_it.pt"))
    found = survey_of(one, again, checked(1, HOLDS))
    assert len(found.ends) == 2
    assert "again/of_it.pt is the same file as runs/0.pt, which counts once" in said_of(found)
    assert "same file" not in said_of(survey_of(one, one, checked(1, HOLDS)))
    of_another = replace(again, held=replace(again.held, model="another"))
    assert not any(survey.copies for survey in surveys([one, of_another]))


def test_of_those_that_are_not_shown_is_said_what_the_worst_is():
    some = [checked(0, OPEN, HOLDS), checked(1, REFUTED, OPEN), checked(2, OPEN)]
    assert _why(some) == "3 more: 1 refuted, 2 not established"
