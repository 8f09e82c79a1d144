"""The shapes in annotations, checked at run time: of what tests call in their own process.

jaxtyping has each function of these packages checked by beartype as it is imported. Names that are
imported for types alone are there too for that while: no module imports itself in a circle.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import typing
from collections.abc import Iterator
from typing import Any

import beartype
import matplotlib.axes  # noqa: F401
from jaxtyping import install_import_hook

import mechanistic_claims

KEPT = [f"mechanistic_claims.measurement.{name}" for name in ("domain", "limits")]
"""The plugin has them: a class has to stay the one that it knows."""
BEFORE_IT = "mechanistic_claims.measurement.certificates.terms"
UNCHECKED = [f"mechanistic_claims.measurement.certificates.{n}" for n in ("classes", "counting")]
"""Thousands of small steps: checked, each takes ten times as long."""
CHECKED = ("mechanistic_claims.measurement", "mechanistic_claims.model", "models")


def check_shapes() -> None:
    """Import the packages anew, checked; what they need is there by then, as it is."""
    for name in modules():
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.startswith(CHECKED)]:
        if name not in KEPT:
            del sys.modules[name]
    for name in mechanistic_claims.__all__:
        vars(mechanistic_claims).pop(name, None)
    typing.TYPE_CHECKING = True
    try:
        with install_import_hook(list(CHECKED), "tests.shapes.checked"):
            importlib.import_module(BEFORE_IT)
        for name in UNCHECKED:
            importlib.import_module(name)
        with install_import_hook(list(CHECKED), "tests.shapes.checked"):
            for name in modules():
                importlib.import_module(name)
    finally:
        typing.TYPE_CHECKING = False


def checked(function: Any) -> Any:
    """By beartype, but for what is made anew in each call: that takes longer than the calls do."""
    return function if "<locals>" in function.__qualname__ else beartype.beartype(function)


def modules() -> Iterator[str]:
    for name in CHECKED:
        package = importlib.import_module(name)
        yield from (found.name for found in pkgutil.walk_packages(package.__path__, f"{name}."))
