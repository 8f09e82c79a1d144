"""Train min_of_two checkpoints: `python -m models.min_of_two.train --seed 0`, or `--seeds 0-31`.

The recipe is the write-up's: AdamW, learning rate 1e-3, weight decay 1.0, betas 0.9 and 0.98, 4,000
full-batch epochs, cross entropy of float64 logits at '='. A seed gives the same weights again on
the same machine and number of threads; a run that is killed goes on where it last saved and ends in
the same weights. Several seeds are trained at once, some at a time.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from fixtures.checkpoint import read_checkpoint
from fixtures.errors import CannotJudge
from fixtures.files import write_whole
from models.min_of_two.training import Recipe, Run, Seeds, Training

EPOCHS_BETWEEN_SAVES = 100
SEEDS_AT_ONCE = {"cpu": 8, "cuda": 64}
"""More at once are no faster on a CPU: their logits leave its cache."""
FOLDER = Path("runs/min_of_two")
LEAST = {"number_of_operands": 2, "d_model": 1, "d_head": 1, "epochs": 1, "every": 1, "threads": 1}


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
    _finish(training, {0: out}, out.with_suffix(".training"), every, restart)
    return training


def train_seeds(
    recipe: Recipe,
    seeds: Sequence[int],
    folder: Path,
    every: int | None = None,
    *,
    restart: bool = False,
) -> list[Path]:
    """Train each seed of a recipe, and write `<folder>/seed<seed>.safetensors`.

    Seeds that are there already are left as they are. A sweep that is stopped goes on where it last
    saved. Which seeds are trained together changes their weights by roundings only.

    Raises:
        ValueError: what is there belongs to another recipe.
        CheckpointError: what is there can't be read.
    """
    size = SEEDS_AT_ONCE[recipe.device.partition(":")[0]]
    left = [seed for seed in seeds if restart or not _is_trained(folder, recipe, seed)]
    groups = [] if restart else _stopped_groups(folder, recipe, left)
    fresh = [seed for seed in left if not any(seed in group for group in groups)]
    groups += [fresh[at : at + size] for at in range(0, len(fresh), size)]
    for group in groups:
        paths = {at: _path_of(folder, seed) for at, seed in enumerate(group) if seed in left}
        _finish(Seeds(recipe, group), paths, _state_path(folder, group), every, restart)
    return [_path_of(folder, seed) for seed in seeds]


def _path_of(folder: Path, seed: int) -> Path:
    return folder / f"seed{seed}.safetensors"


def _state_path(folder: Path, group: Sequence[int]) -> Path:
    which = hashlib.sha256(str(list(group)).encode()).hexdigest()[:8]
    return folder / f"seeds{group[0]}-{group[-1]}-{which}.training"


def _stopped_groups(folder: Path, recipe: Recipe, left: Sequence[int]) -> list[list[int]]:
    """The seeds that were trained together when a sweep was stopped, where some are left."""
    states = map(_saved_state, sorted(folder.glob("seeds*.training")))
    of_recipe = dataclasses.asdict(recipe)
    groups = [state["seeds"] for state in states if state.get("recipe") == of_recipe]
    return [group for group in groups if set(group) & set(left)]


def _is_trained(folder: Path, recipe: Recipe, seed: int) -> bool:
    path = _path_of(folder, seed)
    if not path.exists():
        return False
    said = read_checkpoint(path, "min_of_two").training
    if said is None or said["recipe"] != dataclasses.asdict(dataclasses.replace(recipe, seed=seed)):
        raise ValueError(
            f"{path} is of another recipe. Give --out another folder, or --restart to train it "
            "again."
        )
    return True


def _finish(
    run: Run, paths: Mapping[int, Path], saved: Path, every: int | None, restart: bool
) -> None:
    """Train to the last epoch, saving on the way, and write checkpoints: `paths` has the place of
    each seed that is written.
    """
    saved.parent.mkdir(parents=True, exist_ok=True)
    if restart:
        saved.unlink(missing_ok=True)
    if saved.exists():
        _resume(run, saved)
    name = f"seed{'s' * (len(run.seeds) > 1)} {', '.join(map(str, run.seeds))}"
    epochs = run.recipe.epochs
    with tqdm(total=epochs, initial=run.step, desc=name) as progress:
        while run.step < epochs:
            run.epoch()
            progress.update()
            if every and run.step % every == 0:
                _write(run, paths, f".step{run.step:06d}.safetensors")
            if run.step % EPOCHS_BETWEEN_SAVES == 0 or run.step == epochs:
                accuracy = min(map(run.accuracy, range(len(run.seeds))))
                progress.set_postfix(loss=f"{max(run.losses):.2e}", accuracy=f"{accuracy:.5f}")
                torch.save(run.state(), saved.with_suffix(".partial"))
                saved.with_suffix(".partial").replace(saved)
    _write(run, paths, ".safetensors")
    saved.unlink(missing_ok=True)


def _write(run: Run, paths: Mapping[int, Path], suffix: str) -> None:
    for place, path in paths.items():
        write_whole(path.with_suffix(suffix), run.checkpoint(place))


def _saved_state(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        return state
    except Exception as error:
        raise ValueError(
            f"{path} can't be read ({type(error).__name__}). --restart forgets that run."
        ) from error


def _resume(run: Run, saved: Path) -> None:
    state = _saved_state(saved)
    if any(state.get(name) != value for name, value in run.belongs_to().items()):
        raise ValueError(
            f"{saved} belongs to another recipe: {state.get('recipe')}. "
            "Give --out another path, or --restart to forget that run."
        )
    run.restore(state)


def seeds_of(text: str) -> list[int]:
    """`0-3,7` as 0, 1, 2, 3, 7.

    Raises:
        argparse.ArgumentTypeError: it is no such list.
    """
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected seeds such as 0-31 or 0,3,5-8.")
    seeds: dict[int, None] = {}
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise argparse.ArgumentTypeError(f"{part!r}: the first seed is above the last.")
        seeds |= dict.fromkeys(range(int(first), int(last or first) + 1))
    return list(seeds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.min_of_two.train",
        description="Train min_of_two checkpoints with the write-up's recipe.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for setting in dataclasses.fields(Recipe):
        option = f"--{setting.name.replace('_', '-')}"
        parser.add_argument(option, type=type(setting.default), default=setting.default)
    parser.add_argument("--seeds", type=seeds_of, metavar="0-31", help="several seeds at once")
    parser.add_argument(
        "--out",
        type=Path,
        help=f"the checkpoint, by default {FOLDER}/seed<seed>.safetensors; with --seeds the folder",
    )
    parser.add_argument(
        "--every", type=int, metavar="EPOCHS", help="also keep a checkpoint each so many epochs"
    )
    parser.add_argument("--restart", action="store_true", help="forget an earlier run")
    return parser


def main() -> None:
    parser = _parser()
    options = vars(parser.parse_args())
    for name, least in LEAST.items():
        if options[name] is not None and options[name] < least:
            parser.error(f"--{name.replace('_', '-')} {options[name]}: expected {least} or more.")
    out, every, restart, seeds = (options.pop(n) for n in ("out", "every", "restart", "seeds"))
    recipe = Recipe(**options)
    if not re.fullmatch(r"cpu|cuda(:\d+)?", recipe.device):
        parser.error(f"--device {recipe.device}: expected cpu, cuda or cuda:N.")
    gpus = torch.cuda.device_count()
    if recipe.device != "cpu" and int(recipe.device.partition(":")[2] or 0) >= gpus:
        parser.error(f"--device {recipe.device}: torch {torch.__version__} sees {gpus} GPUs here.")
    out = out or (_path_of(FOLDER, recipe.seed) if seeds is None else FOLDER)
    if seeds is not None and (out.suffix == ".safetensors" or out.is_file()):
        parser.error(f"--out {out}: with --seeds it is a folder.")
    if seeds is None and out.suffix != ".safetensors":
        parser.error(f"--out {out}: it writes safetensors, so end the name in .safetensors.")
    if seeds is None and out.exists() and not restart:
        parser.error(f"{out} exists: give --out another path, or --restart to train it again.")
    try:
        paths = [out]
        if seeds is None:
            train(recipe, out, every, restart=restart)
        else:
            paths = train_seeds(recipe, seeds, out, every, restart=restart)
    except (ValueError, CannotJudge) as error:
        parser.error(str(error))
    for path in paths:
        said = json.loads(read_checkpoint(path, "min_of_two").metadata["training"])
        print(f"{path}: loss {said['loss']:.3e}, accuracy {said['accuracy']:.5f}")


if __name__ == "__main__":
    main()
