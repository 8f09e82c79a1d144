"""A sweep of min_of_two: seeds of one recipe, in jobs that are trained an interval at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mechanistic_claims import Interval, read_checkpoint
from models.min_of_two.training import Recipe, Run, Seeds, Training

STEPS_BETWEEN_SAVES = 100
SEEDS_AT_ONCE = {"cpu": 8, "cuda": 64}
"""More at once are no faster on a CPU: their logits leave its cache."""


@dataclass(frozen=True)
class Job:
    """Seeds that are trained together; of those in `paths` the checkpoints are wanted.

    Paths are in the folder of the sweep. One seed `alone` is trained as matrices, not as a batch.
    """

    recipe: Recipe
    seeds: tuple[int, ...]
    paths: Mapping[int, str]
    saved: str
    every: int | None = None
    alone: bool = False

    @property
    def name(self) -> str:
        return f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"

    @property
    def steps(self) -> int:
        return self.recipe.epochs

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The paths of what is there when it is done."""
        return tuple(self.paths.values())

    @property
    def cpus(self) -> int:
        return self.recipe.threads

    @property
    def gpus(self) -> int:
        return int(self.recipe.device != "cpu")

    def start(self, state: bytes | None) -> Run:
        """A run from its beginning, or from where it was.

        Raises:
            ValueError: the state is damaged, or that of another recipe.
        """
        run = Training(self.recipe) if self.alone else Seeds(self.recipe, self.seeds)
        if state is not None:
            found = read_state(self.saved, state)
            if any(found.get(name) != value for name, value in run.belongs_to().items()):
                raise ValueError(
                    f"{self.saved} belongs to another recipe: {found.get('recipe')}. "
                    "Give --out another path, or --restart to forget that run."
                )
            run.restore(found)
        return run

    def advance(self, run: Run, after_each: Callable[[], object] = lambda: None) -> Interval:
        """Train until it is time to save."""
        until = min(run.step - run.step % STEPS_BETWEEN_SAVES + STEPS_BETWEEN_SAVES, self.steps)
        files: dict[str, bytes] = {}
        while run.step < until:
            run.epoch()
            after_each()
            if self.every and run.step % self.every == 0:
                files |= self._files(run, f".step{run.step:06d}")
        if run.step == self.steps:
            files |= self._files(run, "")
        state = io.BytesIO()
        torch.save(run.state(), state)
        accuracy = min((run.accuracy(at) for at in run.converging), default=float("nan"))
        loss = max((run.losses[at] for at in run.converging), default=float("nan"))
        said = f"loss {loss:.2e}, accuracy {accuracy:.5f}"
        return Interval(files, state.getvalue(), run.step, said)

    def interval(self, state: bytes | None) -> Interval:
        """The next interval of a run, in whatever process."""
        with torch.enable_grad():
            return self.advance(self.start(state))

    def _files(self, run: Run, step: str) -> dict[str, bytes]:
        return {
            str(Path(self.paths[seed]).with_suffix(f"{step}.safetensors")): run.checkpoint(place)
            for place, seed in enumerate(self.seeds)
            if seed in self.paths and place in run.converging
        }


def alone(recipe: Recipe, out: Path, every: int | None = None) -> Job:
    """One seed, trained by itself."""
    saved = out.with_suffix(".training").name
    return Job(recipe, (recipe.seed,), {recipe.seed: out.name}, saved, every, alone=True)


def jobs_of(
    recipe: Recipe,
    seeds: Sequence[int],
    folder: Path,
    within: str = "",
    every: int | None = None,
    *,
    restart: bool = False,
) -> list[Job]:
    """What is left to train of seeds of a recipe, `<folder>/<within>/seed<seed>.safetensors`.

    Seeds that are there already are left as they are. A sweep that was stopped goes on where it
    last saved. Which seeds are trained together changes their weights by roundings only.

    Raises:
        ValueError: what is there belongs to another recipe, or can't be read.
        CheckpointError: a checkpoint that is there can't be read.
    """
    recipe = dataclasses.replace(recipe, seed=0)  # it means nothing here
    paths = {seed: str(Path(within) / f"seed{seed}.safetensors") for seed in seeds}
    left = [s for s in paths if restart or not _is_trained(folder / paths[s], recipe, s)]
    groups = [] if restart else _stopped_groups(folder / within, recipe, left)
    fresh = [seed for seed in left if not any(seed in group for group in groups)]
    size = SEEDS_AT_ONCE[recipe.device.partition(":")[0]]
    groups += [fresh[at : at + size] for at in range(0, len(fresh), size)]
    jobs, given = [], set[int]()
    for group in groups:
        wanted = {s: paths[s] for s in group if s in left and s not in given}
        given |= wanted.keys()
        saved = str(Path(within) / _state_name(group))
        jobs.append(Job(recipe, tuple(group), wanted, saved, every))
    return [job for job in jobs if job.paths]


def _state_name(group: Sequence[int]) -> str:
    which = hashlib.sha256(str(list(group)).encode()).hexdigest()[:8]
    return f"seeds{group[0]}-{group[-1]}-{which}.training"


def read_state(name: str, content: bytes) -> dict[str, Any]:
    """A saved state.

    Raises:
        ValueError: it is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
        return state
    except Exception as error:
        raise ValueError(
            f"{name} can't be read ({type(error).__name__}). --restart forgets that run."
        ) from error


def _stopped_groups(folder: Path, recipe: Recipe, left: Sequence[int]) -> list[list[int]]:
    """The seeds that were trained together when a sweep was stopped, where some are left."""
    groups = []
    for path in sorted(folder.glob("seeds*.training")):
        state = read_state(str(path), path.read_bytes())
        if state.get("recipe") == dataclasses.asdict(recipe) and set(state["seeds"]) & set(left):
            groups.append(state["seeds"])
    return groups


def _is_trained(path: Path, recipe: Recipe, seed: int) -> bool:
    if not path.exists():
        return False
    said = read_checkpoint(path, "min_of_two").training
    if said is None or said["recipe"] != dataclasses.asdict(dataclasses.replace(recipe, seed=seed)):
        raise ValueError(
            f"{path} is of another recipe. Give --out another folder, or --restart to train it "
            "again."
        )
    return True
