"""Margins over checkpoints: what is known of earlier runs, and how it is told."""

from __future__ import annotations

import base64
import json

import pytest

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.outputs.report.beside import Moved
from mechanistic_claims.outputs.report.claim_page import claim_page
from mechanistic_claims.outputs.report.first_page import first_page
from mechanistic_claims.outputs.report.history import History, Point, read_history
from mechanistic_claims.outputs.report.judged import read_run
from mechanistic_claims.outputs.report.trend import trend
from mechanistic_claims.outputs.report.words import templates

CLAIM = "test_the_row_is_strictly_decreasing[1.0]"


@pytest.fixture(scope="module")
def run(results):
    return read_run(results)


def test_the_history_knows_a_run_once(run, tmp_path):
    once = History().with_run(run)
    assert once.with_run(run).lines == once.lines
    once.write(tmp_path / "history.jsonl")
    assert read_history(tmp_path / "history.jsonl").lines == once.lines
    claim = next(claim for claim in run.claims if CLAIM in claim.told.claim)

    def points(**before: object) -> list[Point]:
        earlier = [{**line, "finished": "2020", **before} for line in once.lines]
        return History(earlier).with_run(run).of("min_of_two", claim.told.claim)

    (again,) = points(margins={})
    assert again.margin == claim.record.verdict.margin
    assert [point.finished for point in points(sha256="another")] == ["2020", run.finished]


def test_a_margin_over_checkpoints_is_on_both_pages(run):
    now = History().with_run(run)
    before = [{**line, "finished": "2020", "checkpoint": "old.pt"} for line in now.lines]
    both = History([*before, *now.lines])
    html = first_page(run, both, templates())
    assert "Margins over 2 checkpoints" in html
    assert "Each dot is a checkpoint, from the left old.pt, " in html
    claim = run.claims[0]
    points = both.of("min_of_two", claim.told.claim)
    assert "Margin over 2 checkpoints" in claim_page(claim, points, templates())


@pytest.mark.parametrize(
    "changed", [{"schema": "other"}, {"margins": {"a": "0.5"}}, {"margins": []}, {"sha256": []}]
)
def test_a_history_of_something_else_is_refused(run, tmp_path, changed):
    (line,) = History().with_run(run).lines
    (tmp_path / "history.jsonl").write_text(json.dumps(line | changed))
    with pytest.raises(CannotJudge, match="line 1: not of a history of claims"):
        read_history(tmp_path / "history.jsonl")


@pytest.mark.parametrize(
    ("steps", "finished", "joined"),
    [
        ((None, None, None), ("2026", "2026", "2026"), "MMM"),
        ((0, 100, 200), ("2026", "2026", "2026"), "MLL"),
        ((200, 200, 200), ("2026", "2026", "2026"), "MMM"),
        ((None, None, None), ("2024", "2025", "2026"), "MLL"),
    ],
    ids=["seeds", "training", "seeds of one step", "retrained"],
)
def test_only_what_came_after_one_another_is_joined(run, steps, finished, joined):
    margins = 0.3, -0.2, 0.1
    points = [Point("a", *each) for each in zip(finished, margins, steps, strict=True)]
    picture = base64.b64decode(trend(points, 150, 34).rpartition(",")[2]).decode()
    line = picture.partition('<path d="')[2].partition('"')[0]
    assert "".join(filter(str.isalpha, line)) == joined
    in_order = joined == "MLL"
    moved = Moved(run.claims[0], points, picture)
    assert moved.ends == ((0.3, 0.1) if in_order else (-0.2, 0.3))


def test_seeds_are_told_by_the_least_and_the_most(run):
    (line,) = History().with_run(run).lines
    low = {claim: margin and margin - 0.5 for claim, margin in line["margins"].items()}
    other = {**line, "checkpoint": "other.pt", "sha256": "other", "margins": low}
    html = first_page(run, History([other, line]), templates())
    assert "least and greatest margin" in html
    assert "first and last" not in html
    later = first_page(run, History([{**other, "finished": "2020"}, line]), templates())
    assert "first and last" in later
