"""What the tests of outputs share."""

from __future__ import annotations

import json

import pytest

from tests.conftest import OV, QK


@pytest.fixture(scope="module")
def checkpoints(shipped):
    """All shipped checkpoints as the file of verdicts has them."""
    return json.loads(shipped.verdict_file.read_text())["checkpoints"]


@pytest.fixture(scope="module")
def baseline(run_claims, tmp_path_factory):
    """The QK and OV claims of the reference, with its run."""
    path = tmp_path_factory.mktemp("gate") / "baseline.json"
    return path, run_claims(QK, OV, "--verdicts", path)
