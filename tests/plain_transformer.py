"""A transformer as its formulas say, one head after another, and small models for it.

Independent of the package: whatever is written or read on the way may be changed by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, relu

from mechanistic_claims.checkpoint.checkpoint import Checkpoint
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.transformer import Transformer, transformer

Change = Callable[[Any, Tensor], Tensor]
"""From what is written or read, and where, to what is there instead."""
CPU = torch.device("cpu")
TOKENS, LOGITS, POSITIONS, D_MODEL, D_HEAD, D_MLP = 11, 9, 6, 8, 3, 10
ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": relu,
    "gelu": gelu,
    "gelu_new": partial(gelu, approximate="tanh"),
}
BEFORE = ("before attention", "before mlp", "end")
AFTER = ("after attention", "after mlp")


def as_it_is(where: Any, value: Tensor) -> Tensor:
    """No change."""
    return value


@dataclass(frozen=True)
class Kind:
    """What kind of transformer it is."""

    layers: int = 2
    heads: int = 2
    mlp: Literal["relu", "gelu", "gelu_new"] | None = None
    norm: Literal["LN", "RMS"] | None = None
    attention: Literal["causal", "bidirectional"] = "causal"
    padding: int | None = None
    norm_at: tuple[str, ...] = BEFORE
    epsilon: float = 1e-5

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all its weights, by their canonical names."""
        found: dict[str, tuple[int, ...]] = {
            "embed.W_E": (TOKENS, D_MODEL),
            "pos_embed.W_pos": (POSITIONS, D_MODEL),
            "unembed.W_U": (D_MODEL, LOGITS),
            "unembed.b_U": (LOGITS,),
        }
        norm = {"w": (D_MODEL,)} | ({"b": (D_MODEL,)} if self.norm == "LN" else {})
        of_layer: dict[str, tuple[int, ...]] = {"attn.b_O": (D_MODEL,)}
        for letter in "QKV":
            of_layer[f"attn.W_{letter}"] = (self.heads, D_MODEL, D_HEAD)
            of_layer[f"attn.b_{letter}"] = (self.heads, D_HEAD)
        of_layer["attn.W_O"] = (self.heads, D_HEAD, D_MODEL)
        if self.mlp:
            of_layer |= {"mlp.W_in": (D_MODEL, D_MLP), "mlp.b_in": (D_MLP,)}
            of_layer |= {"mlp.W_out": (D_MLP, D_MODEL), "mlp.b_out": (D_MODEL,)}
        if self.has("attention"):
            of_layer |= {f"ln1.{name}": shape for name, shape in norm.items()}
        if self.has("end"):
            found |= {f"ln_final.{name}": shape for name, shape in norm.items()}
        if self.has("mlp") and self.mlp:
            of_layer |= {f"ln2.{name}": shape for name, shape in norm.items()}
        for layer in range(self.layers):
            found |= {f"blocks.{layer}.{name}": shape for name, shape in of_layer.items()}
        return found

    def has(self, where: str) -> bool:
        """Whether there is a norm, before or after."""
        return self.norm is not None and any(place.endswith(where) for place in self.norm_at)

    def weights(self, seed: int = 0) -> dict[str, Tensor]:
        """Random ones in float64, biases and norms too."""
        generator = torch.Generator().manual_seed(seed)
        return {
            name: torch.randn(shape, generator=generator, dtype=torch.float64) * 0.6
            for name, shape in self.shapes.items()
        }

    def family(self, task: Any, **more: Any) -> Transformer:
        """What an author writes of it."""
        given: dict[str, Any] = {
            "layers": self.layers, "norm": self.norm, "mlp": self.mlp,
            "attention": self.attention, "padding": self.padding, "norm_at": self.norm_at,
            "epsilon": self.epsilon,
        } | more  # fmt: skip
        return transformer(
            reference=Path("reference.pt"), task=task, tokens_without_logit=TOKENS - LOGITS, **given
        )

    def subject(self, task: Any, weights: Mapping[str, Tensor] | None = None) -> Subject:
        """A model of it in float64, with a task."""
        return subject_of(self.family(lambda sizes, device: task), weights or self.weights())


def checkpoint_of(tensors: Mapping[str, Tensor]) -> Checkpoint:
    """As if a file had these."""
    return Checkpoint(Path("some.pt"), "some_model", "0" * 64, tensors)


def subject_of(family: Transformer, tensors: Mapping[str, Tensor]) -> Subject:
    """Everything about such a checkpoint."""
    checkpoint = checkpoint_of(tensors)
    return Subject(checkpoint, family.build(checkpoint, CPU), CPU)


@dataclass
class Questions:
    """Random inputs, with answers at other positions in each, and in the first none."""

    count: int = 20
    is_sample: bool = False
    answer_positions: Any = field(init=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(7)
        self.inputs = torch.randint(TOKENS, (self.count, POSITIONS), generator=generator)
        asked = torch.rand(self.count, POSITIONS, generator=generator) < 0.4
        asked[0] = False
        self.answer_positions = asked.nonzero()
        self.labels = torch.randint(LOGITS, (int(asked.sum()),), generator=generator)


@dataclass
class Plain:
    """The forward pass of canonical weights, with what is written and read on the way."""

    kind: Kind
    weights: Mapping[str, Tensor]
    tokens: Int[Tensor, "input position"]
    write: Change = as_it_is
    read: Change = as_it_is
    seen: dict[Any, Tensor] = field(default_factory=dict)

    @cached_property
    def logits(self) -> Tensor:
        """[input position logit]."""
        w, kind = self.weights, self.kind
        every = w["pos_embed.W_pos"][: self.tokens.shape[1]].expand(len(self.tokens), -1, -1)
        stream = self._write("embedding", w["embed.W_E"][self.tokens])
        stream = stream + self._write("positions", every)
        for layer in range(kind.layers):
            stream = self._write(("input", layer), stream)
            stream = stream + self._write(("output", layer), self._attention(layer, stream))
            stream = self._norm("after attention", f"blocks.{layer}.ln1", stream)
            if kind.mlp:
                stream = stream + self._write(("mlp", layer), self._mlp(layer, stream))
                stream = self._norm("after mlp", f"blocks.{layer}.ln2", stream)
        stream = self.read("logits", stream)
        stream = self._write("unembedded", self._norm("end", "ln_final", stream))
        return stream @ w["unembed.W_U"] + w["unembed.b_U"]

    def _write(self, where: Any, value: Tensor) -> Tensor:
        self.seen[where] = self.write(where, value)
        return self.seen[where]

    def _attention(self, layer: int, stream: Tensor) -> Tensor:
        def of(name: str) -> Tensor:
            return self.weights[f"blocks.{layer}.attn.{name}"]

        total, length = of("b_O"), stream.shape[1]
        for head in range(self.kind.heads):
            query, key, value = (
                self._write(
                    (name, layer, head),
                    self._norm(
                        "before attention",
                        f"blocks.{layer}.ln1",
                        self.read((name, layer, head), stream),
                    )
                    @ of(f"W_{name[0].upper()}")[head]
                    + of(f"b_{name[0].upper()}")[head],
                )
                for name in ("query", "key", "value")
            )
            score = (query @ key.mT) / math.sqrt(D_HEAD)
            later = torch.arange(length)[None, :] > torch.arange(length)[:, None]
            self.seen["score", layer, head] = score
            if self.kind.attention == "causal":
                score = score.masked_fill(later, -math.inf)
            if self.kind.padding is not None:
                score = score.masked_fill(self.tokens[:, None] == self.kind.padding, -math.inf)
            pattern = score.softmax(-1).nan_to_num()
            mixed = self._write(("pattern", layer, head), pattern) @ value
            written = self._write(("mixed", layer, head), mixed) @ of("W_O")[head]
            total = total + self._write(("head", layer, head), written)
        return total

    def _mlp(self, layer: int, stream: Tensor) -> Tensor:
        def of(name: str) -> Tensor:
            return self.weights[f"blocks.{layer}.mlp.{name}"]

        read = self.read(("mlp", layer), stream)
        read = self._norm("before mlp", f"blocks.{layer}.ln2", read)
        activation = ACTIVATION[self.kind.mlp or "relu"](read @ of("W_in") + of("b_in"))
        return self._write(("neurons", layer), activation) @ of("W_out") + of("b_out")

    def _norm(self, where: str, name: str, stream: Tensor) -> Tensor:
        if self.kind.norm is None or where not in self.kind.norm_at:
            return stream
        scale = self.weights[f"{name}.w"]
        if self.kind.norm == "RMS":
            squares = stream.square().mean(dim=-1, keepdim=True)
            return scale * stream / (squares + self.kind.epsilon).sqrt()
        shift = self.weights[f"{name}.b"]
        return layer_norm(stream, stream.shape[-1:], scale, shift, eps=self.kind.epsilon)
