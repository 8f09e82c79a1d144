"""The command line, and where the fixtures are."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("fixtures")  # or pytest warns of those that import each other

pytest_plugins = [
    "fixtures.selection",
    "fixtures.workers",
    "fixtures.cluster.plugin",
    "fixtures.model",
    "fixtures.judging",
    "fixtures.terminal",
    "fixtures.results",
    "fixtures.progress",
    "fixtures.verdict_file",
    "fixtures.baseline",
    "fixtures.github",
    "fixtures.allure_results",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("claims", "what the claims are held against")
    group.addoption(
        "--checkpoint",
        action="append",
        metavar="FILE",
        help="a .safetensors, .pt or .pth file, or a glob in quotes; repeatable. "
        "Default: the checkpoint shipped with the model.",
    )
    group.addoption(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="auto (the default: a GPU if there is one), cpu, cuda or cuda:N.",
    )
    group.addoption(
        "--cluster", action="store_true", help="judge on a Ray cluster, by default one started here"
    )
    group.addoption(
        "--address", metavar="ADDRESS", help="with --cluster: that of a cluster which is there"
    )
    gate = parser.getgroup("gate", "what a run of the claims writes, and what it fails on")
    gate.addoption(
        "--verdicts", type=Path, metavar="FILE", help="write every verdict and number as JSON."
    )
    gate.addoption(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="compare with an earlier file of --verdicts, claim by claim.",
    )
    gate.addoption(
        "--max-drop",
        type=float,
        metavar="X",
        help="refute a claim that lost more than this share of its margin in the baseline.",
    )
    gate.addoption(
        "--fail-on",
        choices=("any", "critical"),
        default="any",
        help="any refuted claim (the default), or critical ones only. Errors always fail.",
    )
