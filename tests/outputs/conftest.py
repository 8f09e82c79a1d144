"""What the tests of outputs share."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(scope="module")
def checkpoints(shipped):
    """All shipped checkpoints as the file of verdicts has them."""
    return json.loads(shipped.verdict_file.read_text())["checkpoints"]
