"""Claims of two models in one run: each checkpoint is held to those of the models that it fits."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.outputs.report.judged import read_run
from mechanistic_claims.session.routing import fitting
from mechanistic_claims.session.selection import GIVEN, Target
from mechanistic_claims.session.story import Story
from mechanistic_claims.session.workers import needs_to_expect
from tests.projects import (
    OF_ALL_RIGHT,
    OF_MIN,
    OF_THREE_WRONG,
    PART,
    TABLE,
    WAYS,
    WORKERS,
    add_twin,
    headings,
    judged,
)
from tests.runs import Run, verdicts_in

NOT_OF_MIN = "not of min_of_two: blocks.0.attn.W_K, "
NOT_OF_SUCCESSOR = "not of successor: it has 1 tensors, not read.weight and write.weight."


def targets(*pairs: str) -> list[Target]:
    """A target for each "file model"."""
    split = [pair.split() for pair in pairs]
    return [Target(file, Path(file), Story(Path("lab"), model)) for file, model in split]


@pytest.mark.parametrize(
    ("of", "held"),
    [
        ({"x": "a", "y": "b"}, ["x a", "y b"]),
        ({"x": "a", "y": "a"}, ["x a", "y a"]),
        ({"x": "ab", "y": "b"}, ["x a", "x b", "y b"]),
    ],
)
def test_files_and_models_that_fit(of, held):
    """`of` are by file the models that it is one of; models come in the order of the claims."""
    every = targets("x a", "y a", "x b", "y b")
    found = fitting(every, lambda one: "" if one.story.model in of[one.name] else "too small")
    assert found.keys() == set(every)
    assert [one for one in every if not found[one]] == sorted(targets(*held), key=every.index)


def test_files_that_fit_nothing_are_named_with_all_reasons():
    """What is wrong for every model, such as a file that is cut off, is said once."""

    def why_not(one: Target) -> str:
        return {"x": "cut off", "y": f"no {one.story.model}", "z": ""}[one.name]

    with pytest.raises(CannotJudge) as refused:
        fitting(targets("x a", "y a", "z a", "x b", "y b", "z b"), why_not)
    _, *reasons, _ = str(refused.value).splitlines()
    expected = ["x:", "  not of a or b: cut off", "y:", "  not of a: no a", "  not of b: no b"]
    assert reasons == expected


@pytest.mark.parametrize("more", WAYS, ids=str)
def test_a_file_of_one_model_is_held_to_its_claims_alone(two_models, tmp_path, more):
    """All of that model's story is judged: a report does not call it a part."""
    run = judged(two_models, *more, f"--alluredir={tmp_path}", of=("all_right.pth",))
    assert run.status == 0, run.output
    assert headings(run) == {("all_right.pth", "successor"): OF_ALL_RIGHT}
    assert not read_run(tmp_path).narrowed
    assert "no checkpoint of min_of_two was given: its claims are not judged" in run.output
    if not more:
        assert "collected 9 items / 5 deselected / 4 selected" in run.output
        assert "), held to the claims of successor\n" in run.output


@pytest.mark.slow
def test_files_of_each_model_with_and_without_workers(two_models, tmp_path):
    """Also on a cluster this is so: `tests/cluster`."""
    files = ("three_wrong.pt", "seed5.safetensors")
    found = {}
    for more in ((), WORKERS):
        path = tmp_path / f"verdicts{len(more)}.json"
        run = judged(two_models, *more, f"--verdicts={path}", of=files)
        assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
        assert headings(run) == {
            ("seed5.safetensors", "min_of_two"): OF_MIN,
            ("three_wrong.pt", "successor"): OF_THREE_WRONG,
        }
        assert "checkpoints: 2 done, 2 refuted or in error, 0 left" in run.output
        assert "no checkpoint of" not in run.output
        found[more] = verdicts_in(path)
    assert found[()] == found[WORKERS]
    held = [(one["path"], one["model"]) for one in found[()]["checkpoints"]]
    assert held == [("runs/seed5.safetensors", "min_of_two"), ("runs/three_wrong.pt", "successor")]


@pytest.mark.parametrize("more", WAYS, ids=str)
def test_a_file_of_no_model_and_one_that_is_broken_are_refused(two_models, tmp_path, more):
    """Before anything is judged, and both at once."""
    verdicts = tmp_path / "verdicts.json"
    files = ("all_right.pth", "other.pt", "seed5.safetensors", "broken.pt")
    run = judged(two_models, *more, f"--verdicts={verdicts}", of=files)
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    said = run.output.partition("ERROR: --checkpoint: of none of the models whose")[2].splitlines()
    assert said[1] == "runs/other.pt:"
    assert said[2].startswith(f"  {NOT_OF_MIN}")
    assert said[3] == f"  {NOT_OF_SUCCESSOR}"
    assert said[4] == "runs/broken.pt:"
    assert said[5].startswith("  not of min_of_two or successor: not a complete torch.save file")
    assert said[6].endswith("the claims of the model that it should be of: claims/NAME.")
    assert run.claims == {}
    assert "Traceback" not in run.output
    assert "verdict" not in run.output.replace(str(verdicts), "")
    assert not verdicts.exists()


@pytest.mark.parametrize(
    "selected",
    [
        ("claims/successor",),
        ("-k", "test_table"),
        pytest.param(
            ("claims", "-k", "the_next_token or leads or lead or greater", "-n", "2"),
            marks=pytest.mark.slow,
        ),
        (f"{TABLE}::test_every_answer_is_greater", f"{TABLE}::test_the_mean_lead"),
    ],
)
def test_with_claims_of_one_model_a_wrong_file_is_an_error_of_each(two_models, selected):
    """However they are selected: then a file is held to them, whatever it is."""
    run = judged(two_models, *selected, of=("other.pt", "all_right.pth", "broken.pt"))
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
    found = headings(run)
    assert {model for _, model in found} == {"successor"}
    assert set(found["other.pt", "successor"]) == set(found["broken.pt", "successor"]) == {"error"}
    assert "error" not in found["all_right.pth", "successor"]
    assert "not a checkpoint of successor: it has 1 tensors" in run.output


def test_node_ids_of_both_models(two_models):
    """A claim of each, of which the file is one of only one model."""
    names = [
        f"{PART}::test_the_row_is_strictly_decreasing[three_wrong.pt-1.0]",
        f"{TABLE}::test_the_next_token_gets_the_highest_logit[three_wrong.pt-0.9]",
    ]
    run = judged(two_models, *names, of=("three_wrong.pt",))
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert headings(run) == {("three_wrong.pt", "successor"): {"refuted": 1}}
    again = re.search(r"^  again: pytest (.*)$", run.output, re.MULTILINE)
    assert again is not None
    alone = judged(two_models, *shlex.split(again[1]))
    assert headings(alone) == headings(run)
    assert again[0] in alone.output.splitlines()


@pytest.mark.parametrize("more", WAYS, ids=str)
def test_a_file_of_two_models_is_held_to_both(changed, tmp_path, more):
    """The header says so, and files and report keep the two apart."""
    add_twin(changed)
    results, verdicts = tmp_path / "results", tmp_path / "verdicts.json"
    written = (f"--alluredir={results}", f"--verdicts={verdicts}")
    run = judged(changed, *more, *written, of=("three_wrong.pt",))
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
    found = verdicts_in(verdicts)["checkpoints"]
    assert [(one["path"], one["model"], len(one["claims"])) for one in found] == [
        ("runs/three_wrong.pt", "successor", 4),
        ("runs/three_wrong.pt", "twin", 4),
    ]
    if not more:
        assert "), held to the claims of successor and of twin\n" in run.output
    report = read_run(results)
    assert [(one.model, len(report.of(one))) for one in report.surveys] == [
        ("successor", 4),
        ("twin", 4),
    ]
    assert "survey" not in run.output.partition("= verdicts")[2]


def workers_of(run: Run, by: str) -> dict[str, set[str]]:
    """Which workers judged the claims that have something in common: what `by` matches in ids."""
    found: dict[str, set[str]] = {}
    for worker, claim in re.findall(
        r"^\[(gw\d)\] .* [A-Z]+ (claims/\S+)", run.output, re.MULTILINE
    ):
        (common,) = re.findall(by, claim)
        found.setdefault(common, set()).add(worker)
    return found


@pytest.mark.slow
def test_workers_share_pairs_where_these_are_enough_and_files_where_not(changed):
    """Of two pairs with all claims in one file, and of one pair with its claims in two."""
    run = judged(changed, "-v", "-n", "2", of=("three_wrong.pt", "all_right.pth"))
    shared = workers_of(run, r"claims/successor/.*\[(\w+)\.")
    assert len(shared) == 2, run.output
    assert all(len(workers) == 1 for workers in shared.values()), shared
    assert set.union(*shared.values()) == {"gw0", "gw1"}
    shutil.copyfile(changed / TABLE, changed / TABLE.with_name("test_table_again.py"))
    run = judged(changed, "claims/successor", "-v", "-n", "2", of=("all_right.pth",))
    shared = workers_of(run, r"(test_\w+)\.py")
    assert len(shared) == 2, run.output
    assert all(len(workers) == 1 for workers in shared.values()), shared
    assert set.union(*shared.values()) == {"gw0", "gw1"}


@pytest.mark.parametrize(
    ("arguments", "given", "pairs"),
    [
        (["claims"], [], 2),
        (["claims/successor"], [], 1),
        ([f"{PART}::test_the_row_is_strictly_decreasing", str(TABLE)], [], 2),
        (["claims"], ["x.pt"], 1),
        (["claims"], ["x.pt", "y.pt", "z.pt"], 3),
    ],
)
def test_workers_that_help(two_models, monkeypatch, arguments, given, pairs):
    monkeypatch.setattr(sys, "path", [*sys.path])  # where its models are looked for
    stash = pytest.Stash()
    stash[GIVEN] = {name: Path(name) for name in given}
    where = SimpleNamespace(dir=two_models)
    config = SimpleNamespace(args=arguments, invocation_params=where, stash=stash)
    assert len(needs_to_expect(config)) == pairs


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("def fits(", "def fit(", "models/successor: its FAMILY lacks fits. Write FAMILY = "),
        ("    if checkpoint.tensors.keys()", "    if checkpoint.names",
         "models/successor: its fits() failed on runs/seed5.safetensors (AttributeError: "),
    ],
)  # fmt: skip
def test_a_family_that_does_not_tell_what_fits_is_refused(changed, was, becomes, said):
    family = changed / "models/successor/__init__.py"
    family.write_text(family.read_text().replace(was, becomes, 1))
    run = judged(changed, of=("seed5.safetensors",))
    assert run.status in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED), run.output
    assert said in run.output
    assert run.claims == {}
