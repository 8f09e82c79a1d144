"""Any causal language model that the bridge runs: read from a folder, run as transformers does."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mechanistic_claims import (
    CannotJudge,
    CheckpointError,
    causal_lm,
    head,
    mlp,
    read_checkpoint,
)
from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.model.components import positions
from tests.conftest import CPU
from tests.model.causal_lm.kinds import (
    HEADS,
    LAYERS,
    LENGTH,
    TOKENS,
    WIDTH,
    configurations,
    expected,
    family,
    original,
    subject_of,
)


def test_its_logits_are_those_of_transformers(kind, subject):
    logits = expected(kind, subject.task.inputs)[:, :-1].flatten(0, 1)
    assert logits.std() > 0.5
    assert (plain(subject.activations.logits) - logits).abs().max() < 1e-4


def test_heads_write_what_the_layer_adds(kind, subject):
    layer = subject.parts.sites.layers[1]
    written = sum(plain(subject.activations.written(head(1, h))) for h in range(HEADS))
    added = plain(subject.activations.read(layer.output))
    bias = added - written  # that of the layer: the same everywhere
    assert (bias - bias[0, 0]).abs().max() < 1e-4
    assert written.std() > 10 * (bias - bias[0, 0]).abs().max()


def test_what_heads_write_along_a_direction(subject):
    """That of a head, and of each position that it attends to."""
    answers, cases = subject.activations, len(subject.task.labels)
    directions = torch.randn(cases, WIDTH, generator=torch.Generator().manual_seed(2))
    found = plain(answers.written_along(directions))
    assert found.shape == (cases, LAYERS, HEADS)
    for layer, index in ((0, 0), (1, 4), (2, 5)):
        written = plain(answers.written(head(layer, index)))
        along = (written[:, :-1].flatten(0, 1) * directions).sum(dim=-1)
        assert (found[:, layer, index] - along).abs().max() < 1e-4
        *_, outputs = answers.value_outputs(head(0, 1) + head(layer, index))
        mixed = plain(answers.pattern(head(layer, index))).double() @ plain(outputs)
        assert (mixed - written).abs().max() < 1e-4
    assert found.std() > 0.1
    with pytest.raises(CannotJudge, match="directions"):
        answers.written_along(directions[:-1])


def test_every_site_is_read_and_edited(subject):
    sites = subject.parts.sites
    ends = (sites.embedding, sites.positions, sites.final_residual, sites.unembedded)
    for site in filter(None, (*vars(sites.layers[1]).values(), *ends)):
        values = plain(subject.activations.read(site))
        outcome = subject.intervene.put(site, torch.zeros_like(values))
        assert (plain(outcome.logits) - plain(subject.activations.logits)).abs().max() > 1e-4, site


def test_a_site_that_is_used_only_if_it_is_asked_for(subject):
    said = "nothing passes blocks.1.hook_q_input: the model is run without use_split_qkv_input"
    with pytest.raises(CannotJudge, match=said):
        subject.activations.read("blocks.1.hook_q_input")


def test_all_heads_are_scored_in_one_run(subject):
    def to_the_first(pattern, part):
        assert pattern.shape == (len(subject.task.inputs[part]), LENGTH, LENGTH)
        return pattern[:, -1, 0]

    found = plain(subject.activations.by_head(to_the_first))
    assert found.shape == (20, LAYERS, HEADS)
    for layer, index in ((0, 0), (2, 5)):
        pattern = plain(subject.activations.pattern(head(layer, index)))
        assert torch.equal(found[:, layer, index], pattern[:, -1, 0])


def test_answers_whose_logits_are_not_kept_are_the_same(folder, subject, monkeypatch):
    monkeypatch.setattr("mechanistic_claims.measurement.activations.LOGITS_KEPT", 1000)
    other = subject_of(folder).activations
    for name in ("loss", "margin", "prediction", "correct"):
        monkeypatch.undo()
        kept = plain(getattr(subject.activations, name))
        monkeypatch.setattr("mechanistic_claims.measurement.activations.LOGITS_KEPT", 1000)
        assert torch.equal(plain(getattr(other, name)).to(kept.dtype), kept), name
    asked = plain(other.prediction).clone()
    asked[::2] = -1
    assert plain(other.answers(asked)).tolist() == [False, True] * (len(asked) // 2)
    with pytest.raises(CannotJudge, match="labels have no logit"):
        other.answers(asked + TOKENS)
    with pytest.raises(CannotJudge, match="220 answers of 97 logits are not kept"):
        _ = other.logits


def test_what_its_kind_makes_inexact_is_refused(kind, subject):
    with pytest.raises(CannotJudge, match="a norm stands between"):
        subject.circuits.qk(head(0, 0))
    if kind == "llama":
        with pytest.raises(CannotJudge, match=r"head 1\.1 has its keys in common with 1\.0, 1\.2"):
            subject.intervene.cut(head(0, 0), head(1, 1).keys, "mean")
    if kind == "gpt2":
        later = torch.ones(LENGTH - 1, LENGTH, dtype=torch.bool).triu(1)
        scores = plain(subject.activations.scores)[:, 1, 2].reshape(20, LENGTH - 1, LENGTH)
        pattern = plain(subject.activations.pattern(head(1, 2)))[:, :-1]
        assert torch.allclose(scores.masked_fill(later, -torch.inf).softmax(-1), pattern, atol=1e-6)
    else:
        with pytest.raises(CannotJudge, match="no softmax of what its hooks hold"):
            _ = subject.activations.scores
        with pytest.raises(CannotJudge, match="there are no positions in the stream"):
            subject.activations.written(positions)


def test_an_mlp_beside_its_heads_does_not_read_them(kind, subject):
    if kind == "neox":
        with pytest.raises(CannotJudge, match="there is no such edge"):
            subject.intervene.cut(head(1, 0), mlp(1), "mean")
    else:
        cut = subject.intervene.cut(head(1, 0), mlp(1), "mean")
        assert (plain(cut.loss) - plain(subject.activations.loss)).abs().max() > 1e-4


def test_the_untrained_model_is_of_the_same_shapes(kind, folder):
    checkpoint = read_checkpoint(folder, "some_model", family(folder))
    untrained = family(folder).untrained(checkpoint)
    assert {n: t.shape for n, t in untrained.tensors.items()} == {
        n: t.shape for n, t in checkpoint.tensors.items()
    }
    again = family(folder).untrained(checkpoint)
    assert all(torch.equal(again.tensors[n], t) for n, t in untrained.tensors.items())
    random = [name for name, tensor in untrained.tensors.items() if tensor.std() > 1e-3]
    assert len(random) > len(untrained.tensors) / 3
    assert all(not torch.equal(untrained.tensors[n], checkpoint.tensors[n]) for n in random)


def test_types_of_16_bits_are_judged_in_theirs(folder):
    tensors = {n: t.bfloat16() for n, t in load_file(folder / "model.safetensors").items()}
    other = folder.with_name(f"{folder.name}-16")
    other.mkdir(exist_ok=True)
    save_file(tensors, other / "model.safetensors")
    (other / "config.json").write_bytes((folder / "config.json").read_bytes())
    assert subject_of(other).activations.logits.dtype == torch.bfloat16


def changed(folder, tmp_path, tensors=None, **config):
    said = json.loads((folder / "config.json").read_text()) | config
    (tmp_path / "config.json").write_text(json.dumps(said))
    save_file(tensors or load_file(folder / "model.safetensors"), tmp_path / "model.safetensors")
    return tmp_path


def test_a_folder_of_another_model_is_refused(folder, tmp_path):
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if ".2." in name)
    without = {n: t for n, t in tensors.items() if n != name}
    with pytest.raises(CheckpointError, match=rf"by its config.json {name} missing"):
        subject_of(changed(folder, tmp_path, without))
    with pytest.raises(CheckpointError, match=r"extra.weight unknown"):
        subject_of(changed(folder, tmp_path, {**tensors, "extra.weight": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=rf"{name} is 5, by its config.json "):
        subject_of(changed(folder, tmp_path, {**tensors, name: torch.zeros(5)}))
    with pytest.raises(CheckpointError, match="transformers does not run by itself"):
        subject_of(changed(folder, tmp_path, model_type="nobody's"))
    with pytest.raises(CheckpointError, match="transformers does not run by itself"):
        subject_of(changed(folder, tmp_path, auto_map={"AutoModelForCausalLM": "code.Model"}))
    with pytest.raises(CheckpointError, match=r"there is no config\.json with it"):
        subject_of(folder / "model.safetensors")


def test_an_unembedding_that_is_said_to_be_tied_is(tmp_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tied")
    original("llama").save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    both = {**tensors, "lm_head.weight": embedding.clone()}
    assert plain(subject_of(changed(folder, tmp_path, both)).activations.loss).isfinite().all()
    with pytest.raises(CheckpointError, match=r"ties the unembedding .* and they differ"):
        subject_of(changed(folder, tmp_path, {**both, "lm_head.weight": embedding + 1}))


def test_a_task_that_does_not_fit_says_so(folder):
    def too_long(sizes, device):
        raise CannotJudge("too few positions.")

    checkpoint = read_checkpoint(folder, "some_model", family(folder))
    with pytest.raises(CheckpointError, match="too few positions"):
        causal_lm(reference=folder, task=too_long).build(checkpoint, CPU)


def test_a_layer_that_does_not_add_what_its_heads_write_is_refused(tmp_path):
    """OLMo 2 has a norm behind its attention: no head's part of the stream is known."""
    from transformers import AutoModelForCausalLM, Olmo2Config

    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": HEADS}
    config = Olmo2Config(vocab_size=TOKENS, intermediate_size=64, pad_token_id=0, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"is not what its heads write|the bridge"):
        subject_of(tmp_path)


def test_positions_that_are_learned_do_not_make_scores_products(tmp_path):
    """GPT-2 may divide the scores of each layer by its number: then they are others."""
    from transformers import AutoModelForCausalLM

    config = configurations()["gpt2"]
    config.scale_attn_by_inverse_layer_idx = True
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(tmp_path)
    with pytest.raises(CannotJudge, match="no softmax of what its hooks hold"):
        _ = subject_of(tmp_path).activations.scores
