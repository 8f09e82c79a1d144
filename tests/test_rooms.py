"""The architecture, held by its imports: a room imports from rooms below it, none in a circle.

Imports for types count as any other: who needs a name to speak of another room depends on it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.runs import ROOT

PACKAGE = ROOT / "fixtures" / "mechanistic_claims"
NAME = PACKAGE.name
FLOORS = [
    ("errors", "text"),
    ("files",),
    ("checkpoint",),
    ("model",),
    ("measurement",),
    ("session",),
    ("authoring",),
    ("verdict",),
    ("outputs",),
    ("cluster",),
    ("plugin", "__main__"),
]
LONGEST = 330
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imported(path: Path) -> Iterator[str]:
    """The modules of a package that a file of it imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(NAME):
            for name in node.names:
                full = f"{node.module}.{name.name}"
                yield full if full in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith(NAME))


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def arrows() -> set[tuple[str, str]]:
    found = ((room(of), room(to)) for of, path in MODULES.items() for to in imported(path))
    return {(of, to) for of, to in found if of and to and of != to}


def test_every_room_is_on_a_floor():
    assert {room(module) for module in MODULES} - {""} == {r for floor in FLOORS for r in floor}


def test_rooms_import_downwards(show):
    height = {room: at for at, floor in enumerate(FLOORS) for room in floor}
    up = [f"{of} -> {to}" for of, to in sorted(arrows()) if height[to] >= height[of]]
    show("rooms", f"{len(height)} rooms, {len(FLOORS)} floors, {len(arrows())} arrows, {up} up")
    assert not up


def test_no_module_imports_itself_in_a_circle(show):
    graph = {
        module: {to for to in imported(path) if to != NAME} for module, path in MODULES.items()
    }
    in_order = list(TopologicalSorter(graph).static_order())
    longest: dict[str, int] = {}
    for module in in_order:
        longest[module] = 1 + max((longest[to] for to in graph.get(module, ())), default=0)
    lines = sum(len(path.read_text().splitlines()) for path in MODULES.values())
    chain = max(longest.values())
    show("modules", f"{len(MODULES)} modules, {lines} lines, longest chain of imports {chain}")
    assert set(in_order) >= set(graph)


def test_claims_and_models_know_the_face_alone():
    """`from mechanistic_claims import ...` has what an author needs."""
    for folder in ("claims", "models"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    assert not node.module.startswith(f"{NAME}."), (path, node.module)


def test_no_room_names_a_model():
    models = [path.name for path in (ROOT / "models").iterdir() if (path / "__init__.py").exists()]
    assert models
    for path in MODULES.values():
        assert not [model for model in models if model in path.read_text()], path


@pytest.mark.parametrize("folder", ["fixtures", "models", "claims"])
def test_files_can_be_read_to_their_end(folder):
    files = (ROOT / folder).rglob("*.py")
    long = [path for path in files if len(path.read_text().splitlines()) > LONGEST]
    assert long == []


def test_the_face_is_there_and_imports_nothing_by_itself():
    import mechanistic_claims

    for name in mechanistic_claims.__all__:
        assert getattr(mechanistic_claims, name) is not None
