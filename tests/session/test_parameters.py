"""Claims are named by the values of their parameters: baselines know them by these names."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mechanistic_claims.session.parameters import name_of_list
from tests.projects import TABLE
from tests.runs import Run, run_in_a_fork

CLAIM = '''import enum
from pathlib import Path

import pytest

from mechanistic_claims import evidence, head, mlp


class Role(enum.Enum):
    FIRST = "first"


@evidence("weights")
@pytest.mark.parametrize("what", {values})
def test_it(weights, verdict, what):
    """It is so."""
    assert weights
    verdict(0, at_least=1)
'''
OUTSIDE = """import pytest

@pytest.mark.parametrize("within", [(0.49, 0.51), (1, 2), object()])
def test_theirs(within):
    pass
"""


def collected(project: Path, *arguments: str | Path) -> Run:
    off = ("-q", "--collect-only", "-p", "no:cacheprovider")
    return run_in_a_fork(*arguments, *off, cwd=project)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((0.49, 0.51), "0.49:0.51"),
        ([3, 17, 42], "3:17:42"),
        (("min", "max"), "min:max"),
        ((-1.5, None, True), "-1.5:None:True"),
        ((7,), "7:"),
        ((), ":"),
        (((0, 1), (1, 0)), "0:1/1:0"),
        (((0, 1),), "0:1/"),
        (((7,), 7), "7:/7"),
        (((), ()), ":/:"),
        ((("a", "b"), "c"), "a:b/c"),
    ],
)
def test_names_of_lists(values, name):
    assert name_of_list(values) == name


@pytest.mark.parametrize(
    "values",
    [
        (((0, 1), (1,)),),
        ("a:b",),
        ("a/b", "c"),
        ("a]", "b"),
        ("two\nlines",),
        ("", ""),
        ({1},),
        (Path("x"),),
    ],
    ids=repr,
)
def test_what_has_no_clear_name_has_none(values):
    """Deeper lists, signs that stand between values, and what is no number or text."""
    assert name_of_list(values) is None


def test_lists_of_other_values_have_other_names():
    lists = [(), ((),), (1,), ((1,),), (1, 2), ((1, 2),), ((1,), 2), (1, (2,)), ((1,), (2,)), (12,)]
    assert len({name_of_list(values) for values in lists}) == len(lists)


def test_a_claim_is_named_and_chosen_by_its_values(changed):
    """Also in the line that judges it again; numbers and text have the names that pytest gives."""
    run = run_in_a_fork(
        "claims/successor",
        *("-k", "1.0:4.0", "--checkpoint=runs/all_right.pth", "-p", "no:cacheprovider"),
        cwd=changed,
    )
    assert run.status == 0
    (properties,) = run.claims.values()
    assert properties["claim"] == f"{TABLE}::test_the_mean_lead[1.0:4.0]"
    table = changed / TABLE
    table.write_text(table.read_text().replace("(1.0, 4.0)", "(3.0, 4.0)"))
    run = run_in_a_fork(
        "claims/successor",
        *("--checkpoint=runs/all_right.pth", "-p", "no:cacheprovider"),
        cwd=changed,
    )
    (again,) = [line for line in run.output.splitlines() if line.startswith("  again: pytest ")]
    assert "[all_right.pth-3.0:4.0]" in again
    alone = run_in_a_fork(*shlex.split(again)[2:], "-p", "no:cacheprovider", cwd=changed)
    assert again in alone.output.splitlines()
    assert len(alone.claims) == 1


def test_numbers_and_text_have_the_names_that_pytest_gives_them(changed):
    """And components their own."""
    values = (
        "[0.5, 7, 'the min', None, Role.FIRST, pytest.param({1}, id='mine'), max, "
        "head(0, 1) + mlp(2)]"
    )
    claim = changed / TABLE.with_name("test_names.py")
    claim.write_text(CLAIM.replace("{values}", values))
    run = collected(changed, claim)
    names = ["0.5", "7", "the min", "None", "Role.FIRST", "mine", "max", "head0.1+mlp2"]
    lines = run.output.splitlines()
    found = [line.partition("[")[2] for line in lines if "::test_it" in line]
    assert found == [f"reference.pt-{name}]" for name in names]


@pytest.mark.parametrize(
    "values", ["[{1, 2}]", "[{'a': 1}]", "[(1, {2})]", "[Path('x')]", "['x' * 101]"]
)
def test_a_value_that_has_no_name_is_refused(changed, values):
    claim = changed / TABLE.with_name("test_names.py")
    claim.write_text(CLAIM.replace("{values}", values))
    run = collected(changed, claim)
    assert run.status == pytest.ExitCode.INTERRUPTED, run.output
    assert "of a claim has no name that tells its value: pytest would name it by" in run.output
    assert "pytest.param(..., id='...')" in run.output


def test_other_tests_keep_the_names_that_pytest_gives_them(changed):
    theirs = changed / "test_theirs.py"
    theirs.write_text(OUTSIDE)
    run = collected(changed, changed / "claims", theirs)
    found = [line.partition("[")[2] for line in run.output.splitlines() if "test_theirs" in line]
    assert found == ["within0]", "within1]", "within2]"]
