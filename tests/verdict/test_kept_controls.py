"""Controls that are kept across runs: they serve again, and never where anything has changed."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mechanistic_claims import Checkpoint, causal_lm
from mechanistic_claims.session.story import Story
from mechanistic_claims.verdict import kept
from mechanistic_claims.verdict.control import shape
from mechanistic_claims.verdict.kept import Kept, kept_of
from mechanistic_claims.verdict.record import Control

MEASURED = Control(0.25, holds=False)
FILES = {
    "claims/__init__.py": "",
    "claims/conftest.py": "",
    "claims/tiny/__init__.py": "",
    "claims/tiny/conftest.py": "",
    "claims/tiny/prompts/few.json": "[]",
    "claims/tiny/test_a.py": "from beside_models import TWICE\nBOUND = 0.3\n",
    "claims/tiny/test_b.py": "BOUND = 0.3\n",
    "claims/tiny/test_c.py": "",
    "models/__init__.py": "",
    "models/tiny/__init__.py": "FAMILY = None\n",
    "models/tiny/task.py": "SEED = 3\n",
    "models/tiny/checkpoints/a.safetensors": "weights",
    "claims/other/test_other.py": "",
    "models/other/__init__.py": "",
    "beside_models.py": "TWICE = 2\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project of which all is loaded that `test_a` needs, and claims that it does not need."""
    monkeypatch.setenv("MECHANISTIC_CLAIMS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "STARTED", math.inf)  # what is written here was there before
    project = tmp_path / "project"
    for name, text in FILES.items():
        project.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        project.joinpath(name).write_text(text)
    names = [f"claims/tiny/test_{part}.py" for part in "abc"]
    names += ["models/tiny/task.py", "models/other/__init__.py", "beside_models.py"]
    modules = {name: SimpleNamespace(__file__=str(project / name)) for name in names}
    others = ("torch", "json", "math", "pytest", "mechanistic_claims.errors")
    modules |= {name: sys.modules[name] for name in others}
    modules["__main__"] = SimpleNamespace(__file__=str(project / "bin/pytest"))
    modules["without a file"] = SimpleNamespace(__file__=None)
    monkeypatch.setattr(kept, "sys", SimpleNamespace(modules=modules, path=sys.path))
    return project


@pytest.fixture
def of_a(project) -> Kept:
    return Kept({"claim": "a"}, Story(project, "tiny"), project / "claims/tiny/test_a.py")


@pytest.mark.parametrize("measured", [0.25, math.inf, -math.inf, 0.1 + 0.2])
@pytest.mark.parametrize("holds", [True, False])
def test_it_serves_again_as_it_was(of_a, measured, holds):
    assert of_a.read() is None
    of_a.write(Control(measured, holds))
    assert of_a.read() == Control(measured, holds, kept=True)


def test_it_says_what_it_was_made_by(of_a, project):
    """Its file, what is above and beside it, what is loaded; no weights, and no other claims."""
    of_a.write(MEASURED)
    files = json.loads(of_a.path.read_text())["files"]
    others = {"claims/tiny/test_b.py", "claims/tiny/test_c.py", "claims/other/test_other.py"}
    others |= {"models/tiny/checkpoints/a.safetensors"}
    assert {*files} == {str(project / name) for name in FILES.keys() - others}
    task = str(project / "models/tiny/task.py")
    assert files[task] == "898586a406d61351677beaed1e993c56dacd8a9fc2fd577784d9451de7662bae"


def test_no_number_is_kept_as_none(of_a):
    of_a.write(Control(math.nan, holds=False))
    found = of_a.read()
    assert found is not None
    assert math.isnan(found.measured)


OWN = [
    *("claims/conftest.py", "claims/tiny/conftest.py", "claims/tiny/test_a.py"),
    *("claims/tiny/prompts/few.json", "models/tiny/task.py", "models/tiny/__init__.py"),
    *("beside_models.py", "models/other/__init__.py", "claims/__init__.py"),
]
NEW = ["conftest.py", "claims/tiny/words.txt", "models/conftest.py", "models/tiny/layers/more.py"]


@pytest.mark.parametrize("name", OWN)
def test_what_it_was_made_by_has_changed(of_a, project, name):
    of_a.write(MEASURED)
    project.joinpath(name).write_text(f"{FILES[name]}# other\n")
    assert of_a.read() is None
    project.joinpath(name).write_text(FILES[name])
    assert of_a.read() == replace(MEASURED, kept=True)
    project.joinpath(name).unlink()
    assert of_a.read() is None


@pytest.mark.parametrize("name", NEW)
def test_there_is_more_that_it_may_be_made_by(of_a, project, name):
    of_a.write(MEASURED)
    project.joinpath(name).parent.mkdir(exist_ok=True)
    project.joinpath(name).touch()
    assert of_a.read() is None


@pytest.mark.parametrize(
    ("name", "serves"), [("plugin.py", False), ("models/third.py", True), ("claims/third.py", True)]
)
def test_something_else_was_loaded(of_a, project, monkeypatch, name, serves):
    """A plugin may change what is measured; what other models bring is loaded in some runs only."""
    of_a.write(MEASURED)
    project.joinpath(name).touch()
    module = SimpleNamespace(__file__=str(project / name))
    monkeypatch.setitem(kept.sys.modules, "more", module)
    assert (of_a.read() is not None) == serves


@pytest.mark.parametrize("name", ["claims/tiny/test_b.py", "claims/tiny/test_c.py"])
def test_other_claims_do_not_count(of_a, project, name):
    of_a.write(MEASURED)
    project.joinpath(name).write_text("BOUND = 0.4\n")
    project.joinpath("models/tiny/checkpoints/a.safetensors").write_text("trained for longer")
    project.joinpath("models/tiny/.task.py.swp").touch()
    assert of_a.read() == replace(MEASURED, kept=True)


@pytest.mark.parametrize("name", ["claims/tiny/test_a.py", "beside_models.py"])
def test_other_claims_count_where_something_is_taken_of_them(of_a, project, name):
    project.joinpath(name).write_text("from claims.tiny.test_c import BOUND\n")
    of_a.write(MEASURED)
    assert of_a.read() == replace(MEASURED, kept=True)
    project.joinpath("claims/tiny/test_c.py").write_text("BOUND = 0.4\n")
    assert of_a.read() is None


def test_what_these_take_of_others_counts_too(of_a, project):
    project.joinpath("claims/tiny/test_a.py").write_text("from .test_c import BOUND\n")
    project.joinpath("claims/tiny/test_c.py").write_text("from .test_b import BOUND\n")
    of_a.write(MEASURED)
    assert of_a.read() == replace(MEASURED, kept=True)
    project.joinpath("claims/tiny/test_b.py").write_text("BOUND = 0.4\n")
    assert of_a.read() is None


@pytest.mark.parametrize("name", ["claims/tiny/test_a.py", "models/tiny/task.py"])
def test_what_changes_while_it_is_measured_is_not_kept(of_a, project, monkeypatch, name):
    """What is loaded is not what the file says by now."""
    of_a.write(MEASURED)
    started = max(path.stat().st_ctime for path in project.rglob("*.py"))
    monkeypatch.setattr(kept, "STARTED", math.nextafter(started, math.inf))
    assert of_a.read() == replace(MEASURED, kept=True)
    of_a.path.unlink()
    while project.joinpath(name).stat().st_ctime <= started:
        project.joinpath(name).write_text(FILES[name])
    of_a.write(MEASURED)
    assert not of_a.path.exists()


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


DAMAGED = {
    "empty": lambda text: "",
    "cut off": lambda text: text[:-9],
    "another number": lambda text: changed(text, "0.25", "0.35"),
    "another verdict": lambda text: changed(text, "refuted", "holds"),
    "another claim's": lambda text: changed(text, '"claim": "a"', '"claim": "b"'),
    "no files": lambda text: json.dumps({**json.loads(text), "files": {}}),
    "no digest": lambda text: changed(text, '"sha256": "', '"sha256": "0'),
    "a list": lambda text: "[]",
    "a number": lambda text: "1",
    "deep": lambda text: "[" * 100_000,
    "not finite": lambda text: changed(text, "0.25", "NaN"),
    "no text": lambda text: "\udcff",
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_is_none(of_a, how):
    of_a.write(MEASURED)
    text = DAMAGED[how](of_a.path.read_text())
    of_a.path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert of_a.read() is None
    of_a.write(MEASURED)
    assert of_a.read() == replace(MEASURED, kept=True)


def test_what_is_of_another_claim_does_not_serve(of_a):
    other = replace(of_a, key={"claim": "b"})
    other.write(MEASURED)
    other.path.rename(of_a.path)
    assert of_a.read() is None


def test_a_place_that_takes_no_files_is_no_error(of_a, monkeypatch):
    of_a.path.mkdir(parents=True)
    of_a.write(MEASURED)
    assert of_a.read() is None
    monkeypatch.setenv("MECHANISTIC_CLAIMS_CACHE", "/dev/null/cache")
    of_a.write(MEASURED)
    assert of_a.read() is None


CONFIG = {"model_type": "llama", "rope_theta": 10_000.0}


def claim(project: Path, family, name="test_a", ids=("tiny", "0.3"), **parameters):
    """What pytest has of a claim, as far as it is looked at."""
    of = {"project": project, "model": "tiny", "folder": project / "claims/tiny"}
    target = SimpleNamespace(story=SimpleNamespace(family=family, **of))
    callspec = SimpleNamespace(params={"claims_target": target, **parameters}, _idlist=list(ids))
    path = project / "claims/tiny" / f"{name}.py"
    return SimpleNamespace(path=path, originalname=name, callspec=callspec, nodeid=name)


def subject(config=CONFIG, dtype=torch.float32, names=("embed", "norm"), device="cpu"):
    tensors = {name: torch.ones(2, dtype=dtype) for name in names}
    metadata = {"config": json.dumps(config), "training": "any"}
    checkpoint = Checkpoint(Path("folder"), "tiny", "its sha256", tensors, metadata)
    return SimpleNamespace(checkpoint=checkpoint, device=torch.device(device))


def family():
    return causal_lm(reference=Path("nowhere"), task="none")


OTHERWISE = {
    "configuration": lambda p: kept_of(claim(p, family()), subject({**CONFIG, "rope_theta": 5e5})),
    "type": lambda p: kept_of(claim(p, family()), subject(dtype=torch.bfloat16)),
    "tied": lambda p: kept_of(claim(p, family()), subject(names=("embed", "norm", "unembed"))),
    "claim": lambda p: kept_of(claim(p, family(), "test_b"), subject()),
    "bound": lambda p: kept_of(claim(p, family(), ids=("tiny", "0.4")), subject()),
    "parameters": lambda p: kept_of(claim(p, family(), heads=(1, 2)), subject()),
    "device": lambda p: kept_of(claim(p, family()), subject(device="meta")),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_another_configuration_or_claim_has_its_own(project, what):
    first, other = kept_of(claim(project, family()), subject()), OTHERWISE[what](project)
    assert first.path != other.path
    first.write(MEASURED)
    assert other.read() is None
    assert kept_of(claim(project, family()), subject()).read() == replace(MEASURED, kept=True)


def test_other_weights_of_the_same_configuration_have_the_same_control(project):
    other = subject()
    said = {**other.checkpoint.metadata, "training": "for longer"}
    other.checkpoint = replace(other.checkpoint, sha256="another", metadata=said)
    assert kept_of(claim(project, family()), other) == kept_of(claim(project, family()), subject())
    assert shape(other, family()) == shape(subject(), family())


def test_within_a_run_too_configurations_of_the_same_shapes_differ():
    other = subject({**CONFIG, "rope_theta": 5e5})
    assert shape(other, family()) != shape(subject(), family())


def an_upgrade(project, monkeypatch):
    folder = project / "packages/torch-9.9.dist-info"
    folder.mkdir(parents=True)
    monkeypatch.setattr(kept.sys, "path", [*sys.path, str(folder.parent)])
    kept._installed.cache_clear()


def another_code(project, monkeypatch):
    """Of the suite: one file of it is another."""
    monkeypatch.setattr(kept, "PACKAGE", project)


OF_THE_MACHINE = {
    "python": lambda p, m: m.setattr(kept.platform, "python_version", lambda: "3.99.0"),
    "processor": lambda p, m: m.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "VSX"),
    "threads": lambda p, m: m.setattr(torch, "get_num_threads", lambda: 77),
    "installed": an_upgrade,
    "suite": another_code,
}


@pytest.mark.parametrize("what", OF_THE_MACHINE)
def test_other_versions_and_machines_have_their_own(project, monkeypatch, what):
    first = kept_of(claim(project, family()), subject())
    OF_THE_MACHINE[what](project, monkeypatch)
    other = kept_of(claim(project, family()), subject())
    kept._installed.cache_clear()
    assert {name for name in first.key if first.key[name] != other.key[name]} == {what}
    assert first.path != other.path


def test_the_code_of_the_suite_counts_to_the_letter(project, monkeypatch):
    monkeypatch.setattr(kept, "PACKAGE", project)
    first = kept_of(claim(project, family()), subject())
    project.joinpath("models/tiny/task.py").write_text("SEED = 4\n")
    assert kept_of(claim(project, family()), subject()).key["suite"] != first.key["suite"]
    monkeypatch.setattr(kept, "STARTED", 0.0)
    assert kept_of(claim(project, family()), subject()) is None


def test_small_models_keep_nothing(project):
    from models.min_of_two import FAMILY

    assert kept_of(claim(project, FAMILY), subject()) is None
