"""Imports point one way, as the README of the house says; and the service never needs torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import refstar_service

ROOT = Path(refstar_service.__file__).parent

#: What each room may import of the others. `engine.manifest` is data about models and free of onnxruntime. The
#: detector is a model folder too: `faces.detect` runs it.
ALLOWED = {
    "redis": {"jobs.job"},
    "jobs": {"redis", "restoration.knobs", "restoration.report"},
    "people": {"jobs", "redis"},
    "blobs": set(),
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
        "metrics",
        "logs",
        "tracing",
    },
    "access": set(),
    "webhooks": {"access", "jobs", "metrics"},
    "gateway": {
        "webhooks",
        "access",
        "jobs",
        "people",
        "blobs",
        "images",
        "engine.manifest",
        "restoration.errors",
        "restoration.knobs",
        "restoration.report",
        "restoration.rules",
        "metrics",
        "settings",
        "logs",
        "tracing",
    },
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
    routers = {path.stem for path in folder.glob("*.py") if "\nrouter = APIRouter(" in path.read_text()}
    assert {"restorations", "people", "results", "events"} <= routers
    for path in folder.glob("*.py"):
        for module in imports(path):
            routed = module in {f"gateway.routes.{router}" for router in routers}
            assert not routed, f"{path.name} imports {module}"


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
    rooms = {module.split(".")[0] for module in imports(ROOT / "app" / "restore.py")}
    assert rooms == {"app", "engine", "faces", "images", "restoration", "settings"}
    assert "app.processes" not in imports(ROOT / "app" / "restore.py")


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
        ("refstar_service.app.restore", "redis"),
        ("refstar_service.app.restore", "onnxruntime"),
    ],
)
def test_a_module_does_not_load(module: str, unwanted: str) -> None:
    code = f"import sys, {module}; sys.exit({unwanted!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
