"""Where heads look that have nothing to look for: the first position."""

import pytest

from mechanistic_claims import evidence, mean


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.4])
def test_many_heads_attend_to_the_first_position(task, activations, verdict, at_least):
    """Many heads attend mostly to the first position: {at_least} of all or more.

    mean over sequences of the share of heads with mean attention to position 0 above 0.3

    Rows are all but the first, which has no choice (Xiao et al., 2023, arXiv 2309.17453).
    """
    sinks = activations.by_head(task.sink)
    verdict(
        mean((sinks > 0.3).double().flatten(1).mean(dim=1), between=(0, 1)),
        at_least=at_least,
        picture=task.by_layer(sinks, "Attention of each head to the first position", "attention"),
    )
