"""Train max_of_four: `mechanistic-claims train max_of_four --seed 0`, or `--seeds 0-31`.

The recipe is that of Gross et al. 2024 for lists of any length: AdamW, learning rate 1e-3, weight
decay .01, betas .9 and .999, 3,000 steps of 128 fresh lists, cross entropy at the last number.
"""

from mechanistic_claims import TrainingCommand
from models.max_of_four.training import Recipe, Training

COMMAND = TrainingCommand(
    Training,
    Recipe(),
    "Train max_of_four checkpoints with the published recipe.",
    swept={"length": "k", "vocabulary": "v"},
    least={"length": 2, "vocabulary": 2},
)
add_options, jobs, main = COMMAND.add_options, COMMAND.jobs, COMMAND.main
