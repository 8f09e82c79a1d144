"""Of several places in a file none is guessed: the author says which weights are meant."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.checkpoint.checkpoint import CheckpointError
from mechanistic_claims.checkpoint.read import read_checkpoint
from models.min_of_two import FAMILY
from models.min_of_two.weights import canonical_weights
from tests.checkpoint.test_training_loops import OTHERS, WEIGHTS, prefixed

TWO = {
    "two dicts": ({"model": WEIGHTS, "ema": OTHERS}, ("model", "ema")),
    "two networks": (
        {"state_dict": {**prefixed("student."), **prefixed("teacher.", OTHERS)}},
        ("student", "teacher"),
    ),
    "one in the other": ({**WEIGHTS, **prefixed("ema.", OTHERS)}, ("outermost", "ema")),
    "in a list": ({"steps": [WEIGHTS, OTHERS]}, ("steps.0", "steps.1")),
}


@pytest.mark.parametrize("like", TWO)
def test_of_two_places_none_is_guessed(tmp_path, like):
    content, places = TWO[like]
    path = tmp_path / "saved.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="2 places in it have weights of min_of_two") as told:
        read_checkpoint(path, "min_of_two", FAMILY)
    assert all(place in told.value.found for place in places)
    for place, weights in zip(places, (WEIGHTS, OTHERS), strict=True):
        read = read_checkpoint(path, "min_of_two", FAMILY, weights=place)
        assert all(torch.equal(read.tensors[name], weights[name]) for name in weights)
    with pytest.raises(CheckpointError, match=r"no weights of min_of_two at 'elsewhere': they are"):
        read_checkpoint(path, "min_of_two", FAMILY, weights="elsewhere")


def test_the_place_that_is_wanted_is_not_replaced_by_the_only_one(tmp_path):
    torch.save({"model": WEIGHTS}, tmp_path / "saved.pt")
    with pytest.raises(CheckpointError, match="Give --weights model, or leave it away"):
        read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY, weights="ema")


@pytest.mark.parametrize("in_one_dict", [True, False])
def test_nor_is_the_only_whole_one_of_two(tmp_path, in_one_dict):
    """A network with a weight too many, and its average without: which is meant?"""
    more = {**WEIGHTS, "blocks.0.mlp.W_in": torch.ones(2)}
    content = {"model": more, "ema": OTHERS}
    if in_one_dict:
        content = {**prefixed("model.", more), **prefixed("ema.", OTHERS)}
    torch.save(content, tmp_path / "saved.pt")
    with pytest.raises(CheckpointError, match="at ema are whole, and those at model are not") as no:
        read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY)
    assert "blocks.0.mlp.W_in unknown" in no.value.found
    read = read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY, weights="ema")
    assert torch.equal(read.tensors["embed.W_E"], OTHERS["embed.W_E"])


def test_a_weight_elsewhere_in_the_file_is_not_zero(tmp_path):
    """One that a model may be without, which the place of the others has not."""
    rest = {name: one for name, one in WEIGHTS.items() if name != "unembed.b_U"}
    bias = WEIGHTS["unembed.b_U"]
    for content in (
        {**prefixed("model.", rest), "unembed.b_U": bias},
        {"model": rest, "head": {"unembed.b_U": bias}},
        {**rest, "unembed.b_U\n": bias},
        {**rest, "unembed.b_U\u200b": bias},
    ):
        torch.save(content, tmp_path / "saved.pt")
        with pytest.raises(CheckpointError, match=r"unembed\.b_U"):
            read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY)
    torch.save({"model": rest, "epoch": 3}, tmp_path / "saved.pt")
    assert len(read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY).tensors) == len(rest)


def test_a_whole_module_beside_an_average_may_be_what_is_meant(tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2), "ema": WEIGHTS}, tmp_path / "saved.pt")
    with pytest.raises(CheckpointError, match=r"model is a torch\.nn.*, which is not looked into"):
        read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY)
    assert read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY, weights="ema").tensors


def test_what_is_wanted_and_does_not_fit_is_told_why(tmp_path):
    more = {**WEIGHTS, "blocks.1.mlp.W_in": torch.ones(2)}
    torch.save({"model": more, "ema": {"model": OTHERS}}, tmp_path / "saved.pt")
    with pytest.raises(CheckpointError, match=r"at model: .*blocks\.1\.mlp\.W_in unknown"):
        read_checkpoint(tmp_path / "saved.pt", "min_of_two", FAMILY, weights="model")


@pytest.mark.slow
def test_a_run_says_where_the_weights_were(tmp_path, run_claims):
    """In the terminal, in the file of verdicts, and the one that is chosen is the one judged."""
    weights = canonical_weights(read_checkpoint(FAMILY.reference, "min_of_two", FAMILY))
    content = {"model": {name: -one for name, one in weights.items()}, "ema": weights, "epoch": 3}
    torch.save(content, tmp_path / "saved.ckpt")
    part, given = "claims/min_of_two/test_behavior.py", f"--checkpoint={tmp_path}/saved.ckpt"
    run = run_claims(part, given, "--weights=ema")
    assert run.status == 0, run.output
    said = "weights at ema; ignored: model (dict), epoch (int)"
    assert said in run.output
    assert {claim["source"] for claim in run.claims.values()} == {said}
    run = run_claims(part, given)
    assert "2 places in it have weights of min_of_two: model, ema." in run.output
    assert {claim["verdict"] for claim in run.claims.values()} == {"error"}
