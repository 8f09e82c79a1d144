"""Train min_of_two checkpoints: `mechanistic-claims train min_of_two --seed 0`, or `--seeds 0-31`.

The recipe is the write-up's: AdamW, learning rate 1e-3, weight decay 1.0, betas 0.9 and 0.98, 4,000
full-batch epochs, cross entropy of float64 logits at '='.
"""

from mechanistic_claims import TrainingCommand
from models.min_of_two.training import Recipe, Training

COMMAND = TrainingCommand(
    Training,
    Recipe(),
    "Train min_of_two checkpoints with the write-up's recipe.",
    swept={"number_of_operands": "n", "d_model": "d", "d_head": "h"},
    least={"number_of_operands": 2},
)
add_options, jobs, main = COMMAND.add_options, COMMAND.jobs, COMMAND.main
