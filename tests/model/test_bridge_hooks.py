"""Which hooks of transformer_lens's bridge act, and how: what our sites of language models rest on.

Each was seen in version 4.3. Its tokenizer's habits are held nowhere: our inputs are tokens.
"""

from __future__ import annotations

import re

import pytest
import torch

from mechanistic_claims.model.run import NOT_THERE, SWITCHED_OFF
from tests.model.small_llama import (
    D_MODEL,
    HEADS,
    INPUTS,
    LENGTH,
    NEARLY,
    NEURONS,
    SHARED,
    WIDTH,
    apart,
    bridge,
    changed_heads,
    known,
    logits,
    read,
    zero,
    zero_at,
)

STREAM, OF_HEADS = (INPUTS, LENGTH, D_MODEL), (INPUTS, LENGTH, HEADS, WIDTH)
OF_SHARED, SCORES = (INPUTS, LENGTH, SHARED, WIDTH), (INPUTS, HEADS, LENGTH, LENGTH)
ACT = {
    "hook_embed": STREAM,
    "blocks.0.hook_resid_pre": STREAM,
    "blocks.0.attn.hook_q": OF_HEADS,
    "blocks.0.attn.hook_k": OF_SHARED,
    "blocks.0.attn.hook_v": OF_SHARED,
    "blocks.0.attn.hook_rot_q": OF_HEADS,
    "blocks.0.attn.hook_rot_k": OF_SHARED,
    "blocks.0.attn.hook_pattern": SCORES,
    "blocks.0.attn.hook_z": OF_HEADS,
    "blocks.0.hook_attn_out": STREAM,
    "blocks.0.ln2.hook_in": STREAM,
    "blocks.0.mlp.hook_post": (INPUTS, LENGTH, NEURONS),
    "blocks.0.hook_mlp_out": STREAM,
    "blocks.1.hook_resid_post": STREAM,
    "ln_final.hook_in": STREAM,
    "ln_final.hook_out": STREAM,
    "unembed.hook_in": STREAM,
}
NOTHING_ADDED = ("attn.hook_pattern", "attn.hook_z", "attn.hook_v", "hook_attn_out")
GATED = {
    "set_use_split_qkv_input": ("q_input", "k_input", "v_input"),
    "set_use_attn_in": ("attn_in",),
    "set_use_hook_mlp_in": ("mlp_in",),
}


@pytest.fixture(scope="module")
def network():
    return bridge()


@pytest.mark.parametrize("site", ACT)
@known
def test_it_acts(network, site):
    """Zeroed there, logits move, and keys and values have as many heads as there are of them.

    `layer_sites` names these places, and claims and their authors edit them.
    """
    (value,) = read(network, site)
    assert value.shape == ACT[site]
    assert apart(logits(network, (site, zero)), logits(network)) > 0.1


@known
def test_what_heads_add_is_taken_away_alike(network):
    """Where pattern, values, what heads mix or what they add is zero, logits are the same.

    `layer_sites` takes each for what its name says: an ablated head is one whose hook_z is put.
    """
    block = "blocks.1"
    alike = [logits(network, (f"{block}.{site}", zero)) for site in NOTHING_ADDED]
    assert max(apart(alike[0], other) for other in alike[1:]) < NEARLY
    mlp = [logits(network, (f"{block}.{s}", zero)) for s in ("mlp.hook_post", "hook_mlp_out")]
    assert apart(*mlp) < NEARLY < apart(mlp[0], alike[0])


@known
def test_heads_write_what_the_layer_adds(network):
    """The sum over heads of hook_z . W_O is hook_attn_out.

    Without that no head's part of the stream is known: `_are_as_told` refuses such a model.
    """
    mixed, added = read(network, "blocks.1.attn.hook_z", "blocks.1.hook_attn_out")
    assert apart(torch.einsum("iphd,hdm->ipm", mixed, network.W_O[1]), added) < NEARLY


@pytest.mark.parametrize(
    "site", ["hook_pos_embed", "blocks.0.attn.hook_hidden_states", "rotary_emb.hook_out"]
)
@known
def test_it_never_fires(network, site):
    """A hook that is there is never called where positions are rotary.

    `sites_of` names no positions for such a model, and `read` refuses where nothing passes.
    """
    called = []
    found = logits(network, (site, lambda value, hook: called.append(hook)))
    assert not called
    assert torch.equal(found, logits(network))


@known
def test_it_fires_and_nothing_reads_it(network):
    """What rotary_emb.hook_in gives is used by nothing: no bit moves.

    `put` compares logits bit by bit, and refuses an edit of which nothing is seen.
    """
    called = []
    found = logits(network, ("rotary_emb.hook_in", lambda v, hook: [called.append(v), v * 0][1]))
    assert len(called) == 1
    assert torch.equal(found, logits(network))


@known
def test_the_stream_between_heads_and_mlp_is_what_the_mlp_reads(network):
    """hook_resid_mid is an alias of ln2.hook_in: an edit there does not reach the stream itself.

    `Layer.mlp_input` is ln2.hook_in, for edges into the MLP; no site of ours is the stream between.
    """
    pre, added = read(network, "blocks.1.hook_resid_pre", "blocks.1.hook_attn_out")
    edit = ("blocks.1.hook_resid_mid", zero)
    (post,) = read(network, "blocks.1.hook_resid_post", edits=[edit])
    assert apart(post, pre + added) < NEARLY  # of an edit of the stream nothing would be left
    assert torch.equal(logits(network, edit), logits(network, ("blocks.1.ln2.hook_in", zero)))


@known
def test_scores_are_masked_before_they_are_seen(network):
    """hook_attn_scores is before the softmax, and masked: zeroed, positions look ahead.

    In the native bridge it is the pattern, and an edit is dropped. We name it in neither.
    """
    sites = "blocks.1.attn.hook_attn_scores", "blocks.1.attn.hook_pattern"
    scores, pattern = read(network, *sites)
    assert apart(scores.softmax(dim=-1), pattern) < NEARLY
    (edited,) = read(network, sites[1], edits=[(sites[0], zero)])
    assert apart(edited, torch.full(SCORES, 1 / LENGTH)) < NEARLY


@pytest.mark.parametrize("letter", ["q", "k"])
@known
def test_queries_and_keys_are_seen_before_they_are_rotated(network, letter):
    """hook_q and hook_k are as before positions; hook_rot_q and hook_rot_k are what meets.

    Scores are no products of `Layer.query` and `Layer.key`: `scores_are_products` is false.
    """
    sites = [f"blocks.1.attn.hook_{kind}" for kind in (letter, f"rot_{letter}", "pattern")]
    before, after, _ = read(network, *sites)
    assert torch.equal(before[:, 0], after[:, 0])
    assert apart(before[:, 1], after[:, 1]) > 0.1
    (pattern,) = read(network, sites[2], edits=[(sites[0], zero)])
    earlier = torch.ones(LENGTH, LENGTH).tril()
    assert apart(pattern, earlier / earlier.sum(dim=-1, keepdim=True)) < NEARLY


@pytest.mark.parametrize("letter", ["k", "v"])
@known
def test_heads_in_a_row_share_keys_and_values(network, letter):
    """Key-value head 1 serves heads 3 to 5 of six, and no other.

    `LateWeights` gives each head of a row the W_K and W_V of that row, and the claims about keys
    alone edit the shared head.
    """
    edit = (f"blocks.0.attn.hook_{letter}", zero_at(1))
    assert changed_heads(network, edit, "z") == {"z": [3, 4, 5]}


@pytest.mark.parametrize("gate", GATED)
@known
def test_it_is_refused_until_it_is_asked_for(network, gate):
    """Hooks of single readers raise ValueError until their switch is on, in the words `run` reads.

    We name none of them, and `run` makes an author's edit there CannotJudge.
    """
    for site in GATED[gate]:
        with pytest.raises(ValueError, match=rf"Call {gate}\(True\) first") as caught:
            logits(network, (f"blocks.0.hook_{site}", zero))
        said = re.match(SWITCHED_OFF, str(caught.value))
        assert said
        assert said.groups() == (f"blocks.0.hook_{site}", gate.removeprefix("set_"))


@known
def test_no_such_hook(network):
    """An unknown hook raises KeyError, in the words that `run` reads.

    `run` makes it CannotJudge: else it would be an error of the tool.
    """
    with pytest.raises(KeyError) as caught:
        logits(network, ("blocks.7.hook_resid_pre", zero))
    said = re.match(NOT_THERE, caught.value.args[0])
    assert said
    assert said.group(1) == "blocks.7.hook_resid_pre"


@known
def test_readers_apart():
    """Once split, each slot of hook_q_input, hook_k_input and hook_v_input is one head's alone.

    So "through keys, not through queries or values" could be asked of each head's input.
    """
    network = bridge()
    whole = logits(network)
    network.set_use_split_qkv_input(True)
    assert apart(logits(network), whole) < NEARLY
    for letter in "qkv":
        edit = (f"blocks.0.hook_{letter}_input", zero_at(1))
        assert changed_heads(network, edit) == {"q": [], "k": [], "v": [], letter: [1]}


@known
def test_one_input_of_attention_is_that_of_heads_of_three_kinds():
    """With use_attn_in slot 1 is the input of query head 1 and of key-value head 1 at once.

    We never turn it on: key-value head 1 is not that of head 1.
    """
    network = bridge()
    network.set_use_attn_in(True)
    edit = ("blocks.0.hook_attn_in", zero_at(1))
    assert changed_heads(network, edit) == {"q": [1], "k": [1], "v": [1]}
