"""Benchmarks and scripts are not run by the tests; what they import of the packages must be there all the same."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = sorted(file for folder in ("bench", "scripts", "docs") for file in (ROOT / folder).rglob("*.py"))


def imported(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """(module, name, what it is called here) of everything that is imported from the project's packages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("refstar_"):
            yield from ((str(node.module), alias.name, alias.asname or alias.name) for alias in node.names)


def attributes(tree: ast.Module, name: str) -> set[str]:
    """What is asked of ``name``; nothing where it is also assigned to."""
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.arg)]
    if any(isinstance(n, ast.arg) and n.arg == name for n in named):
        return set()
    if any(isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) for n in named):
        return set()
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }


@pytest.mark.parametrize("file", TOOLS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_tool_imports_what_is_there(file: Path) -> None:
    tree = ast.parse(file.read_text())
    missing = []
    for name, member, here in imported(tree):
        module = importlib.import_module(name)
        try:
            found = getattr(module, member) if hasattr(module, member) else None
            found = importlib.import_module(f"{name}.{member}") if found is None else found
        except ModuleNotFoundError:
            missing.append(f"{name}.{member}")
            continue
        if isinstance(found, ModuleType):
            missing += [f"{name}.{member}.{a}" for a in attributes(tree, here) if not hasattr(found, a)]
    assert not missing
