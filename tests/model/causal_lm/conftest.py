"""Each kind of small language model, in a folder, and opened."""

from __future__ import annotations

import pytest

from tests.model.causal_lm.kinds import KINDS, original, subject_of


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    original(kind).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def subject(folder):
    return subject_of(folder)
