"""Whose names a checkpoint's weights go by: known ones, and such as can be guessed."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from mechanistic_claims.authoring.guessed import canonical_names, guessed
from mechanistic_claims.model.conventions import NANOGPT
from tests.authoring.own_modules import CONTEXT, TOKENS, Encoder, NanoGPT, OddNames, OwnNames
from tests.authoring.test_new import new, require_it_runs
from tests.runs import run_in_a_fork

GUESSED = {
    "own": (OwnNames, ["--mlp=gelu", "--heads=2"]),
    "odd": (OddNames, ["--mlp=gelu", "--heads=2"]),
    "encoder": (Encoder, ["--mlp=relu", "--heads=2", "--bidirectional"]),
}

slow = partial(pytest.param, marks=pytest.mark.slow)


def trained(make: type[nn.Module], *arguments: bool) -> nn.Module:
    """With weights that are far from those of an initialization, so that each of them matters."""
    torch.manual_seed(0)
    module = make(*arguments).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def expected_of(module: nn.Module) -> dict[str, Tensor]:
    tokens = torch.randint(TOKENS, (5, CONTEXT), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return {"inputs": tokens, "logits": module(tokens)}


@pytest.mark.parametrize("bias", [True, slow(False)])
def test_nanogpt_is_known(tmp_path, bias):
    """With the heads that stand beside the weights, and the mask in each layer."""
    module = trained(NanoGPT, bias)
    saved = {"model": module.state_dict(), "model_args": {"n_head": 2}, "iter_num": 5}
    torch.save(saved, tmp_path / "ckpt.pt")
    torch.save(expected_of(module), tmp_path / "ckpt.pt.expected")
    done = new(tmp_path, "nano", "--checkpoint=ckpt.pt", "--mlp=gelu")
    assert done.returncode == 0, done.stderr
    assert "names" not in (tmp_path / "models/nano/__init__.py").read_text()
    require_it_runs(tmp_path, "nano", "runs as its own module did on the 5 inputs")


def test_transposed_weights_are_none_of_nanogpt(tmp_path):
    """As transformers' GPT-2 holds them under the same names."""
    state = trained(NanoGPT, True).state_dict()
    turned = {n: t.T if re.search(r"c_.*weight", n) else t for n, t in state.items()}
    torch.save(turned, tmp_path / "gpt2.pt")
    done = new(tmp_path, "mine", "--checkpoint=gpt2.pt", "--mlp=gelu", "--heads=2")
    assert done.returncode == 2
    assert (
        "transformer.h.0.attn.c_attn.weight is 8 x 24, which is no (three head d_head) d_model "
        "with head = 2, three = 3"
    ) in done.stderr


@pytest.mark.parametrize("kind", [kind if kind == "own" else slow(kind) for kind in GUESSED])
def test_names_are_guessed_and_held_to_the_module(tmp_path, kind):
    """They are written only where the module's own answers are there, and refused where not its."""
    make, said = GUESSED[kind]
    module = trained(make)
    torch.save(module.state_dict(), tmp_path / "mine.pt")
    given = ["mine", "--checkpoint=mine.pt", *said]
    done = new(tmp_path, *given)
    assert done.returncode == 2
    assert "This is what they seem to be:\n    names={" in done.stderr
    assert "(...)" not in done.stderr
    assert "'mine.pt.expected'), and say the same again." in done.stderr
    assert not (tmp_path / "models").exists()
    torch.save(expected_of(module), tmp_path / "mine.pt.expected")
    done = new(tmp_path, *given)
    assert done.returncode == 0, done.stderr
    require_it_runs(tmp_path, "mine", "runs as its own module did on the 5 inputs")
    family = tmp_path / "models/mine/__init__.py"
    swapped = {"W_Q": "W_K", "W_K": "W_Q", "b_Q": "b_K", "b_K": "b_Q"}
    text = re.sub("|".join(swapped), lambda found: swapped[found[0]], family.read_text())
    family.write_text(text + "# of another size, or what Python has compiled would be run\n")
    run = run_in_a_fork("claims/mine", cwd=tmp_path)
    assert run.status == 1
    assert "it is not run as its own module ran it" in run.output


def shapes_of(*names: str) -> dict[str, Tensor]:
    return {name: torch.ones(4, 4) for name in names}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("h.0.attn.Wq.weight", "blocks.{}.attn.W_Q"),
        ("decoder.layers.1.self_attn.k_proj.bias", "blocks.{}.attn.b_K"),
        ("blocks.0.mha.W_V", "blocks.{}.attn.W_V"),
        ("layers.3.attn.to_out.0.weight", "blocks.{}.attn.W_O"),
        ("model.layers.0.ln_attn.weight", "blocks.{}.ln1.w"),
        ("blocks.0.mlp.fc2.weight", "blocks.{}.mlp.W_out"),
        ("blocks.0.feed_forward.w1.weight", "blocks.{}.mlp.W_in"),
        ("token_embedding.weight", "embed.W_E"),
        ("pos.weight", "pos_embed.W_pos"),
        ("final_norm.bias", "ln_final.b"),
        ("to_logits.weight", "unembed.W_U"),
    ],
)
def test_what_a_name_seems_to_be(name, meant):
    (guess,) = guessed(shapes_of(name)).found.values()
    assert guess[0] == meant


def test_what_can_not_be_told_is_said_of_none():
    """Words of nothing, and two names of one thing."""
    guesses = guessed(shapes_of("gate.weight", "head.weight", "out.weight", "h.0.attn.scale"))
    assert guesses.found == {}
    assert guesses.unknown == ["gate.weight", "head.weight", "out.weight", "h.{}.attn.scale"]
    known = shapes_of(*(name.format(0) for name in NANOGPT), "blocks.0.attn.W_Q")
    assert not guessed(known).sizes


def of_numbers(word: str, *inside: str, numbers: tuple[int, ...] = (0, 1)) -> dict[str, Tensor]:
    """The same names by each number of a module of this name."""
    return shapes_of(*(f"{word}.{at}.{name}.weight" for at in numbers for name in inside))


def test_layers_may_go_by_any_name():
    """If the same is by each number, from 0 on, and enough for an attention."""
    attention = ("attn.q", "attn.k", "attn.v", "attn.o")
    layers = guessed(of_numbers("stack", *attention)).found
    assert {name.split(".")[0] for name in layers} == {"stack"}
    assert len(layers) == 4
    assert all(name.startswith("stack.{}.") for name in layers)
    for other in (
        of_numbers("heads", *attention),
        of_numbers("stack", *attention[:3]),
        of_numbers("stack", *attention, numbers=(1, 2)),
        of_numbers("stack", *attention) | shapes_of("stack.2.attn.q.weight"),
    ):
        assert not any("{}" in name for name in guessed(other).found)
    within = guessed(of_numbers("stages.0.blocks", *attention)).found
    assert {name.rpartition(".attn")[0] for name in within} == {"stages.0.blocks.{}"}
    said = {"stack.1.attn.q.weight": ("blocks.1.attn.W_K", "a b -> a b")}
    names = canonical_names(of_numbers("stack", *attention), said)
    assert names["stack.1.attn.q.weight"] == ("blocks.1.attn.W_K",)


def of_a_layer(**changes: list[int]) -> dict[str, Tensor]:
    """An embedding and a layer of an MLP of 16 neurons; no word tells what isn't q, k or v."""
    known = {"q": [4, 4], "k": [4, 4], "v": [4, 4]}
    shapes = {f"attn.{name}": shape for name, shape in known.items()}
    shapes |= {"attn.mix": [4, 4], "one": [4], "two": [4], "wide": [16, 4], "narrow": [4, 16]}
    tensors = {f"h.0.{name}.weight": torch.ones(shape) for name, shape in shapes.items()}
    tensors["tok.weight"] = torch.ones(7, 4)
    return tensors | {name: torch.ones(shape) for name, shape in changes.items()}


def left(tensors: dict[str, Tensor]) -> dict[str, object]:
    """What weights are guessed to be that words don't tell."""
    words = ("mix", "one", "two", "wide", "narrow", "a", "b", "c", "d")
    found = {n.removesuffix(".weight"): of for n, (of, _) in guessed(tensors).found.items()}
    return {last: of for name, of in found.items() if (last := name.split(".")[-1]) in words}


def test_what_words_do_not_tell_is_what_is_left():
    """Biases go with their weights, and must fit too."""
    of = "blocks.{}."
    mlp = {"wide": f"{of}mlp.W_in", "narrow": f"{of}mlp.W_out"}
    norms, mix = {"one": f"{of}ln1.w", "two": f"{of}ln2.w"}, {"mix": f"{of}attn.W_O"}
    assert left(of_a_layer()) == norms | mlp | mix
    biased = guessed(of_a_layer(**{"h.0.attn.mix.bias": [4], "h.0.wide.bias": [16]})).found
    assert biased["h.{}.attn.mix.bias"] == (f"{of}attn.b_O", "d_model -> d_model")
    assert biased["h.{}.wide.bias"][0] == f"{of}mlp.b_in"
    assert left(of_a_layer(**{"h.0.wide.bias": [15]})) == norms | mix | {"narrow": mlp["narrow"]}
    apart = {name.replace("attn.q", "attn.a"): t for name, t in of_a_layer().items()}
    assert left(apart) == norms | mlp | {"a": f"{of}attn.W_Q"} | mix
    ends = {"a.weight": [9, 4], "b.weight": [4], "c.weight": [7, 4], "c.bias": [7]}
    outside = {"a": "pos_embed.W_pos", "b": "ln_final.w", "c": "unembed.W_U"}
    assert left(of_a_layer(**ends)) == norms | mlp | mix | outside


@pytest.mark.parametrize(
    ("more", "untold"),
    [
        ({"h.0.three.weight": [4]}, ["one", "two", "three"]),
        ({"h.0.gate.weight": [16, 4]}, ["wide", "gate"]),
        ({"h.0.attn.gate.weight": [4, 4]}, ["attn.mix", "attn.gate"]),
        ({"h.0.narrow.weight": [4, 15]}, ["one", "two", "wide", "narrow"]),
        ({"h.0.scale": [1]}, ["scale"]),
    ],
    ids=["vectors", "a gate", "square ones", "no way back", "a number"],
)
def test_what_is_left_can_be_ambiguous(more, untold):
    """As many as there are parts, or none of them is said; nor is it where no width is known."""
    unknown = [
        name.removeprefix("h.{}.").removesuffix(".weight")
        for name in guessed(of_a_layer(**more)).unknown
    ]
    assert unknown == untold


def test_masks_are_no_weights():
    """By their type or by their names."""
    tensors = {"layers.0.attn.causal_mask": torch.ones(4, 4), "steps": torch.ones(1).long()}
    assert guessed(tensors).beside == ("layers.*.attn.causal_mask", "steps")
