"""Checkpoints of several files: shards with an index, a folder with a config, tied weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from einops import rearrange

from mechanistic_claims.checkpoint.checkpoint import CheckpointError
from mechanistic_claims.checkpoint.read import read_checkpoint
from models.min_of_two import FAMILY
from models.min_of_two.weights import NAMES, bridge_state_dict, canonical_weights
from tests.conftest import CPU, small_weights

WEIGHTS = small_weights(d_model=6)
HALVES = [dict(list(WEIGHTS.items())[half::2]) for half in (0, 1)]


def write_shards(folder: Path, suffix: str = ".safetensors", **index: dict[str, object]) -> Path:
    """Two shards with their index, as transformers writes them."""
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    save = safetensors.torch.save_file if suffix == ".safetensors" else torch.save
    placed = {}
    for at, half in enumerate(HALVES, start=1):
        name = f"{stem}-{at:05}-of-00002{suffix}"
        save(half, folder / name)
        placed |= dict.fromkeys(half, name)
    path = folder / f"{stem}{suffix}.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": placed, **index}))
    return path


def read(path: Path) -> dict[str, torch.Tensor]:
    return canonical_weights(read_checkpoint(path, "min_of_two", FAMILY))


def assert_whole(path: Path) -> None:
    found = read(path)
    assert all(torch.equal(found[name], WEIGHTS[name]) for name in NAMES.axes)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_are_read_by_their_index_and_by_their_folder(tmp_path, suffix):
    index = write_shards(tmp_path, suffix)
    assert_whole(index)
    assert_whole(tmp_path)
    before = read_checkpoint(tmp_path, "min_of_two", FAMILY).sha256
    shard = next(tmp_path.glob(f"*-00001-of-00002{suffix}"))
    other = {name: one + 1 for name, one in HALVES[0].items()}
    (safetensors.torch.save_file if suffix == ".safetensors" else torch.save)(other, shard)
    assert read_checkpoint(tmp_path, "min_of_two", FAMILY).sha256 != before


def test_the_sha256_of_a_folder_is_that_of_what_sha256sum_prints(tmp_path):
    import hashlib

    write_shards(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "training_args.bin").write_bytes(b"not read")
    listed = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(tmp_path.iterdir())
        if path.name != "training_args.bin"
    )
    told = read_checkpoint(tmp_path, "min_of_two", FAMILY).sha256
    assert told == hashlib.sha256(listed.encode()).hexdigest()


def shard(folder: Path, at: int) -> Path:
    return folder / f"model-{at:05}-of-00002.safetensors"


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    safetensors.torch.save_file(tensors, path)


SPOILED = {
    "a missing shard": (
        lambda folder: shard(folder, 2).unlink(),
        "of its shards model-00002-of-00002.safetensors missing",
    ),
    "a stray shard": (
        lambda folder: save(HALVES[0], folder / "model-00003-of-00003.safetensors"),
        "of its shards model-00003-of-00003.safetensors not named by it",
    ),
    "a doubled tensor": (
        lambda folder: save({**HALVES[0], **dict([*HALVES[1].items()][:1])}, shard(folder, 1)),
        f"not the shard that the index tells of: {next(iter(HALVES[1]))} is not its own",
    ),
    "a tensor that is gone": (
        lambda folder: save(dict([*HALVES[0].items()][1:]), shard(folder, 1)),
        f"not the shard that the index tells of: {next(iter(HALVES[0]))} is not in it",
    ),
    "a cut shard": (
        lambda folder: shard(folder, 2).write_bytes(shard(folder, 2).read_bytes()[:-1]),
        "not a complete safetensors file",
    ),
    "a path in the index": (
        lambda folder: write_shards(folder, weight_map={"a": "../x.safetensors"}),
        "'../x.safetensors' is no name of a shard beside it",
    ),
    "no map in the index": (
        lambda folder: write_shards(folder, weight_map={}),
        "it has no weight_map",
    ),
    "no JSON in the index": (
        lambda folder: (folder / "model.safetensors.index.json").write_text("[" * 10**5),
        "no object of JSON",
    ),
    "a second network": (
        lambda folder: save(WEIGHTS, folder / "ema.safetensors"),
        "the folder has ema.safetensors, model.safetensors.index.json, expected one file",
    ),
    "two things said": (
        lambda folder: [
            safetensors.torch.save_file(half, shard(folder, at), {"step": str(at)})
            for at, half in enumerate(HALVES, start=1)
        ],
        "its files say two things of 'step': '1' and '2'",
    ),
    "a map with a name twice": (
        lambda folder: (folder / "model.safetensors.index.json").write_text(
            '{"weight_map": {"a": "b.bin", "a": "c.bin"}}'
        ),
        "no object of JSON",
    ),
    "escapes in the map": (
        lambda folder: write_shards(folder, weight_map={"a": "\x1b[2J.bin"}),
        "'?[2J.bin' is no name of a shard beside it",
    ),
    "a long name in the map": (
        lambda folder: write_shards(folder, weight_map={"a": "x" * 300 + ".bin"}),
        "is no name of a shard beside it",
    ),
    "a second file of weights": (
        lambda folder: torch.save(WEIGHTS, folder / "pytorch_model.bin"),
        "the folder has model.safetensors.index.json, pytorch_model.bin, expected one file",
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_does_not_agree_is_refused(tmp_path, how):
    spoil, said = SPOILED[how]
    write_shards(tmp_path)
    spoil(tmp_path)
    with pytest.raises(CheckpointError) as told:
        read(tmp_path)
    assert said in told.value.found


def test_a_config_tells_the_heads(tmp_path):
    safetensors.torch.save_file(bridge_state_dict(WEIGHTS), tmp_path / "model.safetensors")
    for said, heads in (({}, 1), ({"n_heads": 2}, 2), ({"num_attention_heads": 3}, 3)):
        (tmp_path / "config.json").write_text(json.dumps(said))
        assert read(tmp_path)["blocks.0.attn.W_Q"].shape == (heads, 6, 6 // heads)
    (tmp_path / "config.json").write_text(json.dumps({"n_heads": None}))
    assert read(tmp_path)["blocks.0.attn.W_Q"].shape[0] == 1
    (tmp_path / "config.json").write_text(json.dumps({"n_heads": 2, "n_head": 3}))
    with pytest.raises(CheckpointError, match="it says 2 and 3 heads"):
        read(tmp_path)


def test_a_config_and_metadata_agree(tmp_path):
    bridge = bridge_state_dict(WEIGHTS)
    safetensors.torch.save_file(bridge, tmp_path / "model.safetensors", {"n_heads": "1"})
    (tmp_path / "config.json").write_text(json.dumps({"n_heads": 2}))
    with pytest.raises(CheckpointError, match="its files say two things of 'n_heads': '1' and '2'"):
        read(tmp_path)


def without_unembedding() -> dict[str, torch.Tensor]:
    return {name: one for name, one in WEIGHTS.items() if name != "unembed.W_U"}


def test_a_missing_unembedding_is_the_embedding_only_where_that_is_said(tmp_path):
    save(without_unembedding(), tmp_path / "model.safetensors")
    config, tied = tmp_path / "config.json", replace(FAMILY, tied=True)
    expected = rearrange(WEIGHTS["embed.W_E"][:-1], "token d_model -> d_model token")
    for said in ({}, {"tie_word_embeddings": False}, {"tie_word_embeddings": "yes"}):
        config.write_text(json.dumps(said))
        with pytest.raises(CheckpointError, match=r"unembed\.W_U missing"):
            read(tmp_path)
    config.write_text(json.dumps({"tie_word_embeddings": True}))
    assert torch.equal(read(tmp_path)["unembed.W_U"], expected)
    checkpoint = read_checkpoint(tmp_path / "model.safetensors", "min_of_two", tied)
    assert torch.equal(tied.build(checkpoint, CPU).weights.W_U, expected.double())
    control = tied.reading.canonical(tied.untrained(checkpoint))
    answers = rearrange(control["embed.W_E"][:-1], "token d_model -> d_model token")
    assert torch.equal(control["unembed.W_U"], answers), "the control is tied too"
    both = {**WEIGHTS, "unembed.W_U": expected.contiguous()}
    save(both, tmp_path / "model.safetensors")
    assert torch.equal(read(tmp_path)["unembed.W_U"], expected)
    save(WEIGHTS, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="said to be tied, and its unembedding is not its"):
        read(tmp_path)


def test_weights_that_safetensors_left_out_as_tied(tmp_path):
    """`save_model` keeps one of several, and says which in the metadata."""

    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
            self.other.weight = self.one.weight

    model = Tied()
    safetensors.torch.save_model(model, str(tmp_path / "tied.safetensors"))
    read = read_checkpoint(tmp_path / "tied.safetensors", "x").tensors
    expected = model.state_dict()
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_folders_are_given_by_name_and_by_a_glob(tmp_path, run_claims):
    """As a training loop leaves them, with its own state beside the weights."""
    weights = canonical_weights(read_checkpoint(FAMILY.reference, "min_of_two", FAMILY))
    for step in (100, 200):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        save(dict(weights), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"n_heads": 1}))
        torch.save({"lr": 0.1}, folder / "optimizer.pt")
    part = "claims/min_of_two/test_behavior.py"
    run = run_claims(part, f"--checkpoint={tmp_path}/checkpoint-*")
    assert run.status == 0, run.output
    assert len(run.claims) == 6
    run = run_claims(part, f"--checkpoint={tmp_path}/checkpoint-100")
    assert run.status == 0, run.output
    assert len(run.claims) == 3
