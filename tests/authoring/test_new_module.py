"""`mechanistic-claims new NAME --module ...`: of any module with hook points."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from mechanistic_claims.authoring.command import main
from tests.authoring.test_new import family_of, new, require_style
from tests.model import counting
from tests.runs import run_in_a_fork


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A file with the networks, called as the model will be, and a checkpoint of each."""
    shutil.copyfile(counting.__file__, tmp_path / "mine.py")
    torch.save(counting.counts(), tmp_path / "counter.pt")
    torch.save({"of_sum": 2 * torch.arange(5.0)}, tmp_path / "adder.pt")
    (tmp_path / "claims").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("mine", None)


def test_what_is_written(project):
    for name, made, length in (("mine", "Counter", 4), ("sums", "Adder", 8)):
        assert main([name, f"--module=mine:{made}", f"--checkpoint={made.lower()}.pt"]) == 0
        assert family_of(project, name).startswith(
            f'network( make="mine:{made}", task="models.{name}.task:Task.of", reference='
        )
        assert f"LENGTH = {length}\n" in Path(f"models/{name}/task.py").read_text()
    listed = Path("models/mine/__init__.py").read_text()
    assert "inputs of 4 tokens:\n#   steps.0.hook_state  [input 4]\n#   steps.1" in listed
    assert "#   hook_states  [input 4 4]\n" in listed
    assert 'site("hook_states", 0)' in Path("claims/mine/test_units.py").read_text()
    assert "    answer_positions = (-1,)\n" in Path("models/mine/task.py").read_text()
    assert "    answer_positions = None\n" in Path("models/sums/task.py").read_text()
    assert Path("claims/__init__.py").exists()  # else claims/mine would be the module mine


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--checkpoint=counter.pt"], "If it is no transformer, give the torch module with hook"),
        (["--module=mine:Counter"], "--module: give a --checkpoint too"),
        (["--module=mine", "--checkpoint=counter.pt"], "--module mine: expected package.file:Cl"),
        (["--module=mine:No", "--checkpoint=counter.pt"], "mine:No can't be imported: module 'mi"),
        (["--module=no:No", "--checkpoint=counter.pt"], "no:No can't be imported: No module name"),
        (["--module=mine:Counter", "--checkpoint=adder.pt"], "add, readout.bias, readout.weight m"),
        (["--module=mine:Counter", "--checkpoint=counter.pt", "--layers=2"], "--layers: of a mod"),
        (
            ["--module=mine:Counter", "--checkpoint=counter.pt", "--context=5"],
            "have 4 positions of 5",
        ),
    ],
)
def test_what_can_not_be_written(project, capsys, given, said):
    assert main(["mine", *given]) == 2
    assert said in capsys.readouterr().err
    assert not Path("models").exists()


@pytest.mark.slow
def test_it_runs(project):
    done = new(project, "mine", "--module=mine:Counter", "--checkpoint=counter.pt")
    assert done.returncode == 0, done.stderr
    run = run_in_a_fork("claims/mine", cwd=project, OMP_NUM_THREADS="1")
    assert "0 hold, 0 refuted as expected, 0 refuted, 3 errors" in run.output, run.output
    assert "no bound yet: write the number that each requires for None" in run.output
    assert len(re.findall(r"^! +-?[\d.]+ +-?[\d.]+  \w", run.output, re.MULTILINE)) == 3, run.output
    (project / "mine.py").rename(project / "mine.txt")
    require_style(project)
    (project / "mine.txt").rename(project / "mine.py")
    (project / "claims/__init__.py").unlink()
    run = run_in_a_fork("claims/mine", cwd=project, OMP_NUM_THREADS="1")
    assert "mine:Counter can't be imported: module 'mine' has no attribute" in run.output
    assert "Write an empty claims/__init__.py" in " ".join(run.output.split())
