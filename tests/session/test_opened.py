"""`open_checkpoint`: what claims get, in a notebook."""

from __future__ import annotations

import shutil
import sys

import pytest
import torch

from claims.induction import conftest
from mechanistic_claims import CannotJudge, head, open_checkpoint
from mechanistic_claims.measurement.cases import draws_of
from tests.projects import add_successor
from tests.runs import ROOT, run_command

SEED = ROOT / "models/induction/checkpoints/seed1.safetensors"


@pytest.fixture
def opened(monkeypatch):
    """From a folder of the project."""
    monkeypatch.chdir(ROOT / "tests")
    with torch.enable_grad():
        return open_checkpoint("induction", SEED)


def test_it_says_what_it_is(opened):
    assert repr(opened) == (
        f"induction: {SEED}, 2 x 2 heads, d_model 64, 64 tokens, 256 inputs of 64, float32, cpu"
    )


def test_the_shipped_one_without_a_path(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert open_checkpoint("induction").checkpoint.path.name == "reference.safetensors"


def test_it_has_what_claims_get_without_gradients(opened):
    with torch.enable_grad():
        without = opened.intervene.ablate(head(0, 0) + head(0, 1), "mean")
        assert not without.logits.requires_grad
        assert not opened.weights.W_Q.requires_grad
    assert opened.activations.loss.shape == opened.task.labels.shape == (256 * 64,)


def test_what_a_component_writes_rests_on_the_draw_of_its_input(opened):
    assert draws_of(opened.activations.written(head(0, 1))).tolist() == list(range(256))


def test_fixtures_of_the_claims_own_are_made_once(opened):
    found = opened.fixture("heads")
    expected = conftest.heads.__wrapped__(opened.task, opened.weights, opened.activations)
    assert found == expected
    assert opened.fixture("heads") is found
    assert opened.fixture("task") is opened.task
    with pytest.raises(TypeError, match=r"fixture\('tails'\) asks for tails; a claim may ask for"):
        opened.fixture("tails")


def test_a_model_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CannotJudge, match="there is no models/induction/"):
        open_checkpoint("induction")


@pytest.mark.slow
def test_a_network_that_has_gradients(tmp_path):
    """Of another project, and a model without a conftest.py of its own."""
    add_successor(tmp_path)
    network = tmp_path / "models/successor/network.py"
    network.write_text(network.read_text().replace(", False)", ", True)"))
    shutil.rmtree(tmp_path / "claims")
    code = """
from mechanistic_claims import open_checkpoint
opened = open_checkpoint("successor")
assert opened.parts.model.read.requires_grad
assert not opened.activations.logits.requires_grad
assert opened.fixture("activations").correct.all()
"""
    (tmp_path / "below").mkdir()
    path = str(ROOT / "fixtures")
    done = run_command([sys.executable, "-c", code], tmp_path / "below", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
