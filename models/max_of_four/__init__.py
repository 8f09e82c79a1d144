"""max_of_four: one attention head that answers the greatest of four numbers, read at the last one.

The model of Gross et al. 2024, arXiv 2406.11779. The length of lists and how many numbers there are
are read from the checkpoint. Importing this package imports neither torch nor transformer_lens:
only building does.
"""

from pathlib import Path

from mechanistic_claims import transformer

FAMILY = transformer(
    layers=1,
    tokens_without_logit=0,
    task="models.max_of_four.task:Task.of",
    reference=Path(__file__).with_name("checkpoints") / "reference.safetensors",
)
