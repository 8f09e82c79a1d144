"""What no weights tell is found where the model's own module says what it gives."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu, relu, scaled_dot_product_attention

from tests.authoring.own_modules import CONTEXT, HEADS, TOKENS, WIDTH, Encoder, NanoGPT
from tests.authoring.test_names import expected_of, trained
from tests.authoring.test_new import family_of, new, require_it_runs
from tests.runs import run_in_a_fork

slow = partial(pytest.param, marks=pytest.mark.slow)


class Block(nn.Module):
    """A norm before attention, or before both; no biases but in the MLP."""

    def __init__(self, norm: type[nn.Module], *, one: bool) -> None:
        super().__init__()
        self.norm, self.one = norm(WIDTH), one
        if not one:
            self.norm2 = norm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 32), nn.Linear(32, WIDTH)

    def forward(self, x: Float[Tensor, "input position d"]) -> Float[Tensor, "input position d"]:
        read, heads = self.norm(x), "input position (head d) -> input head position d"
        q, k, v = (rearrange(of(read), heads, head=HEADS) for of in (self.q, self.k, self.v))
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(rearrange(mixed, "i head p d -> i p (head d)"))
        read = x if self.one else self.norm2(x)
        hidden = self.up(read)
        out: Tensor = x + self.down(relu(hidden) if self.one else gelu(hidden, approximate="tanh"))
        return out


class Blocks(nn.Module):
    def __init__(self, norm: type[nn.Module], *, one: bool) -> None:
        super().__init__()
        self.tok, self.place = nn.Embedding(TOKENS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block(norm, one=one) for _ in range(2))
        self.last_norm, self.readout = norm(WIDTH), nn.Linear(WIDTH, TOKENS, bias=False)

    def forward(self, tokens: Int[Tensor, "input position"]) -> Float[Tensor, "input position x"]:
        x = self.tok(tokens) + self.place.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.readout(self.last_norm(x))
        return logits


class Tied(Blocks):
    """Layers under a name that says nothing of them, and the embedding as the unembedding."""

    def __init__(self) -> None:
        super().__init__(nn.LayerNorm, one=False)
        self.stack, self.pos = self.blocks, self.place
        del self.blocks, self.place, self.readout

    def forward(self, tokens: Int[Tensor, "input position"]) -> Float[Tensor, "input position x"]:
        x = self.tok(tokens) + self.pos.weight[: tokens.shape[1]]
        for block in self.stack:
            x = block(x)
        logits: Tensor = self.last_norm(x) @ self.tok.weight.T
        return logits


class Padded(Encoder):
    """An encoder that sees no token 0, asked at its first position."""

    def forward(self, tokens: Int[Tensor, "input position"]) -> Float[Tensor, "input x"]:
        x = self.embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]
        seen: Tensor = self.encoder(x, src_key_padding_mask=tokens == 0)
        logits: Tensor = self.out(seen[:, 0])
        return logits


ENCODER = 'heads=2, attention="bidirectional", norm="LN"'
MODULES = {
    "norms after": (
        partial(Encoder, norm_first=False, final=False),
        f'{ENCODER}, norm_at=("after attention", "after mlp"), mlp="relu"',
    ),
    "norms after, and at the end": (
        partial(Encoder, norm_first=False),
        f'{ENCODER}, norm_at=("after attention", "after mlp", "end"), mlp="relu"',
    ),
    "no norm at the end": (
        partial(Encoder, final=False),
        f'{ENCODER}, norm_at=("before attention", "before mlp"), mlp="relu"',
    ),
    "padding": (
        partial(Padded, norm_first=False),
        f'{ENCODER}, norm_at=("after attention", "after mlp", "end"), mlp="relu", padding=0',
    ),
    "RMSNorms": (
        partial(Blocks, nn.RMSNorm, one=False),
        'heads=2, attention="causal", norm="RMS", epsilon=1e-06, mlp="gelu_new"',
    ),
    "one norm a block": (
        partial(Blocks, nn.LayerNorm, one=True),
        'heads=2, attention="causal", norm="LN", norm_at=("before attention", "end"), mlp="relu"',
    ),
    "tied, in a stack": (
        Tied,
        'heads=2, attention="causal", norm="LN", mlp="gelu_new", tied=True',
    ),
    "LayerNorms without biases": (
        partial(NanoGPT, False),
        'heads=2, attention="causal", norm="LN", mlp="gelu"',
    ),
}
QUICK = ("norms after", "RMSNorms")


def expected(module: nn.Module) -> dict[str, Tensor]:
    """Inputs that end with 0, and what it gives."""
    inputs = expected_of(module)["inputs"].clamp(min=1)
    inputs[torch.arange(CONTEXT) > 2 + torch.arange(len(inputs))[:, None] % 3] = 0
    with torch.no_grad():
        return {"inputs": inputs, "logits": module(inputs)}


def save(folder: Path, module: nn.Module) -> dict[str, Tensor]:
    """Its weights, and what it gives, which may be changed before it is written anew."""
    torch.save(module.state_dict(), folder / "mine.pt")
    given = (expected if isinstance(module, Padded) else expected_of)(module)
    torch.save(given, folder / "mine.pt.expected")
    return given


@pytest.mark.parametrize("kind", [kind if kind in QUICK else slow(kind) for kind in MODULES])
def test_nothing_is_asked_that_only_one_answer_fits(tmp_path, kind):
    make, said = MODULES[kind]
    save(tmp_path, trained(make))
    done = new(tmp_path, "mine", "--checkpoint=mine.pt")
    assert done.returncode == 0, done.stderr
    assert f"transformer( layers=2, {said}," in family_of(tmp_path, "mine")
    holds = 3 if "after" in said else 2
    if kind == "padding":  # its task has no padding yet
        return
    require_it_runs(tmp_path, "mine", "runs as its own module did on the 5 inputs", holds=holds)


def test_what_fits_nothing_is_asked_for(tmp_path):
    """And what is said is taken as it is said, though it may be wrong: a run tells."""
    given = save(tmp_path, trained(MODULES["norms after"][0]))
    torch.save(given | {"logits": given["logits"] + 1}, tmp_path / "mine.pt.expected")
    done = new(tmp_path, "mine", "--checkpoint=mine.pt")
    assert done.returncode == 2
    for asked in ("--mlp relu, gelu, gelu_new or silu", "--norms before or after", "--heads N"):
        assert asked in done.stderr
    assert "Nothing that was tried runs as its own module did." in done.stderr
    given = ["--heads=2", "--mlp=relu", "--norms=before"]
    done = new(tmp_path, "mine", "--checkpoint=mine.pt", *given)
    assert done.returncode == 0, done.stderr
    assert 'attention="causal", norm="LN", norm_at=("before attention", "before mlp")' in family_of(
        tmp_path, "mine"
    )


def test_what_is_said_and_wrong_is_told(tmp_path):
    """Before anything is written; where FAMILY is changed later, a run says what would be right."""
    save(tmp_path, trained(MODULES["norms after"][0]))
    for given, said in (
        (("--mlp=gelu",), "--mlp relu"),
        (("--heads=4", "--norms=before"), "--heads 2 and --norms after"),
    ):
        done = new(tmp_path, "mine", "--checkpoint=mine.pt", *given)
        assert done.returncode == 2
        assert f"it runs as its own module did, by what it gave, with {said}." in done.stderr
    assert new(tmp_path, "mine", "--checkpoint=mine.pt", "--bidirectional").returncode == 0
    family = tmp_path / "models/mine/__init__.py"
    text = family.read_text().replace(
        '"after attention", "after mlp"', '"before attention", "before mlp"'
    )
    family.write_text(text.replace("heads=2", "heads=4"))
    run = run_in_a_fork("claims/mine", cwd=tmp_path, OMP_NUM_THREADS="1")
    assert run.status == 1
    said = 'With heads=2 and norm_at=("after attention", "after mlp") in FAMILY it is the same.'
    assert said in " ".join(re.sub(r"(?m)^E? +", " ", run.output).split()), run.output


def test_norms_that_may_be_either_are_asked_for(tmp_path):
    """Without what the module gives: of names that are known, and without biases."""
    torch.save(trained(NanoGPT, False).state_dict(), tmp_path / "mine.pt")
    given = ["--checkpoint=mine.pt", "--heads=2", "--mlp=gelu"]
    done = new(tmp_path, "mine", *given)
    assert done.returncode == 2
    assert "--norm LN or RMS: its norms have no biases, and may be either" in done.stderr
    assert new(tmp_path, "mine", *given, "--norm=RMS").returncode == 0
    assert 'norm="RMS"' in family_of(tmp_path, "mine")
    torch.save(trained(NanoGPT, True).state_dict(), tmp_path / "biased.pt")
    given = ["--checkpoint=biased.pt", "--heads=2", "--mlp=gelu", "--norm=RMS"]
    done = new(tmp_path, "biased", *given)
    assert done.returncode == 2
    assert "no --norm RMS: its norms have biases" in done.stderr
