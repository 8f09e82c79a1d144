"""The story of the real model, judged once, and of what is none of it."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file, save_file

from tests.runs import run_in_a_process

pytestmark = pytest.mark.slow
QUICK = "second_half or one_matches or without_them or strongest_alone or first_position"


@pytest.fixture(scope="module")
def judged(folder, tmp_path_factory):
    """The claims that need few runs, of the model and of one without its head 16.0."""
    without = tmp_path_factory.mktemp("without")
    for file in folder.iterdir():
        (without / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    project = tensors["model.layers.16.self_attn.o_proj.weight"]
    project[:, :64] = 0
    save_file(tensors, without / "model.safetensors")
    verdicts = without / "verdicts.json"
    run = run_in_a_process(
        "claims/smollm2", "-n", "0", "-k", QUICK, f"--verdicts={verdicts}",
        f"--checkpoint={folder}", f"--checkpoint={without}", "-m", "",
    )  # fmt: skip
    assert verdicts.exists(), run.output
    checkpoints = json.loads(verdicts.read_text())["checkpoints"]
    of_both = [
        {claim["claim"].partition("::test_")[2].partition("[")[0]: claim for claim in of["claims"]}
        for of in checkpoints
    ]
    assert {len(of) for of in of_both} == {5}
    return of_both


def test_the_story_holds_and_of_no_untrained_model(judged):
    model, _ = judged
    for name, claim in model.items():
        assert claim["verdict"] == "holds", name
        assert claim["control"]["verdict"] == "refuted", name
        assert claim["domain"].startswith("sampled ("), name
    assert model["the_second_half_is_predicted"]["measured"] == pytest.approx(10.73, abs=0.05)
    assert model["one_matches_the_prefix"]["measured"] == pytest.approx(0.851, abs=0.005)


def test_without_the_head_that_writes_the_previous_token_heads_lose_their_target(judged):
    """16.0 writes it (of the eight .53 of the attention is left as .11): accuracy alone is left."""
    _, without = judged
    assert without["one_matches_the_prefix"]["verdict"] == "refuted"
    assert without["one_matches_the_prefix"]["measured"] < 0.5
    assert without["many_heads_attend_to_the_first_position"]["verdict"] == "holds"
