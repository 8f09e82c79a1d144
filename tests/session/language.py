"""A tiny language model as llama.cpp stores one, in the wheel of a package, for a model's folder.

What its numbers and names are is said here a second time, by the format's definition.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
from jaxtyping import Float
from tokenizers.pre_tokenizers import ByteLevel

LAYERS, HEADS, KEY_HEADS, D_HEAD, D_MODEL, D_MLP = 2, 4, 2, 8, 32, 64
ROPE_BASE = 100_000.0
SPECIAL = ["<|endoftext|>", "<|start|>", "<|end|>"]
MERGES = ["t h", "th e", "Ġ the"]
TOKENS = [*SPECIAL, *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
BLOCK = 32
PACKAGE, VERSION = "some-weights", "1.2"
MEMBER = "some_weights/tiny.gguf"
OF_LAYER = {
    "attn_norm": ("input_layernorm", (D_MODEL,)),
    "attn_q": ("self_attn.q_proj", (HEADS * D_HEAD, D_MODEL)),
    "attn_k": ("self_attn.k_proj", (KEY_HEADS * D_HEAD, D_MODEL)),
    "attn_v": ("self_attn.v_proj", (KEY_HEADS * D_HEAD, D_MODEL)),
    "attn_output": ("self_attn.o_proj", (D_MODEL, HEADS * D_HEAD)),
    "ffn_norm": ("post_attention_layernorm", (D_MODEL,)),
    "ffn_gate": ("mlp.gate_proj", (D_MLP, D_MODEL)),
    "ffn_up": ("mlp.up_proj", (D_MLP, D_MODEL)),
    "ffn_down": ("mlp.down_proj", (D_MODEL, D_MLP)),
}
"""llama.cpp's names, transformers', and shapes."""


@dataclass
class Tiny:
    """The wheel, and what a float32 model of its weights has, by transformers' names."""

    folder: Path
    weights: dict[str, Float[np.ndarray, "*axes"]] = field(default_factory=dict)

    @property
    def wheel(self) -> Path:
        return self.folder / f"{PACKAGE.replace('-', '_')}-{VERSION}-py3-none-any.whl"

    def write(self) -> Tiny:
        """The GGUF in its wheel, by a generator of a fixed seed."""
        writer = gguf.GGUFWriter(self.folder / "tiny.gguf", "llama")
        _add_metadata(writer)
        drawn = np.random.default_rng(0)
        self._add(writer, drawn, "token_embd", "model.embed_tokens", (len(TOKENS), D_MODEL))
        self._add(writer, drawn, "output_norm", "model.norm", (D_MODEL,))
        for layer in range(LAYERS):
            for ours, (theirs, shape) in OF_LAYER.items():
                name = f"model.layers.{layer}.{theirs}"
                self._add(writer, drawn, f"blk.{layer}.{ours}", name, shape)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        write_wheel(self.wheel, (self.folder / "tiny.gguf").read_bytes())
        return self

    def _add(
        self,
        writer: gguf.GGUFWriter,
        drawn: np.random.Generator,
        ours: str,
        theirs: str,
        shape: tuple[int, ...],
    ) -> None:
        if len(shape) == 1:
            numbers = drawn.standard_normal(shape, dtype=np.float32)
            writer.add_tensor(f"{ours}.weight", numbers)
        else:
            stored, numbers = _quantised(drawn, *shape)
            quantised = gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(f"{ours}.weight", stored, raw_dtype=quantised)
        heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(ours.rpartition(".")[2])
        self.weights[f"{theirs}.weight"] = _halves_apart(numbers, heads) if heads else numbers


def _quantised(
    drawn: np.random.Generator, rows: int, columns: int
) -> tuple[np.ndarray, Float[np.ndarray, "rows columns"]]:
    """Blocks of Q4_1, and what they mean: a scale, a least number, and 32 of 4 bits.

    The first half of a block is in the lower bits of its 16 bytes.
    """
    blocks = columns // BLOCK
    scale = drawn.uniform(0.001, 0.02, (rows, blocks, 1)).astype(np.float16)
    least = drawn.uniform(-0.2, 0.0, (rows, blocks, 1)).astype(np.float16)
    steps = drawn.integers(0, 16, (rows, blocks, BLOCK), dtype=np.uint8)
    packed = steps[..., :16] | steps[..., 16:] << 4
    stored = np.concatenate([scale.view(np.uint8), least.view(np.uint8), packed], axis=-1)
    means = scale.astype(np.float32) * steps + least.astype(np.float32)
    return stored.reshape(rows, -1), means.reshape(rows, columns)


def _halves_apart(stored: np.ndarray, heads: int) -> Float[np.ndarray, "rows columns"]:
    """Rows as transformers rotates them, i with i + d_head / 2; llama.cpp stores pairs together."""
    found = np.empty_like(stored)
    half = D_HEAD // 2
    for head in range(heads):
        for row in range(half):
            for which in (0, 1):
                of_head = head * D_HEAD
                found[of_head + which * half + row] = stored[of_head + 2 * row + which]
    return found


def _add_metadata(writer: gguf.GGUFWriter) -> None:
    writer.add_name("Tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(D_MODEL)
    writer.add_feed_forward_length(D_MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_rope_dimension_count(D_HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_1)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_token_types([control if token in SPECIAL else normal for token in TOKENS])
    writer.add_token_merges(MERGES)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)


def write_wheel(path: Path, content: bytes, member: str = MEMBER) -> None:
    """A wheel of one file that pip takes; it requires what no index has."""
    inside = f"{PACKAGE.replace('-', '_')}-{VERSION}.dist-info"
    texts = {
        "METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {VERSION}\n"
        "Requires-Dist: no-such-compiler\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(member, content)
        for name, text in texts.items():
            wheel.writestr(f"{inside}/{name}", text)


def write_model(project: Path, wheel: Path, name: str = "tiny") -> None:
    """A model's folder that says where its weights come from, and nothing else."""
    folder = project / "models" / name
    folder.mkdir(parents=True)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    folder.joinpath("__init__.py").write_text(
        "from mechanistic_claims import PackagedWeights\n\n"
        f"WEIGHTS = PackagedWeights({PACKAGE!r}, {VERSION!r}, {sha256!r}, {MEMBER!r})\n"
    )
