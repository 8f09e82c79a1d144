"""Small language models of a few kinds, as transformers makes them, and what they are asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import torch

from mechanistic_claims import CannotJudge, causal_lm, read_checkpoint
from mechanistic_claims.measurement.subject import Subject
from tests.conftest import CPU

TOKENS, LENGTH, LAYERS, HEADS, WIDTH = 97, 12, 3, 6, 48


@dataclass
class Text:
    """Random tokens, asked for the next one."""

    sizes: Any
    device: torch.device
    is_sample: bool = True
    answer_positions: tuple[int, ...] = tuple(range(LENGTH - 1))
    inputs: torch.Tensor = field(init=False)
    labels: torch.Tensor = field(init=False)

    def __post_init__(self):
        if self.sizes.context < LENGTH:
            raise CannotJudge(f"{self.sizes.context} positions, expected {LENGTH} or more.")
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randint(self.sizes.tokens, (20, LENGTH), generator=generator)
        self.labels = self.inputs[:, 1:].flatten()


def configurations():
    from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig

    common = {"vocab_size": TOKENS, "bos_token_id": 0, "eos_token_id": 0}
    named = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    named |= {"intermediate_size": 64, "max_position_embeddings": 32, **common}
    return {
        "llama": LlamaConfig(num_key_value_heads=2, tie_word_embeddings=True, **named),
        "gpt2": GPT2Config(n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_positions=32, **common),
        "neox": GPTNeoXConfig(**named),
        "neox, one after another": GPTNeoXConfig(use_parallel_residual=False, **named),
    }


SEQUENTIAL = pytest.param("neox, one after another", marks=pytest.mark.slow)
KINDS = ("llama", "gpt2", "neox", SEQUENTIAL)


@cache
def original(kind):
    """The model as transformers makes it, with weights that matter."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(configurations()[kind]).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def family(folder):
    return causal_lm(reference=folder, task=Text)


def subject_of(folder):
    checkpoint = read_checkpoint(folder, "some_model", family(folder))
    return Subject(checkpoint, family(folder).build(checkpoint, CPU), CPU)


def expected(kind, inputs):
    with torch.no_grad():
        return original(kind)(inputs, output_attentions=False).logits
