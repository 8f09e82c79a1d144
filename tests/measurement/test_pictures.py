"""What pictures of heads show: every value at its place, tokens that can be read, every set."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from mechanistic_claims.errors import NothingMeasured
from mechanistic_claims.measurement.pictures import draw, fingerprint
from mechanistic_claims.measurement.pictures_of_heads import HEIGHT, Attention, Beside
from mechanistic_claims.model.task import Picture

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
    "中": "□",
    "\x00": "□",
    "$\\frac$": "$\\frac$",
    "<|endoftext|>": "<|endofte…",
}


def drawn(picture: Picture) -> Axes:
    axes = Figure().add_subplot()
    picture.draw(axes)
    return axes


def shown(axes: Axes) -> list[list[float | None]]:
    """The values of a map; None is blank."""
    (image,) = axes.images
    found = image.get_array()
    assert isinstance(found, np.ma.MaskedArray)
    return found.tolist()


def texts(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def test_attention_is_shown_from_0_to_1_and_blank_where_nothing_can_be_attended_to():
    axes = drawn(Attention("", CAUSAL))
    assert shown(axes) == [[1, None, None], [0.25, 0.75, None], [0, 0.5, 0.5]]


def test_what_is_attended_to_after_a_token_is_shown():
    axes = drawn(Attention("", torch.tensor([[[0.5, 0.5], [0.25, 0.75]]])))
    assert shown(axes) == [[0.5, 0.5], [0.25, 0.75]]
    assert axes.images[0].get_clim() == (0, 1)


def test_heads_stand_apart_each_with_its_name_and_the_tokens():
    patterns = torch.stack([torch.full((2, 2), (head + 1) / 4) for head in range(4)])
    marked = torch.tensor([[False, False], [True, False]])
    axes = drawn(Attention("", patterns, ["a", "b"], ["3.0", "3.1", "3.2", "3.3"], marked, "here"))
    page = shown(axes)
    found = {}
    for text in axes.texts:
        left, above = text.get_position()
        column, row = round(left + 0.5), math.ceil(above)
        assert set(page[row - 1]) == {None}, "a name stands in a blank row"
        found[text.get_text()] = {page[row + y][column + x] for x in (0, 1) for y in (0, 1)}
        assert page[row][column + 2 : column + 3] in ([None], []), "and so is a column"
    assert found == {"3.0": {0.25}, "3.1": {0.5}, "3.2": {0.75}, "3.3": {1.0}}
    assert [[page[int(y)][int(x)] for x in axes.get_xticks()] for y in axes.get_yticks()] == [
        *[[0.25, 0.25, 0.5, 0.5]] * 2,
        *[[0.75, 0.75, 1.0, 1.0]] * 2,
    ]
    assert texts(axes.xaxis) == texts(axes.yaxis) == ["a", "b", "a", "b"]
    (frames,) = (c for c in axes.collections if isinstance(c, PolyCollection))
    centers = [tuple(path.vertices[:4].mean(axis=0)) for path in frames.get_paths()]
    xs, ys = axes.get_xticks(), axes.get_yticks()
    assert centers == [(xs[0], ys[1]), (xs[2], ys[1]), (xs[0], ys[3]), (xs[2], ys[3])]
    assert axes.get_legend().get_texts()[0].get_text() == "here"


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 2)])
def test_heads_fill_rows_of_a_page_that_is_wider_than_high(count, rows):
    axes = drawn(Attention("", torch.ones(count, 1, 1)))
    assert len(axes.get_yticks()) == rows
    assert len(axes.get_xticks()) == count / rows


def test_of_many_tokens_some_are_told_at_equal_distances():
    tokens = [f"t{at}" for at in range(101)]
    axes = drawn(Attention("", torch.eye(101)[None], tokens))
    told = [int(name[1:]) for name in texts(axes.yaxis)]
    assert told == axes.get_yticks().tolist() == list(range(0, 101, told[1]))
    assert 20 <= len(told) <= 40
    few = drawn(Attention("", torch.eye(25)[None]))
    assert texts(few.xaxis) == [str(at) for at in range(25)]


def test_tokens_of_any_kind_are_drawn_in_letters_of_the_font():
    pattern = torch.eye(len(ODD))
    picture = Attention("$\\a$", pattern[None], list(ODD), ["$\\h$"], pattern > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(picture).startswith(b"\x89PNG")
    axes = drawn(picture)
    assert texts(axes.yaxis) == texts(axes.xaxis) == list(ODD.values())


def test_pictures_with_other_labels_are_other_pictures():
    said = [
        Attention("", CAUSAL),
        Attention("", CAUSAL, ["a", "b", "c"]),
        Attention("", CAUSAL, ["a", "b", "d"]),
        Attention("", CAUSAL, ["a", "b", "c"], ["0.1"]),
        Attention("", CAUSAL, ["a", "b", "c"], marked=CAUSAL[0] > 0.5),
        Attention("", CAUSAL, ["a", "b", "c"], marked=CAUSAL[0] > 0.8),
        Beside("", 1.0, [0.5], ""),
        Beside("", 1.0, [0.25], ""),
        Beside("", 1.0, [0.5], "", {"at least": 0.75}),
    ]
    assert len(set(map(fingerprint, said))) == len(said)
    assert fingerprint(said[2]) == fingerprint(Attention("", CAUSAL, ["a", "b", "d"]))


@pytest.mark.parametrize("count", [1, 8, 200])
def test_every_other_set_has_a_dot_that_no_other_hides(count):
    others = torch.randn(count, generator=torch.Generator().manual_seed(0)).tolist()
    axes = drawn(Beside("", 9.0, others, "nats", {"at least": 5.0}))
    dots, this = axes.lines
    places = sorted(zip(*dots.get_data(), strict=True))
    assert [x for x, _ in places] == sorted(others)
    assert all(0 < y < HEIGHT for _, y in places)
    size = dots.get_markersize()
    assert (size == 9) == (count <= 8), "dots are as large as can be"
    point = (9 - min(others)) / 320
    at_height: dict[float, list[float]] = {}
    for x, y in places:
        at_height.setdefault(y, []).append(x)
    heights = sorted(at_height)
    assert all(b - a >= size * point for row in at_height.values() for a, b in pairwise(row))
    assert all(b - a > 0.999 * size for a, b in pairwise(heights))
    ((x, y),) = zip(*this.get_data(), strict=True)
    assert x == 9
    assert y > heights[-1]


def test_the_set_its_bound_and_the_unit_are_told():
    axes = drawn(
        Beside("Without $8$", 7.1928, [0.5, -0.25], "nats", {"at least": 5.0, "all": 0.125})
    )
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == ["2 other sets: -0.25 to 0.5", "this set: 7.19", "at least: 5", "all: 0.125"]
    assert axes.get_xlabel() == "nats"
    ends = [path.vertices[:, 0].tolist() for c in axes.collections for path in c.get_paths()]
    assert ends == [[7.1928] * 2, [5, 5], [0.125] * 2]


@pytest.mark.parametrize(
    ("others", "heights"), [([0.5] * 12, 12), ([1.0, 2.0, 3.0, math.inf, -math.inf], 1)]
)
def test_sets_of_one_number_and_numbers_without_end_are_drawn(others, heights):
    picture = Beside("$\\a$", others[-1], others, "$\\a$", {"at most": math.inf})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(picture).startswith(b"\x89PNG")
    x, y = drawn(picture).lines[0].get_data()
    assert len(set(y[np.isfinite(x)])) == heights


def test_a_set_beside_none_is_none():
    with pytest.raises(NothingMeasured, match="no other set"):
        Beside("Alone", 0.5, [], "nats")
