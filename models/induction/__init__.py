"""induction: two layers of attention that repeat a block of tokens which they have seen once.

Importing this package imports neither torch nor transformer_lens: only building does.
"""

from pathlib import Path

from mechanistic_claims import transformer

TRANSPOSED = "head d_head d_model -> head d_model d_head"
FAMILY = transformer(
    layers=2,
    task="models.induction.task:Task.of",
    reference=Path(__file__).with_name("checkpoints") / "reference.safetensors",
    names={  # as the program of Nanda et al. 2023 wrote them
        "attn_blocks.{}.attn.W_Q": ("blocks.{}.attn.W_Q", TRANSPOSED),
        "attn_blocks.{}.attn.W_K": ("blocks.{}.attn.W_K", TRANSPOSED),
        "attn_blocks.{}.attn.W_V": ("blocks.{}.attn.W_V", TRANSPOSED),
        "attn_blocks.{}.attn.W_O": (
            "blocks.{}.attn.W_O",
            "d_model (head d_head) -> head d_head d_model",
        ),
        "embed.W_E": ("embed.W_E", "d_model token -> token d_model"),
    },
)
