"""Checkpoints of several settings, and of several training runs, together."""

from __future__ import annotations

import copy
import io
import re

import pytest
from rich.console import Console

from mechanistic_claims.outputs.survey.pictures import draw
from mechanistic_claims.outputs.survey.terminal import print_surveys
from tests.conftest import small_weights, subject_of
from tests.outputs.survey_files import became, steps_of, surveys

pytestmark = pytest.mark.slow


def of_sizes(checkpoint, sizes, told=True):
    """Checkpoints of so many numbers and widths, of which one claim is told."""
    for number, (n, d_model) in enumerate(sizes):
        one = copy.deepcopy(checkpoint)
        one |= {"path": f"runs/{number}.safetensors", "sha256": f"{number:064x}", "inputs": n * n}
        recipe = {"seed": number, "number_of_operands": n, "d_model": d_model}
        one["training"] = {"step": 9, "loss": 0.1, "recipe": recipe} if told else None
        one["claims"] = one["claims"][:1]
        yield one


def test_each_setting_has_its_own_shares(checkpoints):
    """A share of checkpoints is one of a population: of one size and recipe."""
    swept = list(of_sizes(checkpoints[0], [(50, 32), (50, 32), (200, 32), (200, 16)]))
    swept[0]["claims"][0] = became(swept[0]["claims"][0], "refuted")
    unread = {**swept[0], "inputs": None, "training": None, "sha256": None, "path": "b.pt"}
    found = surveys([*swept, unread])
    assert [(survey.setting, len(survey.ends)) for survey in found] == [
        ("that can't be read", 1),
        ("2,500 inputs, number of operands 50, d model 32", 2),
        ("40,000 inputs, number of operands 200, d model 32", 1),
        ("40,000 inputs, number of operands 200, d model 16", 1),
    ]
    assert [(row.holds, row.judged) for row in found[1].rows] == [(1, 2)]
    console = Console(width=100, record=True, file=io.StringIO())
    print_surveys(console, found[1:])
    said = console.export_text()
    assert "min_of_two by setting: on how many each claim holds" in said
    assert re.search(r"There is one attention head. +1/2 +1/1 +1/1", said)
    assert max(map(len, said.splitlines())) <= 100


def test_what_tells_no_recipe_belongs_to_the_only_setting_of_its_size(checkpoints):
    (other,) = of_sizes(checkpoints[0], [(200, 32)], told=False)
    other |= {"path": "other.pt", "sha256": "f" * 64}
    unread = {**other, "inputs": None, "sha256": None, "path": "broken.pt"}
    of_one = list(of_sizes(checkpoints[0], [(200, 32), (200, 32)]))
    (together,) = surveys([*of_one, other, unread])
    assert (together.setting, len(together.ends)) == ("", 4)
    of_two = list(of_sizes(checkpoints[0], [(200, 32), (200, 16)]))
    assert [survey.setting for survey in surveys([*of_two, other])] == [
        "that does not tell its recipe",
        "number of operands 200, d model 32",
        "number of operands 200, d model 16",
    ]


def test_no_checkpoint_is_lost_whatever_recipes_say(checkpoints):
    """Recipes that differ in no word, in what rounds only, or that nobody tells."""
    one, other = of_sizes(checkpoints[0], [(200, 32), (200, 32)])
    one["training"]["recipe"] |= {"dropout": None, "threads": 1, "inputs": "odd"}
    other["training"]["recipe"] |= {"threads": 2}
    assert [len(survey.ends) for survey in surveys([one, other])] == [1, 1]
    del one["training"]["recipe"]["dropout"]
    assert [len(survey.ends) for survey in surveys([one, other])] == [2]
    unread = {**one, "inputs": None, "training": None, "sha256": None, "path": "broken.pt"}
    untold = [{**found, "training": None} for found in (one, other)]
    assert [len(survey.ends) for survey in surveys([*untold, unread])] == [3]


def test_more_settings_than_have_room_are_said_to_be_more(checkpoints):
    settings = surveys(of_sizes(checkpoints[0], [(n, 32) for n in range(2, 32)]))
    console = Console(width=100, record=True, file=io.StringIO())
    print_surveys(console, settings)
    said = console.export_text()
    assert "and 22 more settings, told of above" in said
    assert "On all of every setting: 1 claim holds" in said


def test_many_training_runs_are_told_together(checkpoints):
    """Claim by claim: from which step on, over the runs, and in how many never."""
    runs = []
    for seed, last in enumerate(["holds", "holds", "holds", "refuted", "holds"]):
        by_step = {0: "refuted", 100 * (seed + 1): "holds", 900: last}
        for one in steps_of(checkpoints[0], by_step):
            one["training"]["recipe"] = {"seed": seed}
            one["path"] = f"runs/seed{seed}.step{one['training']['step']}.safetensors"
            one["sha256"] = f"{seed}-{one['sha256'][2:]}"
            runs.append(one)
    console = Console(width=100, record=True, file=io.StringIO())
    (found,) = surveys(runs)
    print_surveys(console, [found])
    said = console.export_text()
    assert "5 training runs" in said
    assert re.search(r"There is one attention head. +100 200 500 +1 *\n", said)
    together = found.timelines
    assert together.steps == [0, 100, 200, 300, 400, 500, 900]
    assert together.shares == [[0, 1, 1, 1, 1, 1, 0.8]]
    assert draw(together).startswith(b"\x89PNG")
    runs[-1]["claims"] = []
    (found,) = surveys(runs)
    assert found.timelines.shares[0][-1] == 0.75, "where it was not judged, it is not refuted"
    console = Console(width=100, record=True, file=io.StringIO())
    print_surveys(console, [found])
    assert re.search(r"one attention head. +100 200 300 +1, 1 left open *\n", console.export_text())


@pytest.mark.parametrize(
    ("said", "training"),
    [
        ('{"step": 7, "loss": 0.5, "recipe": {}}', {"step": 7, "loss": 0.5, "recipe": {}}),
        ('{"step": 7, "loss": NaN, "recipe": {}}', {"step": 7, "loss": None, "recipe": {}}),
        ('{"step": 7, "recipe": {}}', {"step": 7, "loss": None, "recipe": {}}),
        ('{"step": true, "recipe": {}}', None),
        ('{"step": -1, "recipe": {}}', None),
        ('{"step": 1, "recipe": 3}', None),
        ("[1]", None),
        ("3", None),
        ("not JSON", None),
        ("[" * 100_000, None),
    ],
)
def test_what_a_file_says_of_its_training_is_read_or_left(save, said, training):
    path = save(small_weights(), training=said)
    assert subject_of(path).checkpoint.training == training
