"""What a picture shows of a sequence: two copies of a block, of each head, with their tokens."""

from __future__ import annotations

import torch
from einops import rearrange

from mechanistic_claims.model.components import head
from models.induction.task import Layout, Task
from tests.conftest import CPU


def test_two_copies_of_the_shortest_block_are_shown():
    task = Task(50, 30, CPU, Layout(4, 9, first=7))
    pattern = rearrange(torch.arange(256 * 30 * 30.0), "(i q s) -> i q s", q=30, s=30)
    found = task.attention({head(1, 0): pattern, head(1, 2): -pattern}, "Of two")
    sequence = next(i for i in range(256) if task.lengths[i] == 4)
    first, *blocks = map(int, found.tokens)
    assert first == 7
    assert blocks[:4] == blocks[4:] == task.tokens[sequence, 1:5].tolist()
    assert torch.equal(found.patterns[0], pattern[sequence, :9, :9])
    assert torch.equal(found.patterns[1], -pattern[sequence, :9, :9])
    assert (found.title, found.names) == ("Of two: 4 tokens, twice", ["head 1.0", "head 1.2"])
