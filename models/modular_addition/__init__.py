"""modular_addition: one layer that answers (a + b) mod p to [a, b, =].

Importing this package imports neither torch nor transformer_lens: only building does.
"""

from pathlib import Path

from mechanistic_claims import transformer

FAMILY = transformer(
    layers=1,
    mlp="relu",
    tokens_without_logit=1,
    task="models.modular_addition.task:Task.of",
    reference=Path(__file__).with_name("checkpoints") / "reference.safetensors",
    ignored=("x_embed", "y_embed"),  # what Chughtai et al. 2023 store beside weights
)
