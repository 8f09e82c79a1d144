"""Which head is which: picked on other sequences than those on which claims are judged."""

from types import SimpleNamespace

import pytest

from mechanistic_claims import NothingMeasured, head, mean, prefix_matching, previous_token

MATCHES = 0.3
"""From this prefix matching on a head is an induction head; others have 0.1 or less."""


@pytest.fixture(scope="session")
def heads(task, weights, activations):
    """The previous-token head, the other heads of its layer, and the induction heads.

    A model without an induction head is judged by the head that comes nearest.
    """
    others = activations.on(task.others)
    first, second = ([head(layer, h) for h in range(weights.W_Q.shape[1])] for layer in (0, 1))

    def previous(one):
        return mean(previous_token(others.pattern(one), task.others.in_first_copy))

    def matching(one):
        pattern, asked = others.pattern(one), task.others
        return mean(prefix_matching(pattern, asked.inputs, asked.in_second_copy))

    chosen = max(first, key=previous)
    best = max(second, key=matching)
    inducing = [one for one in second if matching(one) >= MATCHES] or [best]
    return SimpleNamespace(
        previous_token=chosen,
        others=together([one for one in first if one != chosen]),
        induction=together(inducing),
        strongest=best,
    )


@pytest.fixture(scope="session")
def composition_of_keys(weights, circuits):
    """By how much each head of the second layer reads each of the first as keys.

    NaN of heads of which one does nothing: there is no such number.
    """

    def composed(reader, sender):
        try:
            return float(circuits.composition(head(1, reader).keys, head(0, sender)))
        except NothingMeasured:
            return float("nan")

    every = range(weights.W_Q.shape[1])
    return weights.W_Q.new_tensor([[composed(one, other) for other in every] for one in every])


def together(heads):
    """Heads as one component."""
    return sum(heads[1:], start=heads[0])
