"""No more workers than memory holds, by the size of what they judge, and a line that says so."""

from __future__ import annotations

import math
import os

import pytest

from mechanistic_claims.session.memory import available_gib, left_in_groups, needed_gib
from mechanistic_claims.session.workers import available_cores, useful_workers

GIB = 2**30


@pytest.mark.parametrize(
    ("needs", "gpu_gib", "memory_gib", "workers"),
    [
        ([1.25] * 8, None, 100.0, 4),
        ([1.25] * 8, None, 3.75, 3),
        ([1.25] * 8, None, 3.74, 2),
        ([1.25] * 8, None, 2.0, 0),
        ([1.25, 8.0, 1.25, 1.25], None, 10.5, 3),  # whichever are judged at once
        ([1.25, 8.0, 8.0, 1.25], None, 10.5, 0),
        ([20.0] * 8, None, 10.0, 0),
        ([1.25] * 8, [3.0, 3.0], 100.0, 2),
        ([9.0] * 8, [20.0, 30.0], 100.0, 4),
        ([9.0] * 8, [17.0, 30.0], 100.0, 2),
        ([9.0] * 8, [20.0, 30.0], 28.0, 3),
    ],
)
def test_no_more_workers_than_fit(needs, gpu_gib, memory_gib, workers):
    assert useful_workers(4, needs, gpu_gib, memory_gib) == workers


def large(path, gib):
    """A file of this size that takes no room."""
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.truncate(path, int(gib * GIB))
    return path


def test_a_process_needs_what_its_weights_are(tmp_path):
    """Of two shards both, of a folder no more than these, and never less than small models do."""
    assert needed_gib(large(tmp_path / "a.safetensors", 0.5)) == 3.5
    assert needed_gib(tmp_path / "missing.pt") == needed_gib(tmp_path / "none") == 1.5
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name, gib in zip(shards, (1.0, 2.0), strict=True):
        large(tmp_path / "of_shards" / name, gib)
    large(tmp_path / "of_shards/tokenizer.model", 5.0)
    index = tmp_path / "of_shards/model.safetensors.index.json"
    index.write_text(f'{{"weight_map": {{"a": "{shards[0]}", "b": "{shards[1]}"}}}}')
    assert needed_gib(index) == needed_gib(index.parent) == 13.5


GROUPS = {
    "lib/memory.max": "max\n",
    "lib/pod/memory.max": f"{8 * GIB}\n",
    "lib/pod/memory.current": f"{5 * GIB}\n",
    "lib/pod/memory.stat": f"anon 7\ninactive_file {2 * GIB}\n",
    "lib/pod/own/memory.max": "max\n",
    "lib/pod/own/memory.current": "9\n",
    "lib/pod/own/memory.stat": "anon 9\n",
    "memory/job/memory.limit_in_bytes": f"{3 * GIB}\n",
    "memory/job/memory.usage_in_bytes": f"{2 * GIB}\n",
    "memory/job/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB // 2}\n",
}


@pytest.mark.parametrize(
    ("groups", "gib"),
    [
        ("0::/lib/pod/own\n", 5.0),  # that of a group above, and files in memory give way
        ("12:cpu,cpuacct:/job\n5:memory:/job/x\n0::/\n", 1.5),
        ("0::/elsewhere\n", math.inf),
        ("3:cpu:/lib/pod\n", math.inf),
        ("", math.inf),
    ],
)
def test_groups_of_processes_have_limits(tmp_path, groups, gib):
    for name, text in GROUPS.items():
        tmp_path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        tmp_path.joinpath(name).write_text(text)
    assert min([*left_in_groups(groups, tmp_path)], default=math.inf) == gib * (GIB if gib else 1)


def test_this_machine_has_no_more_than_it_has():
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    available = available_gib()
    assert available is not None
    assert 0 < available < most


@pytest.mark.slow
@pytest.mark.parametrize(("gib", "said"), [(1_000, True), (0.001, False)])
def test_the_run_says_why_there_are_fewer(run_claims, tmp_path, gib, said):
    given = [f"--checkpoint={large(tmp_path / name, gib)}" for name in ("a.pt", "b.pt")]
    run = run_claims("claims/min_of_two", "-n", "auto", "--collect-only", *given)
    line = "processes: 1, not 2: one takes up to 4001.5 GiB, by the size of its weights, and "
    said &= available_cores() > 1
    assert (line in run.output) == ("processes:" in run.output) == said, run.output
