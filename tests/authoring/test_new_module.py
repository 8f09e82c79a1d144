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
        assert f"SHAPE = ({length},)\n" in Path(f"models/{name}/task.py").read_text()
    listed = Path("models/mine/__init__.py").read_text()
    assert "inputs [input 4]:\n#   steps.0.hook_state  [input 4]\n#   steps.1" in listed
    assert "#   hook_states  [input 4 4]\n" in listed
    assert 'site("hook_states", 0)' in Path("claims/mine/test_units.py").read_text()
    assert "    answer_positions = (-1,)\n" in Path("models/mine/task.py").read_text()
    assert "    answer_positions = None\n" in Path("models/sums/task.py").read_text()
    assert Path("claims/__init__.py").exists()  # else claims/mine would be the module mine


@pytest.fixture
def images(project):
    """A network of images, and what it gives of some, in its own module's type."""
    torch.manual_seed(0)
    module, inputs = counting.Brightness(), torch.rand(7, 1, 2, 2).double()
    torch.save(module.state_dict(), project / "brightness.pt")
    logits = module(inputs.float()).detach()
    torch.save({"inputs": inputs, "logits": logits}, project / "brightness.pt.expected")
    return ["bright", "--module=mine:Brightness", "--checkpoint=brightness.pt"]


def test_inputs_that_are_no_tokens(project, images, capsys):
    """They are as those of FILE.expected; without it the module's own error is told."""
    assert main(images) == 0
    assert "INPUTS = 256\nSHAPE = (1, 2, 2)\n" in Path("models/bright/task.py").read_text()
    listed = Path("models/bright/__init__.py").read_text()
    assert "take, of inputs [input 1 2 2]:\n" in listed
    assert "#   hook_weight  [1, 3, 2, 2]: not one for each input, so it can't be read" in listed
    assert "#   hook_read  [input 3]\n" in listed
    run = run_in_a_fork("claims/bright", cwd=project, OMP_NUM_THREADS="1")
    assert "0 hold, 0 refuted as expected, 0 refuted, 3 without a bound" in run.output, run.output
    assert "runs as its own module did on the 7 inputs of reference.pt.expected" in run.output
    Path("mine.py").rename("mine.txt")
    require_style(project)
    Path("mine.txt").rename("mine.py")
    Path("brightness.pt.expected").rename("elsewhere.pt")
    assert main(["again", *images[1:]]) == 2
    assert "if inputs are no tokens, give some: torch.save({" in capsys.readouterr().err
    assert main(["again", *images[1:], "--expects=elsewhere.pt"]) == 0


@pytest.mark.slow
def test_inputs_that_it_does_not_run(project, images, capsys):
    flat = torch.load("brightness.pt.expected")
    flat["inputs"] = flat["inputs"].flatten(1)
    assert main(images) == 0
    torch.save(flat, "brightness.pt.expected")
    assert main(["again", *images[1:]]) == 2
    assert "does not run on the inputs that are given, 7 x 4 of torch.float64 (Runt" in (
        capsys.readouterr().err
    )
    torch.save(flat, "models/bright/checkpoints/reference.pt.expected")
    run = run_in_a_fork("claims/bright", cwd=project, OMP_NUM_THREADS="1")
    assert "reference.pt.expected: its inputs, 7 x 4 of torch.float64, can't be run" in run.output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["--checkpoint=counter.pt"],
            "If it is no transformer, or has norms elsewhere than before",
        ),
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
    assert "0 hold, 0 refuted as expected, 0 refuted, 3 without a bound" in run.output, run.output
    assert "no bound yet: write the number that each requires for None" in run.output
    assert len(re.findall(r"^! +-?[\d.]+ +-?[\d.]+  \w", run.output, re.MULTILINE)) == 3, run.output
    (project / "mine.py").rename(project / "mine.txt")
    require_style(project)
    (project / "mine.txt").rename(project / "mine.py")
    (project / "claims/__init__.py").unlink()
    run = run_in_a_fork("claims/mine", cwd=project, OMP_NUM_THREADS="1")
    assert "mine:Counter can't be imported: module 'mine' has no attribute" in run.output
    assert "Write an empty claims/__init__.py" in " ".join(run.output.split())
