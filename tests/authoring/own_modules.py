"""Transformers as people write them in plain torch, under names of their own."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

TOKENS, CONTEXT, WIDTH, HEADS, LAYERS = 11, 6, 8, 2, 2


class Attention(nn.Module):
    """One linear layer for queries, keys and values under the first name, or three under three."""

    def __init__(self, names: tuple[str, ...], out: str, bias: bool) -> None:
        super().__init__()
        self.names, self.out = names, out
        for name in names:
            setattr(self, name, nn.Linear(WIDTH, 3 * WIDTH // len(names), bias=bias))
        setattr(self, out, nn.Linear(WIDTH, WIDTH, bias=bias))
        self.register_buffer("bias", torch.tril(torch.ones(1, 1, CONTEXT, CONTEXT)))

    def forward(self, x: Float[Tensor, "input position d"]) -> Float[Tensor, "input position d"]:
        both = torch.cat([getattr(self, name)(x) for name in self.names], dim=-1)
        of_heads = "input position (three head d) -> three input head position d"
        q, k, v = rearrange(both, of_heads, three=3, head=HEADS)
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = getattr(self, self.out)(rearrange(mixed, "i head p d -> i p (head d)"))
        return out


class NanoGPT(nn.Module):
    """Modules as nanoGPT and minGPT name them."""

    def __init__(self, bias: bool) -> None:
        super().__init__()

        def block() -> nn.ModuleDict:
            wide, narrow = nn.Linear(WIDTH, 32, bias=bias), nn.Linear(32, WIDTH, bias=bias)
            return nn.ModuleDict({
                "ln_1": nn.LayerNorm(WIDTH, bias=bias),
                "attn": Attention(("c_attn",), "c_proj", bias),
                "ln_2": nn.LayerNorm(WIDTH, bias=bias),
                "mlp": nn.ModuleDict({"c_fc": wide, "gelu": nn.GELU(), "c_proj": narrow}),
            })  # fmt: skip

        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(TOKENS, WIDTH),
            "wpe": nn.Embedding(CONTEXT, WIDTH),
            "h": nn.ModuleList(block() for _ in range(LAYERS)),
            "ln_f": nn.LayerNorm(WIDTH, bias=bias),
        })  # fmt: skip
        self.lm_head = nn.Linear(WIDTH, TOKENS, bias=False)
        self.transformer.wte.weight = self.lm_head.weight

    def forward(self, tokens: Int[Tensor, "input position"]) -> Float[Tensor, "input position x"]:
        of = self.transformer
        x = of.wte(tokens) + of.wpe.weight[: tokens.shape[1]]
        for block in of.h:
            x = x + block.attn(block.ln_1(x))
            mlp = block.mlp
            x = x + mlp.c_proj(mlp.gelu(mlp.c_fc(block.ln_2(x))))
        logits: Tensor = self.lm_head(of.ln_f(x))
        return logits


class OwnNames(nn.Module):
    """Queries, keys and values apart, an MLP in a sequence, positions as a parameter."""

    def __init__(self) -> None:
        super().__init__()

        def block() -> nn.ModuleDict:
            return nn.ModuleDict({
                "norm1": nn.LayerNorm(WIDTH),
                "attention": Attention(("query", "key", "value"), "proj", bias=True),
                "norm2": nn.LayerNorm(WIDTH),
                "ff": nn.Sequential(nn.Linear(WIDTH, 32), nn.GELU(), nn.Linear(32, WIDTH)),
            })  # fmt: skip

        self.tok_emb = nn.Embedding(TOKENS, WIDTH)
        self.pos_emb = nn.Parameter(torch.randn(1, CONTEXT, WIDTH))
        self.layers = nn.ModuleList(block() for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, TOKENS)
        for block in self.layers:
            block.attention.tril = block.attention._buffers.pop("bias")

    def forward(self, tokens: Int[Tensor, "input position"]) -> Float[Tensor, "input position x"]:
        x = self.tok_emb(tokens) + self.pos_emb[:, : tokens.shape[1]]
        for block in self.layers:
            x = x + block.attention(block.norm1(x))
            x = x + block.ff(block.norm2(x))
        logits: Tensor = self.head(self.norm(x))
        return logits


class OddNames(nn.Module):
    """Names that no word tells: norms, what mixes heads, the last norm, an MLP without a module."""

    def __init__(self) -> None:
        super().__init__()

        def block() -> nn.ModuleDict:
            return nn.ModuleDict({
                "norm_a": nn.LayerNorm(WIDTH),
                "attn": Attention(("to_qkv",), "mix", bias=True),
                "norm_m": nn.LayerNorm(WIDTH),
                "up": nn.Linear(WIDTH, 32),
                "down": nn.Linear(32, WIDTH),
            })  # fmt: skip

        self.tokens, self.places = nn.Embedding(TOKENS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.layers = nn.ModuleList(block() for _ in range(LAYERS))
        self.before_end, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, TOKENS)
        for block in self.layers:
            block.attn.tril = block.attn._buffers.pop("bias")

    def forward(self, tokens: Int[Tensor, "input position"]) -> Float[Tensor, "input position x"]:
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.layers:
            x = x + block.attn(block.norm_a(x))
            x = x + block.down(gelu(block.up(block.norm_m(x))))
        logits: Tensor = self.head(self.before_end(x))
        return logits


class Encoder(nn.Module):
    """torch's own, with norms before or after, and at the end or not."""

    def __init__(self, *, norm_first: bool = True, final: bool = True) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 32, dropout=0, norm_first=norm_first, batch_first=True
        )
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.position_embedding = nn.Embedding(CONTEXT, WIDTH)
        norm = nn.LayerNorm(WIDTH) if final else None
        self.encoder = nn.TransformerEncoder(layer, LAYERS, norm=norm, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, TOKENS)

    def forward(self, tokens: Int[Tensor, "input position"]) -> Float[Tensor, "input position x"]:
        x = self.embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]
        logits: Tensor = self.out(self.encoder(x))
        return logits
