"""Which heads are induction heads: picked on other sequences than those that they are judged on."""

from types import SimpleNamespace

import pytest

from mechanistic_claims import head

COUNT = 8
"""So many are picked: the eighth matches twice as much as the median head of the layers around."""


@pytest.fixture(scope="session")
def heads(task, activations):
    """The induction heads: their places in order, the strongest one, and all of them together."""
    others = task.others
    places = others.strongest(activations.on(others).by_head(others.prefix_matching), COUNT)
    each = [head(layer, index) for layer, index in places]
    return SimpleNamespace(places=places, strongest=each[0], together=sum(each[1:], start=each[0]))


@pytest.fixture(scope="session")
def matching(task, activations):
    """The prefix matching of every head on each of many sequences."""
    return activations.on(task.many).by_head(task.prefix_matching)
