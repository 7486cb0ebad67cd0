"""A real service with a model that is quick, and one that says what a test wants."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pictures import degraded_face, file_of, reference_face
from refstar_service.settings import Settings
from scripted_service import Script, serve_script
from served import Served, end, start
from small_model import write_small_model

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgdGVzdHMgb2Ygd2ViaG9va3M="


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For all tests of the client. Nobody has a key; webhooks and URLs may lead to this machine."""
    folder = tmp_path_factory.mktemp("service")
    write_small_model(folder / "models")
    (folder / "models" / "detector").symlink_to(Settings().models_dir / "detector")
    served = start(
        folder,
        REFSTAR_MODELS_DIR=str(folder / "models"),
        REFSTAR_WEBHOOK_SECRET=SECRET,
        REFSTAR_WEBHOOK_NETWORKS="127.0.0.0/8",
        REFSTAR_WEBHOOK_PORTS="1-65535",
        REFSTAR_URL_NETWORKS="127.0.0.0/8",
        REFSTAR_URL_PORTS="1-65535",
    )
    yield served
    assert end(served) == 0


@pytest.fixture
def secret() -> str:
    """What the service signs webhooks with."""
    return SECRET


@pytest.fixture
def url(service: Served) -> str:
    return str(service.client.base_url).rstrip("/")


@pytest.fixture
def script() -> Iterator[Script]:
    with serve_script(Script()) as script:
        yield script


@pytest.fixture(scope="session")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "granny.png"
    path.write_bytes(file_of(degraded_face()))
    return path


@pytest.fixture(scope="session")
def reference(photograph: Path) -> Path:
    path = photograph.with_name("reference.jpg")
    path.write_bytes(file_of(reference_face(), ".jpg"))
    return path
