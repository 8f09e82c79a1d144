"""`mechanistic-claims new` of a language model: what it writes is judged at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from tests.authoring.test_new import family_of, new, require_style
from tests.runs import run_in_a_fork, verdicts_in

TOKENS, LAYERS, HEADS, WIDTH, POSITIONS = 97, 2, 6, 48, 64
LENGTH, SEQUENCES, FIRST = 31, 16, 5
"""Of what is written for so many positions: one token, and twice 31."""


def configurations():
    from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig

    common = {"vocab_size": TOKENS, "bos_token_id": FIRST, "eos_token_id": 0}
    named = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    named |= {"intermediate_size": 64, "max_position_embeddings": POSITIONS, **common}
    sizes = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS}
    return {
        "gpt2": GPT2Config(**sizes, **common),
        "neox": GPTNeoXConfig(**named),
        "llama": LlamaConfig(num_key_value_heads=2, tie_word_embeddings=True, **named),
    }


def written(kind: str, folder: Path):
    """A model whose weights matter, and its folder, which has no tokenizer."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(
            configurations()[kind], attn_implementation="eager"
        ).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    return model


def losses(model, inputs):
    """Of each sequence at each place, in nats; and the patterns."""
    with torch.no_grad():
        found = model(inputs, output_attentions=True)
    of_next = found.logits.log_softmax(-1)[:, :-1].gather(-1, inputs[:, 1:, None])
    return -of_next[..., 0], found.attentions


def sequences(seed: int):
    """As the written task draws them: the token of the configuration, and twice the same ones."""
    generator = torch.Generator().manual_seed(seed)
    once = torch.randint(TOKENS, (SEQUENCES, LENGTH), generator=generator)
    return torch.cat([torch.full((SEQUENCES, 1), FIRST), once, once], dim=1)


def prefix_matching(patterns):
    """By layer and head, in the mean over sequences and rows."""
    rows = range(LENGTH + 1, 2 * LENGTH)
    scores = [[p[:, :, q, q - LENGTH + 1].mean(0) for q in rows] for p in patterns]
    return torch.stack([torch.stack(of_layer).mean(0) for of_layer in scores])


def without(model, layer: int, head: int, inputs):
    """Losses where what a head gives its projection is its mean over sequences."""
    projections = ("self_attn.o_proj", "attn.c_proj", "attention.dense")
    width = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
    (project,) = (
        module
        for name, module in model.named_modules()
        if name.endswith(projections) and f".{layer}." in name
    )

    def replaced(module, given):
        mixed = given[0].clone()
        mixed[..., width] = mixed[..., width].mean(0, keepdim=True)
        return (mixed,)

    handle = project.register_forward_pre_hook(replaced)
    try:
        return losses(model, inputs)[0]
    finally:
        handle.remove()


def by_hand(model) -> dict[str, float]:
    """What each claim measures, of transformers' own model."""
    inputs = sequences(1)
    loss, patterns = losses(model, inputs)
    others = prefix_matching(losses(model, sequences(0))[1])
    layer, head = divmod(int(others.argmax()), HEADS)
    again = slice(LENGTH + 1, None)
    rise = (without(model, layer, head, inputs) - loss)[:, again].mean()
    return {
        "what_comes_again_is_predicted": float((loss[:, 1:LENGTH] - loss[:, again]).mean()),
        "one_looks_at_what_followed": float(prefix_matching(patterns)[layer, head]),
        "without_it_the_loss_rises": float(rise),
    }


@pytest.mark.slow
def test_the_claims_are_judged_at_once(tmp_path):
    """Of three kinds of models, by transformers' numbers: those of a random one hold nothing."""
    models = {kind: written(kind, tmp_path / "runs" / kind) for kind in configurations()}
    for kind in models:
        done = new(tmp_path, f"my_{kind}", "--checkpoint", f"runs/{kind}")
        assert done.returncode == 0, done.stderr
        assert f"2 layers of 6 heads each, {TOKENS} tokens.\n" in done.stdout
        assert done.stdout.count(f"    pytest claims/my_{kind}\n") == 1
        assert family_of(tmp_path, f"my_{kind}") == (
            f'causal_lm( reference=Path(__file__).parents[2] / "runs/{kind}", '
            f'task="models.my_{kind}.task:Task.of", )'
        )
    run = run_in_a_fork("claims", "--verdicts=verdicts.json", cwd=tmp_path, OMP_NUM_THREADS="1")
    assert run.status == 1, run.output
    told = r"^(?:✗ \w+ +)?0 hold, 0 refuted as expected, (\d) refuted(?:, (\d) not established)?$"
    counted = re.findall(told, run.output, re.MULTILINE)
    assert [sum(map(int, filter(None, of))) for of in counted] == [3] * (3 + 3), run.output
    told = {one["model"]: one for one in verdicts_in(tmp_path / "verdicts.json")["checkpoints"]}
    for kind, model in models.items():
        measured = {
            claim["claim"].partition("::test_")[2].partition("[")[0]: claim["measured"]
            for claim in told[f"my_{kind}"]["claims"]
        }
        assert measured == pytest.approx(by_hand(model), rel=1e-3, abs=1e-4), kind
    require_style(tmp_path)


def config(folder: Path, **said: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(said))
    torch.save({"some.weight": torch.ones(3, 3)}, folder / "pytorch_model.bin")
    return folder


def test_what_is_no_language_model_is_refused(tmp_path):
    folder = config(tmp_path / "vit", model_type="vit")
    done = new(tmp_path, "mine", "--checkpoint", folder)
    assert done.returncode == 2
    assert "a vit is no model that predicts the next token" in done.stderr
    done = new(tmp_path, "mine", "--checkpoint", folder / "pytorch_model.bin")
    said = f"config.json is beside it, and says what it is.\nGive the folder: {folder}"
    assert said in done.stderr
    done = new(tmp_path, "mine", "--checkpoint", folder, "--mlp=gelu", "--training")
    assert "--mlp, --training: of a model of transformers" in done.stderr
    assert not (tmp_path / "models").exists()
