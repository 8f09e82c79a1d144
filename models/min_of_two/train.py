"""Train a min_of_two checkpoint: `python -m models.min_of_two.train --seed 0`.

The recipe is the write-up's: AdamW, learning rate 1e-3, weight decay 1.0, betas 0.9 and 0.98, 4,000
full-batch epochs, cross entropy of float64 logits at '='. Biases and positions stay zero. A seed
gives the same weights again on the same machine and number of threads; a run that is killed goes on
where it last saved and ends in the same weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from tqdm import tqdm

from fixtures.files import write_whole
from fixtures.measures import margin
from models.min_of_two.loss import Pairs, residual_at_equals, training_loss
from models.min_of_two.task import Task
from models.min_of_two.weights import (
    bridge_state_dict,
    untrained_parameters,
    with_zero_biases,
)

EPOCHS_BETWEEN_SAVES = 100
LEAST = {"number_of_operands": 2, "d_model": 1, "d_head": 1, "epochs": 1, "every": 1, "threads": 1}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, beside the versions."""

    seed: int = 0
    number_of_operands: int = 200
    d_model: int = 32
    d_head: int = 32
    epochs: int = 4000
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    beta_1: float = 0.9
    beta_2: float = 0.98
    threads: int = 2
    device: str = "cpu"


class Training:
    """One run: parameters, optimizer and step, which save and resume together."""

    def __init__(self, recipe: Recipe) -> None:
        torch.set_num_threads(recipe.threads)
        self.recipe = recipe
        self.step = 0
        self.loss = float("nan")
        self.task = Task(recipe.number_of_operands, torch.device(recipe.device))
        self.pairs = Pairs.for_training(self.task)
        start = untrained_parameters(
            recipe.number_of_operands, recipe.d_model, recipe.d_head, recipe.seed
        )
        self.parameters = {
            name: weight.to(recipe.device).requires_grad_() for name, weight in start.items()
        }
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            betas=(recipe.beta_1, recipe.beta_2),
        )

    def epoch(self) -> None:
        """One full-batch step."""
        self.optimizer.zero_grad()
        loss = training_loss(self.parameters, self.pairs, self.task.equals)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self.loss = loss.item()
        if not math.isfinite(self.loss):
            raise ValueError(f"the loss is {self.loss} at epoch {self.step}: training diverged.")

    @torch.no_grad()
    def accuracy(self) -> float:
        """Share of all inputs whose correct logit is strictly the greatest."""
        below = self.task.min_position == 0
        tokens, labels = self.task.inputs[below], self.task.labels[below]
        logits = residual_at_equals(self.parameters, tokens, self.task.equals)
        logits = logits @ self.parameters["W_U"]
        counts = 1 + self.task.differ[below].double()
        return float(((margin(logits, labels) > 0) * counts).sum() / counts.sum())

    def state(self) -> dict[str, Any]:
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "step": self.step,
            "loss": self.loss,
            "parameters": {name: weight.detach() for name, weight in self.parameters.items()},
            "optimizer": self.optimizer.state_dict(),
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.loss = state["step"], state["loss"]
        for name, weight in state["parameters"].items():
            self.parameters[name].copy_(weight)
        self.optimizer.load_state_dict(state["optimizer"])

    def checkpoint(self) -> bytes:
        """The weights under the bridge's names as safetensors, with where they come from."""
        parameters = {name: weight.detach().cpu() for name, weight in self.parameters.items()}
        training = {
            "model": "min_of_two",
            "step": self.step,
            "loss": self.loss,
            "accuracy": self.accuracy(),
            "recipe": dataclasses.asdict(self.recipe),
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
        }
        # one entry: safetensors writes several in an order that differs from run to run
        metadata = {"training": json.dumps(training)}
        return safetensors.torch.save(bridge_state_dict(with_zero_biases(parameters)), metadata)


def train(
    recipe: Recipe, out: Path, every: int | None = None, *, restart: bool = False
) -> Training:
    """Run a recipe to its end, from where an earlier run of it stopped, and write the checkpoint.

    `every` also writes `<out>.step<step>.safetensors` each so many epochs. `restart` forgets an
    earlier run.

    Raises:
        ValueError: the saved state at `out` belongs to another recipe.
    """
    training = Training(recipe)
    out.parent.mkdir(parents=True, exist_ok=True)
    saved = out.with_suffix(".training")
    if restart:
        saved.unlink(missing_ok=True)
    if saved.exists():
        state = _saved_state(saved)
        if state["recipe"] != dataclasses.asdict(recipe):
            raise ValueError(
                f"{saved} belongs to another recipe: {state['recipe']}. "
                "Give --out another path, or --restart to forget that run."
            )
        training.restore(state)
    with tqdm(total=recipe.epochs, initial=training.step, desc=f"seed {recipe.seed}") as progress:
        while training.step < recipe.epochs:
            training.epoch()
            progress.update()
            if every and training.step % every == 0:
                step = f".step{training.step:06d}.safetensors"
                write_whole(out.with_suffix(step), training.checkpoint())
            if training.step % EPOCHS_BETWEEN_SAVES == 0 or training.step == recipe.epochs:
                progress.set_postfix(
                    loss=f"{training.loss:.2e}", accuracy=f"{training.accuracy():.5f}"
                )
                torch.save(training.state(), saved.with_suffix(".partial"))
                saved.with_suffix(".partial").replace(saved)
    write_whole(out, training.checkpoint())
    saved.unlink(missing_ok=True)
    return training


def _saved_state(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        return state
    except Exception as error:
        raise ValueError(
            f"{path} can't be read ({type(error).__name__}). --restart forgets that run."
        ) from error


def main() -> None:
    recipe = Recipe()
    parser = argparse.ArgumentParser(
        prog="python -m models.min_of_two.train",
        description="Train a min_of_two checkpoint with the write-up's recipe.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for setting in dataclasses.fields(recipe):
        option = f"--{setting.name.replace('_', '-')}"
        parser.add_argument(option, type=type(setting.default), default=setting.default)
    parser.add_argument(
        "--out", type=Path, help="the checkpoint, by default runs/min_of_two/seed<seed>.safetensors"
    )
    parser.add_argument(
        "--every", type=int, metavar="EPOCHS", help="also keep a checkpoint each so many epochs"
    )
    parser.add_argument("--restart", action="store_true", help="forget an earlier run")
    options = vars(parser.parse_args())
    for name, least in LEAST.items():
        if options[name] is not None and options[name] < least:
            parser.error(f"--{name.replace('_', '-')} {options[name]}: expected {least} or more.")
    out, every, restart = (options.pop(name) for name in ("out", "every", "restart"))
    recipe = Recipe(**options)
    if not re.fullmatch(r"cpu|cuda(:\d+)?", recipe.device):
        parser.error(f"--device {recipe.device}: expected cpu, cuda or cuda:N.")
    gpus = torch.cuda.device_count()
    if recipe.device != "cpu" and int(recipe.device.partition(":")[2] or 0) >= gpus:
        parser.error(f"--device {recipe.device}: torch {torch.__version__} sees {gpus} GPUs here.")
    out = out or Path("runs/min_of_two") / f"seed{recipe.seed}.safetensors"
    if out.suffix != ".safetensors":
        parser.error(f"--out {out}: it writes safetensors, so end the name in .safetensors.")
    if out.exists() and not restart:
        parser.error(f"{out} exists: give --out another path, or --restart to train it again.")
    try:
        training = train(recipe, out, every, restart=restart)
    except ValueError as error:
        parser.error(str(error))
    print(f"{out}: loss {training.loss:.3e}, accuracy {training.accuracy():.5f}")


if __name__ == "__main__":
    main()
