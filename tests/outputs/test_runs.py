"""Whole runs of the claims in processes of their own: verdicts, exit status, terminal, workers."""

from __future__ import annotations

import json
import re
import sys

import pytest

from claims.min_of_two import DECIDED_FOR
from models.min_of_two import FAMILY
from models.min_of_two.constructed import attend_to_the_min_and_copy
from tests.conftest import CHECKPOINTS, DIFFERENT, QK, REAL, ROOT, without_rounding
from tests.runs import run_command

CLAIMS = 63
EXPECTED = {
    # DESIGN's measurements of the write-up's checkpoint, in float64 and by other code
    "test_accuracy_on_all_inputs[0.999]": "0.99965",
    "test_accuracy_on_held_out_inputs[0.995]": "0.99825",
    "test_mean_attention_to_itself[0.005]": "8.6e-06",
    "test_never_attends_to_itself[0.005]": "0.31985",
    "test_more_attention_on_the_min[0.99]": "0.9997",
    "test_attention_on_the_min_at_a_gap[1-0.6]": "0.69144",
    "test_attention_on_the_min_at_a_gap[2-0.75]": "0.82306",
    "test_attention_on_the_min_at_a_gap[5-0.95]": "0.97348",
    "test_attention_on_the_min_at_a_gap[10-0.99]": "0.99902",
    "test_the_attended_token_gets_the_highest_logit[0.99]": "0.995",
    "test_the_diagonal_is_strong[5.0]": "16.482",
    "test_the_copying_score[0.99]": "0.99999",
    "test_the_row_falls_at_almost_every_step[0.95]": "0.96985",
    "test_smaller_numbers_get_higher_scores[0.999]": "0.9997",
    "test_where_the_row_rises_it_rises_little[0.01]": "0.0010219",
    "test_the_row_of_equals_has_the_most_structure[2.0]": "4.9589",
    "test_without_it_predictions_stay[0.001]": "5e-05",
    "test_margins_exceed_its_range[0.999]": "0.9994",
    "test_attending_only_to_the_min_is_enough[0.999]": "0.99997",
    "test_swapped_attention_gives_the_max[0.97]": "0.9895",
    "test_the_ov_diagonal_is_enough[0.99]": "0.99975",
}


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason=f"the write-up's checkpoint is not at {REAL.name}")
def test_the_real_checkpoint_measures_what_was_measured_by_hand(run_claims):
    run = run_claims("claims/", "-n", "auto", "--checkpoint", REAL)
    assert run.status == 0
    assert "56 hold, 7 refuted as expected, 0 refuted" in run.output
    for claim, measured in EXPECTED.items():
        assert run.claims[claim, REAL.name]["measured"] == measured, claim
    rises = run.claims["test_the_row_is_strictly_decreasing[1.0]", REAL.name]
    assert rises["exceptions"] == "9 42 76 79 144 157"


def test_a_file_given_twice_is_judged_once(run_claims):
    name = str(FAMILY.reference.relative_to(ROOT))
    part = "claims/min_of_two/test_ov_circuit.py"
    run = run_claims(part, "--checkpoint", name, "--checkpoint", FAMILY.reference)
    assert run.status == 0
    assert len(run.claims) == 5


@pytest.mark.slow
def test_every_shipped_checkpoint_holds(shipped):
    """All but the one that is shipped for what is refuted of it."""
    names = {checkpoint for _, checkpoint in shipped.claims}
    assert names == {path.name for path in CHECKPOINTS.rglob("*.safetensors")}
    told_so = {claim for (claim, _), found in shipped.claims.items() if found["told_too_strongly"]}
    for name in names - {DIFFERENT.name}:
        verdicts = shipped.verdicts(name)
        assert {verdicts[claim] for claim in verdicts.keys() - told_so} == {"holds"}
    assert len(shipped.claims) == CLAIMS * len(names)
    assert all(properties["verdict"] != "error" for properties in shipped.claims.values())


@pytest.mark.slow
def test_what_was_done_to_a_model_is_in_the_file_of_verdicts(shipped):
    judged = json.loads(shipped.verdict_file.read_text())["checkpoints"]
    for claim in (claim for checkpoint in judged for claim in checkpoint["claims"]):
        assert ("edits" in claim) == (claim["evidence"] == "intervention"), claim["claim"]


@pytest.mark.slow
def test_an_untrained_model_passes_no_claim(shipped):
    """A claim that an untrained model passes says nothing. Preconditions are marked as such."""
    for (claim, _), properties in shipped.claims.items():
        expected = "holds" if properties["precondition"] == "yes" else "refuted"
        assert properties["control_verdict"] == expected, claim


@pytest.mark.slow
def test_workers_and_their_number_change_no_verdict(shipped, run_claims):
    parts = [f"claims/min_of_two/test_{part}.py" for part in ("behavior", "attention", "errors")]
    alone, spread = run_claims("claims/min_of_two", "-n", "0"), run_claims(*parts, "-n", "3")
    assert len(alone.claims) == CLAIMS
    assert alone.claims.keys() > spread.claims.keys()
    for run in (alone, spread):
        assert run.status == 0
        for key, found in run.claims.items():
            expected = {**shipped.claims[key], "path": ""}
            assert without_rounding({**found, "path": ""}) == without_rounding(expected)


@pytest.mark.slow
def test_refuted_claims_of_many_checkpoints_are_listed_of_a_few(run_claims, tmp_path):
    """The survey tells of the others; the counts stay whole."""
    for number in range(7):
        (tmp_path / f"{number}.safetensors").write_bytes(DIFFERENT.read_bytes())
    run = run_claims(QK, "--checkpoint", tmp_path / "*.safetensors", CI="true")
    assert run.output.count("\nFAILED claims/min_of_two/test_qk_circuit.py") == 5 * 3
    assert run.output.count("  refuted of ") == 5 * 3
    assert "and 2 more: 2 refuted" in run.output
    assert "21 failed" in run.output


@pytest.mark.slow
def test_a_broken_file_is_said_once_and_costs_only_its_own_verdicts(run_claims, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(FAMILY.reference.read_bytes()[:5000])
    given = ("--checkpoint", broken, "--checkpoint", FAMILY.reference)
    run = run_claims("claims/min_of_two", *given)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert f"error in {CLAIMS} claims" in run.output
    assert run.output.count("ERROR at setup") == 1
    assert f"\n{broken}: not a complete safetensors file" in run.output
    assert set(run.verdicts("broken.safetensors").values()) == {"error"}
    assert "error" not in run.verdicts("reference.safetensors").values()


@pytest.mark.slow
def test_the_order_of_files_changes_no_verdict(run_claims, tmp_path):
    """Nor a measured number or a control, of drawn cases too."""
    files = [FAMILY.reference, CHECKPOINTS / "seed2.safetensors", DIFFERENT]
    found = []
    for name, given in {"given": files, "reversed": files[::-1]}.items():
        path = tmp_path / f"{name}.json"
        options = [f"--checkpoint={file}" for file in given]
        run_claims(QK, "claims/min_of_two/test_preconditions.py", *options, "--verdicts", path)
        checkpoints = json.loads(path.read_text())["checkpoints"]
        found.append({checkpoint["path"]: checkpoint for checkpoint in checkpoints})
    assert len(found[0]) == 3
    assert found[0] == found[1]


@pytest.mark.slow
def test_bounds_of_any_size_hold_of_the_story_at_any_size(run_claims, save):
    """Written by hand for few numbers and for many; other bounds say for how many they are."""
    for n in (8, 20, 113):
        path = save(attend_to_the_min_and_copy(n), f"{n}.safetensors")
    given = [f"--checkpoint={path.parent}/*.safetensors"]
    run = run_claims("claims/", "-n", "2", "-m", "any_size or precondition", *given)
    assert run.status == 0, run.output
    assert len(run.claims) == 3 * 23
    assert {properties["bound_for"] for properties in run.claims.values()} == {""}
    few = run_claims(QK, f"--checkpoint={path.parent}/8.safetensors")
    assert few.claims["test_smaller_numbers_get_higher_scores[0.999]", "8.safetensors"][
        "bound_for"
    ] == str(DECIDED_FOR)
    assert "° decided for 40,000 inputs, and not meant for any number" in few.output
    shipped = run_claims(QK)
    assert "°" not in shipped.output


def test_the_table_fits_the_terminal(run_claims):
    run = run_claims("claims/min_of_two/test_behavior.py", "claims/min_of_two/test_qk_circuit.py")
    table = run.output[run.output.index(" verdicts =") :].splitlines()
    assert max(map(len, table)) <= 100
    assert "min_of_two · sha256" in table[2]
    assert "float32 · 40,000 inputs" in table[2]
    unmarked = [line for line in table[4:] if line and line[0] not in "✓~ "]
    assert unmarked[:3] == [
        "behavior",
        "qk circuit · weights",
        "6 hold, 2 refuted as expected, 0 refuted",
    ]
    assert sum(line[:2] in ("✓ ", "~ ") for line in table) == 6 + 2 + len(["what ~ means"])


def test_the_place_of_a_refutation_is_the_claim(run_claims):
    """Not the tool's own line: as --tb=line and plugins that annotate tell it."""
    run = run_claims(
        "claims/min_of_two/test_qk_circuit.py", f"--checkpoint={DIFFERENT}", "--tb=line"
    )
    lines = (ROOT / "claims/min_of_two/test_qk_circuit.py").read_text().splitlines()
    places = re.findall(r"^claims/min_of_two/test_qk_circuit.py:(\d+): measured", run.output, re.M)
    assert len(places) == 3
    assert {lines[int(at) - 1][0] for at in places} == {"@"}, "where its decorators begin"


def test_collecting_imports_no_torch():
    script = (
        "import sys, pytest; status = pytest.main(['--collect-only', '-qq', 'claims/']);"
        "loaded = {'torch', 'transformer_lens', 'matplotlib', 'rich', 'scipy'} & set(sys.modules);"
        "sys.exit(f'{status} {loaded}' if status or loaded else 0)"
    )
    done = run_command([sys.executable, "-c", script])
    assert done.returncode == 0, done.stderr
    assert "claims/min_of_two/test_qk_circuit.py: 5" in done.stdout
