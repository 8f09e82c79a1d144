"""What a picture shows of a sequence: the rows that are asked, and tokens as a tokenizer has them.

No weights are needed.
"""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE

from mechanistic_claims.model.components import head
from mechanistic_claims.model.family import Sizes
from models.smollm2 import task as module
from models.smollm2.task import Task
from tests.conftest import CPU

TOKENS = 40_000


@pytest.fixture
def task():
    return Task.of(Sizes(TOKENS, TOKENS, 128, 1, 1, 8, 8), CPU).shown


def test_what_is_asked_of_heads_is_framed(task):
    places = 2 * task.length + 1
    drawn = torch.rand(1, places, places, generator=torch.Generator().manual_seed(0))
    found = task.attention({head(3, 1): drawn}, "Of one")
    assert found.marked is not None
    framed = drawn[0][found.marked].mean()
    assert framed == pytest.approx(float(task.prefix_matching(drawn, slice(None))))
    (tokens,) = task.inputs.tolist()
    for query, source in found.marked.nonzero().tolist():
        assert tokens[source - 1] == tokens[query]
        assert source - 1 < query
    assert torch.equal(found.patterns, drawn)
    assert found.names == ["head 3.1"]


@pytest.mark.parametrize("others", [0, 1])
def test_tokens_are_text_where_the_tokenizer_is_that_of_the_model(
    task, others, tmp_path, monkeypatch
):
    vocabulary = {f"Ġ{token}a": token for token in range(TOKENS + others)}
    tokenizer = Tokenizer(BPE(vocabulary, []))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    numbers = [str(token) for token in task.inputs[0].tolist()]
    assert task.words == numbers, "none is fetched"
    monkeypatch.setattr(module, "fetched", lambda weights: tmp_path)
    assert task.words == (numbers if others else [f" {number}a" for number in numbers])
