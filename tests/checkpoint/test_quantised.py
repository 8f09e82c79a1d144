"""GGUF files as checkpoints: converted once, whole or not at all, and known by their own bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from mechanistic_claims import CheckpointError, causal_lm, read_checkpoint
from mechanistic_claims.checkpoint import quantised
from tests.runs import run_in_a_fork, verdicts_in
from tests.session.language import LAYERS, Tiny

FOLDER = r"gguf-[0-9a-f]{24}-float32"
SAID = "transformers converts it once, to float32, into"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny")).write()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MECHANISTIC_CLAIMS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def file_of(tiny: Tiny) -> Path:
    return tiny.folder / "tiny.gguf"


def read(path: Path):
    return read_checkpoint(path, "some_model", causal_lm(reference=path, task=""))


def refusal(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as told:
        read(path)
    assert told.value.path == path
    return told.value


def changed(tiny: Tiny, path: Path, *, without: str = "", **texts: str) -> Path:
    """The same file without some tensor, and with these texts of `llama.*` or `tensor_*` added."""
    stored, writer = gguf.GGUFReader(file_of(tiny)), gguf.GGUFWriter(path, "llama")
    for name, field in stored.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            of_list = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], of_list)
    for name, text in texts.items():
        writer.add_string(name.replace("__", "."), text)
    for tensor in stored.tensors:
        if tensor.name != without:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    if "extra" in texts:
        writer.add_tensor(texts["extra"], np.ones(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda whole: whole[:9000], r"it is not a whole GGUF file \(.+\)\. Copy it again\."),
        (lambda whole: whole[:-1], r"it is not a whole GGUF file \(.+\)\. Copy it again\."),
        (lambda whole: whole[:20], r"it is not a whole GGUF file \(.+\)\. Copy it again\."),
        (lambda whole: b"GGML" + whole[4:], r"it is not a GGUF file\. Copy it again\."),
        (lambda whole: b"", r"the file is empty\."),
    ],
    ids=["cut", "without its last byte", "cut in its header", "another format", "empty"],
)
def test_what_is_no_whole_file_is_refused(tiny, tmp_path, cache, content, said):
    path = tmp_path / "some.gguf"
    path.write_bytes(content(file_of(tiny).read_bytes()))
    assert re.fullmatch(said, refusal(path).found)
    assert [*cache.glob("*")] == []


def test_without_the_package_it_is_said_which(tiny, cache, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = refusal(file_of(tiny)).found
    assert "the package gguf is missing" in said
    assert 'python -m pip install "mechanistic-claims[language]" brings it.' in said


def test_it_is_the_files_checkpoint_and_made_once(tiny, cache, monkeypatch, capfd):
    """In a folder alone, too. What is there is taken; where it is not whole it is made again."""
    path = file_of(tiny)
    found = read(path)
    assert found.path == path
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.source == "dequantised to float32"
    assert found.tensors.keys() == tiny.weights.keys()
    for name, expected in tiny.weights.items():
        assert torch.equal(found.tensors[name], torch.from_numpy(expected)), name
    (folder,) = cache.iterdir()
    assert re.fullmatch(FOLDER, folder.name)
    assert f"{path}: {SAID} {folder}\n" in capfd.readouterr().err

    alone = path.parent / "alone"
    alone.mkdir()
    shutil.copy(path, alone / "other.gguf")
    with monkeypatch.context() as patch:
        patch.delattr(quantised, "convert")
        assert read(alone).sha256 == found.sha256
    assert capfd.readouterr().err == ""

    os.truncate(folder / "model.safetensors", 1000)
    assert torch.equal(read(path).tensors["model.norm.weight"], found.tensors["model.norm.weight"])
    assert SAID in capfd.readouterr().err


def test_what_transformers_would_leave_out_or_draw_is_refused(tiny, tmp_path, cache):
    """It says nothing itself: of a tensor that is missing it makes random numbers."""
    last = LAYERS - 1
    path = changed(tiny, tmp_path / "missing.gguf", without=f"blk.{last}.ffn_up.weight")
    said = f"has not all weights of a llama, or others: model.layers.{last}.mlp.up_proj.weight."
    assert said in refusal(path).found
    path = changed(tiny, tmp_path / "more.gguf", extra="rope_freqs.weight")
    numbers = sum(weight.size for weight in tiny.weights.values())
    said = f"has {numbers + 4:,} numbers, and the llama that transformers makes of it {numbers:,}"
    assert said in refusal(path).found
    path = changed(tiny, tmp_path / "scaled.gguf", llama__rope__scaling__type="yarn")
    assert "positions that are scaled (yarn)" in refusal(path).found
    other = file_of(tiny).read_bytes().replace(b"llama", b"lllam")
    (tmp_path / "other.gguf").write_bytes(other)
    said = "can't read it: GGUF model with architecture lllam is not supported yet."
    assert said in refusal(tmp_path / "other.gguf").found
    assert [*cache.glob("*")] == []
    assert read(changed(tiny, tmp_path / "same.gguf", llama__rope__scaling__type="none")).tensors


@pytest.mark.slow
def test_a_run_converts_once_before_its_workers_start(tiny, tmp_path):
    """Verdicts are of the file, by its path and bytes; a bad one is refused before all of them."""
    cache = {"MECHANISTIC_CLAIMS_CACHE": str(tmp_path / "cache")}
    runs = tmp_path / "runs"
    runs.mkdir()
    shutil.copy(file_of(tiny), runs / "one.gguf")
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "claims" / "mine").mkdir(parents=True)
    (tmp_path / "models" / "mine" / "__init__.py").write_text(MODEL)
    (tmp_path / "claims" / "mine" / "test_behavior.py").write_text(CLAIM)
    given = ["claims/mine", "-n=2", "--checkpoint=runs/*.gguf"]
    run = run_in_a_fork(*given, "--verdicts=verdicts.json", cwd=tmp_path, **cache)
    assert run.status == 0, run.output
    assert run.output.count(SAID) == 1, run.output
    (checkpoint,) = verdicts_in(tmp_path / "verdicts.json")["checkpoints"]
    assert checkpoint["path"] == "runs/one.gguf"
    assert checkpoint["sha256"] == hashlib.sha256(file_of(tiny).read_bytes()).hexdigest()
    (runs / "two.gguf").write_bytes(file_of(tiny).read_bytes()[:-1])
    run = run_in_a_fork(*given, cwd=tmp_path, **cache)
    assert run.status == 4, run.output
    assert "ERROR: --checkpoint runs/two.gguf: it is not a whole GGUF file" in run.output


MODEL = """
from pathlib import Path
from types import SimpleNamespace
from mechanistic_claims import causal_lm

def task(sizes, device):
    import torch
    inputs = torch.arange(sizes.tokens, device=device)[:, None].expand(-1, 2)
    return SimpleNamespace(
        is_sample=False, answer_positions=(0,), inputs=inputs, labels=inputs[:, 1]
    )

FAMILY = causal_lm(reference=Path(), task=task)
"""
CLAIM = '''
import pytest
from mechanistic_claims import evidence, mean

@evidence("behavior")
@pytest.mark.parametrize("at_least", [0])
def test_it_loses(activations, verdict, at_least):
    """It has a loss."""
    verdict(mean(activations.loss), at_least=at_least)
'''
