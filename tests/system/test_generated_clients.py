"""Clients that others' programs make from the description of the API work, against a service with keys."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import ModuleType

import cv2
import pytest
from pictures import degraded_face, file_of, pixels_of, reference_face
from refstar_service.settings import Settings
from served import Served, end, start
from skimage.data import astronaut
from small_model import write_small_model

DOCS = Path(__file__).parents[2] / "docs"
TYPESCRIPT = DOCS / "typescript"


@dataclass(frozen=True)
class Service:
    served: Served
    address: str
    token: str


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With one key, and a model that is quick."""
    folder = tmp_path_factory.mktemp("service")
    write_small_model(folder / "models")
    (folder / "models" / "detector").symlink_to(Settings().models_dir / "detector")
    settings = {"REFSTAR_DATA_DIR": str(folder), "REFSTAR_ACCESS": "file"}
    command = [sys.executable, "-m", "refstar_service.app.cli", "keys", "add", "generated"]
    out = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=True)
    token = out.stdout.partition("token: ")[2].split()[0]
    served = start(folder, REFSTAR_ACCESS="file", REFSTAR_MODELS_DIR=str(folder / "models"))
    yield Service(served, str(served.client.base_url).rstrip("/"), token)
    assert end(served) == 0


@pytest.fixture(scope="module")
def generated(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package that openapi-python-client makes, which must have nothing to warn of."""
    folder = tmp_path_factory.mktemp("python")
    tools = Path(sys.executable).parent
    made = subprocess.run(
        [
            str(tools / "openapi-python-client"),
            "generate",
            "--url",
            f"{service.address}/openapi.json",
            "--meta",
            "none",
            "--output-path",
            str(folder / "refstar_api"),
            "--fail-on-warning",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},  # it formats what it makes
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("refstar_api")
    finally:
        sys.path.remove(str(folder))


def load(name: str) -> ModuleType:
    return importlib.import_module(f"refstar_api.{name}")


def test_a_python_client_restores_a_photograph(generated: ModuleType, service: Service) -> None:
    models, types = load("models"), load("types")
    client = generated.AuthenticatedClient(base_url=service.address, token=service.token)
    form = models.RestorationForm(
        image=types.File(BytesIO(file_of(degraded_face())), "granny.png", "image/png"),
        references=[
            types.File(BytesIO(file_of(reference_face(), ".jpg")), f"{number}.jpg") for number in (1, 2)
        ],
        faces=models.RestorationFormFaces.ALIGNED,
        upscale=models.RestorationFormUpscale.VALUE_2,
        quality=90,
        keep_location=True,
    )
    with client:
        created = load("api.restorations.create_restoration").sync(client=client, body=form, prefer="wait=30")
        assert isinstance(created, models.Restoration)
        assert created.status == models.RestorationStatus.SUCCEEDED
        assert [reference.used for reference in created.references] == [True, True]
        assert created.faces[0].action == models.FaceResourceAction.RESTORED
        assert len(created.faces[0].box) == 4
        picture = load("api.restorations.download_image").sync(created.id, client=client)
        assert pixels_of(picture.payload.read()).shape == (128, 128, 3)
        selection = load("api.restorations.download_selection").sync(created.id, client=client)
        assert selection.payload.read().startswith(b"\x89PNG")
        listed = load("api.restorations.list_restorations").sync(
            client=client, status=models.ListRestorationsStatus.SUCCEEDED, limit=1
        )
        assert [one.id for one in listed.restorations] == [created.id]
        told = load("api.restorations.stream_events").sync(created.id, client=client)
        assert "\ndata: " in told
        gone = load("api.restorations.delete_restoration").sync_detailed(created.id, client=client)
        assert gone.status_code == 204
        missing = load("api.restorations.read_restoration").sync(created.id, client=client)
    assert isinstance(missing, models.ProblemDetails)
    assert missing.type_ == "/problems/unknown-restoration"


def test_a_python_client_stores_people_and_lists_models(generated: ModuleType, service: Service) -> None:
    models, types = load("models"), load("types")
    with generated.AuthenticatedClient(base_url=service.address, token=service.token) as client:
        form = models.PersonForm(
            references=[types.File(BytesIO(file_of(reference_face())), "ada.png")], name="Ada", aligned=True
        )
        person = load("api.people.create_person").sync(client=client, body=form, prefer="wait=30")
        assert isinstance(person, models.PersonResource)
        assert (person.name, person.status) == ("Ada", models.PersonResourceStatus.READY)
        listed = load("api.models.list_models").sync(client=client)
        assert [model.name for model in listed.models] == ["refstar"]
        problem = load("api.problems.explain_problem").sync("queue-full", client=client)
        assert problem.status == 429
    with generated.AuthenticatedClient(base_url=service.address, token="wrong") as stranger:
        refused = load("api.models.list_models").sync(client=stranger)
    assert refused.type_ == "/problems/key-invalid"


def test_the_python_example_of_the_docs_runs(generated: ModuleType, service: Service, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "generated-clients.md").read_text(), re.DOTALL)
    (tmp_path / "photo.jpg").write_bytes(file_of(astronaut(), ".jpg"))
    (tmp_path / "reference.jpg").write_bytes(file_of(astronaut(), ".jpg"))
    folder = str(Path(str(generated.__file__)).parents[1])
    environment = {"PYTHONPATH": folder, "REFSTAR_URL": service.address, "REFSTAR_API_KEY": service.token}
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, env=os.environ | environment, check=True)
    assert pixels_of((tmp_path / "restored.jpg").read_bytes()).shape == astronaut().shape


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of docs/typescript."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (TYPESCRIPT / "node_modules").is_dir():
        pytest.skip("its packages are not installed: run `npm ci` in docs/typescript")
    folder = tmp_path_factory.mktemp("typescript")
    for name in ("package.json", "tsconfig.json", "restore.ts"):
        shutil.copy(TYPESCRIPT / name, folder)
    (folder / "node_modules").symlink_to(TYPESCRIPT / "node_modules")
    return folder


def test_a_typescript_client_restores_a_photograph(service: Service, typescript: Path) -> None:
    def node(program: str, *arguments: str) -> str:
        environment = os.environ | {"REFSTAR_URL": service.address, "REFSTAR_API_KEY": service.token}
        done = subprocess.run(
            ["node", program, *arguments],
            cwd=typescript,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    tools = "node_modules/.bin"
    node(f"{tools}/openapi-typescript", f"{service.address}/openapi.json", "--output", "refstar.d.ts")
    node(f"{tools}/tsc")
    (typescript / "granny.png").write_bytes(file_of(degraded_face()))
    (typescript / "reference.jpg").write_bytes(
        file_of(reference_face(), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)
    )
    said = node("build/restore.js", "granny.png", "reference.jpg", "restored.png")
    assert said == "1 of 1 faces restored\n"
    assert pixels_of((typescript / "restored.png").read_bytes()).shape == (1024, 1024, 3)
