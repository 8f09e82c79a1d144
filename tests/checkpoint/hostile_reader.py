"""A process that reads hostile files, within limits, and tells what came of each.

It is one of its own, so that a file that hangs it, kills it or takes its memory is found out.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import safetensors.torch
import torch
from hypothesis import given

import mechanistic_claims.checkpoint.opening
from mechanistic_claims.checkpoint.checkpoint import CheckpointError
from mechanistic_claims.checkpoint.read import read_checkpoint
from mechanistic_claims.measurement.properties import reproducible
from models.min_of_two import FAMILY
from models.min_of_two.weights import canonical_weights
from tests.checkpoint.hostile import (
    Case,
    archives,
    damaged,
    no_files,
    not_finite,
    odd_tensors,
    saved,
    sound,
    suffix,
)
from tests.checkpoint.hostile_headers import absurd_headers, disagreeing, headers
from tests.checkpoint.hostile_loops import (
    beside_weights,
    costly_loops,
    made_by_objects,
    names_alike,
    others_than_torch_reads,
)
from tests.checkpoint.hostile_pickles import (
    costly_pickles,
    large_files,
    programs,
    runs_code,
    structures,
)
from tests.conftest import CPU, small_weights

GIBIBYTE = 2**30
HASHED = list[bytes]()
NO_LIMIT = resource.RLIM_INFINITY
EXECUTES = (
    *("exec", "compile", "import", "pickle.find_class", "ctypes.dlopen", "socket.connect"),
    *("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.mkdir", "subprocess.Popen"),
)


class Watch:
    """What Python itself says was executed or written, while a file is read."""

    def __init__(self) -> None:
        self.on, self.seen = False, list[str]()
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[1], str) and set("wax+") & {*arguments[1]}
        ours = threading.current_thread() is threading.main_thread()
        if self.on and ours and (event in EXECUTES or writes):
            self.seen.append(f"{event} {arguments!r:.200}")


def memory(field: str) -> int:
    """Bytes of this process as the kernel counts them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def come_of(path: Path, built: bool) -> str:
    """`error` or `valid`, or what is wrong with how the file was read."""
    try:
        checkpoint = read_checkpoint(path, "min_of_two", FAMILY)
        weights = canonical_weights(checkpoint)
        if built:
            FAMILY.build(checkpoint, CPU)
    except CheckpointError as error:
        return "error" if is_clear(error, path) else f"not clear: {str(error)!r:.500}"
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{type(error).__name__}: {error!s:.300} ({Path(frame.filename).name}:{frame.lineno})"
        )
    if not all(bool(weight.isfinite().all()) for weight in weights.values()):
        return "read, but not finite"
    hashed = b"".join(HASHED)
    if checkpoint.sha256 != hashlib.sha256(hashed).hexdigest():
        return "read, but hashed something else"
    if hashed[8:9] == b"{":
        held = safetensors.torch.load(hashed).items()
        for name, tensor in checkpoint.tensors.items():
            if not any(torch.equal(tensor, other) for n, other in held if n.endswith(name)):
                return "read, but something else than was hashed"
    return "valid"


class Remembered:
    """A sha256 that keeps what it is made of, even if the file is another by now."""

    def __init__(self) -> None:
        HASHED.clear()

    def update(self, content: bytes) -> None:
        HASHED.append(bytes(content))

    def hexdigest(self) -> str:
        return hashlib.sha256(b"".join(HASHED)).hexdigest()


def remember_what_is_hashed() -> None:
    mechanistic_claims.checkpoint.opening.hashlib = SimpleNamespace(sha256=Remembered)


def is_clear(error: CheckpointError, path: Path) -> bool:
    """One line of what was found, one of what to do; and it isn't memory that ran out."""
    lines = str(error).removeprefix(f"{path}: ").split("\n")
    cause = f"{error.__cause__!r}".lower()
    return (
        str(error).startswith(f"{path}: ")
        and len(lines) == 2
        and all(line.isprintable() and 10 < len(line) < 1000 for line in lines)
        and "memoryerror" not in cause
        and "alloc" not in cause
    )


def empty(folder: Path) -> None:
    """Leave nothing in a folder, which stays: making one takes longer than reading most cases."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


class Reader:
    """Reads one case after another and tells of each on a line before and after."""

    def __init__(self, folder: Path, builds: bool) -> None:
        self.folder, self.builds = folder, builds  # building imports transformer_lens: seconds
        self.watch, self.count, self.kind = Watch(), 0, ""

    def __call__(self, case: Case) -> None:
        empty(self.folder)
        self.measure(case.name, case.write(self.folder))

    def measure(self, name: str, path: Path) -> None:
        self.tell(kind=self.kind, start=name)
        self.count += 1
        reset_peak()
        before, start = memory("VmRSS"), time.process_time()
        resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + GIBIBYTE, NO_LIMIT))
        self.watch.on = True
        outcome = come_of(path, built=self.builds and self.count % 10 == 0)
        self.watch.on = False
        resource.setrlimit(resource.RLIMIT_AS, (NO_LIMIT, NO_LIMIT))
        seconds, grown = time.process_time() - start, memory("VmHWM") - before
        executed = [*self.watch.seen, *(found.name for found in Path.cwd().iterdir())]
        if executed:
            outcome = f"executed: {executed}"
        self.tell(kind=self.kind, end=name, outcome=outcome, seconds=seconds, grown=grown)
        self.watch.seen.clear()

    def tell(self, **facts: Any) -> None:
        print(json.dumps(facts), flush=True)


def by_hypothesis(strategy: Any, count: int) -> Callable[[Reader], None]:
    def run(reader: Reader) -> None:
        given(strategy)(reproducible(count)(lambda case: reader(case)))()

    return run


def by_hand(cases: Iterable[Case]) -> Callable[[Reader], None]:
    def run(reader: Reader) -> None:
        for case in cases:
            reader(case)

    return run


def changing(reader: Reader, times: int) -> None:
    """A file that is written over, cut and replaced while it is read, again and again.

    What is read as a checkpoint must be what was hashed.
    """
    contents = [saved(small_weights(500, 64, seed), "safetensors") for seed in (0, 1)]
    path, done = reader.folder / "changing" / "case.safetensors", threading.Event()
    path.parent.mkdir(parents=True)
    path.write_bytes(contents[0])

    def rewrite() -> None:
        draw = random.Random(0)
        while not done.is_set():
            content = draw.choice(contents)
            if draw.random() < 0.2:
                other = path.with_name("other")
                other.write_bytes(content)
                other.replace(path)
            with path.open("r+b") as file:
                file.write(content[: draw.choice((len(content), len(content), 1000))])
                if draw.random() < 0.2:
                    file.truncate()
            time.sleep(draw.choice((0, 0.001)))

    writer = threading.Thread(target=rewrite)
    writer.start()
    for _ in range(times):
        reader.measure("changes while it is read", path)
    done.set()
    writer.join()


def all_kinds(share: float) -> dict[str, Callable[[Reader], None]]:
    """Every kind of case, and how it is read: a share of each, but more of the costly ones."""
    whole = share == 1

    def some(cases: Iterable[Case], full: int) -> Callable[[Reader], None]:
        return by_hand(islice(cases, round(full * share)))

    def spread(cases: Iterable[Case]) -> Callable[[Reader], None]:
        return by_hand(islice(cases, 0, None, round(1 / share)))

    return {
        "damaged": some(damaged(random.Random(0)), 5000),
        "archives": some(archives(random.Random(1)), 400),
        "headers": by_hypothesis(headers(), round(1500 * share)),
        "operations": by_hypothesis(programs(), round(1300 * share)),
        "structures": by_hypothesis(structures(), round(800 * share)),
        "not finite": spread(not_finite()),
        "types and layouts": spread(odd_tensors()),
        "runs code": spread(runs_code()),
        "beside the weights": spread(beside_weights()),
        "made by objects": spread(made_by_objects()),
        "names alike": spread(names_alike()),
        "costly loops": by_hand(costly_loops() if whole else ()),
        "others than torch reads": by_hand(others_than_torch_reads()),
        "costly headers": by_hand(islice(absurd_headers(), 0, None, 1 if whole else 4)),
        "disagreeing": by_hand(disagreeing()),
        "costly pickles": by_hand(islice(costly_pickles(), 0, None, 1 if whole else 4)),
        "large files": by_hand(large_files() if whole else ()),
        "no files": by_hand(no_files()),
        "changing": lambda reader: changing(reader, round(200 * share)),
    }


def main() -> None:
    """`python -m tests.checkpoint.hostile_reader SHARE [KIND...]`: read that share of the cases."""
    share, names = float(sys.argv[1]), sys.argv[2:]
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as place:
        folder, nowhere = Path(place, "cases"), Path(place, "nowhere")
        nowhere.mkdir()
        remember_what_is_hashed()
        reader = Reader(folder, builds=share == 1)
        for form, content in sound():
            path = Case(form, content, suffix(form)).write(Path(place))
            outcome = come_of(path, built=reader.builds)
            assert outcome == "valid", f"{form}: {outcome}"
        kinds = all_kinds(share)
        os.chdir(nowhere)
        b"x".decode("cp437")  # imported when a file first has such a text
        b"x".decode("raw_unicode_escape")
        for name in names or kinds:
            reader.kind = name
            kinds[name](reader)


if __name__ == "__main__":
    main()
