"""What happens to a user who writes a claim: it works, or the suite says what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial

import pytest

from tests.runs import ROOT, run_in_a_fork
from tests.verdict.written import GOOD, in_project


@pytest.fixture
def run_claim(tmp_path):
    """Run one claim in a project of its own."""
    return partial(in_project, tmp_path)


def test_a_claim_that_holds(run_claim):
    status, output = run_claim(GOOD)
    assert status == 0, output
    assert "A sentence about 0.3." in output


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ('@evidence("weights")\n', "an @evidence"),
        ('    """A sentence about {at_least}."""\n', "a docstring that says what is claimed"),
    ],
)
def test_a_claim_that_lacks_something(run_claim, without, said):
    status, output = run_claim(GOOD.replace(without, ""))
    assert status == pytest.ExitCode.USAGE_ERROR
    assert f"is no claim: it lacks {said}" in output


@pytest.mark.parametrize(
    ("was", "became", "said"),
    [
        ("about {at_least}", "about {0, 1}", "its docstring has braces"),
        ('"weights"', '"wieghts"', "expected one of behavior, weights"),
        ("at_least=at_least", "within=(0, float('nan'))", "a bound is a finite number"),
        (
            "at_least=at_least)",
            "at_least=at_least)\n    verdict(0.5, at_most=0.9)",
            "two bounds in one claim, ≥ 0.3 and ≤ 0.9: write two claims",
        ),
        (
            "at_least=at_least",
            "at_least=at_least, exceptions=task.labels > 3",
            "exceptions are true or false",
        ),
        ("at_least=at_least", "at_least='0.9'", "the bound is '0.9': expected a number, or within"),
        ("at_least=at_least", "within=0.9", "the bound is 0.9: expected a number, or within=(0.4"),
        (
            "at_least=at_least",
            "at_least=at_least, trials=0",
            "unexpected keyword argument 'trials'",
        ),
    ],
)
def test_a_slip_is_said(run_claim, was, became, said):
    status, output = run_claim(GOOD.replace(was, became))
    assert status != 0
    assert said in output


def test_all_that_is_no_claim_is_said_at_once(run_claim):
    other = GOOD.replace("test_new", "test_other").replace('@evidence("weights")\n', "")
    status, output = run_claim(GOOD.replace("about {at_least}", "about {0, 1}") + other)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "its docstring has braces" in output
    assert "is no claim: it lacks an @evidence" in output


def test_a_number_of_a_sample_that_has_lost_its_draws_is_an_error(run_claim):
    """But what is measured of weights knows of no draws."""
    of_runs = GOOD.replace("weights", "activations").replace("circuits", "activations")
    lost = "float(plain(activations.margin).mean())"
    of_runs = of_runs.replace("0.5 if activations.ov().matrix.std() > 1 else 0.0", lost)
    of_weights = GOOD.replace("test_new", "test_of_weights").replace("ov()", "direct_path")
    of_weights = of_weights.replace("std() > 1", "std() < 1")
    claims = "from mechanistic_claims import plain\n" + of_runs + of_weights
    status, output = run_claim(claims, model="induction")
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "the inputs are drawn, and the number does not say on how many of them" in output
    assert "1 failed, 1 passed" in output


@pytest.mark.slow
def test_an_intervention_that_changes_nothing_is_an_error(run_claim):
    claim = '''
@evidence("intervention")
@pytest.mark.parametrize("at_least", [0])
def test_NAME(activations, intervene, verdict, at_least):
    """A sentence of NAME."""
    verdict(share(intervene.ablate(positions, "HOW").correct), at_least=at_least)
'''
    claims = "".join(
        mark + claim.replace("NAME", name).replace("HOW", how)
        for name, how, mark in (
            ("no_evidence", "mean", ""),
            ("met", "mean", "@precondition"),
            ("evidence", "zero", ""),
        )
    )
    status, output = run_claim(
        "from mechanistic_claims import positions, precondition" + claims, model="induction"
    )
    assert status == pytest.ExitCode.TESTS_FAILED, output
    said = "positions ablated (mean), at every position, which changes nothing: what is put there"
    assert said in " ".join(output.split())
    assert "1 failed, 2 passed" in output


EDITED = """
@evidence("KIND")
@pytest.mark.parametrize("at_least", [0.01])
def test_NAME(task, activations, intervene, verdict, at_least):
    '''A sentence.'''
    other = torch.arange(len(activations.cases)).flip(0)
    without = intervene.RUN
    verdict(share(without.answers(LABELS)), at_least=at_least)
"""


def test_an_edit_is_an_intervention_and_leaves_something_of_the_input(run_claim):
    """What patches all that the answer is made of shows nothing, whatever the model."""
    everything = "patch(site('hook_embed'), other)"
    claims = {
        "edited_behavior": ("behavior", "ablate(head(0, 0), 'zero')"),
        "edited_activations": ("activations", "ablate(head(0, 0), 'zero')"),
        "whole": ("intervention", everything),
        "other_inputs": ("behavior", "replace_inputs(task.inputs.flip(0))"),
        "some": ("intervention", "patch(site('hook_embed')[0], other)"),
    }
    text = "import torch\nfrom mechanistic_claims import head, precondition, site\n"
    for name, (kind, run) in claims.items():
        of_one = EDITED.replace("KIND", kind).replace("NAME", name).replace("RUN", run)
        text += of_one.replace("LABELS", "task.labels" + "[other]" * (name == "other_inputs"))
    said_so = EDITED.replace("@evi", "@precondition\n@evi").replace("KIND", "intervention")
    text += (
        said_so.replace("NAME", "said")
        .replace("RUN", everything)
        .replace("LABELS", "task.labels[other]")
    )
    status, output = run_claim(text, "-v")
    assert status == pytest.ExitCode.TESTS_FAILED
    said = " ".join(output.split())
    for kind in ("behavior", "activations"):
        assert f"its evidence is '{kind}', and the model was edited for it: head 0.0 ablat" in said
    assert "its answers are the other input's whatever the model is" in said
    failed = set(re.findall(r"^FAILED \S+::test_(\w+)\[", output, re.MULTILINE))
    assert {"edited_behavior", "edited_activations", "whole"} <= failed
    assert not {"other_inputs", "said"} & failed


def test_what_an_untrained_model_passes_says_nothing(run_claim):
    status, output = run_claim(GOOD.replace("else 0.0", "else 0.5"))
    assert status == 0
    assert "says nothing: an untrained model passes it too" in output
    assert "1 say little" in output
    assert "Claim what training makes different. An untrained model has" in output


def test_a_part_of_the_story_without_a_file(run_claim):
    status, output = run_claim(GOOD, story='("attention",)')
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "tells of 'attention' in its STORY, but has no test_attention.py" in output


def test_a_step_of_the_story_without_its_claim(run_claim):
    """A typo would leave the first page of a report without the claim that it is about."""
    step = "Step('It is so.', {'weights': 'new.nwe'})"
    steps = f"()\nfrom mechanistic_claims import Step\nSTEPS = ({step},)"
    status, output = run_claim(GOOD, story=steps)
    assert status == pytest.ExitCode.USAGE_ERROR
    said = "tells of 'new.nwe' in its STEPS, and has no such claim: it has new.new."
    assert said in " ".join(output.split())


IN_A_CLASS = "class TestNew:\n    " + GOOD.replace("\n", "\n    ").replace("(task", "(self, task")
OF_OURS = "@pytest.fixture(scope='session')\ndef claims_subject(): pass\n"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        (IN_A_CLASS, "is no claim: write it as a function, not async"),
        (GOOD.replace("def test", "async def test"), "write it as a function, not async"),
        (GOOD + GOOD.replace("0.3", "0.2"), "has two of one name, of which one would not be"),
        ("pytestmark = pytest.mark.severity('nomral')\n" + GOOD, "expected critical or normal"),
        (OF_OURS + GOOD, "claims_subject"),
        (
            GOOD.replace("circuits.ov().matrix.std() > 1", "1"),
            "its evidence is 'weights', and it makes nothing of its circuits",
        ),
        (
            GOOD.replace('"weights"', '"certificate"').replace("(task", "(proof, task"),
            "its evidence is 'certificate', and it makes nothing of its proof",
        ),
        *(
            (GOOD.replace("weights", kind), f"its evidence is '{kind}', and it asks for no {of}")
            for kind, of in (
                ("certificate", "certificate or proof"),
                ("intervention", "intervene"),
                ("activations", "activations"),
                ("behavior", "activations or sampled or intervene"),
            )
        ),
    ],
)
def test_what_would_be_judged_otherwise_than_it_reads_is_refused(run_claim, claims, said):
    status, output = run_claim(claims)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert said in output


def test_a_file_that_is_skipped_as_a_whole_is_no_pass(tmp_path):
    other = tmp_path / "claims/min_of_two/test_other.py"
    other.parent.mkdir(parents=True)
    other.write_text("import pytest\npytest.importorskip('no_such_package')\n")
    status, output = in_project(tmp_path, GOOD)
    assert status == 1
    assert "test_other.py: skipped as a whole; claims can't be" in output


@pytest.mark.parametrize("part", ["claims-results", "mechanistic_claims.verdict.judging"])
def test_no_part_of_the_gate_can_be_left_out(run_claim, part):
    status, output = run_claim(GOOD, "-p", f"no:{part}")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert f"-p no:{part}: a gate without it is none" in output


def test_claims_are_judged_through_a_link_too(run_claim):
    status, output = run_claim(GOOD, what="checks/min_of_two")
    assert status == 0, output
    assert "1 hold" in output


@pytest.mark.parametrize(
    "more", [(), pytest.param(("--import-mode=importlib",), marks=pytest.mark.slow)]
)
def test_claims_of_two_projects_are_not_judged_at_once(tmp_path, more):
    """The models of the one would be taken for those of the other."""
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        status, output = in_project(folder, GOOD, *more)
        assert status == 0, output
    done = run_in_a_fork("one/claims", "other/claims", *more, cwd=tmp_path)
    assert done.status not in (0, 1), done.output
    assert "of one project at a time" in done.output or "import file mismatch" in done.output


def test_a_claim_without_the_fixture_verdict(run_claim):
    status, output = run_claim('def test_new(task):\n    """It is true."""\n')
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "it lacks an @evidence and the fixture verdict" in output


DRAWN_BEFORE_AND_AFTER = """
from hypothesis import given, strategies as st
from mechanistic_claims import reproducible

def drawn():
    cases = []

    @given(st.lists(st.floats(0, 1, width=16), min_size=20))
    @reproducible(examples=60)
    def draw(case):
        cases.append(case)

    draw()
    return cases

before = drawn()
import mechanistic_claims.measurement.pictures, models.min_of_two.train
raise SystemExit(drawn() != before)
"""


@pytest.mark.slow
def test_what_a_process_has_loaded_changes_no_drawn_case():
    """hypothesis would draw constants of every module that is loaded by then."""
    subprocess.run([sys.executable, "-c", DRAWN_BEFORE_AND_AFTER], cwd=ROOT, check=True)
