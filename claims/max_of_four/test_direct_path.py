"""What the last number and the last place write to the logits themselves can be ignored."""

import pytest

from mechanistic_claims import (
    Histogram,
    embedding,
    evidence,
    logits,
    positions,
    share,
    spread,
)


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.99])
def test_without_it_the_answer_stays(task, activations, intervene, verdict, at_least):
    """Without the direct path (ablated: zero) the right answer stays.

    share of random lists that are right, and stay so without ((W_E[x_K] + W_pos[K]) W_U)

    The embedding at the last place is subtracted from the last residual stream of the real model,
    which keeps attention as it is. An answer that becomes a tie is lost.
    """
    without = intervene.cut(embedding + positions, logits, "zero")
    stays = activations.correct & without.answers(task.labels)
    verdict(share(stays), at_least=at_least, exceptions=task.inputs[~stays])


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.99])
def test_margins_exceed_its_range(task, activations, circuits, verdict, at_least):
    """Margins exceed the whole range of the direct path.

    share of random lists with logit[max] − max of the others > max d − min d,
    d = (W_E W_U)[x_K] + (W_pos W_U)[K]

    The margins are those of the real model. Where one exceeds the whole range of the direct path,
    no choice of the direct path within it could change the answer.
    """
    of_the_place = circuits.direct_path_of_positions.matrix[task.length - 1]
    ranges = spread(circuits.direct_path.matrix + of_the_place)
    exceeds = activations.margin > ranges[task.inputs[:, -1]]
    verdict(
        share(exceeds),
        at_least=at_least,
        exceptions=task.inputs[~exceeds],
        picture=Histogram(
            "Margins of the answers against the direct path",
            activations.margin,
            "correct logit minus the greatest other",
            float(ranges.amax()),
            "greatest range of the direct path",
        ),
    )
