"""Any causal language model that the bridge runs: read from a folder, run as transformers does."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

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
    whole_groups,
)
from mechanistic_claims.measurement.activations import Activations
from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.measurement.interventions.verbs import Interventions
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.components import positions
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


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    original(kind).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def subject(folder):
    return subject_of(folder)


def family(folder):
    return causal_lm(reference=folder, task=Text)


def subject_of(folder):
    checkpoint = read_checkpoint(folder, "some_model", family(folder))
    return Subject(checkpoint, family(folder).build(checkpoint, CPU), CPU)


def expected(kind, inputs):
    with torch.no_grad():
        return original(kind)(inputs, output_attentions=False).logits


def test_its_logits_are_those_of_transformers(kind, subject):
    logits = expected(kind, subject.task.inputs)[:, :-1].flatten(0, 1)
    assert logits.std() > 0.5
    assert (plain(subject.activations.logits) - logits).abs().max() < 1e-4


@pytest.mark.parametrize("how", ["zero", "mean"])
def test_a_head_is_ablated_as_by_hand(kind, subject, how):
    """In transformers' own model: what is projected of the head is replaced."""
    model, width = original(kind), WIDTH // HEADS
    projections = ("self_attn.o_proj", "attn.c_proj", "attention.dense")
    (project,) = (
        module
        for name, module in model.named_modules()
        if name.endswith(projections) and ".1." in name
    )

    def without(module, given):
        mixed = given[0].clone()
        of_head = mixed[..., 2 * width : 3 * width]
        of_head.copy_(of_head.mean(dim=0, keepdim=True) if how == "mean" else of_head * 0)
        return (mixed,)

    handle = project.register_forward_pre_hook(without)
    try:
        logits = expected(kind, subject.task.inputs)[:, :-1].flatten(0, 1)
    finally:
        handle.remove()
    found = plain(subject.intervene.ablate(head(1, 2), how).logits)
    assert (found - logits).abs().max() < 1e-4
    assert (found - plain(subject.activations.logits)).abs().max() > 1e-2


SOME = {"queries": head(1, 1) + head(1, 3) + head(2, 0), "keys": head(1, 4) + head(2, 0)}
SOME["values"] = SOME["keys"]
OF_LLAMA = {"queries": "q_proj", "keys": "k_proj", "values": "v_proj"}


@contextmanager
def edge_by_hand(kind, change, reads, heads):
    """Some columns of a projection are those of a stream with a change, through the norm again."""
    model, width, handles = original(kind), WIDTH // HEADS, []
    sharing = 3 if kind == "llama" and reads != "queries" else 1
    layers = model.model.layers if kind == "llama" else model.transformer.h
    for layer in {part.layer for part in heads.parts}:
        slots = sorted({p.index // sharing for p in heads.parts if p.layer == layer})
        block, given = layers[layer], []
        handles.append(
            block.register_forward_pre_hook(lambda m, stream, g=given: g.append(stream[0] + change))
        )
        norm = block.input_layernorm if kind == "llama" else block.ln_1
        project = (
            getattr(block.self_attn, OF_LLAMA[reads]) if kind == "llama" else block.attn.c_attn
        )
        offset = 0 if kind == "llama" else WIDTH * list(OF_LLAMA).index(reads)
        columns = [offset + slot * width + at for slot in slots for at in range(width)]

        def changed(module, given, output, g=given, norm=norm, columns=columns):
            edited = output.clone()
            edited[..., columns] = module.forward(norm(g.pop()))[..., columns]
            return edited

        handles.append(project.register_forward_hook(changed))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("reads", list(SOME))
def test_an_edge_into_heads_of_several_layers_is_cut_as_by_hand(kind, subject, reads):
    """Each reads the stream of that very run, through its norm; a group is a reader as a whole."""
    assert subject.weights.sharing == (3 if kind == "llama" else 1)
    heads = SOME[reads] if reads == "queries" else whole_groups(SOME[reads], subject.weights)
    assert len(heads) == (6 if kind == "llama" and reads != "queries" else len(SOME[reads]))
    found = plain(subject.intervene.cut(head(0, 2), getattr(heads, reads), "mean").logits)
    if kind.startswith("neox"):
        assert (found - plain(subject.activations.logits)).abs().max() > 1e-3
        return  # its projection is one of all three, heads among heads
    written = plain(subject.activations.written(head(0, 2)))
    change = written.mean(dim=0) - written
    with edge_by_hand(kind, change, reads, heads):
        logits = expected(kind, subject.task.inputs)[:, :-1].flatten(0, 1)
    assert (found - logits).abs().max() < 2e-4
    assert (found - plain(subject.activations.logits)).abs().max() > 1e-2


def test_other_inputs_are_edited_as_the_first_ones(kind, subject):
    other = Text(subject.parts.task.sizes, CPU)
    other.inputs = other.inputs.flip(0)
    other.labels = other.inputs[:, 1:].flatten()
    there = subject.intervene.on(other)
    first, flipped = (one.ablate(head(1, 2), "mean") for one in (subject.intervene, there))
    loss, of_flipped = (plain(one.loss).reshape(20, -1) for one in (first, flipped))
    assert (loss - of_flipped.flip(0)).abs().max() < 1e-4
    assert (loss - of_flipped).abs().max() > 1e-2
    assert there.done == subject.intervene.done


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


@pytest.mark.parametrize("layer", [1, 2])
def test_edits_of_late_layers_run_from_there(subject, layer):
    """With the bits of a whole run: whatever is at the blocks before is not run."""
    started = []
    skipping = subject.parts.skipping
    parts = replace(subject.parts, skipping=lambda at: started.append(at) or skipping(at))
    activations = Activations(parts)
    interventions = Interventions(parts, activations, subject.circuits)
    resumed = interventions.ablate(head(layer, 0), "mean")
    whole = subject.intervene.ablate(head(layer, 0), "mean")
    alone = Activations(subject.parts, whole.edits)
    assert torch.equal(plain(resumed.logits), plain(alone.logits))
    assert started == [layer] * 2  # once to compare, once for the edit

    def latest(pattern, part):
        return pattern[:, -1, -2:].sum(dim=-1)

    scored, of_whole = resumed.by_head(latest), alone.by_head(latest)
    assert started == [layer] * 2 + [layer] * 1
    assert torch.equal(plain(scored), plain(of_whole))
    assert (
        layer == LAYERS - 1
        or (plain(scored) - plain(activations.by_head(latest))).abs().max() > 1e-4
    )
    early = subject.parts.sites.layers[0].mixed
    assert torch.equal(plain(resumed.read(early)), plain(activations.read(early)))
    assert (plain(activations.logits) - plain(alone.logits)).abs().max() > 1e-3


def test_a_run_that_has_other_bits_from_there_is_run_whole(subject):
    changed = [0]

    @contextmanager
    def another(layer):
        changed[0] += 1
        handle = subject.parts.model.original_model.get_output_embeddings().register_forward_hook(
            lambda module, given, output: output + 1e-3
        )
        try:
            yield
        finally:
            handle.remove()

    parts = replace(subject.parts, skipping=another)
    activations = Activations(parts)
    edited = Interventions(parts, activations, subject.circuits).ablate(head(2, 0), "mean")
    alone = Activations(subject.parts, edited.edits)
    assert torch.equal(plain(edited.logits), plain(alone.logits))
    assert changed == [1]


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
