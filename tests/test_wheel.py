"""The built wheel in a repository of somebody else: claims/ and models/ beside their code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import mechanistic_claims
from tests.conftest import DIFFERENT
from tests.runs import ROOT, environment

pytestmark = pytest.mark.slow
TEST = "def test_theirs():\n    import fixtures, models.min_of_two\n    assert fixtures.TempDir\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("fixtures", "pyproject.toml", "README.md"):
        whole = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        whole(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source]
    subprocess.run(command, check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory) -> Path:
    """A new environment with the wheel; what it needs is this one's, PyPI's `fixtures` too."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], check=True)
    there = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    site = Path(there.stdout.strip())
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return python


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """Claims below a folder; a pyproject.toml that has no version and is of something else."""
    theirs = tmp_path_factory.mktemp("theirs")
    for name in ("claims", "models"):
        ignored = shutil.ignore_patterns("seed?.*", "refuted")
        shutil.copytree(ROOT / name, theirs / "lab" / name, ignore=ignored)
    (theirs / "pyproject.toml").write_text("[tool.poetry]\nname = 'theirs'\n")
    (theirs / "lab" / "test_theirs.py").write_text(TEST)
    return theirs


def run(python: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [python, *map(str, arguments)]
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    variables = environment(PATH=path)
    return subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )


def test_it_has_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"mechanistic_claims"}
    for needed in ("verdict/verdicts.schema.json", "outputs/report/pages/report.css", "py.typed"):
        assert f"mechanistic_claims/{needed}" in names


def test_a_gate_in_their_repository(fresh, repository):
    """With an ordinary test of theirs in the same run, and one checkpoint from elsewhere."""
    verdicts = repository / "verdicts.json"
    judged = ("lab/test_theirs.py", "lab/claims/min_of_two")
    given = ["-m", "pytest", *judged, "--verdicts", verdicts]
    ended = run(fresh, *given, cwd=repository)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "59 hold, 4 refuted as expected, 0 refuted" in ended.stdout
    assert "57 passed, 4 xfailed, 3 xpassed" in ended.stdout
    found = json.loads(verdicts.read_text())
    assert found["suite"] == mechanistic_claims.__version__
    assert len(found["checkpoints"][0]["claims"]) == 63
    refuted = run(fresh, *given, f"--checkpoint={DIFFERENT}", cwd=repository / "lab" / "..")
    assert refuted.returncode == 1
    assert "10 refuted" in refuted.stdout


def test_its_commands_in_their_repository(fresh, repository):
    """`mechanistic-claims` finds the project from the folder that it is run in."""
    command = fresh.with_name("mechanistic-claims")
    sizes = ["--number-of-operands=6", "--d-model=4", "--d-head=4", "--epochs=2", "--threads=1"]
    train = [command, "train", "min_of_two", *sizes, "--out=small.safetensors"]
    for cwd, status in ((repository / "lab" / "claims", 0), (repository, 2)):
        ended = subprocess.run(
            train, cwd=cwd, env=environment(), capture_output=True, text=True, check=False
        )
        assert ended.returncode == status, ended.stderr
    assert "give first a model that has a models/min_of_two/train.py, in" in ended.stderr
    survey = run(fresh, "-m", "mechanistic_claims", "survey", "verdicts.json", cwd=repository)
    assert survey.returncode == 0, survey.stderr
    assert "1 checkpoint of min_of_two" in survey.stdout
    for name in ("new", "fetch", "report", "survey", "train", "sweep"):
        assert name in run(fresh, "-m", "mechanistic_claims", "--help", cwd=repository).stdout
    wrong = run(fresh, "-m", "mechanistic_claims", "judge", cwd=repository)
    assert wrong.returncode == 2
    assert "'judge' is no command" in wrong.stderr


def test_a_new_model_in_an_empty_folder(fresh, tmp_path):
    sizes = ["--layers=2", "--heads=2", "--d-model=8", "--tokens=9", "--context=5", "--mlp=gelu"]
    new = [fresh.with_name("mechanistic-claims"), "new", "mine", *sizes, "--norm=LN"]
    done = subprocess.run(new, cwd=tmp_path, env=environment(), text=True, check=False)
    assert done.returncode == 0
    ended = run(fresh, "-m", "pytest", "claims/mine", cwd=tmp_path)
    assert ended.returncode == 1
    assert "2 hold, 0 refuted as expected, 0 refuted, 2 without a bound" in ended.stdout, (
        ended.stdout
    )
