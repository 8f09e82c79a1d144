"""min_of_two: one attention head that answers min(a, b) to [a, b, =].

Importing this package imports neither torch nor transformer_lens: only building does.
"""

from pathlib import Path

from mechanistic_claims import transformer

FAMILY = transformer(
    layers=1,
    positions=None,
    tokens_without_logit=1,
    task="models.min_of_two.task:Task.of",
    reference=Path(__file__).with_name("checkpoints") / "reference.safetensors",
)
