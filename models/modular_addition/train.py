"""Train modular_addition: `mechanistic-claims train modular_addition --seed 0`, or `--seeds 0-31`.

The recipe is that of Nanda et al. 2023 (arXiv 2301.05217) with half of the pairs for training
instead of three tenths: it groks after 1,500 epochs instead of 13,500.
"""

from mechanistic_claims import TrainingCommand
from models.modular_addition.training import Recipe, Training

COMMAND = TrainingCommand(
    Training,
    Recipe(),
    "Train modular_addition checkpoints: full batches of a share of all pairs.",
    swept={"p": "p"},
    least={"p": 2},
)
add_options, jobs, main = COMMAND.add_options, COMMAND.jobs, COMMAND.main
