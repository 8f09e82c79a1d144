"""A gate gives the same verdicts wherever it is run, and runs nothing that is beside a checkpoint.

pytest looks for its rootdir before any plugin has added an option: the value of --checkpoint, given
with a space, may move it, and with it the ids of claims and the configuration that counts.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import DIFFERENT
from tests.projects import PART, add_min_of_two
from tests.runs import ROOT, Run, run_in_a_fork

CODE = "import pathlib\npathlib.Path(__file__).with_name('executed').touch()\n"
CLAIMS_NOTHING = "def test_nothing():\n    pass\n"
ABOVE = {
    "nothing": None,
    "pyproject.toml": "[project]\nname = 'mono'\n",
    "pyproject.toml for pytest": ("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-q'\n"),
    "pytest.ini": "[pytest]\n",
    "tox.ini": "[pytest]\naddopts = -q\n",
}


@dataclass(frozen=True)
class Way:
    """A way to run a gate: what it names, from where, and what lies above."""

    above: str = "nothing"
    from_: str = "project"
    checkpoint: str = "outside"
    absolute: bool = False
    equals: bool = False
    more: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        form = f"{'absolute' if self.absolute else 'relative'} {'=' if self.equals else 'space'}"
        more = " ".join(self.more)
        return f"{self.above} above, from {self.from_}, {self.checkpoint}, {form} {more}".strip()


WAYS = [
    Way(),
    Way(equals=True),
    Way(absolute=True),
    Way(checkpoint="inside"),
    Way(checkpoint="another clone"),
    *(Way(above=above) for above in list(ABOVE)[1:]),
    *(Way(above=above, equals=True, absolute=True) for above in list(ABOVE)[1:]),
    *(Way(above=above, from_="above") for above in ABOVE),
    Way(above="pytest.ini", from_="above", checkpoint="inside", absolute=True),
    Way(above="pyproject.toml", from_="elsewhere"),
    Way(above="tox.ini", from_="elsewhere", checkpoint="another clone"),
    Way(from_="claims"),
    Way(above="pytest.ini", from_="claims", equals=True),
    Way(above="pyproject.toml", more=("-c", "other.ini")),
    Way(above="pyproject.toml", more=("--rootdir", "elsewhere")),
    Way(above="pytest.ini", from_="above", more=("--rootdir", "elsewhere")),
    Way(above="pytest.ini", more=("--import-mode=importlib",)),
    Way(above="pytest.ini", more=("-p", "no:xdist")),
    Way(above="pyproject.toml", checkpoint="another clone", more=("-n", "2")),
    Way(above="pyproject.toml", more=("--rootdir", "elsewhere", "-n", "2")),
]
SOME_ALWAYS = [
    pytest.param(way, marks=pytest.mark.slow) if at % 4 or "2" in way.more else way
    for at, way in enumerate(WAYS)
]


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory) -> dict[str, Path]:
    """A repository with claims about a model, below a folder; checkpoints with code beside them."""
    mono = tmp_path_factory.mktemp("mono")
    project, clone = mono / "lab", tmp_path_factory.mktemp("clone")
    for folder in (project, clone):
        add_min_of_two(folder)
    shutil.copyfile(ROOT / "conftest.py", clone / "conftest.py")
    places = {
        "outside": tmp_path_factory.mktemp("runs"),
        "inside": project / "runs",
        "another clone": clone / "models" / "runs",
    }
    for folder in places.values():
        folder.mkdir(exist_ok=True)
        shutil.copyfile(DIFFERENT, folder / "x.safetensors")
        (folder / "conftest.py").write_text(CODE)
    return {"above": mono, "project": project, "elsewhere": clone, **places}


def judged(laid_out: dict[str, Path], way: Way, what: Path, *arguments: str) -> Run:
    """Run pytest in a way."""
    for name, content in ABOVE.items():
        file = laid_out["above"] / (content[0] if isinstance(content, tuple) else name)
        file.unlink(missing_ok=True)
    if content := ABOVE[way.above]:
        name, text = content if isinstance(content, tuple) else (way.above, content)
        (laid_out["above"] / name).write_text(text)
    (laid_out["project"] / "other.ini").write_text("[pytest]\n")
    here = laid_out["project"] / "claims" if way.from_ == "claims" else laid_out[way.from_]

    def path(of: Path) -> str:
        return str(of) if way.absolute else os.path.relpath(of, here)

    checkpoint = path(laid_out[way.checkpoint] / "x.safetensors")
    more = [str(laid_out[one]) if one == "elsewhere" else one for one in way.more]
    more = [path(laid_out["project"] / one) if one.endswith(".ini") else one for one in more]
    given = [f"--checkpoint={checkpoint}"] if way.equals else ["--checkpoint", checkpoint]
    return run_in_a_fork(path(what), *given, *more, *arguments, "-p", "no:cacheprovider", cwd=here)


def without_paths(path: Path) -> dict:
    found = json.loads(path.read_text())
    del found["times"]
    for checkpoint in found["checkpoints"]:
        assert checkpoint.pop("path").endswith("x.safetensors")
    return found


@pytest.fixture(scope="module")
def expected(laid_out, tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("expected") / "verdicts.json"
    judged(laid_out, Way(), laid_out["project"] / PART, "--maxfail=2", f"--verdicts={path}")
    found = without_paths(path)
    (checkpoint,) = found["checkpoints"]
    claims = [claim["claim"].replace(f"{PART}::test_", "") for claim in checkpoint["claims"]]
    assert claims[0] == "the_row_falls_at_almost_every_step[0.95]"
    assert [claim["heading"] for claim in checkpoint["claims"]] == ["refuted", "refuted"]
    name = "test_the_row_of_equals_has_the_most_structure[x.safetensors-2.0]"
    assert found["unjudged"][-1] == f"{PART}::{name}"
    return found


@pytest.mark.parametrize("way", SOME_ALWAYS, ids=str)
def test_verdicts_are_the_same_wherever_the_gate_is_run(laid_out, expected, tmp_path, way):
    """Also the names of claims that were not judged, where the run is stopped at the second."""
    path = tmp_path / "verdicts.json"
    stop = "--maxfail=2" if "-n" not in way.more else "--deselect=nothing"
    run = judged(laid_out, way, laid_out["project"] / PART, stop, f"--verdicts={path}")
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
    found = without_paths(path)
    if "-n" in way.more:  # workers don't stop at the same claim
        known = {claim["claim"]: claim for claim in found["checkpoints"][0]["claims"]}
        assert len(known) == 5
        for claim in expected["checkpoints"][0]["claims"]:
            assert known[claim["claim"]] == claim
        assert found["unjudged"] == []
    else:
        assert found == expected
    left = [path for of in laid_out.values() for path in of.rglob("executed")]
    assert left == [], "code beside a checkpoint was run"
    again = [line for line in run.output.splitlines() if line.startswith("  again: pytest ")]
    assert len(again) >= 2


@pytest.mark.parametrize("way", SOME_ALWAYS, ids=str)
def test_what_claims_nothing_is_refused_wherever_the_gate_is_run(laid_out, way):
    silent = laid_out["project"] / PART.with_name("test_silent.py")
    silent.write_text(CLAIMS_NOTHING)
    try:
        run = judged(laid_out, way, laid_out["project"] / "claims")
    finally:
        silent.unlink()
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    lacks = (
        "it lacks an @evidence and a docstring that says what is claimed and the fixture verdict"
    )
    assert f"test_silent.py::test_nothing is no claim: {lacks}" in run.output


def test_the_line_that_judges_again_does_so_from_where_it_was_printed(laid_out):
    """With a rootdir above the folder that it is run in."""
    run = judged(laid_out, Way(above="pyproject.toml"), laid_out["project"] / PART)
    line = next(line for line in run.output.splitlines() if line.startswith("  again: pytest "))
    _, _, *arguments = shlex.split(line)
    again = run_in_a_fork(*arguments, "-p", "no:cacheprovider", cwd=laid_out["project"])
    assert again.status == pytest.ExitCode.TESTS_FAILED
    assert len(again.claims) == 1
    assert line in again.output.splitlines()


def test_a_baseline_is_found_wherever_it_was_written(laid_out, tmp_path):
    """Under another rootdir claims had other names, and --max-drop found nothing to compare."""
    baseline = tmp_path / "baseline.json"
    claims = laid_out["project"] / PART
    judged(laid_out, Way(), claims, f"--verdicts={baseline}")
    found = json.loads(baseline.read_text())
    held = [c for c in found["checkpoints"][0]["claims"] if c["heading"] == "holds"]
    for claim in held:
        claim["margin"] *= 10
    baseline.write_text(json.dumps(found))
    way = Way(above="pyproject.toml", from_="above")
    run = judged(laid_out, way, claims, f"--baseline={baseline}", "--max-drop=0.5")
    assert run.output.count("it has lost 90% of its margin since") == len(held) == 1


def test_a_configuration_beside_a_checkpoint_is_refused(laid_out, tmp_path):
    """pytest reads it before any plugin can say no; with = it does not look there."""
    checkpoint = tmp_path / "x.safetensors"
    shutil.copyfile(DIFFERENT, checkpoint)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -k nothing_at_all\n")
    given = [laid_out["project"] / PART, "-p", "no:cacheprovider"]
    for where in (laid_out["project"], tmp_path.parent):
        run = run_in_a_fork(*given, "--checkpoint", checkpoint, cwd=where)
        assert run.status == pytest.ExitCode.USAGE_ERROR
        assert "pytest.ini lies beside a checkpoint, and pytest took it for" in run.output
        assert run_in_a_fork(*given, f"--checkpoint={checkpoint}", cwd=where).status == 1
