"""What pictures of numbers show: values at their places, their true first, marks, names of axes."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from mechanistic_claims.measurement.axes import Axis, around, as_tick, round_numbers
from mechanistic_claims.measurement.certificates.left_open import LeftOpen
from mechanistic_claims.measurement.page import FRAME
from mechanistic_claims.measurement.pictures import (
    LINE,
    MARK,
    PLAIN,
    Bars,
    Exceptions,
    Heatmap,
    Histogram,
    Row,
    with_exceptions,
)
from mechanistic_claims.model.task import Picture
from tests.measurement.by_hand import refused
from tests.measurement.svg import Shown

MAP = Heatmap("A map", torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 8.0]]), "row", "column", "nats")
RED, BLUE, GREY, PINK = (103, 0, 31), (5, 48, 97), (0xE3, 0xE8, 0xEF), (0xC2, 0x18, 0x5B)


def at(shown: Shown, tick: str, *, last: bool = False) -> tuple[float, float]:
    """Where a tick is told, right under or beside its number."""
    found = [one for one in shown.words if one.text == tick]
    one = found[-1 if last else 0]
    return one.x, one.y - 13 / 3


def test_a_map_has_each_value_at_its_place_the_first_row_on_top():
    shown = Shown(MAP)
    assert shown.cells * 8 == pytest.approx(np.array([[0, 1, 2], [3, 4, 8]]), abs=0.02)
    assert {"A map", "row", "column", "nats"} <= set(shown.texts)
    (_, (left, top, wide, high)), _ = shown.images
    below = [one for one in shown.words if one.y > top + high + 5 and one.x < left + wide]
    assert [one.text for one in below] == ["0", "1", "2", "column"]
    rows = [one for one in shown.words if one.x < left and not one.is_upright][1:]
    assert [one.text for one in rows] == ["0", "1"]
    assert rows[0].y < rows[1].y
    middles = [left + wide * share for share in (1 / 6, 3 / 6, 5 / 6)]
    assert [one.x for one in below[:3]] == pytest.approx(middles, abs=0.1)


@pytest.mark.parametrize(
    ("values", "first", "last"),
    [([-1.0, 2.0], None, BLUE), ([-4.0, 2.0], RED, None), ([-2.0, 2.0], RED, BLUE)],
)
def test_below_zero_is_red_and_above_is_blue_as_far_as_the_furthest(values, first, last):
    (pixels, _), _ = Shown(replace(MAP, values=torch.tensor([values]))).images
    found = [tuple(one) for one in pixels[0, :, :3].tolist()]
    assert [one if one in (RED, BLUE) else None for one in found] == [first, last]


@pytest.mark.parametrize(
    "values", [[[math.nan, 1.0]], [[math.nan] * 2], [[math.inf, 0.0]], [[7.0] * 2]]
)
def test_what_is_no_number_is_blank_and_one_value_is_drawn(values):
    cells = Shown(replace(MAP, values=torch.tensor(values))).cells
    assert np.isnan(cells).tolist() == np.isnan(values).tolist()


def test_rows_and_columns_are_told_from_their_first():
    shown = Shown(replace(MAP, first=(10, 20)))
    left, top, _, high = shown.images[0][1]
    below = [one.text for one in shown.words if one.y > top + high + 5 and one.x < 480]
    assert below == ["20", "21", "22", "column"]
    assert [one.text for one in shown.words if one.x < left and one.size == 13] == ["10", "11"]


def test_few_marks_are_rings_and_many_are_dots_in_their_cells():
    marked = MAP.values > 2
    shown = Shown(replace(MAP, marked=marked, marked_as="odd"))
    assert "odd: 3 of 6" in shown.texts
    (_, (left, top, wide, high)), _ = shown.images
    cells = {
        (int((x - left) / wide * 3), int((y - top) / high * 2)) for x, y, _ in shown.circles(MARK)
    }
    assert cells == {(0, 1), (1, 1), (2, 1)}
    many = torch.ones(30, 30)
    many[0, 0] = 0
    (_, _, (dots, _)) = Shown(replace(MAP, values=many, marked=many > 0)).images
    clear = dots[..., 3] == 0
    assert clear.sum() == 8100 - 899
    assert not clear[1::3, 1::3].ravel()[1:].any()


@pytest.mark.parametrize("shape", [(3, 2), (2, 4), (6,)])
def test_marks_of_a_map_are_of_its_cells(as_for_users, shape):
    """Else they would be drawn outside it."""
    refused(
        f"marked of Heatmap is [{' '.join(map(str, shape))}], expected [2 3]",
        lambda: replace(MAP, marked=torch.ones(shape).bool()),
    )


def test_marks_of_a_row_are_of_its_tokens_or_steps(as_for_users):
    row = Row("", torch.arange(4.0), "token", "")
    for count in (3, 4):
        marked = torch.zeros(count).bool()
        marked[-1] = True
        ((x, _, _),) = Shown(replace(row, marked=marked)).circles(MARK)
        assert x == pytest.approx(at(Shown(row), str(count - 1))[0], abs=0.1)
    for count in (2, 5):
        refused(
            f"marked of Row is [{count}], expected [4] or [3]",
            lambda of=count: replace(row, marked=torch.ones(of).bool()),
        )


def test_exceptions_are_where_it_is_false():
    false = torch.zeros(2, 3, dtype=torch.bool)
    false[1, 2] = True
    shown = Shown(Exceptions("Where", false, "a", "b"))
    ((pixels, _),) = shown.images
    assert [[tuple(one) for one in row] for row in pixels[..., :3].tolist()] == [
        [GREY] * 3,
        [GREY, GREY, PINK],
    ]
    assert "false: 1 of 6" in shown.texts
    assert not shown.circles(MARK), "a cell of such a size needs no ring"
    assert (
        len(Shown(Exceptions("", torch.nn.functional.pad(false, (0, 99)), "", "")).circles(MARK))
        == 1
    )


def test_a_map_has_the_exceptions_of_another_picture():
    false = torch.zeros(2, 3, dtype=torch.bool)
    other = Exceptions("", false, MAP.y, MAP.x)
    marked = with_exceptions(MAP, other)
    assert isinstance(marked, Heatmap)
    assert marked.marked is false
    assert with_exceptions(MAP, replace(other, false=false.T)) is MAP
    assert with_exceptions(MAP, replace(other, x="a number")) is MAP, "they are of something else"
    assert with_exceptions(MAP, None) is MAP


def test_a_row_starts_at_its_first_number():
    row = Row(
        "A row", torch.tensor([5.0, 7.0, 6.0]), "gap", "score", torch.tensor([0, 1, 0]) > 0, 1
    )
    shown = Shown(row)
    (line,) = shown.paths(stroke=LINE)
    assert [x for x, _ in line] == pytest.approx([at(shown, str(n))[0] for n in (1, 2, 3)], abs=0.1)
    five, seven = (at(shown, tick)[1] for tick in ("5", "7"))
    assert [y for _, y in line] == pytest.approx([five, seven, (five + seven) / 2], abs=0.1)
    assert shown.circles(MARK) == [(*line[1], 4)]
    assert "exceptions: 2" in shown.texts
    assert not {"0", "0.5"} & set(shown.texts), "no gap is 0"


def test_a_long_row_keeps_its_extremes_and_a_hole_where_nothing_is():
    values = torch.zeros(50_000)
    values[12_345], values[12_346], values[40_000] = 9.0, -9.0, math.nan
    (line,) = Shown(Row("", values, "token", "")).paths(stroke=LINE)
    assert len(line) < 2100
    assert len({y for _, y in line}) == 3
    broken = Row("", torch.tensor([0.0, math.nan, 1.0, 2.0]), "", "").svg()
    (line,) = re.findall(f'd="([^"]*)" fill="none" stroke="{LINE}"', broken)
    assert re.findall("[ML]", line) == ["M", "M", "L"]


def test_bars_are_told_apart_by_their_mark_and_start_at_zero():
    shown = Shown(Bars("", torch.tensor([3.0, 1.0, 2.0]), "frequency k", "norm", (2,), "keys", 1))
    assert "keys: 2" in shown.texts
    found = {color: shown.paths(fill=color) for color in (PLAIN, MARK)}
    (plain,), (mark,) = found.values()
    foot, one = (at(shown, tick, last=True)[1] for tick in ("0", "1"))
    assert [y for _, y in mark] == pytest.approx([foot, one, one, foot], abs=0.1)
    middle = (mark[0][0] + mark[2][0]) / 2
    assert middle == pytest.approx(at(shown, "2")[0], abs=0.1)
    assert len(plain) == 8
    assert shown.paths(stroke=FRAME)[0][1][1] == pytest.approx(foot, abs=0.1), "zero is the axis"
    assert [one.text for one in shown.words if one.text in "0123"][:3] == ["1", "2", "3"]


def test_many_places_are_told_from_their_first():
    shown = Shown(Bars("", torch.ones(56), "frequency k", "", first=1))
    assert [one.text for one in shown.words if one.anchor == "middle"][:3] == ["1", "10", "20"]


def test_a_histogram_counts_each_value_and_has_its_threshold():
    values = torch.tensor([1.0] * 10 + [2.0])
    shown = Shown(Histogram("", values, "margin", 1.5, "range", "neurons"))
    (bars,) = shown.paths(fill=LINE)
    tops = [bars[at][1] for at in (1, 5)]
    assert tops == pytest.approx([at(shown, "10")[1], at(shown, "1", last=True)[1]], abs=0.1)
    assert {"range: 1.5", "neurons (log)", "margin"} <= set(shown.texts)
    (rule,) = shown.paths(stroke=MARK)
    assert rule[0][0] == pytest.approx((bars[0][0] + bars[-1][0]) / 2, abs=0.2)


def test_what_proofs_leave_open_stands_beside_the_bound():
    shown = Shown(LeftOpen("Open", lambda: {"cheap": 0.9, "own": 1.0 - 2.0**-10}, 0.99))
    assert {"cheap", "own", "0.1", "0.000977", "the bound: at most 0.01"} <= set(shown.texts)
    (_, cheap, _), (_, own, _) = shown.circles(LINE)
    told = {one.text: one.y - 13 / 3 for one in shown.words if one.size == 13 and one.x < 90}
    tenth, thousandth = told["0.1"], told["0.001"]
    decade = (thousandth - tenth) / 2
    assert cheap == pytest.approx(tenth, abs=0.1)
    assert own == pytest.approx(thousandth - decade * math.log10(0.9765625), abs=0.3)
    everything = Shown(LeftOpen("", lambda: {"own": 1.0}, 1.0))
    assert "1e-09" in everything.texts


@pytest.mark.parametrize(
    "picture",
    [
        MAP,
        replace(MAP, values=torch.rand(4, 4) * 1e-30, unit="attention score (q·k / √d_head)"),
        Row("", torch.tensor([-123456.0, 0.0]), "x" * 70, "y"),
        Bars("A title of several words that is longer than a line " * 2, torch.ones(3), "", ""),
        Bars("", torch.tensor([-2.0, -1.0]), "", ""),
        Histogram("", torch.zeros(3), "", 0.0, ""),
    ],
)
def test_nothing_is_off_the_page(picture: Picture):
    shown = Shown(picture)
    for one in shown.words:
        assert 0 <= one.left <= one.x <= shown.wide, one
        assert 0 < one.y < shown.high, one
    for _, (left, top, wide, high) in shown.images:
        assert min(left, top) >= 0
        assert left + wide < shown.wide
        assert top + high < shown.high


@pytest.mark.parametrize(
    ("low", "high", "whole", "told"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.5, 1.5, True, [0, 1]),
        (-0.5, 199.5, True, [0, 50, 100, 150]),
        (-93, 82, False, [-50, 0, 50]),
        (0, 2e-30, False, [0, 5e-31, 1e-30, 1.5e-30, 2e-30]),
    ],
)
def test_numbers_beside_an_axis_are_round(low, high, whole, told):
    assert round_numbers(low, high, whole) == pytest.approx(told)


def test_axes_of_logarithms_and_of_one_number():
    assert [*Axis("", 0.7, 1e6, log=True).told] == [1, 100, 10_000, 1e6]
    assert around("", [5.0, 5.0]).low < 5 < around("", [5.0]).high
    assert around("", []).low < 0 < around("", [math.nan]).high
    assert [as_tick(one) for one in (0.25, -3.0, 10_000, 1e-6)] == ["0.25", "−3", "10,000", "1e-06"]
