"""Files as training loops write them: the weights are found, and all else is passed over."""

from __future__ import annotations

import argparse
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import safetensors.torch
import torch

from mechanistic_claims.checkpoint.checkpoint import CheckpointError
from mechanistic_claims.checkpoint.read import read_checkpoint
from models.min_of_two import FAMILY
from models.min_of_two.weights import NAMES, bridge_state_dict, canonical_weights
from tests.checkpoint.hostile_pickles import archive, operations, program, storage, tensor
from tests.checkpoint.known import Named
from tests.conftest import small_weights

WEIGHTS = small_weights()
OTHERS = {name: one + 1 for name, one in WEIGHTS.items()}


def prefixed(prefix: str, weights: dict[str, torch.Tensor] = WEIGHTS) -> dict[str, torch.Tensor]:
    return {prefix + name: one for name, one in weights.items()}


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch executed",)


def of_training_loops():
    """What is saved, and what is said of it, by what it is like."""
    layer = torch.nn.Linear(3, 4)
    with torch.enable_grad():
        optimizer = torch.optim.AdamW(layer.parameters())
        layer(torch.ones(3)).sum().backward()
        optimizer.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    scalar, options = numpy.float64(0.1), argparse.Namespace(lr=0.1, out=Path("runs"))
    states = {
        "torch_state": torch.get_rng_state(),
        "numpy_state": numpy.random.get_state(),
        "python_state": random.getstate(),
    }
    lightning = {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**prefixed("model."), "loss.weight": torch.ones(2)},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.1)}},
        "hyper_parameters": {"lr": scalar, "path": Path("x")},
        "optimizer_states": [optimizer.state_dict()],
    }
    return {
        "a scalar of numpy": (
            {"model": WEIGHTS, "lr": scalar},
            "weights at model; ignored: lr (numpy._core.multiarray.scalar)",
        ),
        "arguments": (
            {"net": WEIGHTS, "args": options},
            "weights at net; ignored: args (argparse.Namespace)",
        ),
        "random states": (
            {"params": WEIGHTS, **states},
            "weights at params; ignored: torch_state (Tensor), numpy_state (tuple), "
            "python_state (tuple)",
        ),
        "optimizer and scheduler": (
            {"weights": WEIGHTS, "optimizer": optimizer.state_dict(), "scheduler": scheduler},
            "weights at weights; ignored: optimizer (dict), "
            "scheduler (torch.optim.lr_scheduler.CosineAnnealingLR)",
        ),
        "lightning": (
            lightning,
            "weights at state_dict.model; ignored: epoch (int), "
            "pytorch-lightning_version (str), callbacks (dict), hyper_parameters (dict), "
            "optimizer_states (list), loss.weight (Tensor)",
        ),
        "a prefix": (prefixed("transformer."), "weights at transformer"),
        "names of the bridge": (
            {"module": bridge_state_dict(WEIGHTS)},
            "weights at module; read as one head: nothing says how many there are",
        ),
        "names of the bridge, and a config": (
            {"model": bridge_state_dict(WEIGHTS), "model_args": {"n_head": 1, "n_layer": 1}},
            "weights at model; ignored: model_args (dict)",
        ),
        "modules that are wrapped": (
            {name.replace("attn.", "_orig_mod.attn."): one for name, one in WEIGHTS.items()},
            "",
        ),
        "in a list": ({"models": [WEIGHTS]}, "weights at models.0"),
        "beside what is nested": (
            {**WEIGHTS, "loss": [0.5, 0.1]},
            "ignored: loss (list)",
        ),
        "an average": (
            {"n_averaged": torch.tensor(3), **prefixed("module.")},
            "weights at module; ignored: n_averaged (Tensor)",
        ),
        "one dict under two names": (
            {"last": WEIGHTS, "best": WEIGHTS},
            "weights at last; ignored: best (dict)",
        ),
        "what would run code": (
            {"model": WEIGHTS, "callback": RunsCode(), "losses": [0.5] * 1000},
            "weights at model; ignored: callback (posix.system), losses (list)",
        ),
        "weights alone": (WEIGHTS, ""),
    }


@pytest.mark.parametrize("suffix", [".ckpt", ".bin", ".pt"])
@pytest.mark.parametrize("like", of_training_loops())
def test_the_weights_are_found(tmp_path, monkeypatch, like, suffix):
    monkeypatch.chdir(tmp_path)
    content, said = of_training_loops()[like]
    for archived in (True, False):
        path = Path(f"saved{suffix}")
        torch.save(content, path, _use_new_zipfile_serialization=archived)
        checkpoint = read_checkpoint(path, "min_of_two", FAMILY)
        read = canonical_weights(checkpoint)
        assert all(torch.equal(read[name], WEIGHTS[name]) for name in NAMES.axes)
        assert checkpoint.source == said
    assert not Path("executed").exists()


def test_a_part_is_never_completed(tmp_path):
    """Whichever is missing, wherever the others are."""
    for missing in NAMES.axes:
        if "b_" in missing or "pos" in missing:
            continue  # zero where a file has none of their group
        rest = {name: one for name, one in WEIGHTS.items() if name != missing}
        torch.save({"state_dict": prefixed("model.", rest), "epoch": 3}, tmp_path / "saved.pt")
        with pytest.raises(CheckpointError, match=f"{missing} missing") as told:
            read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY)
        assert "looked for at state_dict.model. Ignored: epoch (int)." in told.value.found


@pytest.mark.parametrize("name", NAMES.axes)
def test_what_is_no_tensor_is_no_weight(tmp_path, name):
    """Nor is it one that the model has not: a bias would be zero."""
    for other, kind in ((RunsCode(), "posix.system"), (numpy.ones(3), "numpy"), (1.0, "float")):
        torch.save({"model": {**WEIGHTS, name: other}}, tmp_path / "saved.pt")
        with pytest.raises(CheckpointError, match=rf"{name} is a {kind}.*, expected a dense"):
            read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY)


def test_of_names_alone_what_is_beside_weights_of_a_module_is_one_of_them(tmp_path):
    weights = {"read.weight": torch.ones(2), "write.weight": torch.ones(2)}
    torch.save({**weights, "epoch": 3, "other.bias": numpy.ones(2)}, tmp_path / "saved.pt")
    assert len(read_checkpoint(tmp_path / "saved.pt", "x", Named(weights)).tensors) == 2
    torch.save({**weights, "read.bias": numpy.ones(2)}, tmp_path / "saved.pt")
    with pytest.raises(CheckpointError, match=r"read.bias is a numpy"):
        read_checkpoint(tmp_path / "saved.pt", "x", Named(weights))


class Scaled(torch.Tensor):
    """Numbers that mean something else than they are."""


def test_a_weight_of_a_class_of_its_own_is_none(tmp_path):
    scaled = WEIGHTS["unembed.W_U"].clone().as_subclass(Scaled)
    torch.save({**WEIGHTS, "unembed.W_U": scaled}, tmp_path / "saved.pt")
    with pytest.raises(CheckpointError, match=r"unembed.W_U is stored as a .*\.Scaled, expected"):
        read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY)


def test_types_are_made_the_widest(tmp_path):
    half = {name: one.half() if "embed" in name else one for name, one in WEIGHTS.items()}
    half["blocks.0.attn.W_Q"] = half["blocks.0.attn.W_Q"].bfloat16()
    buffers = {"blocks.0.attn.mask": torch.ones(3, 3).bool(), "blocks.0.attn.IGNORE": -torch.inf}
    buffers["blocks.0.attn.IGNORE"] = torch.tensor(-torch.inf, dtype=torch.float64)
    torch.save({**half, **buffers}, tmp_path / "saved.pt")
    checkpoint = read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY)
    assert checkpoint.source == "1 of bfloat16 and 4 of float16 and 7 of float32, judged in float32"
    assert checkpoint.dtype == "float32"
    assert all(
        torch.equal(checkpoint.tensors[name], half[name].float()) for name in checkpoint.tensors
    )
    both = {"a": torch.ones(2).half(), "b": torch.ones(2).bfloat16() * 3}
    torch.save(both, tmp_path / "both.pt")
    wider = read_checkpoint(tmp_path / "both.pt", "x", Named("ab"))
    assert wider.dtype == "float32", "neither has all numbers of the other"


def test_stacked_heads_are_as_many_as_the_file_says(tmp_path):
    """In a config of whatever shape; what says two things is refused."""
    bridge = bridge_state_dict(small_weights(d_model=6))
    for beside, heads in (
        ({"config": {"n_heads": 2}}, 2),
        ({"hyper_parameters": {"model": {"num_attention_heads": 3}}}, 3),
        ({"lr": 0.1}, 1),
    ):
        torch.save({"model": bridge, **beside}, tmp_path / "saved.pt")
        read = canonical_weights(read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY))
        assert read["blocks.0.attn.W_Q"].shape == (heads, 6, 6 // heads)
    two = {"model": bridge, "student": {"n_heads": 2}, "teacher": {"n_heads": 3}}
    torch.save(two, tmp_path / "saved.pt")
    with pytest.raises(CheckpointError, match="it says n_heads = '2 or 3'"):
        read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY)


def test_stacked_heads_are_as_many_as_the_family_says(tmp_path):
    """Unless the file has another number that fits as well."""
    family = replace(FAMILY, heads=2)
    bridge = bridge_state_dict(small_weights(d_model=6))

    def read(weights, **beside):
        torch.save({"model": weights, **beside}, tmp_path / "saved.pt")
        checkpoint = read_checkpoint(tmp_path / "saved.pt", "min_of_two", family)
        return family.reading.canonical(checkpoint)

    for beside in ({"n_head": 2}, {"n_head": 4}, {"n_head": 3, "heads": 1}, {"lr": 3}):
        assert read(bridge, config=beside)["blocks.0.attn.W_Q"].shape == (2, 6, 3)
    said = "it says 3 heads beside the weights, and FAMILY says heads=2; the 6 rows of blocks.0"
    with pytest.raises(CheckpointError, match=said):
        read(bridge, config={"heads": 3})
    with pytest.raises(CheckpointError, match=said) as told:
        read(bridge, config={"n_head": 3})
    assert "Write heads=3 in FAMILY, or take the number out of the file" in str(told.value)
    apart = read(bridge)
    assert read(apart, config={"n_head": 3}).keys() == apart.keys(), "their shapes tell it"


def test_what_a_loop_keeps_beside_the_weights_may_be_much(tmp_path):
    """Megabytes that are no tensors, thousands of parameters of an optimizer, hours of losses."""
    moments = {at: {"exp_avg": torch.ones(1), "step": 3} for at in range(2_000)}
    for beside in ({"losses": numpy.zeros(700_000)}, {"optimizer": moments}, {"l": [0.5] * 10**5}):
        torch.save({"model": WEIGHTS, **beside}, tmp_path / "saved.pt")
        assert read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY).tensors
    torch.save({"model": WEIGHTS, "losses": [0.5] * 10**6}, tmp_path / "saved.pt")
    with pytest.raises(CheckpointError, match="more than is looked through") as told:
        read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY)
    assert "Save the weights alone" in told.value.remedy


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of git-lfs"),
        (b"\x1f\x8b\x08" + bytes(20), "compressed by gzip"),
    ],
)
def test_what_is_often_taken_for_a_checkpoint_is_named(tmp_path, content, said):
    for name in ("saved.pt", "saved.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=said):
            read_checkpoint(tmp_path / name, "min_of_two", FAMILY)


def test_a_file_is_known_by_its_content(tmp_path):
    safetensors.torch.save_file(WEIGHTS, tmp_path / "saved.pt")
    torch.save(WEIGHTS, tmp_path / "saved.safetensors")
    for name in ("saved.pt", "saved.safetensors"):
        read = read_checkpoint(tmp_path / name, "min_of_two", FAMILY).tensors
        assert all(torch.equal(read[n], WEIGHTS[n]) for n in WEIGHTS)


def test_names_that_are_there_twice_or_look_so(tmp_path):
    of = tensor((4,), (1,), of=storage(4))
    for names, said in (
        (("a", "a"), "'a' is there twice"),
        (("a", "\N{FULLWIDTH LATIN SMALL LETTER A}"), r"the names a and \\uff41 look like one"),
        (("é", "e\N{COMBINING ACUTE ACCENT}"), r"the names \\xe9 and e\\u0301 look like one"),
    ):
        steps = program(b"}(" + b"".join(operations(name) + of for name in names) + b"u")
        path = tmp_path / "saved.pt"
        path.write_bytes(archive(steps, **{"data/0": bytes(16)}))
        with pytest.raises(CheckpointError, match=said):
            read_checkpoint(path, "x", Named(names))
        steps = program(
            b"}(" + operations("model") + b"}(" + operations("a") + of + b"u"
            + operations("other") + b"}(" + b"".join(operations(n) + of for n in names) + b"uu"
        )  # fmt: skip
        path.write_bytes(archive(steps, **{"data/0": bytes(16)}))
        if names != ("a", "a"):
            assert read_checkpoint(path, "x", Named("a")).source.startswith("weights at model")
