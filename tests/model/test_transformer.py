"""A family of transformers: every way to name its weights gives the network of the formulas."""

from __future__ import annotations

import re

import pytest
import torch
from einops import rearrange

from mechanistic_claims.checkpoint.checkpoint import CheckpointError
from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.model.forward import logits_of
from mechanistic_claims.model.transformer import transformer
from tests.plain_transformer import (
    AFTER,
    BEFORE,
    CPU,
    D_HEAD,
    D_MODEL,
    LOGITS,
    POSITIONS,
    TOKENS,
    Kind,
    Plain,
    Questions,
    checkpoint_of,
    subject_of,
)

KINDS = {
    "one layer of attention": Kind(layers=1, heads=1),
    "two layers, two heads": Kind(),
    "an MLP of relu": Kind(layers=1, mlp="relu"),
    "two layers, MLPs of gelu, LayerNorm": Kind(mlp="gelu", norm="LN"),
    "one layer without a mask": Kind(layers=1, attention="bidirectional"),
    "norms after attention and MLPs": Kind(mlp="relu", norm="LN", norm_at=AFTER),
    "norms after attention, and at the end": Kind(norm="LN", norm_at=(AFTER[0], "end")),
    "RMSNorms, MLPs of gelu by tanh": Kind(mlp="gelu_new", norm="RMS", epsilon=1e-6),
    "a norm before attention alone": Kind(mlp="relu", norm="LN", norm_at=BEFORE[:1]),
    "a norm before MLPs alone, of RMS": Kind(mlp="relu", norm="RMS", norm_at=BEFORE[1:2]),
}
STACK = "head d_model d_head -> (head d_head) d_model"
BRIDGE = {
    "embed.W_E": ("embed.weight", None),
    "pos_embed.W_pos": ("pos_embed.weight", None),
    "unembed.W_U": ("unembed.weight", "d_model logit -> logit d_model"),
    "unembed.b_U": ("unembed.bias", None),
    "ln_final.w": ("ln_final.weight", None),
    "ln_final.b": ("ln_final.bias", None),
    "ln1.w": ("ln1.weight", None),
    "ln1.b": ("ln1.bias", None),
    "ln2.w": ("ln2.weight", None),
    "ln2.b": ("ln2.bias", None),
    "attn.W_Q": ("attn.q.weight", STACK),
    "attn.W_K": ("attn.k.weight", STACK),
    "attn.W_V": ("attn.v.weight", STACK),
    "attn.W_O": ("attn.o.weight", "head d_head d_model -> d_model (head d_head)"),
    "attn.b_Q": ("attn.q.bias", "head d_head -> (head d_head)"),
    "attn.b_K": ("attn.k.bias", "head d_head -> (head d_head)"),
    "attn.b_V": ("attn.v.bias", "head d_head -> (head d_head)"),
    "attn.b_O": ("attn.o.bias", None),
    "mlp.W_in": ("mlp.in.weight", "d_model d_mlp -> d_mlp d_model"),
    "mlp.b_in": ("mlp.in.bias", None),
    "mlp.W_out": ("mlp.out.weight", "d_mlp d_model -> d_model d_mlp"),
    "mlp.b_out": ("mlp.out.bias", None),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def under_bridge_names(weights):
    found = {}
    for name, weight in weights.items():
        block, within = name.rsplit(".", 2)[0], ".".join(name.split(".")[-2:])
        other, pattern = BRIDGE[within]
        before = f"{block}." if name.startswith("blocks.") else ""
        found[before + other] = weight if pattern is None else rearrange(weight, pattern)
    return found


def logits_of_subject(subject):
    found = subject.activations.logits
    return rearrange(found, "(input position) logit -> input position logit", position=POSITIONS)


@pytest.fixture
def task():
    """Asked at every position."""
    asked = Questions()
    asked.answer_positions = tuple(range(POSITIONS))
    asked.labels = torch.zeros(len(asked.inputs) * POSITIONS, dtype=torch.long)
    return asked


@each_kind
def test_both_ways_to_name_weights_give_the_network_of_the_formulas(kind, task):
    family, weights = kind.family(lambda *_: task, heads=kind.heads), kind.weights()
    expected = Plain(kind, weights, task.inputs).logits
    for tensors in (weights, under_bridge_names(weights)):
        found = logits_of_subject(subject_of(family, tensors))
        assert found.dtype == torch.float64
        assert (found - expected).abs().max() < 1e-10
    seeds, after = (
        {name: weight[None] for name, weight in weights.items()},
        AFTER[0] in kind.norm_at,
    )
    more = {"norms_after": after, "epsilon": kind.epsilon, "mlp": kind.mlp or "relu"}
    found = logits_of(seeds, task.inputs, attention=kind.attention, **more)[0]
    assert (found - expected).abs().max() < 1e-10


@each_kind
def test_weights_are_read_exactly_and_written_back(kind, task):
    family, weights = kind.family(lambda *_: task, heads=kind.heads), kind.weights()
    stacked = under_bridge_names(weights)
    found = family.reading.canonical(checkpoint_of(stacked))
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    again = family.reading.names.under_bridge_names(found)
    assert again.keys() == stacked.keys()
    assert all(torch.equal(again[name], stacked[name]) for name in stacked)
    exact = subject_of(family, weights).weights
    for letter in "QKVO":
        of_layers = [weights[f"blocks.{i}.attn.W_{letter}"] for i in range(kind.layers)]
        assert torch.equal(getattr(exact, f"W_{letter}"), torch.stack(of_layers))
    assert all(torch.equal(exact[name], weights[name]) for name in weights if ".b_" in name)
    assert exact.normalized == (kind.norm is not None)


def test_the_sizes_are_those_of_the_file(task):
    """The number of heads too, where each has a matrix of its own."""
    given = []
    family = Kind(mlp="relu").family(lambda sizes, device: given.append(sizes) or task)
    family.build(checkpoint_of(Kind(mlp="relu", heads=3).weights()), CPU)
    assert vars(given[0]) == {
        "tokens": 11, "logits": 9, "context": 6, "layers": 2, "heads": 3, "d_model": 8,
        "d_head": 3, "d_mlp": 10,
    }  # fmt: skip


@pytest.mark.parametrize("layers", [1, 2])
def test_biases_that_are_not_there_are_zero(task, layers):
    kind = Kind(layers=layers)
    weights = kind.weights()
    biases = {name for name in weights if ".b_" in name}
    zero = {name: torch.zeros_like(weights[name]) for name in biases}
    without = {name: weight for name, weight in weights.items() if name not in biases}
    found = logits_of_subject(kind.subject(task, without))
    expected = Plain(kind, without | zero, task.inputs).logits
    assert (found - expected).abs().max() < 1e-10


@pytest.mark.parametrize(
    "absent", ["blocks.1.attn.b_O", "blocks.0.attn.b_Q", "pos_embed.W_pos", "blocks.0.mlp.b_in"]
)
@pytest.mark.parametrize("rename", [dict, under_bridge_names], ids=["canonical", "bridge"])
def test_a_group_of_biases_that_is_there_in_part_is_an_error(task, absent, rename):
    kind = Kind(mlp="relu")
    weights = {name: weight for name, weight in kind.weights().items() if name != absent}
    family = kind.family(lambda *_: task, heads=2)
    assert f"{absent} missing (27 of 28 weights found)" in family.fits(
        checkpoint_of(rename(weights))
    )


def test_fits_tells_why_a_file_is_none_of_them(task):
    kind = Kind(mlp="gelu", norm="LN")
    family, weights = kind.family(lambda *_: task), kind.weights()
    assert family.fits(checkpoint_of(weights)) == ""
    of_one_layer = {n: w for n, w in weights.items() if not n.startswith("blocks.1")}
    why = family.fits(checkpoint_of(of_one_layer))
    assert "blocks.1.attn.W_K, blocks.1.attn.W_O, blocks.1.attn.W_Q and 13 more missing" in why
    assert why.endswith("weights found): it has 1 layer, and FAMILY says layers=2.")
    of_three = weights | {n.replace("s.1", "s.2"): w for n, w in weights.items() if "s.1" in n}
    why = family.fits(checkpoint_of(of_three))
    assert "blocks.2.attn.W_O, blocks.2.attn.W_Q and 13 more unknown" in why
    assert why.endswith(": it has 3 layers, and FAMILY says layers=2.")
    assert "layers=2" not in family.fits(checkpoint_of(weights | {"other": weights["embed.W_E"]}))
    assert "ln1" in Kind(mlp="gelu").family(lambda *_: task).fits(checkpoint_of(weights))
    assert "mlp" in Kind(norm="LN").family(lambda *_: task).fits(checkpoint_of(weights))
    for name, wrong, said in (
        ("blocks.1.attn.W_K", torch.zeros(2, D_MODEL, D_HEAD + 1), "2 x 8 x 4, expected 2 x 8 x 3"),
        ("unembed.W_U", torch.zeros(D_MODEL, LOGITS + 1), "8 x 10, expected 8 x 9"),
        ("blocks.0.attn.W_Q", torch.zeros(D_MODEL, D_HEAD), "8 x 3, expected head x 8 x d_head"),
    ):
        why = family.fits(checkpoint_of(weights | {name: wrong.double()}))
        assert f"not a checkpoint of some_model: {name} is {said}" in why
    three = Kind(mlp="gelu", norm="LN", heads=3).weights()
    assert "W_Q is 3 x 8 x 3, expected 2 x 8 x 3" in kind.family(lambda *_: task, heads=2).fits(
        checkpoint_of(three)
    )


def test_positions_are_part_of_a_model_that_has_trained_ones(task):
    """Where it has none they may be absent, and inputs may be longer."""
    kind, weights = Kind(), Kind().weights()
    short = weights | {"pos_embed.W_pos": weights["pos_embed.W_pos"][:4]}
    family = kind.family(lambda *_: task)
    with pytest.raises(CheckpointError, match="4 positions, expected at least the 6 of an input"):
        family.build(checkpoint_of(short), CPU)
    del weights["pos_embed.W_pos"]
    assert "pos_embed.W_pos missing" in family.fits(checkpoint_of(weights))
    without = kind.family(lambda *_: task, positions=None)
    zero = weights | {"pos_embed.W_pos": torch.zeros(POSITIONS, D_MODEL).double()}
    expected = Plain(kind, zero, task.inputs).logits
    assert (logits_of_subject(subject_of(without, weights)) - expected).abs().max() < 1e-10
    longer = torch.cat([task.inputs, task.inputs], dim=1)
    zero["pos_embed.W_pos"] = torch.zeros(2 * POSITIONS, D_MODEL).double()
    model = without.build(checkpoint_of(weights), CPU).of_length(2 * POSITIONS)
    assert (model(longer) - Plain(kind, zero, longer).logits).abs().max() < 1e-10


def test_other_names_are_a_mapping_in_the_family(task):
    """As models/induction has it: another program's names, heads and embedding transposed."""
    transposed = "head d_head d_model -> head d_model d_head"
    names = {
        f"attn_blocks.{{}}.attn.W_{letter}": (f"blocks.{{}}.attn.W_{letter}", transposed)
        for letter in "QKV"
    }
    names["attn_blocks.{}.attn.W_O"] = (
        "blocks.{}.attn.W_O",
        "d_model (head d_head) -> head d_head d_model",
    )
    names["embed.W_E"] = ("embed.W_E", "d_model token -> token d_model")
    kind, weights = Kind(), Kind().weights()
    weights = {name: weight for name, weight in weights.items() if ".b_" not in name}
    older = {"embed.W_E": weights["embed.W_E"].T, "unembed.W_U": weights["unembed.W_U"]}
    older["pos_embed.W_pos"] = weights["pos_embed.W_pos"]
    for layer in (0, 1):
        of = f"blocks.{layer}.attn"
        for letter in "QKV":
            older[f"attn_{of}.W_{letter}"] = weights[f"{of}.W_{letter}"].mT
        heads = [weights[f"{of}.W_O"][head] for head in (0, 1)]
        older[f"attn_{of}.W_O"] = torch.cat(heads).T
    family = kind.family(lambda *_: task, names=names)
    expected = logits_of_subject(subject_of(family, weights))
    for tensors in (older, under_bridge_names(weights)):
        heads = {} if tensors is older else {"heads": 2}
        again = kind.family(lambda *_: task, names=names, **heads)
        assert torch.equal(logits_of_subject(subject_of(again, tensors)), expected)
    twice = older | {"blocks.0.attn.W_K": weights["blocks.0.attn.W_K"]}
    assert "there twice, under both of its names" in family.fits(checkpoint_of(twice))


FUSED = {
    "h.{}.c_attn.weight": (
        ("blocks.{}.attn.W_Q", "blocks.{}.attn.W_K", "blocks.{}.attn.W_V"),
        "(three head d_head) d_model -> three head d_model d_head",
    ),
    "h.{}.c_attn.bias": (
        ("blocks.{}.attn.b_Q", "blocks.{}.attn.b_K", "blocks.{}.attn.b_V"),
        "(three head d_head) -> three head d_head",
    ),
}


def test_a_name_may_hold_queries_keys_and_values(task):
    """Rows of c_attn are all queries, head by head, then all keys, then all values (GPT-2)."""
    kind, weights = Kind(), Kind().weights()
    fused = {name: weight for name, weight in weights.items() if "_O" in name or "attn" not in name}
    for layer in (0, 1):
        of = f"blocks.{layer}.attn"
        rows = [weights[f"{of}.W_{letter}"][head].T for letter in "QKV" for head in (0, 1)]
        fused[f"h.{layer}.c_attn.weight"] = torch.cat(rows)
        biases = [weights[f"{of}.b_{letter}"][head] for letter in "QKV" for head in (0, 1)]
        fused[f"h.{layer}.c_attn.bias"] = torch.cat(biases)
    family = kind.family(lambda *_: task, names=FUSED, heads=2)
    expected = logits_of_subject(subject_of(kind.family(lambda *_: task), weights))
    assert torch.equal(logits_of_subject(subject_of(family, fused)), expected)
    odd = fused | {"h.0.c_attn.weight": torch.ones(3 * 3 * D_HEAD, D_MODEL)}
    with pytest.raises(CheckpointError, match="n_heads = '2', which does not divide the"):
        family.reading.canonical(checkpoint_of(odd))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("blocks.{}.attn.W_QKV", "a b -> b a"), "'blocks.{}.attn.W_QKV', which no transformer"),
        ((("embed.W_E", "embed.W"), "a b -> b a"), "'embed.W', which no transformer has"),
        (("embed.W_E", "transposed"), "the einops pattern that leads there"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(task, given, said):
    family = Kind().family(lambda *_: task, names={"one.weight": given})
    with pytest.raises(CannotJudge, match=re.escape(said)) as raised:
        family.own({"one.weight"})
    assert "which no" not in said or "blocks.{}.attn.W_Q, " in str(raised.value)


def test_an_untrained_model_has_the_same_sizes_and_a_fixed_seed(task):
    """normal(0, 0.8 / sqrt(d_model)); biases are zero, norms change nothing."""
    kind = Kind(mlp="gelu", norm="LN")
    family, weights = kind.family(lambda *_: task), kind.weights()
    control = family.untrained(checkpoint_of(weights)).tensors
    assert {n: (w.shape, w.dtype) for n, w in control.items()} == {
        n: (w.shape, w.dtype) for n, w in weights.items()
    }
    assert family.fits(checkpoint_of(control)) == ""
    drawn = torch.cat([w.flatten() for name, w in control.items() if ".W_" in name])
    assert drawn.std().item() == pytest.approx(0.8 / D_MODEL**0.5, rel=0.1)
    assert len(drawn.unique()) == len(drawn)
    for name, weight in control.items():
        if ".W_" not in name:
            assert bool((weight == float(name.endswith(".w"))).all()), name
    again = family.untrained(checkpoint_of({n: w + 1 for n, w in weights.items()})).tensors
    assert all(torch.equal(again[name], control[name]) for name in control)
    without = kind.family(lambda *_: task, positions=None).untrained(checkpoint_of(weights))
    assert not without.tensors["pos_embed.W_pos"].any()


def test_tokens_without_a_logit_are_at_the_end(task):
    family = transformer(
        reference=checkpoint_of({}).path, task=lambda *_: task, layers=1, tokens_without_logit=3
    )
    weights = Kind(layers=1).weights()
    found = family.fits(checkpoint_of(weights))
    assert f"8 x 9, expected 8 x {TOKENS - 3}" in found
    assert "embed.W_E has 11 tokens, 3 of them without a logit" in found


def test_a_task_that_has_no_inputs_for_such_a_model_says_why():
    from mechanistic_claims.errors import CannotJudge

    def none_of(sizes, device):
        raise CannotJudge(f"{sizes.tokens} tokens, expected 12.")

    with pytest.raises(CheckpointError, match="11 tokens, expected 12"):
        Kind().family(none_of).build(checkpoint_of(Kind().weights()), CPU)


def test_a_task_is_imported_by_its_name(task):
    """Only when a model is built."""
    family = Kind().family("tests.model.test_transformer:named")
    named.task = task
    assert family.build(checkpoint_of(Kind().weights()), CPU).task is task


def named(sizes, device):
    return named.task
