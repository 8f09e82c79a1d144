"""Train min_of_two checkpoints: `python -m models.min_of_two.train --seed 0`, or `--seeds 0-31`.

The recipe is the write-up's: AdamW, learning rate 1e-3, weight decay 1.0, betas 0.9 and 0.98, 4,000
full-batch epochs, cross entropy of float64 logits at '='. A seed gives the same weights again on
the same machine and number of threads; a run that is killed goes on where it last saved and ends in
the same weights. Several seeds are trained at once, some at a time.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from mechanistic_claims import CannotJudge, forget, keep, read_checkpoint, saved_state
from models.min_of_two.sweep import Job, alone, jobs_of
from models.min_of_two.training import Recipe, Training

FOLDER = Path("runs/min_of_two")
LEAST = {"number_of_operands": 2, "d_model": 1, "d_head": 1, "epochs": 1, "every": 1, "threads": 1}
SIZES = ("number_of_operands", "d_model", "d_head")


def train(
    recipe: Recipe, out: Path, every: int | None = None, *, restart: bool = False
) -> Training:
    """Run a recipe to its end, from where an earlier run of it stopped, and write the checkpoint.

    `every` also writes `<out>.step<step>.safetensors` each so many epochs. `restart` forgets an
    earlier run.

    Raises:
        ValueError: the saved state at `out` belongs to another recipe, or training diverged.
    """
    training = finish(alone(recipe, out, every), out.parent, restart=restart)
    assert isinstance(training, Training)
    return training


def finish_all(jobs: Sequence[Job], folder: Path, *, restart: bool = False) -> list[str]:
    """Finish every job, and say what went wrong: one that diverges keeps no other from its end."""
    wrong = []
    for job in jobs:
        try:
            finish(job, folder, restart=restart)
        except ValueError as error:
            wrong.append(f"{job.name}: {error}")
    return wrong


def finish(job: Job, folder: Path, *, restart: bool = False) -> Any:
    """Train a job to its last epoch in this process, saving on the way; the run."""
    if restart:
        forget(job, folder)
    run = job.start(saved_state(job, folder))
    with tqdm(total=job.steps, initial=run.step, desc=job.name) as progress:
        while True:
            interval = job.advance(run, progress.update)
            progress.set_postfix_str(interval.said)
            keep(job, folder, interval)
            if interval.step == job.steps:
                return run


def numbers(text: str) -> list[int]:
    """`0-3,7` as 0, 1, 2, 3, 7.

    Raises:
        argparse.ArgumentTypeError: it is no such list.
    """
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers such as 0-31 or 0,3,5-8.")
    found: dict[int, None] = {}
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise argparse.ArgumentTypeError(f"{part!r}: the first number is above the last.")
        found |= dict.fromkeys(range(int(first), int(last or first) + 1))
    return list(found)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The recipe, and the seeds and sizes of a sweep."""
    for setting in dataclasses.fields(Recipe):
        option = f"--{setting.name.replace('_', '-')}"
        if setting.name in SIZES:
            more = "; several are swept: 50,113,200"
            parser.add_argument(option, type=numbers, default=[setting.default], help=more)
        else:
            kind: Any = type(setting.default)
            parser.add_argument(option, type=kind, default=setting.default, help=" ")
    parser.add_argument("--seeds", type=numbers, metavar="0-31", help="several seeds at once")
    parser.add_argument(
        "--every", type=int, metavar="EPOCHS", help="also keep a checkpoint each so many epochs"
    )


def recipes(options: argparse.Namespace) -> list[Recipe]:
    """The recipe of each size that is swept.

    Raises:
        ValueError: an option is out of its range.
    """
    for name, least in LEAST.items():
        given = getattr(options, name)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and value < least:
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option} {value}: expected {least} or more.")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", options.device):
        raise ValueError(f"--device {options.device}: expected cpu, cuda or cuda:N.")
    said = {s.name: getattr(options, s.name) for s in dataclasses.fields(Recipe)}
    sizes = itertools.product(*(said[name] for name in SIZES))
    return [Recipe(**said | dict(zip(SIZES, size, strict=True))) for size in sizes]


def jobs(options: argparse.Namespace) -> tuple[list[Job], list[Path]]:
    """What a sweep has left to do, and where its checkpoints are in the end.

    Several sizes have a folder each.

    Raises:
        ValueError: an option is wrong, or what is there belongs to another recipe.
        CheckpointError: what is there can't be read.
    """
    folder, of_sizes = options.out, recipes(options)
    if folder.suffix == ".safetensors" or folder.is_file():
        raise ValueError(f"--out {folder}: with --seeds it is a folder.")
    seeds = [options.seed] if options.seeds is None else options.seeds
    found: list[Job] = []
    paths = []
    for recipe in of_sizes:
        within = "-".join(f"{name[0]}{getattr(recipe, name)}" for name in SIZES[:2])
        within = f"{within}-h{recipe.d_head}" if len(of_sizes) > 1 else ""
        every, restart = options.every, options.restart
        found += jobs_of(recipe, seeds, folder, within, every, restart=restart)
        for seed in seeds:
            last = folder / within / f"seed{seed}.safetensors"
            steps = range(every, recipe.epochs + 1, every) if every else ()
            paths += [last, *(last.with_suffix(f".step{at:06d}.safetensors") for at in steps)]
    return found, paths


def _one_alone(options: argparse.Namespace, out: Path) -> Path:
    """Train a single checkpoint."""
    of_sizes = recipes(options)
    if len(of_sizes) > 1:
        raise ValueError("several sizes: give --seeds, and --out a folder.")
    if out.suffix != ".safetensors":
        raise ValueError(f"--out {out}: it writes safetensors, so end the name in .safetensors.")
    if out.exists() and not options.restart:
        raise ValueError(f"{out} exists: give --out another path, or --restart to train it again.")
    train(of_sizes[0], out, options.every, restart=options.restart)
    return out


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="mechanistic-claims train min_of_two",
        description="Train min_of_two checkpoints with the write-up's recipe.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_options(parser)
    said = f"the checkpoint, by default {FOLDER}/seed<seed>.safetensors; with --seeds the folder"
    parser.add_argument("--out", type=Path, help=said)
    parser.add_argument("--restart", action="store_true", help="forget an earlier run")
    options = parser.parse_args(arguments)
    wrong = []
    try:
        recipes(options)
        gpus = torch.cuda.device_count()
        if options.device != "cpu" and int(options.device.partition(":")[2] or 0) >= gpus:
            torch_here = f"torch {torch.__version__} sees {gpus} GPUs here."
            raise ValueError(f"--device {options.device}: {torch_here}")
        if options.seeds is None:
            out = options.out or FOLDER / f"seed{options.seed}.safetensors"
            paths = [_one_alone(options, out)]
        else:
            options.out = options.out or FOLDER
            left, paths = jobs(options)
            wrong = finish_all(left, options.out, restart=options.restart)
    except (ValueError, CannotJudge) as error:
        parser.error(str(error))
    for path in filter(Path.exists, paths):
        trained = json.loads(read_checkpoint(path, "min_of_two").metadata["training"])
        print(f"{path}: loss {trained['loss']:.3e}, accuracy {trained['accuracy']:.5f}")
    for said in wrong:
        print(said, file=sys.stderr)
    return int(bool(wrong))
