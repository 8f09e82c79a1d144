"""Training follows the write-up's plain loop, is deterministic, and survives being killed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
import safetensors.torch
import torch
from torch.nn.functional import cross_entropy

from mechanistic_claims.model.sweeping import finish_all, jobs_of
from mechanistic_claims.model.training_command import numbers
from models.min_of_two.loss import Pairs, training_loss
from models.min_of_two.task import Task
from models.min_of_two.train import COMMAND, main
from models.min_of_two.training import Recipe, Training
from models.min_of_two.weights import canonical_weights, untrained_parameters
from tests.conftest import CHECKPOINTS, CPU, subject_of, training_of
from tests.min_of_two.plain_loop import plain_loop
from tests.runs import started, suite, suite_main


def train_seeds(recipe, seeds, folder, every=None):
    """As a user's `--seeds` does."""
    wrong = finish_all(jobs_of(Training, recipe, seeds, folder, every=every), folder)
    if wrong:
        raise ValueError(wrong[0])
    return [folder / f"seed{seed}.safetensors" for seed in seeds]


SMALL = Recipe(number_of_operands=12, d_model=8, d_head=8, epochs=250, threads=1)


def plain_losses(recipe: Recipe, epochs: int) -> list[float]:
    """The losses of the write-up's loop."""
    torch.set_num_threads(recipe.threads)
    epoch = plain_loop(recipe)
    return [epoch() for _ in range(epochs)]


@pytest.mark.parametrize(
    ("recipe", "epochs"),
    [
        pytest.param(SMALL, 250, id="small"),
        pytest.param(Recipe(), 20, id="write-up", marks=pytest.mark.slow),
    ],
)
def test_losses_follow_the_plain_loop(recipe, epochs):
    with torch.enable_grad():
        training = Training(recipe)
        losses = []
        for _ in range(epochs):
            training.advance()
            losses.append(training.loss)
        expected = plain_losses(recipe, epochs)
    assert losses[-1] < losses[0]
    assert losses == pytest.approx(expected, rel=2e-5)


@torch.enable_grad()
def test_the_gradient_of_several_seeds_is_that_of_each():
    """Also where the pairs of a batch are more than fit at a time."""
    recipe = Recipe(number_of_operands=60, d_model=6, d_head=5)
    seeds = Training(recipe, [4, 9, 2])
    losses = seeds.losses_of(seeds.parameters, 0)
    losses.sum().backward()
    for place, seed in enumerate(seeds.seeds):
        alone = Training(Recipe(**{**vars(recipe), "seed": seed}))
        loss = alone.losses_of(alone.parameters, 0)
        loss.sum().backward()
        assert losses[place].item() == pytest.approx(loss.item(), rel=1e-6)
        for name, parameter in alone.parameters.items():
            together = seeds.parameters[name].grad[place]
            assert torch.allclose(together, parameter.grad, rtol=1e-4, atol=1e-7), name


@pytest.mark.parametrize(
    ("recipe", "epochs"),
    [
        pytest.param(SMALL, 250, id="small"),
        pytest.param(Recipe(), 20, id="write-up", marks=pytest.mark.slow),
    ],
)
@torch.enable_grad()
def test_losses_of_several_seeds_are_those_of_each_alone(recipe, epochs):
    seeds = Training(recipe, [0, 3, 11])
    alone = [Training(Recipe(**{**vars(recipe), "seed": seed})) for seed in seeds.seeds]
    for _ in range(epochs):
        seeds.advance()
        for training in alone:
            training.advance()
        assert seeds.losses == pytest.approx([t.loss for t in alone], rel=2e-5)


@torch.enable_grad()
def test_a_sweep_writes_each_seed_and_trains_only_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(Training.at_once, "cpu", 2)
    recipe = Recipe(**{**vars(SMALL), "epochs": 60})
    paths = train_seeds(recipe, [1, 2, 5], tmp_path, every=20)
    assert [training_of(path)["recipe"]["seed"] for path in paths] == [1, 2, 5]
    assert len(list(tmp_path.glob("*.step*"))) == 3 * 3
    before = {path: path.read_bytes() for path in paths}
    paths[2].unlink()
    assert train_seeds(recipe, [2, 1, 5], tmp_path) == [paths[1], paths[0], paths[2]]
    assert {path: path.read_bytes() for path in paths} == before
    paths[0].unlink()
    train_seeds(recipe, [1, 2, 5], tmp_path)
    assert [path.read_bytes() == before[path] for path in paths[1:]] == [True, True]
    with pytest.raises(ValueError, match=r"seed1.safetensors is of another recipe"):
        train_seeds(Recipe(**{**vars(recipe), "epochs": 70}), [1, 2], tmp_path)


@torch.enable_grad()
def test_a_seed_that_diverges_takes_no_other_along(tmp_path, monkeypatch):
    """It is said, it is not written, and the others are what they would have been."""
    recipe = Recipe(**{**vars(SMALL), "epochs": 120})
    train_seeds(recipe, [1, 2, 3], tmp_path / "whole")
    start = Training.__init__

    def diverging(run, *arguments):
        start(run, *arguments)
        with torch.no_grad():
            run.parameters["W_U"][1, 0, 0] = float("inf")

    monkeypatch.setattr(Training, "__init__", diverging)
    with pytest.raises(ValueError, match=r"diverged, and there is no seed2.safetensors"):
        train_seeds(recipe, [1, 2, 3], tmp_path / "one", every=40)
    assert sorted(path.name for path in (tmp_path / "one").glob("seed?.safetensors")) == [
        "seed1.safetensors",
        "seed3.safetensors",
    ]
    for name in ("seed1.safetensors", "seed3.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "one").glob("*2.step*"))


def test_sizes_are_swept_too(tmp_path):
    """Each size has a folder, and a sweep that is there is left as it is."""
    options = ["--number-of-operands=6,8", "--d-model=4,5", "--d-head=3", "--epochs=3"]
    given = ["train", "min_of_two", *options, "--seeds=0-1", "--threads=1", f"--out={tmp_path}"]
    for _ in range(2):
        ended = suite(*given)
        assert ended.stdout.count(": loss ") == 8
    assert "0/3" not in ended.stderr, "it trained again"
    recipe = training_of(tmp_path / "n8-d4-h3/seed1.safetensors")["recipe"]
    assert [recipe[name] for name in ("number_of_operands", "d_model", "seed")] == [8, 4, 1]


@pytest.mark.slow
def test_a_killed_sweep_ends_in_the_same_weights(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    sweep = ["--seeds", "0-2"]
    assert suite(*command(whole, *sweep)).returncode == 0
    kill_when(lambda: list(killed.glob("seeds0-2-*.training")), command(killed, *sweep))
    assert not list(killed.glob("*.safetensors"))
    assert suite(*command(killed, *sweep)).returncode == 0
    for path in whole.glob("*.safetensors"):
        assert (killed / path.name).read_bytes() == path.read_bytes()
    assert len(list(killed.iterdir())) == 3


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [3]), ("0-3,7", [0, 1, 2, 3, 7]), ("5,1-2,2", [5, 1, 2])]
)
def test_seeds_are_given_as_ranges(text, seeds):
    assert numbers(text) == seeds


@torch.enable_grad()
def test_the_gradient_is_that_of_autograd():
    """The loss makes its own gradient; autograd's of the plain formula is the same, in float64."""
    task = Task(9, CPU)
    pairs = Pairs.for_training(task)
    start = untrained_parameters(9, 6, 6, seed=3)
    gradients = []
    for plain in (False, True):
        parameters = {name: w.double().requires_grad_() for name, w in start.items()}
        if plain:
            w = parameters
            query = w["W_E"][9] @ w["W_Q"]
            scores = (w["W_E"] @ w["W_K"] @ query)[task.inputs] / 6**0.5
            ov = (w["W_E"] @ w["W_V"] @ w["W_O"])[task.inputs]
            mixed = (scores.softmax(-1)[..., None] * ov).sum(1)
            logits = (mixed + w["W_E"][9]) @ w["W_U"]
            loss = cross_entropy(logits[~task.held_out], task.labels[~task.held_out])
        else:
            loss = training_loss(parameters, pairs, task.equals)
        loss.backward()
        gradients.append({name: p.grad for name, p in parameters.items()})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-9, atol=1e-12), name


@torch.enable_grad()
def test_a_seed_decides_the_weights(tmp_path):
    first, again, other = (tmp_path / f"{name}.safetensors" for name in ("first", "again", "other"))
    COMMAND.train(SMALL, first)
    COMMAND.train(SMALL, again)
    COMMAND.train(Recipe(**{**vars(SMALL), "seed": 1}), other)
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def command(out, *more: str) -> list[str]:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in vars(SMALL).items()]
    options[options.index("--epochs=250")] = "--epochs=900"
    return ["train", "min_of_two", *options, f"--out={out}", *more]


def kill_when(there: Callable[[], object], given: list[str]) -> None:
    """Start a training run, and kill it as soon as something is there."""
    process = started(suite_main, *given, output=os.devnull, errors=os.devnull)
    while not there():
        assert process.is_alive(), "it ended before it could be killed"
        time.sleep(0.001)
    process.kill()
    process.join()


def test_a_killed_run_ends_in_the_same_weights(tmp_path):
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    assert suite(*command(whole)).returncode == 0
    state = killed.with_suffix(".training")
    kill_when(state.exists, command(killed))
    assert not killed.exists()
    assert 0 < torch.load(state, weights_only=True)["step"] < 900
    assert suite(*command(killed)).returncode == 0
    assert killed.read_bytes() == whole.read_bytes()
    assert not state.exists()


@torch.enable_grad()
def test_another_recipe_does_not_resume(tmp_path):
    out = tmp_path / "model.safetensors"
    training = Training(SMALL)
    torch.save(training.state(), out.with_suffix(".training"))
    with pytest.raises(ValueError, match="belongs to another recipe"):
        COMMAND.train(Recipe(**{**vars(SMALL), "seed": 5}), out)
    COMMAND.train(Recipe(**{**vars(SMALL), "seed": 5, "epochs": 1}), out, restart=True)
    assert training_of(out)["step"] == 1


def test_a_trained_checkpoint_is_not_overwritten(tmp_path):
    out = tmp_path / "model.safetensors"
    out.write_bytes(b"precious")
    refused = suite(*command(out))
    assert refused.returncode == 2
    assert "exists" in refused.stderr
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--every", "0"], "--every 0: expected 1 or more"),
        (["--number-of-operands", "1"], "--number-of-operands 1: expected 2 or more"),
        (["--device", "tpu"], "--device tpu: expected cpu, cuda or cuda:N"),
        (["--device", "cuda:99"], "--device cuda:99: torch"),
        (["--out", "model.pt"], "end the name in .safetensors"),
        (["--seeds", "4-2"], "'4-2': the first number is above the last"),
        (["--seeds", "all"], "'all': expected numbers such as 0-31 or 0,3,5-8"),
        (["--seeds", "1,2"], "with --seeds it is a folder"),
    ],
)
def test_wrong_options_are_said_in_a_sentence(options, said, capsys, tmp_path):
    out = ["--out", str(tmp_path / "model.safetensors")]
    with pytest.raises(SystemExit):
        main([*out, *options])
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_damaged_state_is_said_in_a_sentence(tmp_path):
    out = tmp_path / "model.safetensors"
    out.with_suffix(".training").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"can't be read.*--restart"):
        COMMAND.train(SMALL, out)


@torch.enable_grad()
def test_intermediate_checkpoints_and_metadata(tmp_path):
    COMMAND.train(SMALL, tmp_path / "model.safetensors", every=100)
    steps = sorted(path.name for path in tmp_path.glob("*.step*"))
    assert steps == ["model.step000100.safetensors", "model.step000200.safetensors"]
    metadata = training_of(tmp_path / "model.step000100.safetensors")
    assert metadata["step"] == 100
    assert metadata["recipe"]["seed"] == 0
    assert metadata["versions"]["torch"] == torch.__version__
    with torch.no_grad():
        subject = subject_of(tmp_path / "model.safetensors")
        correct = subject.activations.correct.double().mean().item()
    assert correct == training_of(tmp_path / "model.safetensors")["accuracy"]


@pytest.mark.parametrize("path", sorted(CHECKPOINTS.glob("*.safetensors")), ids=lambda p: p.stem)
def test_shipped_checkpoints_tell_their_recipe(path):
    """Each was trained by the project, with the recipe's defaults and the seed that it names."""
    metadata = training_of(path)
    seed = 0 if path.stem == "reference" else int(path.stem.removeprefix("seed"))
    assert metadata["recipe"] == vars(Recipe(seed=seed))
    assert metadata["step"] == 4000
    weights = safetensors.torch.load_file(path)
    assert len(weights) == 12
    assert canonical_weights(subject_of(path).checkpoint)["unembed.W_U"].shape == (32, 200)
