"""Benchmarks and scripts are not run by the tests; what they import of the packages must be there all the same."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = sorted(file for folder in ("bench", "scripts", "docs") for file in (ROOT / folder).rglob("*.py"))


def imported(file: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of everything that is imported from the project's packages."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("refstar_"):
            yield from ((str(node.module), alias.name) for alias in node.names)


@pytest.mark.parametrize("file", TOOLS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_tool_imports_what_is_there(file: Path) -> None:
    missing = []
    for name, member in imported(file):
        module = importlib.import_module(name)
        if not hasattr(module, member):
            try:
                importlib.import_module(f"{name}.{member}")
            except ModuleNotFoundError:
                missing.append(f"{name}.{member}")
    assert not missing
