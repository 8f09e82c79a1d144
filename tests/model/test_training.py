"""Runs of the models whose training is the shared one: as a plain loop, and the same each time."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

import pytest
import safetensors
import safetensors.torch
import torch
from torch.nn.functional import cross_entropy

import models.induction.train as induction_train
import models.max_of_four.train as maximum_train
import models.modular_addition.train as addition_train
from mechanistic_claims.model.sweeping import finish_all, finish_one, jobs_of
from models.induction import training as induction
from models.max_of_four import training as maximum
from models.modular_addition import training as addition
from tests.model.bridges import bridge_name, bridge_of
from tests.model.recipes import ADDITION, INDUCTION, MAXIMUM

BOTH = pytest.mark.parametrize(
    ("training", "recipe"),
    [(addition.Training, ADDITION), (induction.Training, INDUCTION)],
    ids=["addition", "induction"],
)
pytestmark = pytest.mark.usefixtures("gradients")


@pytest.fixture
def gradients():
    with torch.enable_grad():
        yield


def addition_batches(recipe):
    """[a, b, =] and the sum, of the pairs of the split, by loops; '=' is the last row."""
    order = torch.randperm(recipe.p**2, generator=torch.Generator().manual_seed(recipe.seed))
    pairs = [divmod(int(at), recipe.p) for at in order[: recipe.p**2 // 2]]
    inputs = torch.tensor([[a, b, recipe.p] for a, b in pairs])
    labels = torch.tensor([(a + b) % recipe.p for a, b in pairs])
    while True:
        yield inputs, labels, (-1,)


def induction_batches(recipe):
    for step in range(recipe.steps):
        at = recipe.seed * induction.STEPS_OF_A_SEED + step
        tokens, _ = induction.sequences(recipe, recipe.batch, at)
        yield tokens[:, :-1], tokens[:, 1:].flatten(), range(recipe.context)


def maximum_batches(recipe):
    for step in range(recipe.steps):
        at = recipe.seed * maximum.STEPS_OF_A_SEED + step
        lists = maximum.lists(recipe, recipe.batch, at)
        yield lists, torch.tensor([max(numbers) for numbers in lists.tolist()]), (-1,)


def addition_factor(recipe, step):
    return min(1, (step + 1) / 10)


def induction_factor(recipe, step):
    falling = 1 - (step - recipe.steps / 2) / (recipe.steps / 2)
    return (step + 1) / recipe.warm_up if step < recipe.warm_up else min(1, falling)


def maximum_factor(recipe, step):
    return 1


def plain_losses(start, recipe, batches, factor):
    """Losses of the bridge, trained by torch's own AdamW and schedule."""
    network = bridge_of(start)
    parameters = network.state_dict(keep_vars=True)
    trained = [parameters[bridge_name(name)] for name in start]
    for parameter in parameters.values():
        parameter.requires_grad_(any(parameter is one for one in trained))
    optimizer = torch.optim.AdamW(
        trained,
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=(recipe.beta_1, recipe.beta_2),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(recipe, step))
    for tokens, labels, rows in batches(recipe):
        logits = network(tokens)[:, list(rows)].flatten(0, 1)
        loss = cross_entropy(logits.double(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        yield loss.item()


@pytest.mark.parametrize(
    ("training", "recipe", "batches", "factor"),
    [
        (addition.Training, ADDITION, addition_batches, addition_factor),
        (induction.Training, INDUCTION, induction_batches, induction_factor),
        (maximum.Training, MAXIMUM, maximum_batches, maximum_factor),
    ],
    ids=["addition", "induction", "maximum"],
)
def test_losses_follow_the_plain_loop(training, recipe, batches, factor):
    run = training(replace(recipe, seed=3))
    expected = plain_losses(run.weights_of(0), run.recipe, batches, factor)
    for loss in islice(expected, recipe.steps):
        run.advance()
        assert run.loss == pytest.approx(loss, rel=1e-4)
    assert run.step == recipe.steps
    assert run.loss < 1.7  # log 7 and log 6 are 1.95 and 1.79


@BOTH
def test_losses_of_several_seeds_are_those_of_each_alone(training, recipe):
    together = training(recipe, [0, 3, 11])
    alone = [training(replace(recipe, seed=seed)) for seed in together.seeds]
    for _ in range(40):
        together.advance()
        for run in alone:
            run.advance()
        assert together.losses == pytest.approx([run.loss for run in alone], rel=2e-5)
    assert len(set(together.losses)) == 3
    assert [together.accuracy(at) for at in range(3)] == [run.accuracy() for run in alone]


@pytest.fixture
def killed_at(monkeypatch):
    """Calls, and the step in which their training ends."""

    def kill(training, step, call):
        advance = training.advance

        def dying(run):
            if run.step == step:
                raise KeyboardInterrupt
            advance(run)

        monkeypatch.setattr(training, "advance", dying)
        with pytest.raises(KeyboardInterrupt):
            call()
        monkeypatch.setattr(training, "advance", advance)

    return kill


@BOTH
@pytest.mark.slow
@pytest.mark.parametrize("dies_at", [97, 121])
def test_a_run_that_is_killed_ends_in_the_same_files(
    training, recipe, dies_at, tmp_path, killed_at
):
    def finished(name):
        finish_one(training, recipe, tmp_path / name / "model.safetensors", every=50)

    finished("whole")
    finished("again")
    killed_at(training, dies_at, lambda: finished("killed"))
    assert not (tmp_path / "killed/model.safetensors").exists()
    assert (tmp_path / "killed/model.training").exists() == (dies_at >= 100)
    finished("killed")
    steps = ["model.step000050.safetensors", "model.step000100.safetensors"]
    for name in ("killed", "again"):
        there = sorted((tmp_path / name).iterdir())
        assert [path.name for path in there] == ["model.safetensors", *steps]
        for path in there:
            assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()


@pytest.mark.slow
@BOTH
def test_a_sweep_goes_on_where_it_was_stopped(training, recipe, tmp_path, monkeypatch, killed_at):
    monkeypatch.setitem(training.at_once, "cpu", 2)

    def left(folder):
        return jobs_of(training, recipe, [0, 1, 2], tmp_path / folder)

    assert [job.seeds for job in left("whole")] == [(0, 1), (2,)]
    assert finish_all(left("whole"), tmp_path / "whole") == []
    killed_at(training, 121, lambda: finish_all(left("killed"), tmp_path / "killed"))
    assert [path.suffix for path in (tmp_path / "killed").iterdir()] == [".training"]
    in_another_order = jobs_of(training, recipe, [2, 1, 0], tmp_path / "killed")
    assert [job.seeds for job in in_another_order] == [(0, 1), (2,)]
    assert finish_all(left("killed"), tmp_path / "killed") == []
    there = sorted((tmp_path / "killed").iterdir())
    assert [path.name for path in there] == [f"seed{seed}.safetensors" for seed in range(3)]
    for path in there:
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
    assert left("killed") == []


@BOTH
def test_a_checkpoint_tells_what_it_is(training, recipe, tmp_path):
    recipe = replace(recipe, seed=5)
    run = finish_one(training, recipe, tmp_path / "model.safetensors", every=120)
    whole, part = (told(tmp_path / f"{name}.safetensors") for name in ("model", "model.step000120"))
    assert (whole["step"], part["step"]) == (130, 120)
    assert (whole["loss"], whole["accuracy"]) == (run.loss, run.accuracy())
    for said in (whole, part):
        assert said["model"] == training.model
        assert said["recipe"] == vars(recipe)
        assert said["versions"]["torch"] == torch.__version__
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert weights.keys() == run.parameters.keys()
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


def told(path):
    with safetensors.safe_open(path, "pt") as file:
        assert list(file.metadata()) == ["training"]
        return json.loads(file.metadata()["training"])


def test_names_of_weights_are_hooked_transformers():
    attention = {f"blocks.0.attn.W_{letter}" for letter in "QKVO"}
    mlp = {f"blocks.0.mlp.{name}" for name in ("W_in", "b_in", "W_out", "b_out")}
    ends = {"embed.W_E", "pos_embed.W_pos", "unembed.W_U"}
    assert addition.Training(ADDITION).parameters.keys() == ends | attention | mlp
    second = {name.replace("0", "1") for name in attention}
    assert induction.Training(INDUCTION).parameters.keys() == ends | attention | second


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        (
            addition_train.main,
            ["--p=5", "--training-share=0.6", "--d-mlp=6", "--epochs=4", "--weight-decay=2"],
            {"p": 5, "training_share": 0.6, "d_mlp": 6, "epochs": 4, "weight_decay": 2.0},
        ),
        (
            induction_train.main,
            ["--steps=4", "--longest=20", "--context=22", "--beta-2=0.99", "--heads=3"],
            {"steps": 4, "longest": 20, "context": 22, "beta_2": 0.99, "heads": 3},
        ),
        (
            maximum_train.main,
            ["--steps=4", "--length=3", "--vocabulary=9", "--weight-decay=0.1"],
            {"steps": 4, "length": 3, "vocabulary": 9, "weight_decay": 0.1},
        ),
    ],
    ids=["addition", "induction", "maximum"],
)
def test_options_are_the_recipe(command, options, expected, tmp_path, capsys):
    out = tmp_path / "model.safetensors"
    assert command([*options, "--seed=2", "--every=2", f"--out={out}"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: loss ")
    recipe = told(out)["recipe"]
    assert {name: recipe[name] for name in ("seed", *expected)} == {"seed": 2, **expected}
    assert [path.name for path in tmp_path.glob("*.step*")].count(
        "model.step000002.safetensors"
    ) == 1
    assert command([*options, "--seeds=0-1", f"--out={tmp_path}"]) == 0
    assert [told(tmp_path / f"seed{seed}.safetensors")["recipe"]["seed"] for seed in (0, 1)] == [
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        (addition_train.main, ["--p=1"], "--p 1: expected 2 or more."),
        (addition_train.main, ["--p=5", "--warm-up=0"], "--warm-up 0: expected 1 or more."),
        (addition_train.main, ["--p=5,7"], "several sizes: give --seeds, and --out a folder."),
        (
            addition_train.main,
            ["--p=5", "--training-share=1.5"],
            "a training share of 1.5: expected",
        ),
        (induction_train.main, ["--steps=0"], "--steps 0: expected 1 or more."),
        (induction_train.main, ["--longest=64"], "blocks of 8 to 64 tokens: expected"),
        (induction_train.main, ["--shortest=33"], "blocks of 33 to 32 tokens: expected"),
        (maximum_train.main, ["--length=1"], "--length 1: expected 2 or more."),
    ],
)
def test_wrong_options_are_said_in_a_sentence(command, options, said, tmp_path, capsys):
    small = ["--d-model=4", "--epochs=1" if command is addition_train.main else "--steps=1"]
    with pytest.raises(SystemExit):
        command([f"--out={tmp_path / 'model.safetensors'}", *small, *options])
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
