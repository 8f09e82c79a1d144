"""A llama of two layers like SmolLM2, in the bridge that we judge such models in."""

from __future__ import annotations

from functools import wraps
from importlib.metadata import version

import pytest
import torch

from tests.conftest import CPU

INPUTS, LENGTH, LAYERS, HEADS, SHARED, WIDTH, D_MODEL, TOKENS = 4, 8, 2, 6, 2, 4, 24, 61
"""Heads 0 to 2 have the keys and values of shared head 0, 3 to 5 those of shared head 1."""
PADDING, BASE, NEURONS = 2, 100_000.0, 32
INPUT = torch.randint(TOKENS, (INPUTS, LENGTH), generator=torch.Generator().manual_seed(0))
NEARLY = 1e-4


def known(test):
    """Of a test: if it fails it says what was so before, and what rests on that.

    The first paragraph of its docstring is the one, the second the other.
    """

    @wraps(test)
    def held(*given, **named):
        try:
            test(*given, **named)
        except (Exception, pytest.fail.Exception) as error:
            was, rests = (" ".join(part.split()) for part in test.__doc__.split("\n\n"))
            raise AssertionError(
                f"transformer_lens {version('transformer_lens')} is not as 4.3 was. {was} {rests} "
                "Look at both again before another version is allowed."
            ) from error

    return held


def configuration():
    """Rotary positions of another base than the usual, RMSNorm, SwiGLU, tied embeddings."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=TOKENS,
        hidden_size=D_MODEL,
        intermediate_size=NEURONS,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=SHARED,
        max_position_embeddings=32,
        rope_parameters={"rope_type": "default", "rope_theta": BASE},
        tie_word_embeddings=True,
        pad_token_id=PADDING,
    )


def drawn():
    """Weights by transformers' names, so large that each of them matters."""
    from mechanistic_claims.model.pretrained import started

    generator = torch.Generator().manual_seed(1)
    return {
        name: tensor + 0.3 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in started(configuration().to_dict(), seed=1).items()
        if name != "lm_head.weight"
    }


def bridge():
    """A new one each time: always the same weights."""
    from mechanistic_claims.model.pretrained import network_of

    return network_of(configuration().to_dict(), drawn(), CPU)


def zero(value, hook):
    return value * 0


def zero_at(index):
    """Of an index on the third axis: a head's."""

    def edit(value, hook):
        value = value.clone()
        value[:, :, index] = 0
        return value

    return edit


def logits(network, *edits):
    return network.run_with_hooks(INPUT, fwd_hooks=list(edits))


def read(network, *sites, edits=()):
    """What passes at each site."""
    found = {}

    def keep(site):
        return lambda value, hook: found.update({site: value.clone()})

    network.run_with_hooks(INPUT, fwd_hooks=[*edits, *((site, keep(site)) for site in sites)])
    return [found[site] for site in sites]


def changed_heads(network, edit, letters="qkv"):
    """Which heads' queries, keys, values or mixed values (z) in layer 0 an edit changes."""
    sites = [f"blocks.0.attn.hook_{letter}" for letter in letters]
    pairs = zip(read(network, *sites), read(network, *sites, edits=[edit]), strict=True)
    differ = [(before - after).abs().amax(dim=(0, 1, 3)) > NEARLY for before, after in pairs]
    return {k: heads.nonzero().flatten().tolist() for k, heads in zip(letters, differ, strict=True)}


def apart(one, other):
    return float((one - other).abs().max())
