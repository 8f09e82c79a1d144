"""Train induction: `mechanistic-claims train induction --seed 0`, or `--seeds 0-31`.

Fresh sequences in each step, blocks of 8 to 32 independent tokens that are repeated; the loss is
that of every next token. Heads form at about step 600.
"""

from mechanistic_claims import TrainingCommand
from models.induction.training import Recipe, Training

COMMAND = TrainingCommand(
    Training, Recipe(), "Train induction checkpoints: fresh sequences of repeated blocks."
)
add_options, jobs, main = COMMAND.add_options, COMMAND.jobs, COMMAND.main
