"""Imports point one way, in Python and in Lua; a room touches its own keys only; and the service never needs torch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import refstar_service
from redis_schema import SCHEMA, owner_of
from refstar_service.redis.script import used_files

ROOT = Path(refstar_service.__file__).parent

#: What each room may import of the others. `engine.manifest` is data about models and free of onnxruntime. The
#: detector is a model folder too: `faces.detect` runs it.
ALLOWED = {
    "metrics": set(),
    "settings": set(),
    "redis": set(),
    "jobs": {"redis", "restoration.knobs", "restoration.report"},
    "people": {"jobs", "redis"},
    "blobs": {"redis", "threads"},
    "images": set(),
    "engine": set(),
    "faces": {"engine.session", "engine.provider", "engine.manifest", "engine.errors", "engine.restorer"},
    "restoration": {"images", "faces", "engine", "settings"},
    "worker": {
        "restoration",
        "jobs",
        "people",
        "blobs",
        "images",
        "faces",
        "engine",
        "outgoing",
        "metrics",
        "logs",
        "threads",
        "tracing",
    },
    "access": {"redis"},
    "outgoing": {"settings"},
    "webhooks": {"access", "jobs", "metrics", "outgoing", "redis"},
    "gateway": {
        "webhooks",
        "outgoing",
        "access",
        "jobs",
        "people",
        "blobs",
        "images",
        "engine.catalog",
        "engine.manifest",
        "restoration.errors",
        "restoration.knobs",
        "restoration.report",
        "restoration.rollout",
        "restoration.rules",
        "metrics",
        "settings",
        "logs",
        "tracing",
    },
}

#: What the Lua of each room may use of the others'.
ALLOWED_IN_LUA = {
    "redis": set(),
    "webhooks": {"redis"},
    "jobs": {
        "redis",
        "webhooks.notices",
        "blobs.ledger",
    },  # whoever asked for it is owed a notice, and bytes are let go, in the step that ends the job
    "people": {"redis", "blobs.ledger"},
    "blobs": {"redis", "threads"},
    "access": {"redis", "jobs.record"},  # places are held by jobs that have not ended
}


def imports(path: Path) -> set[str]:
    """Modules of the service that a file imports, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if names == ["refstar_service"]:
            names = [f"refstar_service.{alias.name}" for alias in node.names]
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
        found |= {n.removeprefix("refstar_service.") for n in names if n.startswith("refstar_service.")}
    return found


#: What each room within the gateway may import of the others.
GATEWAY_ALLOWED = {"http": set(), "requests": {"http"}, "routes": {"http", "requests"}}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_its_arrows_allow(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        for module in imports(path):
            allowed = {room} | ALLOWED[room]
            assert any(module == a or module.startswith(a + ".") for a in allowed), (
                f"{path.name} imports {module}"
            )


@pytest.mark.parametrize("room", sorted(GATEWAY_ALLOWED))
def test_a_room_of_the_gateway_imports_only_what_its_arrows_allow(room: str) -> None:
    for path in (ROOT / "gateway" / room).rglob("*.py"):
        for module in imports(path):
            if module.startswith("gateway."):
                assert module.split(".")[1] in {room} | GATEWAY_ALLOWED[room], f"{path.name} imports {module}"


def test_routers_do_not_import_each_other() -> None:
    folder = ROOT / "gateway" / "routes"
    routers = {path.stem for path in folder.glob("*.py") if "\nrouter = new_router(" in path.read_text()}
    assert {"restorations", "people", "results", "events"} <= routers
    for path in folder.glob("*.py"):
        for module in imports(path):
            routed = module in {f"gateway.routes.{router}" for router in routers}
            assert not routed, f"{path.name} imports {module}"


@pytest.mark.parametrize("room", sorted({path.parent.parent.name for path in ROOT.glob("*/lua/*.lua")}))
def test_a_script_uses_only_what_its_arrows_allow(room: str) -> None:
    for path in (ROOT / room / "lua").iterdir():
        for used in used_files(path.read_text()):
            allowed = {room} | ALLOWED_IN_LUA[room]
            assert used in allowed or used.split(".")[0] in allowed, f"{path.name} uses {used}"


def test_the_keys_in_a_script_are_its_own_rooms() -> None:
    seen = set()
    for path in ROOT.glob("*/lua/*.lua"):
        room = path.parent.parent.name
        for name in re.findall(r"PREFIX \.\. '([^']+)'", path.read_text()):
            assert owner_of("{refstar}:" + name.removesuffix(":")) == room, f"{room}/{path.name} names {name}"
            seen.add(room)
    assert seen == {"jobs", "webhooks", "people", "blobs"}  # those of access get theirs from their callers


def test_only_the_schema_spells_keys_in_python() -> None:
    for path in ROOT.rglob("*.py"):
        if path != ROOT / "redis" / "keys.py":
            assert not re.search(r"\{refstar\}|\}\}\}:\w", path.read_text()), path
    assert len(SCHEMA) == 31


def test_only_the_command_line_puts_gateway_and_worker_together() -> None:
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0]
        if room == "app":
            continue
        for module in imports(path):
            assert module.split(".")[0] not in {"app", "gateway", "worker"} - {room}, (
                f"{path} imports {module}"
            )


def test_the_command_line_restores_without_the_worker_and_the_queue() -> None:
    modules = set().union(*map(imports, (ROOT / "app" / "restore").glob("*.py")))
    assert {module.split(".")[0] for module in modules} == {
        "app",
        "engine",
        "faces",
        "images",
        "restoration",
        "settings",
    }
    assert "app.processes" not in modules


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("refstar_service.app.cli", "torch"),
        ("refstar_service.app.serve", "torch"),
        ("refstar_service.worker.pipeline", "torch"),
        ("refstar_service.app.processes", "fastapi"),
        ("refstar_service.gateway.app", "onnxruntime"),
        ("refstar_service.app.cli", "onnxruntime"),
        ("refstar_service.app.cli", "cv2"),
        ("refstar_service.app.restore.run", "redis"),
        ("refstar_service.app.restore.run", "onnxruntime"),
    ],
)
def test_a_module_does_not_load(module: str, unwanted: str) -> None:
    code = f"import sys, {module}; sys.exit({unwanted!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
