"""What pictures of heads show: every value at its place, tokens that can be read, every set."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from mechanistic_claims.errors import NothingMeasured
from mechanistic_claims.measurement.pictures import MARK
from mechanistic_claims.measurement.pictures_of_heads import DOT, LINES, Attention, Beside
from tests.measurement.by_hand import refused
from tests.measurement.svg import Shown

CAUSAL = torch.tensor([[[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.0, 0.5, 0.5]]])
ODD = {
    "$x$": "$x$",
    " the": "␣the",
    "Ġthe": "␣the",
    "▁the": "␣the",
    "\n\n": "↵↵",
    "Ċ": "↵",
    "a\tb": "a⇥b",
    "été": "été",
    "中": "中",
    "\x00": "□",
    "<b>&": "<b>&",
    "<|endoftext|>": "<|endofte…",
}


def values(shown: Shown) -> list[list[float | None]]:
    """Those of a map, to a hundredth; None is blank."""
    return [[None if np.isnan(one) else round(float(one), 2) for one in row] for row in shown.cells]


def told(shown: Shown, *, upright: bool) -> list[str]:
    """The labels of columns, or of rows, without the names of axes and of numbers of color."""
    right = shown.images[0][1][0] + shown.images[0][1][2]
    small = [one for one in shown.words if one.size < 13 and one.x < right + 5]
    return [one.text for one in small if one.is_upright is upright and "." not in one.text]


def test_attention_is_shown_from_0_to_1_and_blank_where_nothing_can_be_attended_to():
    shown = values(Shown(Attention("", CAUSAL)))
    assert shown == [[1, None, None], [0.25, 0.75, None], [0, 0.5, 0.5]]


def test_what_is_attended_to_after_a_token_is_shown():
    shown = values(Shown(Attention("", torch.tensor([[[0.5, 0.5], [0.25, 0.75]]]))))
    assert shown == [[0.5, 0.5], [0.25, 0.75]]


def test_heads_stand_apart_each_with_its_name_and_the_tokens():
    patterns = torch.stack([torch.full((2, 2), (head + 1) / 4) for head in range(4)])
    marked = torch.tensor([[False, False], [True, False]])
    patterns[:, marked] -= 0.2
    shown = Shown(Attention("", patterns, ["a", "b"], ["3.0", "3.1", "3.2", "3.3"], marked, "here"))
    cells, (left, top, wide, high) = values(shown), shown.images[0][1]
    side = wide / len(cells[0])
    assert high / len(cells) == pytest.approx(side, rel=0.01), "cells are square"
    found = {}
    for one in shown.words:
        if one.text.startswith("3."):
            column, row = round((one.x - left) / side), math.ceil((one.y - top) / side)
            assert set(cells[row - 1]) == {None}, "a name stands in a blank row"
            found[one.text] = {cells[row + y][column + x] for x in (0, 1) for y in (0, 1)}
            assert cells[row][column + 2 : column + 3] in ([None], []), "and so is a column"
    assert found == {"3.0": {0.25, 0.05}, "3.1": {0.5, 0.3}, "3.2": {0.75, 0.55}, "3.3": {1, 0.8}}
    assert told(shown, upright=False) == told(shown, upright=True) == ["a", "b", "a", "b"]
    (frames,) = shown.paths(fill="none", stroke=MARK)
    framed = {
        cells[int((y - top) / side)][int((x - left) / side)]
        for x, y in np.array(frames).reshape(4, 4, 2).mean(axis=1)
    }
    assert framed == {0.05, 0.3, 0.55, 0.8}
    assert "here" in shown.texts


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 2)])
def test_heads_fill_rows_of_a_page_that_is_wider_than_high(count, rows):
    shown = Shown(Attention("", torch.ones(count, 1, 1)))
    assert len(told(shown, upright=False)) == rows
    assert len(told(shown, upright=True)) == count / rows


def test_inputs_are_no_heads(as_for_users):
    """As the pattern of a head is, which has a first axis too; marks are of its other two."""
    Attention("", torch.ones(64, 2, 2))
    refused(
        "this is of 2,000 heads, more than the 64 that a picture has room for. If these are "
        "inputs, take the pattern of one of them, pattern[0]",
        lambda: Attention("", torch.ones(2000, 2, 2)),
    )
    refused(
        "marked of Attention is [1 3 3], expected [3 3]",
        lambda: Attention("", CAUSAL, marked=CAUSAL > 0),
    )
    refused(
        "what Attention is to show is [0 0 0], nothing.", lambda: Attention("", CAUSAL[:0, :0, :0])
    )
    two = torch.ones(2, 3, 3)
    refused("Attention of 2 heads has 1 names.", lambda: Attention("", two, names=["0.1"]))


def test_of_many_tokens_some_are_told_at_equal_distances():
    tokens = [f"t{at}" for at in range(101)]
    shown = Shown(Attention("", torch.eye(101)[None], tokens))
    numbers = [int(name[1:]) for name in told(shown, upright=False)]
    assert numbers == list(range(0, 101, numbers[1]))
    assert 20 <= len(numbers) <= 40
    rows = [one.y for one in shown.words if one.text[:1] == "t" and not one.is_upright][:-1]
    assert np.ptp(np.diff(rows)) < 0.2


def test_positions_are_told_from_their_true_first():
    shown = Shown(Attention("", torch.eye(25)[None], first=3))
    assert told(shown, upright=True) == [str(at) for at in range(3, 28)]


def test_tokens_of_any_kind_are_told():
    pattern = torch.eye(len(ODD))
    shown = Shown(Attention("$\\a$ <i>", pattern[None], list(ODD), ["$\\h$"], pattern > 0))
    assert told(shown, upright=True) == list(ODD.values())
    assert {"$\\a$ <i>", "$\\h$"} <= set(shown.texts)


@pytest.mark.parametrize("count", [1, 8, 200])
def test_every_other_set_has_a_dot_that_no_other_hides(count):
    others = torch.randn(count, generator=torch.Generator().manual_seed(0)).tolist()
    shown = Shown(Beside("", 9.0, others, "nats", {"at least": 5.0}))
    dots = shown.circles(DOT)
    at = [x for x, _, _ in sorted(dots)]
    (this,) = (x for path in shown.paths(stroke=MARK) for x, _ in path[:1])
    scale = (this - at[0]) / (9 - min(others))
    assert np.allclose(at, [this - scale * (9 - one) for one in sorted(others)], atol=0.11)
    (radius,) = {r for _, _, r in dots}
    assert (radius == 6) == (count <= 8), "dots are as large as can be"
    at_height: dict[float, list[float]] = {}
    for x, y, _ in sorted(dots):
        at_height.setdefault(y, []).append(x)
    assert all(b - a > 1.9 * radius for row in at_height.values() for a, b in pairwise(row))
    assert all(b - a > 1.8 * radius for a, b in pairwise(sorted(at_height)))
    assert min(y for path in shown.paths(stroke=MARK) for _, y in path) < min(at_height)


def test_the_set_its_bound_and_the_unit_are_told():
    lines = {"at least": 5.0, "all": 0.125}
    picture = Beside("Without $8$", 7.1928, [0.5, -0.25], "nats", lines)
    shown = Shown(picture)
    assert picture.svg().count("l6 6l-6 6l-6 -6Z") == 2, "a diamond, and one in its key"
    keys = ["this set: 7.19", "2 other sets: -0.25 to 0.5", "at least: 5", "all: 0.125"]
    assert shown.texts[:5] == ["Without $8$", *keys]
    assert "nats" in shown.texts
    at_0, at_4 = (one.x for one in shown.words if one.text in ("0", "4"))
    rules = [path[0][0] for path in shown.paths(stroke=LINES) if len(path) == 2 and path[0][1] > 90]
    assert rules == pytest.approx([at_0 + (at_4 - at_0) * n / 4 for n in (5, 0.125)], abs=0.2)


@pytest.mark.parametrize(
    ("others", "heights"), [([0.5] * 12, 12), ([1.0, 2.0, 3.0, math.inf, -math.inf], 1)]
)
def test_sets_of_one_number_and_numbers_without_end_are_drawn(others, heights):
    shown = Shown(Beside("", others[-1], others, "", {"at most": math.inf}))
    dots = shown.circles(DOT)
    assert len(dots) == sum(map(math.isfinite, others))
    assert len({y for _, y, _ in dots}) == heights


def test_a_set_beside_none_is_none():
    with pytest.raises(NothingMeasured, match="no other set"):
        Beside("Alone", 0.5, [], "nats")
