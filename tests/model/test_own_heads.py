"""Heads of a module of one's own: what is known of them is as of the same transformer."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from einops import einsum
from torch import nn
from transformer_lens.hook_points import HookPoint

from mechanistic_claims.authoring.modules import hooked_of
from mechanistic_claims.checkpoint.checkpoint import Checkpoint
from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.measurement.attention import previous_token
from mechanistic_claims.measurement.matched import others_like
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.any_network import network
from mechanistic_claims.model.components import head, logits, mlp, site
from tests.measurement.by_hand import refused
from tests.plain_transformer import CPU, D_HEAD, POSITIONS, TOKENS, Kind, Questions

OWN = Kind()
WEIGHTS = {name.replace(".", "_"): weight for name, weight in OWN.weights().items()}
PATTERN, MIXED = "layers.{}.hook_pattern", "layers.{}.hook_z"


class Hooks(nn.Module):
    def __init__(self):
        super().__init__()
        self.hook_pattern, self.hook_z, self.hook_said, self.hook_q = (
            HookPoint() for _ in range(4)
        )


class Own(nn.Module):
    """The transformer of the formulas, of another make."""

    def __init__(self, shapes):
        super().__init__()
        of = {name.removeprefix("w."): shape for name, shape in shapes.items()}
        self.w = nn.ParameterDict({name: nn.Parameter(torch.randn(s)) for name, s in of.items()})
        self.layers = nn.ModuleList(Hooks() for _ in range(OWN.layers))
        self.hook_out = HookPoint()

    def forward(self, tokens):
        w, length = self.w, tokens.shape[1]
        x = w["embed_W_E"][tokens] + w["pos_embed_W_pos"][:length]
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        for number, hooks in enumerate(self.layers):
            q, k, v = (
                einsum(x, w[f"blocks_{number}_attn_W_{a}"], "i p m, h m d -> i p h d")
                + w[f"blocks_{number}_attn_b_{a}"]
                for a in "QKV"
            )
            scores = einsum(hooks.hook_q(q), k, "i q h d, i s h d -> i h q s") / math.sqrt(D_HEAD)
            pattern = hooks.hook_pattern(scores.masked_fill(later, -math.inf).softmax(-1))
            hooks.hook_said(pattern)  # of which nothing is made
            z = hooks.hook_z(einsum(pattern, v, "i h q s, i s h d -> i q h d"))
            x = x + einsum(z, w[f"blocks_{number}_attn_W_O"], "i p h d, h d m -> i p m")
            x = x + w[f"blocks_{number}_attn_b_O"]
        return self.hook_out(x @ w["unembed_W_U"] + w["unembed_b_U"])


class Whole(Own):
    """One answer to each input."""

    def forward(self, tokens):
        return super().forward(tokens)[:, -1]


def own(task=None, make=Own, **said):
    given = {"pattern": PATTERN, "mixed": MIXED} | said
    family = network(
        make=make, task=lambda *_: task or Questions(), reference=Path("of no file"), **given
    )
    tensors = {f"w.{name}": weight for name, weight in WEIGHTS.items()}
    checkpoint = Checkpoint(Path("written"), "own", "", tensors)
    return Subject(checkpoint, family.build(checkpoint, CPU), CPU)


@pytest.fixture(scope="module")
def both():
    with torch.no_grad():
        return own(), OWN.subject(Questions())


def same(one, other):
    assert (one - other).abs().max() < 1e-12


def test_what_its_heads_attend_to(both):
    one, other = (subject.activations for subject in both)
    same(one.logits, other.logits)
    same(one.pattern(head(1, 0)), other.pattern(head(1, 0)))
    same(one.patterns, other.patterns)
    same(one.by_head(previous_token), other.by_head(previous_token))
    assert len(others_like(head(0, 1), both[0].weights)) == 1


@pytest.mark.parametrize("component", [head(0, 1), head(1, 0), head(0, 0) + head(1, 1)], ids=str)
def test_its_heads_are_edited(both, component):
    one, other = (subject.intervene for subject in both)
    for how in ("zero", "mean"):
        same(one.ablate(component, how).logits, other.ablate(component, how).logits)
    source = torch.arange(20).flip(0)
    same(one.patch(component, source).logits, other.patch(component, source).logits)
    at = site(MIXED.format(0))[:, 1]
    same(one.ablate(head(0, 1), "zero").logits, one.ablate(at, "zero").logits)


def test_its_attention_is_set(both):
    """As of a causal model, which is seen of its patterns."""
    first = torch.zeros(len(Questions().labels), dtype=torch.long)
    one, other = (subject.intervene.attend({head(0, 1): first}) for subject in both)
    same(one.logits, other.logits)
    last = first + Questions().inputs.shape[1] - 1
    for subject in both:
        refused("is causal", lambda s=subject: s.intervene.attend({head(0, 1): last}).logits)


def test_what_is_not_known_of_them_is_refused(both):
    subject, _ = both
    activations, intervene = subject.activations, subject.intervene
    for ask in (
        lambda: activations.outputs,
        lambda: activations.value_outputs(head(0, 0)),
        lambda: activations.written(head(0, 0)),
        lambda: activations.written_along(torch.ones(8)),
        lambda: intervene.ablate(mlp(0), "zero"),
        lambda: intervene.cut(head(0, 0), logits, "zero").logits,
        lambda: intervene.cut(head(0, 0), head(1, 0).keys, "zero").logits,
        lambda: subject.circuits.ov(head(0, 0)),
        lambda: subject.proof.margin,
    ):
        refused("this network has no ", ask)
    refused("no softmax of what its hooks hold", lambda: activations.scores)
    refused(
        "there is no head 0.2: each layer has heads 0 to 1.",
        lambda: activations.pattern(head(0, 2)),
    )
    refused("there is no layer 2", lambda: intervene.ablate(head(2, 0), "zero"))


def test_of_wholes_no_position_is_that_of_the_answer():
    asked = Questions()
    asked.answer_positions, asked.labels = None, torch.zeros(20, dtype=torch.long)
    subject = own(asked, Whole)
    refused("inputs are asked as wholes", lambda: subject.activations.patterns)
    refused("inputs are asked as wholes", lambda: subject.intervene.attend({head(0, 1): 0}))
    every = Questions()
    every.answer_positions, every.labels = (-1,), torch.zeros(20, dtype=torch.long)
    same(subject.activations.pattern(head(1, 1)), own(every).activations.pattern(head(1, 1)))
    edited, last = (s.intervene.ablate(head(0, 1), "mean") for s in (subject, own(every)))
    same(edited.logits, last.logits)


def test_what_is_said_of_them_has_to_be_so():
    for said, why in (
        ({"pattern": "layers.{}.hook_patern"}, "there is no site layers.{}.hook_patern in this"),
        ({"pattern": "layers.{}.hook_q"}, "it holds [input 6 2 3]: expected patterns, [input head"),
        ({"mixed": "layers.{}.hook_said"}, "it holds [input 2 6 6]: expected what each head mixes"),
        (
            {"mixed": "layers.0.hook_z"},
            "there are 2 of layers.{}.hook_pattern, 1 of layers.0.hook_z",
        ),
    ):
        refused(why, lambda said=said: own(**said))
    without = own(mixed="")
    assert without.activations.pattern(head(0, 0)).shape == (20, 6, 6)
    refused(
        "what head 0.1 mixes is not known", lambda: without.intervene.ablate(head(0, 1), "zero")
    )


def test_they_are_found_where_a_model_is_written(tmp_path):
    """Of all that has four axes what is a pattern, and what is called as what they mix."""
    torch.save({f"w.{name}": weight for name, weight in WEIGHTS.items()}, tmp_path / "own.pt")
    made = f"{__name__}:Own"
    found = hooked_of(made, tmp_path / "own.pt", "own", tmp_path, TOKENS, POSITIONS, None)
    assert (found.pattern, found.mixed) == (PATTERN, MIXED)


def test_a_pattern_that_nothing_is_made_of_is_not_set():
    first = torch.zeros(len(Questions().labels), dtype=torch.long)
    said = own(pattern="layers.{}.hook_said").intervene
    with pytest.raises(CannotJudge, match=r"other values at layers\.0\.hook_said"):
        said.attend({head(0, 1): first}).logits  # noqa: B018
