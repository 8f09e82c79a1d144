"""How often limits leave out what they are of, with means of draws in the model:
`pytest -n 0 tests/benchmarks/bench_means.py`.
"""

from __future__ import annotations

import torch

from mechanistic_claims.measurement.measures import share
from mechanistic_claims.model.components import embedding, head
from mechanistic_claims.verdict.means import HALVES, with_means
from mechanistic_claims.verdict.verdict import held_to
from tests.benchmarks.in_turn import show
from tests.conftest import CHECKPOINTS, subject_of

SAMPLES, DRAWS = 60, 500
COMPONENTS = {"its head": head(0, 0), "embeddings": embedding}


class Some:
    """Other lists of the task's, each a draw."""

    is_sample, answer_positions = True, (-1,)

    def __init__(self, inputs: torch.Tensor) -> None:
        self.inputs, self.labels = inputs, inputs.amax(dim=1)


def test_how_often_limits_miss(capsys):
    """Of the greatest of four numbers: the share that is right with a component at its mean.

    What limits are of is that share over all draws of all samples, with their mean.
    """
    path = CHECKPOINTS.parents[1] / "max_of_four/checkpoints/reference.safetensors"
    subject = subject_of(path, "max_of_four")
    generator = torch.Generator().manual_seed(5)
    tokens, length = subject.task.number_of_tokens, subject.task.length
    lists = torch.randint(tokens, (SAMPLES, DRAWS, length), generator=generator)
    lines = [f"{SAMPLES} samples of {DRAWS} lists: right, by how many limits it is missed"]
    for name, component in COMPONENTS.items():

        def right(of, inputs, component=component):
            ablated = of.intervene.on(Some(inputs)).ablate(component, "mean")
            return share(ablated.correct)

        true = float(right(subject, lists.flatten(0, 1)))
        missed, missed_too, widths = 0, 0, [0.0, 0.0]
        for inputs in lists:
            plain = held_to(right(subject, inputs), at_least=0.5)
            of_halves = [
                float(right(subject.with_means_of(half), inputs)) for half in range(HALVES)
            ]
            both = plain.limits, with_means(plain, of_halves).limits
            missed += not both[0][0] <= true <= both[0][1]
            missed_too += not both[1][0] <= true <= both[1][1]
            widths = [width + high - low for width, (low, high) in zip(widths, both, strict=True)]
        lines.append(
            f"{name:10}  {true:.4f}  of draws alone {missed} (width {widths[0] / SAMPLES:.3f})  "
            f"of means too {missed_too} (width {widths[1] / SAMPLES:.3f})"
        )
        assert missed_too <= missed
    show(capsys, lines)
