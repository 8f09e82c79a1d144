"""`mechanistic-claims new`: what it writes runs, and says what to fill in."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mechanistic_claims.model.names import Names
from tests.plain_transformer import Kind, Plain
from tests.runs import ROOT, run_command, run_in_a_fork, suite

SIZES = ["--heads=2", "--d-model=8", "--tokens=11", "--context=6"]
RULES = "E,F,I,B,UP,SIM,RUF,N,PT,C4"
UNFILLED = """no bound yet: write the number that each requires for None
  measured untrained  claim
! N N  The model answers what it is asked.
! N N  It is sure of its answers: the mean loss is small.
"""
"""Of each of the two claims once, with N for each number; an untrained model may do better."""


def new(project: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return suite("new", *arguments, cwd=project)


def weights_of(names: Names) -> dict[str, torch.Tensor]:
    """Random weights: 2 heads of width 3, d_model 8, 11 tokens, 5 logits, 6 positions."""
    generator = torch.Generator().manual_seed(0)
    sizes = {"head": 2, "d_model": 8, "d_head": 3, "d_mlp": 12}
    sizes |= {"token": 11, "logit": 5, "position": 6}
    return {
        name: torch.randn([sizes[axis] for axis in axes.split()], generator=generator) * 0.3
        for name, axes in names.axes.items()
    }


def require_it_runs(project: Path, name: str, said: str = "", holds: int = 2) -> None:
    """Preconditions pass, the two claims say in log and table what to fill in."""
    run = run_in_a_fork(f"claims/{name}", cwd=project, OMP_NUM_THREADS="1")
    assert run.status == 1, run.output
    assert f"{holds} hold, 0 refuted as expected, 0 refuted, 2 without a bound" in run.output, (
        run.output
    )
    told = re.sub(r"(?m)^(!) +\S+ +\S+", r"\1 N N", run.output)
    told = re.sub(r"(?m)^ {10,}(?! *claim)\S.*\n", "", told)
    assert UNFILLED in told, run.output
    assert run.output.count("It is sure of its answers") == 1
    assert "FAILURES" not in run.output
    assert said in " ".join(run.output.split())
    require_style(project)


def require_style(project: Path) -> None:
    """Ruff is content with all that is there."""
    ruff = [sys.executable, "-m", "ruff"]
    rules = ["--isolated", "--line-length=100"]
    ignored = "--ignore=F722,F821,RUF001,RUF002"
    for command in (
        [*ruff, "check", *rules, "--select", RULES, ignored, "."],
        [*ruff, "format", *rules, "--check", "."],
    ):
        checked = run_command(command, project)
        assert checked.returncode == 0, checked.stdout


def family_of(project: Path, name: str) -> str:
    """What FAMILY says, on one line."""
    said = (project / "models" / name / "__init__.py").read_text().partition("FAMILY = ")[2]
    return " ".join(said.split())


def test_one_layer_of_attention(tmp_path):
    done = new(tmp_path, "one", "--layers=1", *SIZES)
    assert done.returncode == 0, done.stderr
    assert "one: 1 layer of 2 heads, causal attention." in done.stdout
    assert family_of(tmp_path, "one") == (
        'transformer( layers=1, heads=2, attention="causal", task="models.one.task:Task.of", '
        'reference=Path(__file__).with_name("checkpoints") / "reference.safetensors", )'
    )
    require_it_runs(tmp_path, "one")


def test_two_layers_with_mlp_and_norm_and_their_training(tmp_path):
    """From a folder below; what is trained is judged by the claims."""
    (tmp_path / "claims" / "one").mkdir(parents=True)
    (tmp_path / "models" / "one").mkdir(parents=True)
    (tmp_path / "models" / "one" / "__init__.py").write_text("FAMILY = None\n")
    given = ["--layers=2", *SIZES, "--mlp=gelu", "--norm=LN", "--training"]
    done = new(tmp_path / "claims" / "one", "a_longer_name_of_two", *given)
    assert done.returncode == 0, done.stderr
    assert 'norm="LN", mlp="gelu"' in family_of(tmp_path, "a_longer_name_of_two")
    require_it_runs(tmp_path, "a_longer_name_of_two")
    options = ["--steps=3", "--out=runs/seed0.safetensors"]
    trained = suite("train", "a_longer_name_of_two", *options, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    given = ["claims/a_longer_name_of_two/test_preconditions.py", "--checkpoint"]
    run = run_in_a_fork(*given, "runs/seed0.safetensors", cwd=tmp_path)
    assert run.status == 0, run.output


@pytest.mark.slow
def test_types(tmp_path):
    given = ["--layers=2", *SIZES, "--mlp=relu", "--norm=LN", "--bidirectional", "--training"]
    assert new(tmp_path, "two", *given).returncode == 0
    remembered = f"--cache-dir={ROOT / '.mypy_cache'}"
    mypy = [sys.executable, "-m", "mypy", f"--config-file={ROOT / 'pyproject.toml'}", remembered]
    path = str(ROOT / "fixtures")
    checked = run_command([*mypy, "-p", "models"], tmp_path, MYPYPATH=path, PYTHONPATH=path)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("bridge", [False, True], ids=["HookedTransformer's", "the bridge's"])
def test_a_checkpoint_by_its_names(tmp_path, bridge):
    names = Names(2, "relu", "LN", True)
    weights = weights_of(names)
    mine = tmp_path / ("mine.safetensors" if bridge else "mine.pt")
    if bridge:
        safetensors.torch.save_file(names.under_bridge_names(weights), mine)
    else:
        torch.save(weights | {"blocks.0.attn.mask": torch.ones(6, 6).bool()}, mine)
    said = ["--heads=2", "--bidirectional"] * bridge
    if bridge:
        tokens = torch.randint(11, (4, 6), generator=torch.Generator().manual_seed(1))
        own = Plain(Kind(2, 2, "relu", "LN", "bidirectional"), weights, tokens).logits
        torch.save({"inputs": tokens, "logits": own}, tmp_path / "own.pt")
        said.append("--expects=own.pt")
    done = new(tmp_path, "mine", "--checkpoint", mine, "--mlp=relu", *said)
    assert done.returncode == 0, done.stderr
    attention = "bidirectional" if bridge else "causal"
    assert f"2 layers of 2 heads each, {attention} attention, an MLP (relu), LayerNorm" in (
        done.stdout
    )
    assert family_of(tmp_path, "mine").startswith(
        f'transformer( layers=2, heads=2, attention="{attention}", norm="LN", mlp="relu", task='
    )
    copied = tmp_path / "models/mine/checkpoints" / f"reference{mine.suffix}"
    assert copied.read_bytes() == mine.read_bytes()
    as_own = "runs as its own module did on the 4 inputs of reference.safetensors.expected"
    require_it_runs(tmp_path, "mine", as_own * bridge)


def test_what_a_file_does_not_tell_is_asked_for(tmp_path):
    """Nothing is guessed: activation function, a norm without weights, heads that are stacked."""
    names = Names(2, "relu", None, True)
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(names.under_bridge_names(weights_of(names)), path)
    done = new(tmp_path, "mine", "--checkpoint", path)
    assert done.returncode == 2
    for said in (
        "give --mlp relu, gelu, gelu_new or silu",
        "--norm none, if",
        "LNPre",
        "--heads N",
    ):
        assert said in done.stderr
    done = new(tmp_path, "mine", "--checkpoint", path, "--mlp=none", "--norm=LN", "--heads=2")
    assert done.returncode == 2
    assert "--mlp relu, gelu, gelu_new or silu" in done.stderr
    assert not (tmp_path / "models").exists()
    done = new(tmp_path, "mine", "--checkpoint", path, "--mlp=relu", "--norm=none", "--heads=2")
    assert done.returncode == 0, done.stderr


def test_what_a_config_in_the_file_says_is_not_asked_for(tmp_path):
    """As HookedTransformerConfig has it; what is not covered is told by its name."""
    weights = weights_of(Names(2, "gelu", None, True))
    config = {"act_fn": "gelu", "normalization_type": None, "attention_dir": "bidirectional"}
    for name, said in (
        ("mine", config),
        ("solu", config | {"act_fn": "solu_ln"}),
        ("pre", config | {"normalization_type": "LNPre"}),
        ("two", {"cfg": config, "other": {"act_fn": "relu"}}),
    ):
        torch.save({"config": said, "state_dict": weights}, tmp_path / f"{name}.pt")
    done = new(tmp_path, "mine", "--checkpoint", "mine.pt")
    assert done.returncode == 0, done.stderr
    assert (
        "2 layers of 2 heads each, bidirectional attention, an MLP (gelu), no padding."
        in done.stdout
    )
    for name, given, asked in (
        ("solu", (), "gelu_new or silu: solu_ln, which it says, is none of these"),
        ("pre", (), "--norm none, if the model has none: it says LNPre, which has no weights"),
        ("two", (), "gelu, gelu_new or silu: it has MLPs, and does not tell their function"),
        ("mine", ("--mlp=relu",), "--mlp relu, and it says act_fn = gelu: leave --mlp out"),
    ):
        done = new(tmp_path, f"other_{name}", "--checkpoint", f"{name}.pt", *given)
        assert done.returncode == 2
        assert asked in done.stderr


def test_an_unknown_file_is_told_by_its_names(tmp_path):
    """Where they lie beside an optimizer's states, too, which are never weights."""
    weights = {f"layers.{i}.attn.query": torch.ones(4, 4) for i in range(2)}
    weights["tokens.table"] = torch.ones(7, 4)
    states = {i: {"step": torch.tensor(1.0), "exp_avg": torch.ones(7, 4)} for i in range(3)}
    saved = {"model": weights, "optimizer": {"state": states}, "seed": 0}
    torch.save(saved, tmp_path / "other.pt")
    done = new(tmp_path, "other", "--checkpoint", "other.pt")
    assert done.returncode == 2
    assert "other.pt: not all of it is recognized" in done.stderr
    filled_in = """
    names={
        "layers.{}.attn.query": (%s),  # 4 x 4
        "tokens.table": (...),  # 7 x 4
    },
"""
    queries = '"blocks.{}.attn.W_Q", "(head d_head) d_model -> head d_model d_head"'
    assert filled_in % queries in done.stderr
    for target in ("embed.W_E", "unembed.b_U", "blocks.{}.mlp.W_in", "ln_final.w"):
        assert f'    ("{target}", "' in done.stderr
    known = weights_of(Names(1, None, None, True))
    torch.save(known | {"blocks.0.attn.extra": torch.ones(3)}, tmp_path / "almost.pt")
    done = new(tmp_path, "almost", "--checkpoint", "almost.pt", "--norm=none")
    assert done.returncode == 2
    assert "not all of it is recognized: blocks.{}.attn.extra unknown" in done.stderr
    assert 'names={\n        "blocks.{}.attn.extra": (...),  # 3\n    },' in done.stderr
    assert not (tmp_path / "models").exists()


def test_a_place_in_a_file_is_chosen(tmp_path):
    known = weights_of(Names(1, None, None, True))
    torch.save({"ema": known, "model": {**known}}, tmp_path / "two.pt")
    given = ["--checkpoint", "two.pt", "--norm=none"]
    done = new(tmp_path, "two", *given)
    assert done.returncode == 2
    assert "Choose one, for example with --weights model, or" in done.stderr
    done = new(tmp_path, "two", *given, "--weights=ema")
    assert done.returncode == 0, done.stderr
    assert "pytest claims/two --weights ema\n" in done.stdout


@pytest.mark.parametrize("name", ["a-b", "2nd", "class", "../up", ""])
def test_a_name_that_is_none_of_a_package(tmp_path, name):
    done = new(tmp_path, name, "--layers=1", *SIZES)
    assert done.returncode == 2
    assert f"{name!r} is no name of a Python package" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    there = tmp_path / "claims" / "mine" / "notes.md"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    done = new(tmp_path, "mine", "--layers=1", *SIZES)
    assert done.returncode == 2
    assert re.search(r"claims/mine is there, and nothing is\s+overwritten", done.stderr)
    assert [path.name for path in tmp_path.rglob("*")] == ["claims", "mine", "notes.md"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--layers=1", "--heads=3", *SIZES[1:]], "--d-model 8 is no multiple of the 3 --heads"),
        (["--layers=1", "--heads=2"], "give a --checkpoint, or all of --layers, --heads"),
        (["--checkpoint=x.pt", "--layers=1"], "--layers: with --checkpoint it is the file"),
        (["--layers=0", *SIZES], "'0': expected a number of 1 or more"),
        (["--checkpoint=x.pt"], "x.pt: no such file"),
        (["--layers=1", *SIZES, "--expects=y.pt"], "of which checkpoint's own module?"),
    ],
)
def test_sizes_that_can_not_be(tmp_path, given, said):
    done = new(tmp_path, "mine", *given)
    assert done.returncode == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
