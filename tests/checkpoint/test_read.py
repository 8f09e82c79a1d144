"""Reading: every form that is promised, and one clear sentence for everything else."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from einops import rearrange

from mechanistic_claims.checkpoint.checkpoint import CheckpointError
from mechanistic_claims.checkpoint.read import read_checkpoint
from models.min_of_two import FAMILY
from models.min_of_two.weights import NAMES, bridge_state_dict, canonical_weights
from tests.checkpoint.known import Named
from tests.conftest import CPU, REAL, small_weights, subject_of

CANONICAL = small_weights()
BRIDGE = bridge_state_dict(CANONICAL)
WITH_BUFFERS = {
    **CANONICAL,
    "blocks.0.attn.mask": torch.ones(3, 3).bool(),
    "blocks.0.attn.IGNORE": torch.tensor(-torch.inf, dtype=torch.float64),
}


FLOAT8 = torch.float8_e4m3fn


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in CANONICAL.items()}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_format_and_type(tmp_path, suffix, dtype):
    path = tmp_path / f"model{suffix}"
    stored = {name: tensor.to(dtype) for name, tensor in BRIDGE.items()}
    save = safetensors.torch.save_file if suffix == ".safetensors" else torch.save
    save(stored, path)
    subject = subject_of(path)
    read = canonical_weights(subject.checkpoint)
    assert all(torch.equal(read[name], CANONICAL[name].to(dtype)) for name in NAMES.axes)
    assert subject.activations.logits.dtype == dtype


@pytest.mark.parametrize(
    "content",
    [
        CANONICAL,
        WITH_BUFFERS,
        BRIDGE,
        {"state_dict": CANONICAL, "epoch": 3},
        {"model": CANONICAL, "optimizer": {"lr": 0.1, "exp_avg": [torch.zeros(2)]}},
        {"model_state_dict": BRIDGE},
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
        prefixed("_orig_mod.module."),
        {name: torch.nn.Parameter(tensor) for name, tensor in CANONICAL.items()},
    ],
    ids=lambda content: next(iter(content)),
)
def test_every_way_of_naming(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    read = canonical_weights(read_checkpoint(tmp_path / "model.pt", "min_of_two", FAMILY))
    assert list(read) == list(NAMES.axes)
    assert all(torch.equal(read[name], CANONICAL[name]) for name in NAMES.axes)


def test_what_is_read_is_what_torch_loads(tmp_path):
    """In both formats, with tensors that share storage, beside everything that training keeps."""
    layer = torch.nn.Linear(3, 4)
    with torch.enable_grad():
        optimizer = torch.optim.AdamW(layer.parameters())
        layer(torch.ones(3)).sum().backward()
        optimizer.step()
    large = torch.arange(24.0).reshape(4, 6)
    marked = torch.nn.Parameter(large.clone())
    marked.mark = "kept"
    weights = {
        "whole": large,
        "transposed": large.T,
        "part": large[1:, ::2],
        "expanded": large[:1].expand(3, 6),
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(3.0),
        "parameter": marked,
    }
    beside = {
        "optimizer": optimizer.state_dict(),
        "schedule": torch.optim.lr_scheduler.MultiStepLR(optimizer, [3]).state_dict(),
        "random": torch.get_rng_state(),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "others": [{1, 2}, b"bytes", bytearray(b"more"), 2**70, 1j, None, True, (1, 2, 3, 4)],
    }
    for archive in (True, False):
        path = tmp_path / "model.pt"
        content = {"model": weights, **beside}
        torch.save(content, path, _use_new_zipfile_serialization=archive)
        theirs = torch.load(path, weights_only=True)["model"]
        ours = read_checkpoint(path, "min_of_two", Named(weights)).tensors
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path, status = tmp_path / "model.pt", os.fstat
    torch.save(CANONICAL, path)

    def status_before_it_is_written(descriptor: int) -> os.stat_result:
        now = status(descriptor)
        path.write_bytes(b"another")
        return now

    monkeypatch.setattr(os, "fstat", status_before_it_is_written)
    with pytest.raises(CheckpointError, match="changed while it was read"):
        read_checkpoint(path, "min_of_two")


def test_names_agree_with_transformer_lens(tmp_path):
    """HookedTransformer names become the bridge's as transformer_lens itself converts them."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    config = TransformerBridgeConfig(
        n_layers=1, n_heads=1, d_model=5, d_head=5, n_ctx=3, d_vocab=8, d_vocab_out=7
    )
    theirs = convert_tl_checkpoint(WITH_BUFFERS, config)
    assert theirs.keys() == BRIDGE.keys()
    assert all(torch.equal(theirs[name], BRIDGE[name]) for name in BRIDGE)


def test_several_heads_are_read_from_their_shape(tmp_path):
    split = "1 d_model (head d_head) -> head d_model d_head"
    weights = {
        name: rearrange(tensor, split, head=2) if ".W_Q" in name or ".W_K" in name else tensor
        for name, tensor in small_weights(d_model=6).items()
    }
    for name in ("W_V", "b_Q", "b_K", "b_V", "W_O"):
        name = f"blocks.0.attn.{name}"
        weights[name] = torch.zeros(2, *([6] * name.endswith("W_V")), 3)
    weights["blocks.0.attn.W_O"] = torch.zeros(2, 3, 6)
    torch.save(weights, tmp_path / "two.pt")
    assert subject_of(tmp_path / "two.pt").weights.heads == 2


def test_the_number_of_heads_is_said_in_the_metadata(save):
    path = save(small_weights(d_model=6), n_heads="2")
    assert subject_of(path).weights.heads == 2
    for said in ("4", "0", "two"):
        with pytest.raises(CheckpointError, match="n_heads"):
            subject_of(save(small_weights(d_model=6), n_heads=said))


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch executed",)


def without(name: str) -> dict[str, torch.Tensor]:
    return {other: tensor for other, tensor in CANONICAL.items() if other != name}


def with_value(name: str, value: float) -> dict[str, torch.Tensor]:
    changed = CANONICAL[name].clone()
    changed.view(-1)[0] = value
    return {**CANONICAL, name: changed}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (without("blocks.0.attn.W_O"), "blocks.0.attn.W_O missing (11 of 12 weights found)"),
        ({**CANONICAL, "blocks.1.attn.W_Q": torch.ones(1)}, "blocks.1.attn.W_Q unknown"),
        ({**CANONICAL, "blocks.0.mlp.W_in": torch.ones(1)}, "blocks.0.mlp.W_in unknown"),
        (
            {**CANONICAL, "unembed.W_U": torch.ones(5, 4)},
            "unembed.W_U is 5 x 4, expected 5 x 7 (d_model logit; embed.W_E has 8 tokens",
        ),
        ({**CANONICAL, "embed.W_E": torch.ones(8)}, "embed.W_E is 8, expected token x d_model"),
        (small_weights(1025, 1), "1,025 operands, expected 2 to 1,024"),
        ({**BRIDGE, "embed.weight": torch.ones(8)}, "embed.weight is 8, expected token d_model"),
        (with_value("unembed.W_U", float("nan")), "unembed.W_U has 1 of 35 values"),
        (with_value("embed.W_E", float("inf")), "not finite (infinite)"),
        ({**CANONICAL, "embed.W_E": CANONICAL["embed.W_E"].cfloat()}, "is torch.complex64"),
        ({**CANONICAL, "embed.W_E": CANONICAL["embed.W_E"].to(FLOAT8)}, "without their scales"),
        ({name: one.long() for name, one in CANONICAL.items()}, "is torch.int64"),
        ({**CANONICAL, "unembed.b_U": torch.ones(7).long()}, "unembed.b_U is torch.int64"),
        ({**CANONICAL, "embed.W_E": torch.ones(8, 5, device="meta")}, "stored as meta"),
        ({**CANONICAL, "embed.W_E": torch.ones(8, 5).to_sparse()}, "stored as sparse_coo"),
        ({}, "a dict of nothing"),
        ({"epoch": 3, "loss": 0.1}, "a dict of epoch (int), loss (float)"),
        ([1, 2, 3], "a list"),
        (torch.ones(3), "a Tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_checkpoint_is_said(tmp_path, content, said):
    path = tmp_path / "model.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError) as error:
        FAMILY.build(read_checkpoint(path, "min_of_two", FAMILY), CPU)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value).splitlines()) == 2, "what was found, then what to do"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors", b"", "the file is empty"),
        ("model.pt", b"", "the file is empty"),
        ("model.safetensors", b"not a checkpoint", "not a complete safetensors file (16 bytes"),
        ("model.pt", b"not a checkpoint", "not a complete torch.save file (16 bytes"),
        ("model.txt", b"x", "the suffix is '.txt'"),
        ("model", b"x", "the suffix is 'missing'"),
        ("model.pt", pickle.dumps(RunsCode()), "not a complete torch.save file (52 bytes"),
        ("model.safetensors", b"\x0f" + bytes(7) + b'{"a":[],"a":[]}', "'a' is there twice"),
    ],
)
def test_bytes_that_are_no_checkpoint(tmp_path, monkeypatch, name, content, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(said)):
        read_checkpoint(tmp_path / name, "min_of_two")
    assert not (tmp_path / "executed").exists()


def test_a_saved_object_is_named_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": RunsCode()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"holds a dict of state_dict \(posix.system\)"):
        read_checkpoint(tmp_path / "model.pt", "min_of_two")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_truncated_file(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    save = safetensors.torch.save_file if suffix == ".safetensors" else torch.save
    save(CANONICAL, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a complete"):
        read_checkpoint(path, "min_of_two")


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "none.pt", "min_of_two")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(CheckpointError, match="the folder has no file with weights"):
        read_checkpoint(tmp_path / "folder.pt", "min_of_two")


@pytest.mark.skipif(not REAL.exists(), reason=f"the write-up's checkpoint is not at {REAL.name}")
def test_the_real_checkpoint_was_saved_on_a_gpu():
    checkpoint = read_checkpoint(Path(REAL), "min_of_two", FAMILY)
    assert checkpoint.sha256.startswith("9141b3adae0b")
    assert canonical_weights(checkpoint)["unembed.W_U"].shape == (32, 200)


def test_a_family_that_says_nothing_where_a_file_fits(tmp_path):
    class Silent(Named):
        def fits(self, checkpoint):
            return super().fits(checkpoint) or None

    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    assert {*read_checkpoint(tmp_path / "a.pt", "x", Silent("a")).tensors} == {"a"}
    with pytest.raises(CheckpointError, match="its names are others"):
        read_checkpoint(tmp_path / "a.pt", "x", Silent("b"))
