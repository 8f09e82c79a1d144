"""The verdicts on a terminal: a claim on a line, in its part of the story, at any width."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from mechanistic_claims.outputs.table import totals
from mechanistic_claims.text import as_fit
from mechanistic_claims.verdict.bound import Bound
from mechanistic_claims.verdict.headings import Heading
from mechanistic_claims.verdict.means import GIVEN, TOO
from mechanistic_claims.verdict.verdict import Verdict, margin_of
from tests.outputs.recorded import record, told
from tests.runs import ROOT

LONG = "A sentence that has to be told on more than one line of a terminal, however wide it may be."
DIFFERENT = ROOT / "models/min_of_two/checkpoints/refuted/seed5.safetensors"
QK = "claims/min_of_two/test_qk_circuit.py"


def test_a_claim_that_has_room_is_one_line():
    assert told(record(), record("It copies.", part="ov circuit", evidence="weights")) == [
        " measured  bound untrained  claim",
        "attention · activations",
        "✓ 0.99965 ≥ 0.99     0.005  It attends to the min.",
        "ov circuit · weights",
        "✓ 0.99965 ≥ 0.99     0.005  It copies.",
    ]


@pytest.mark.parametrize("width", [40, 60, 79, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal(width):
    rows = [(at, at + 1) for at in range(200)]
    records = [
        record(LONG, heading, rows[:count], evidence=kind)
        for heading in Heading
        if heading is not Heading.ERROR
        for count in (0, 1, 7, 90, 200)
        for kind in ("weights", "activations")
    ]
    for every in (False, True):
        lines = told(*records, width=width, every=every)
        assert max(map(len, lines)) <= width
        assert " ".join(" ".join(lines).split()).count("however wide it may be.") == len(
            records
        ) - (0 if every else sum(one.heading is Heading.PRECONDITION for one in records))


def test_a_narrow_terminal_has_the_numbers_below_the_sentence():
    assert told(record(), width=60) == [
        "attention · activations",
        "✓ It attends to the min.",
        "    0.99965 ≥ 0.99, untrained 0.005",
    ]


def test_what_wants_an_eye_comes_before_the_story_and_preconditions_are_counted():
    after_all = record("It is strict.", Heading.HOLDS_AFTER_ALL)
    refuted = record("It falls.", Heading.REFUTED, measured=0.5)
    too_strong = record("It always falls.", Heading.REFUTED_AS_EXPECTED, measured=0.5)
    rival = record("It is a pizza.", Heading.RIVAL_EXCLUDED)
    needed = [record(f"Fact {at}.", Heading.PRECONDITION) for at in range(3)]
    lines = told(record(), *needed, too_strong, rival, after_all, refuted)
    shown = [re.sub(r"^(.) .*  ", r"\1 ", line) for line in lines]
    assert shown == [
        " measured  bound untrained  claim",
        "refuted",
        "✗ activations: It falls.",
        "holds after all: expected to be refuted",
        "✓ activations: It is strict.",
        "attention · activations",
        "✓ It attends to the min.",
        "~ It always falls.",
        "≠ It is a pizza.",
        "✓ 3 preconditions met, by an untrained model too (-v lists them)",
        "~ refuted, as expected; ≠ rivals excluded: other stories that would need another number",
    ]
    every = told(record(), *needed, every=True)
    assert sum("Fact" in line for line in every) == 3
    assert not any("-v lists" in line for line in every)


def test_of_one_of_several_checkpoints_only_what_is_wrong_is_listed():
    wrong = record("It falls.", Heading.REFUTED, measured=0.5)
    lines = told(record(), record("Fact.", Heading.PRECONDITION), wrong, whole=False)
    assert [line.rpartition("  ")[2] for line in lines[2:]] == ["activations: It falls."]
    assert told(record(), whole=False) == []


@pytest.mark.parametrize(
    ("exceptions", "said"),
    [
        ([], ""),
        ([26, 79], " but for 26 79"),
        ([(1, 2)] * 20, " but for 20: (1,2) …"),
        ([(1, 2)] * 100, " but for 100: (1,2) …"),
        ([(1, 2)] * 101, ""),
    ],
)
def test_exceptions_stand_behind_a_sentence_that_holds(exceptions, said):
    line = told(record(exceptions=exceptions))[2]
    assert line.partition("It attends to the min.")[2] == said


def test_exceptions_without_room_behind_the_sentence_stand_below_it():
    sentence = "It attends to the min of any two numbers that you give it to compare."
    lines = told(record(sentence, exceptions=[(12, 34), (56, 78)]))
    assert [line.strip() for line in lines[3:]] == ["but for (12,34) (56,78)"]


@pytest.mark.parametrize(
    ("exceptions", "said"),
    [
        ([26, 79], "not: 26 79"),
        (list(range(10, 30)), "not: 10 11 12 13 14 15 and 14 more"),
        ([tuple(range(60))] * 3, "not: 3 exceptions"),
    ],
)
def test_counterexamples_stand_below_a_refuted_sentence(exceptions, said):
    lines = told(record(heading=Heading.REFUTED, measured=0.5, exceptions=exceptions))
    assert [line.strip() for line in lines[3:]] == [said]


@pytest.mark.parametrize(
    ("exceptions", "said"), [((), "expected: two heads share it"), ([9], "not: 9")]
)
def test_a_reason_stands_where_no_counterexample_does(exceptions, said):
    found = record("It falls.", Heading.REFUTED_AS_EXPECTED, exceptions, measured=0.5)
    because = replace(found, told=replace(found.told, too_strong="two heads share it"))
    assert [line.strip() for line in told(because)[3:-1]] == [said]
    assert " ".join(told(because, every=True)).count("two heads share it") == 1


def test_a_limit_that_alone_refutes_is_told():
    drawn = "sampled (100 draws, 99.9% limit)"
    few = {"heading": Heading.NOT_ESTABLISHED, "margin": -0.02, "best": 0.005, "domain": drawn}
    few["limits"] = (0.97, 0.9999)
    lines = told(record(**few))
    assert lines[1] == "not established: too few draws"
    assert lines[2].startswith("? 0.99965 ≥ 0.99")
    said = " ".join(" ".join(lines[3:5]).split())
    assert said == f"not established, draw more: the limit is 0.97: {drawn}"
    of_all = "bounds of what is drawn are held by 99.9 % limits of 100 draws"
    assert lines[-1] == f"{of_all}, if a line says no other number"
    on_its_bound = record(**few | {"best": 0.0})
    assert told(on_its_bound)[3].strip().startswith("not established, draw more: the limit is 0.97")
    refuted_anyway = record(
        heading=Heading.REFUTED, measured=0.5, margin=-0.6, best=-0.3, domain=drawn
    )
    assert not any("the limit is" in line for line in told(refuted_anyway))


def test_a_claim_of_other_draws_than_most_says_of_how_many():
    usual, fewer = (f"sampled ({draws:,} draws, 99.9% limit)" for draws in (4096, 1012))
    some = record("It is right on those that it answers.", domain=fewer)
    lines = told(record(domain=usual), record(domain=usual), some, record(evidence="weights"))
    assert [line for line in lines if "draws" in line] == [
        next(line for line in lines if line.endswith("on those that it answers. (of 1,012 draws)")),
        "bounds of what is drawn are held by 99.9 % limits of 4,096 draws, if a line says no other "
        "number",
    ]


def test_colour_changes_no_letter():
    records = [record(), record(heading=Heading.REFUTED, measured=0.5, exceptions=[1])]
    coloured = told(*records, colour=True)
    assert coloured != told(*records)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == told(*records)


def test_brackets_in_a_sentence_are_no_markup():
    assert told(record("On [red]every[/red] input [a, b, =]."))[2].endswith(
        "On [red]every[/red] input [a, b, =]."
    )


def test_totals_say_what_little_some_say():
    records = [record(), record(heading=Heading.SAYS_NOTHING), record(heading=Heading.PRECONDITION)]
    assert totals(records).endswith(
        "2 hold, 0 refuted as expected, 1 say little, 0 refuted[/bold green]"
    )


@pytest.mark.parametrize(
    ("measured", "bound", "said"),
    [
        (1.2e-7, Bound(high=0.001), "8,333×"),
        (1e-10, Bound(high=0.001), "1e+07×"),
        (2e-4, Bound(high=0.001), "+0.0008"),
        (800.0, Bound(low=8), "100×"),
        (0.9999, Bound(low=0.99), "+0.0099"),
        (0.0, Bound(high=0.001), "+0.001"),
        (0.01, Bound(high=0.001), "-0.009"),
        (0.001, Bound(high=0.5, excluded=True), "-0.5"),
        (0.5, Bound(low=0.4, high=0.6), "+0.1"),
        (math.inf, Bound(low=8), "+∞"),
    ],
)
def test_a_margin_is_a_factor_where_its_distance_tells_nothing(measured, bound, said):
    margin = bound.margin(measured, measured)
    assert margin_of(Verdict(measured, bound, margin, "exhaustive", (), 0)) == said


@pytest.mark.parametrize(
    ("bound", "margin", "limit"),
    [
        (Bound(low=0.4), 0.05, 0.45),
        (Bound(high=0.6), 0.05, 0.55),
        (Bound(high=0.4, excluded=True), 0.05, 0.45),
        (Bound(low=0.6, excluded=True), 0.05, 0.55),
        (Bound(low=0.4, high=0.9), 0.05, 0.45),
    ],
)
def test_the_limit_lies_on_the_side_of_the_bound(bound, margin, limit):
    verdict = Verdict(0.5, bound, margin, "sampled (100 draws, 99.9% limit)", (), 0)
    assert verdict.limit == pytest.approx(limit)


def test_a_part_has_the_evidence_of_most_of_its_claims():
    kinds = ("weights", "activations", "activations")
    lines = told(*(record(f"Claim {at}.", evidence=kind) for at, kind in enumerate(kinds)))
    assert lines[1] == "attention · activations"
    assert [line.rpartition("  ")[2] for line in lines[2:]] == [
        "weights: Claim 0.",
        "Claim 1.",
        "Claim 2.",
    ]


def test_as_many_names_as_fit():
    assert as_fit(["aa", "bb", "cc"], 3, 8) == "aa bb cc"
    assert as_fit(["aa", "bb", "cc"], 3, 7) == ""
    assert as_fit(["aa", "bb", "cc"], 3, 14) == "aa bb cc"
    assert as_fit(["a" * 9, "bb"], 2, 12) == "a" * 9 + " bb"
    assert as_fit(["a" * 9, "bb", "cc"], 3, 20, 7) == "a" * 9 + " and 6 more"


@pytest.mark.slow
def test_a_quiet_run_lists_what_is_wrong_and_counts_the_rest(run_claims):
    quiet = run_claims(QK, "-q", "--checkpoint", DIFFERENT).output
    verdicts = quiet.partition("= verdicts")[2]
    assert "✗ 0.61734" in verdicts
    assert "Where the row of '=' rises" not in verdicts
    assert "✗ min_of_two  1 hold, 1 refuted as expected, 3 refuted" in verdicts
    fine = run_claims(QK, "-q").output
    assert "= verdicts" not in fine
    assert "✓ min_of_two  4 hold, 1 refuted as expected, 0 refuted" in fine


@pytest.mark.slow
def test_a_model_of_63_claims_is_told_in_75_lines(run_claims):
    verdicts = run_claims("claims/min_of_two").output.partition("= verdicts")[2].splitlines()
    last = next(at for at, line in enumerate(verdicts) if line.startswith("59 hold"))
    assert last <= 75


def test_heads_of_columns_stand_over_short_numbers_too():
    assert told(record(measured=1, at_least=0))[0] == "measured bound untrained  claim"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("head 0.0 ablated (mean), at position 0", "(edited at position 0)"),
        ("head 0.0 ablated (zero), at positions 2, 5, which changes 4 of 9", "positions 2, 5)"),
        ("mlp 0 ablated (mean), at the answers, padding in no mean", "(edited at the answers)"),
        (
            "mlp 0 ablated (zero), at position 8, before 2 of 8 answers, which changes 9",
            "(edited at position 8, before 2 of 8 answers)",
        ),
        ("head 0.0 ablated (mean), at every position, which changes 4 of 9", ""),
        ("attention of head 0.0 set, at the answers", ""),
        ("embedding cut from the logits (mean), at the answers, which changes nothing", ""),
    ],
)
def test_where_a_model_was_edited_is_told_if_not_everywhere(edit, said):
    """The sentence may not say it."""
    found = record(evidence="intervention")
    lines = told(replace(found, verdict=replace(found.verdict, edits=(edit,))))
    assert any(line.endswith(said or "attends to the min.") for line in lines)
    assert any("edited" in line for line in lines) == bool(said)


def test_an_edit_that_changes_nothing_beside_others_is_told():
    """As where a difference is claimed of two: one of them is no ablation."""
    found = record(evidence="intervention")
    edits = (
        "positions ablated (mean), at every position, which changes nothing",
        "mlp 1 ablated (mean), at every position",
    )
    (told_of,) = (
        line
        for line in told(replace(found, verdict=replace(found.verdict, edits=edits)))
        if "attends" in line
    )
    assert told_of.endswith("(positions ablated (mean): changes nothing)")


@pytest.mark.parametrize(
    ("what", "said"),
    [(TOO, "allow for other means, roughly"), (GIVEN, "are of this mean, no other")],
)
def test_limits_with_means_of_draws_are_told(what, said):
    domain = f"sampled (300 draws, approximate 99.9% limit, Student's t, {what})"
    lines = " ".join(told(record(domain=domain)))
    assert f"where a mean of draws is put into the model, limits {said}" in lines
    assert ("approximate where values have no bounds" in lines) == (what == GIVEN)


def test_where_some_claims_about_runs_are_of_all_inputs_each_other_names_its_draws():
    """Or the limit that is told below would seem to be theirs too."""
    drawn = record("It copies.", domain="sampled (300 draws, 99.9% limit)")
    weights = record("It falls.", evidence="weights")
    alone, beside = told(drawn, weights), told(drawn, weights, record())
    assert not any("(of 300 draws)" in line for line in alone)
    assert any("of what is drawn are held by 99.9 % limits of 300 draws" in one for one in alone)
    assert any(line.endswith("It copies. (of 300 draws)") for line in beside)
    assert (
        beside[-1] == "where a line names draws, its bound is held by the 99.9 % limit of so many"
    )
