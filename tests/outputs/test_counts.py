"""What became of each kind of claim is counted alike: in the terminal, on the first page, in the
report's tree, and by the exit status.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from mechanistic_claims.outputs.report import summary
from mechanistic_claims.outputs.report.first_page import first_page
from mechanistic_claims.outputs.report.history import History
from mechanistic_claims.outputs.report.judged import read_run
from mechanistic_claims.outputs.report.model import Model
from mechanistic_claims.outputs.report.staging import STATUSES
from mechanistic_claims.outputs.report.words import templates
from tests.verdict.written import in_project

pytestmark = pytest.mark.slow
LEARNED = "0.5 if circuits.ov().matrix.std() > 1 else 0.0"
CLAIMS = {
    "": f"{LEARNED}, at_least=0.3",
    "precondition": "1.0, at_least=0.3",
    "rival": "0.5, at_most=0.4",
    "refuted('it was')": f"{LEARNED}, at_least=0.3",
    "refuted('it is')": "0.1, at_least=0.3",
    "refuted('few')": "Measured.sampled(0.98, 100), at_least=0.97",
    "quantitative": "1.0, at_least=0.3",
    "any_size": f"{LEARNED}, at_least=0.3, beside=[0.4]",
    "evidence('weights')": "0.1, at_least=0.3",
    "evidence('activations')": "Measured.sampled(0.28, 100), at_least=0.3",
    "evidence('behavior')": "float('nan'), at_least=0.3",
    "evidence('certificate')": "1.0, at_least=0.3",
}
"""One of each heading, which its mark and its number lead to; the last is never reached."""
TERMINAL = {
    "hold": 4,
    "refuted as expected": 1,
    "say little": 3,
    "refuted": 1,
    "not established": 1,
    "error": 1,
}


def written() -> str:
    text = "from mechanistic_claims import precondition, quantitative, refuted, rival, any_size\n"
    text += "from mechanistic_claims.measurement.domain import Measured\n"
    for at, (mark, number) in enumerate(CLAIMS.items()):
        marks = [mark] * bool(mark)
        marks += [] if mark.startswith("evidence") else ["evidence('weights')"]
        lines = "".join(f"@{one}\n" for one in marks)
        asks = "circuits, activations, certificate, verdict"
        text += f'{lines}def test_{at}({asks}):\n    """S{at}."""\n'
        text += f"    assert circuits and activations and certificate\n    verdict({number})\n"
    return text


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    status, output = in_project(folder, written(), "--alluredir=results", "--maxfail=3")
    assert status == pytest.ExitCode.TESTS_FAILED, output
    return output, read_run(folder / "results")


def test_in_the_terminal(judged):
    (line,) = (line for line in judged[0].splitlines() if re.match(r"\d+ hold", line))
    assert {
        what.rstrip("s") if what == "errors" else what: int(n)
        for n, what in re.findall(r"(\d+) ([a-z ]+)", line)
    } == TERMINAL


def test_on_the_first_page(judged):
    run = judged[1]
    (survey,) = run.surveys
    model = Model(survey, run.claims, History())
    assert summary.counts(model) == (
        "4 of 11 claims hold (among them 1 precondition, which an untrained model passes too; "
        "1 rival excluded; 1 sentence expected to be refuted), 1 refuted as expected, "
        "3 say little, 1 refuted, 1 not established, 1 could not be judged"
    )
    html = first_page(run, History(), templates())
    assert "1 selected claim gave no verdict" in html


def test_in_the_tree(judged):
    found = Counter(STATUSES.get(claim.heading, "passed") for claim in judged[1].claims)
    assert found == {"passed": 4, "skipped": 1, "unknown": 3, "failed": 2, "broken": 1}


def test_by_pytest(judged):
    """What says nothing has passed, and what holds after all too: they fail no run."""
    last = judged[0].rstrip().splitlines()[-1]
    assert re.findall(r"(\d+) (\w+)", last)[:4] == [
        ("3", "failed"),
        ("5", "passed"),
        ("2", "xfailed"),
        ("1", "xpassed"),
    ]
