"""Imports of the model package point one way: docs/architecture.md has the same table in words."""

import ast
from pathlib import Path

import pytest
import refstar_model

ROOT = Path(refstar_model.__file__).parent

#: What each room may import of the others, also inside functions. Some are modules: ``backbone``, ``system`` ...
SHARED = {
    "layers",
    "judges",
    "data",
    "losses",
    "training",
    "export",
    "backbone",
    "picture_encoder",
    "progress",
    "ranks",
}
ALLOWED = {
    "layers": set(),
    "progress": set(),
    "ranks": set(),
    "backbone": set(),
    "picture_encoder": {"backbone", "layers"},
    "judges": {"layers"},
    "data": {"layers", "judges", "training.processes"},
    "losses": {"layers", "judges"},
    "training": {"layers", "progress", "ranks"},
    "export": {"layers", "data"},
    "evaluation": {"layers", "judges", "data", "export", "progress"},
    "options": {"layers", "judges", "data", "training", "export", "evaluation", "ranks"},
    "preparing": {"layers", "judges", "data", "progress", "detector.geometry", "detector.network"},
    "ganprior": {*SHARED, "options", "system"},
    "refstar": {*SHARED, "options", "system", "ganprior.network", "ganprior.params", "ganprior.weights"},
    "ented": {
        *SHARED,
        "options",
        "system",
        "ganprior.codec",
        "ganprior.generator",
        "ganprior.modulation",
        "ganprior.network",
        "ganprior.params",
        "ganprior.weights",
    },
    "detector": {*SHARED, "options", "system"},
    "commands": {
        "layers",
        "judges",
        "data",
        "training",
        "export",
        "evaluation",
        "options",
        "system",
        "preparing",
        "ranks",
    },
}


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if (
                ROOT.parent / node.module.replace(".", "/")
            ).is_dir():  # what is imported may be a module in it
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {n.removeprefix("refstar_model.") for n in names if n.startswith("refstar_model.")}
    return found


@pytest.mark.parametrize("room", list(ALLOWED))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = list((ROOT / room).rglob("*.py")) or [ROOT / f"{room}.py"]
    allowed = {room, *ALLOWED[room]}
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imports(path)
        if not any(name == one or name.startswith(f"{one}.") for one in allowed)
    }
    assert not wrong


def test_every_room_is_in_the_table() -> None:
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert rooms <= set(ALLOWED)
