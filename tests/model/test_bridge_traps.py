"""What else of transformer_lens's bridge misleads, and how ours keeps clear of it.

Each was seen in version 4.3. That `use_attn_result` and other batch sizes move logits by roundings
is held nowhere: which bits they are is the processor's.
"""

from __future__ import annotations

import pytest
import torch
from einops import rearrange

from tests.model.small_llama import (
    BASE,
    INPUT,
    LENGTH,
    NEARLY,
    PADDING,
    TOKENS,
    WIDTH,
    apart,
    bridge,
    configuration,
    drawn,
    known,
    logits,
    read,
    zero,
)

BLOCK = "blocks.1"
MIXED, OUTPUT = f"{BLOCK}.attn.hook_z", f"{BLOCK}.hook_resid_post"


@pytest.fixture(scope="module")
def network():
    return bridge()


def test_a_failure_says_what_was_so():
    @known
    def test_it(value):
        """It was one.

        Two things rest
        on it.
        """
        assert value == 1

    test_it(1)
    with pytest.raises(AssertionError, match=r"as 4\.3 was\. It was one\. Two things rest on it\."):
        test_it(2)


@known
def test_another_shape_is_taken_in_silence(network):
    """What an edit returns in another shape is broadcast, or goes on with fewer inputs.

    `require_shape` holds what is put to the shape that is there, and rows are cut by going on.
    """
    one = logits(network, (MIXED, lambda value, hook: value[:1]))
    assert one.shape == (len(INPUT), LENGTH, TOKENS)
    assert apart(one, logits(network)) > 0.1
    assert logits(network, (OUTPUT, lambda value, hook: value[:1])).shape[0] == 1


@known
def test_an_edit_in_place_acts(network):
    """An edit that changes its value in place and returns nothing acts as one that returns it.

    Hooks of ours that only read must not write: `kept` values are what the model goes on with.
    """

    def in_place(value, hook):
        value.mul_(0)

    assert torch.equal(logits(network, (MIXED, in_place)), logits(network, (MIXED, zero)))


@known
def test_hooks_are_called_by_another_name(network):
    """hook.name is where an alias leads, not what was asked for.

    No hook of ours asks for it: each is made for the site that it is at.
    """
    names = []
    logits(network, (MIXED, lambda value, hook: names.append(hook.name)))
    assert names == [f"{BLOCK}.attn.o.hook_in"]


@known
def test_a_stream_without_its_layer_is_taken_for_embeddings(network):
    """Given a stream and no start_at_layer, the whole model runs on it, without an error.

    `Skipping` gives the kept stream to the block that reads it, and runs no block before.
    """
    (stream,) = read(network, f"{BLOCK}.hook_resid_pre")
    assert apart(network(stream), logits(network)) > 0.1
    embedded = logits(network, ("hook_embed", lambda value, hook: stream))
    assert apart(network(stream), embedded) < NEARLY


@known
def test_a_late_start_runs_all_blocks(network):
    """With start_at_layer=1 block 0 runs all the same, and nothing of it is used.

    `Skipping` is there because of that: a late start costs as much as a whole run.
    """
    (stream,) = read(network, f"{BLOCK}.hook_resid_pre")
    called = []

    def noted(value, hook):
        called.append(hook)
        return value * 0

    with network.hooks(fwd_hooks=[("blocks.0.attn.hook_z", noted)]):
        late = network(stream, start_at_layer=1)
    assert len(called) == 1
    assert apart(late, logits(network)) < NEARLY


@known
def test_what_is_set_on_a_block_is_set_in_what_it_wraps():
    """Setting `forward` of a block sets that of the module in it.

    `Skipping` writes to the block's own __dict__.
    """
    network = bridge()
    network.blocks[0].forward = lambda *given, **named: None
    assert "forward" not in vars(network.blocks[0])
    assert "forward" in vars(network.blocks[0].original_component)


@known
def test_the_model_that_is_given_is_changed():
    """The bridge puts its blocks into the model that it is given, and keeps that model.

    `network_of` makes a model of its own for each bridge, which nobody else has.
    """
    from transformer_lens.model_bridge.sources import build_bridge_from_module
    from transformers import LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    model = LlamaForCausalLM(configuration())
    assert type(model.model.layers[0]) is LlamaDecoderLayer
    made = build_bridge_from_module(model, "LlamaForCausalLM", hf_config=configuration())
    assert type(model.model.layers[0]) is not LlamaDecoderLayer
    assert made.original_model is model


@known
def test_values_are_made_by_raw_weights_after_a_norm(network):
    """W_V and W_O are those of the file; hook_v is what W_V makes of ln1.hook_out, scaled by ln1.

    `LateWeights` says `normalized`: circuits through a norm are refused, not made without it.
    """
    stored = drawn()["model.layers.1.self_attn.v_proj.weight"]
    heads = rearrange(stored, "(head width) model -> head model width", width=WIDTH)
    assert torch.equal(network.W_V[1], heads)
    stored = drawn()["model.layers.1.self_attn.o_proj.weight"]
    heads = rearrange(stored, "model (head width) -> head width model", width=WIDTH)
    assert torch.equal(network.W_O[1], heads)
    sites = (f"{BLOCK}.hook_resid_pre", f"{BLOCK}.ln1.hook_out", f"{BLOCK}.attn.hook_v")
    stream, normed, values = read(network, *sites)
    size = (stream.square().mean(dim=-1, keepdim=True) + configuration().rms_norm_eps).sqrt()
    scale = drawn()["model.layers.1.input_layernorm.weight"]
    assert apart(stream / size * scale, normed) < NEARLY < apart(stream / size, normed)
    assert apart(torch.einsum("ipm,hmd->iphd", normed, network.W_V[1]), values) < NEARLY


@known
def test_compatibility_makes_another_model():
    """enable_compatibility_mode() folds norms and centres: other weights and logits, same chances.

    We never call it: weights are said to be those of the file.
    """
    network = bridge()
    before, W_V = logits(network), network.W_V.clone()
    network.enable_compatibility_mode()
    after = logits(network)
    assert apart(network.W_V, W_V) > 0.1
    assert apart(after, before) > 0.1
    assert apart(after.log_softmax(dim=-1), before.log_softmax(dim=-1)) < NEARLY


@known
def test_loss_of_one_row(network):
    """return_type="loss" with logits_to_keep=1 is a RuntimeError.

    `run` cuts rows at unembed.hook_in, and losses are made of their logits.
    """
    with pytest.raises(RuntimeError):
        network(INPUT, return_type="loss", logits_to_keep=1)
    assert network(INPUT, logits_to_keep=1).shape[1] == 1


@known
def test_the_base_of_positions_is_not_the_one_that_is_said(network):
    """cfg.rotary_base is 10000 whatever the file says; the model itself uses the file's.

    Nothing of ours reads it: rotated queries and keys are those that the model makes.
    """
    assert network.cfg.rotary_base == 10_000
    slowest = float(network.original_model.model.rotary_emb.inv_freq[-1])
    assert slowest == pytest.approx(BASE ** -((WIDTH - 2) / WIDTH))


@known
def test_padding_has_no_embedding_before_training():
    """transformers starts the embedding of the padding token as zero, and that of no other.

    The untrained control is as it starts: no task of ours asks for that token.
    """
    from mechanistic_claims.model.pretrained import started

    embedding = started(configuration().to_dict(), seed=0)["model.embed_tokens.weight"]
    assert (embedding.abs().amax(dim=1) == 0).nonzero().flatten().tolist() == [PADDING]
