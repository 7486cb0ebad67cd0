"""Nobody sees another's picture: many jobs at once, two workers, shared batches, every result its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import file_of, pixels_of
from redis import Redis
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import Restorer
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageLimits
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer, compose, prepare
from refstar_service.restoration.upload import Upload
from small_model import OWN, SIDE

JOBS = 160
WITHIN = 240.0  # seconds, for a machine that is busy otherwise


@dataclass(frozen=True)
class Case:
    image: bytes
    references: tuple[bytes, ...]
    fidelity: float
    expected: NDArray[np.float64]  # about what the model makes of it


def drawn_face(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A face like no other: skin, eyes, mouth and backdrop at random, with a texture of its own."""

    def color() -> tuple[int, int, int]:
        return tuple(int(level) for level in rng.integers(0, 256, 3))  # type: ignore[return-value]

    picture = np.full((SIDE, SIDE, 3), color(), np.uint8)
    middle = SIDE // 2
    cv2.ellipse(picture, (middle, middle), (20 + int(rng.integers(6)), 28), 0, 0, 360, color(), -1)
    for side in (-9, 9):
        cv2.circle(picture, (middle + side, 26 + int(rng.integers(4))), 3 + int(rng.integers(3)), color(), -1)
    cv2.ellipse(picture, (middle, 46), (8 + int(rng.integers(5)), 3), 0, 0, 360, color(), -1)
    noisy = picture + rng.normal(0, 10, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    rng = np.random.default_rng(11)
    made = []
    for number in range(JOBS):
        face = drawn_face(rng)
        references = [drawn_face(rng) for _ in range(number % 3)]
        other = np.mean(references, 0) if references else np.zeros_like(face)
        expected = OWN * face + (1 - OWN) * other
        files = tuple(file_of(reference) for reference in references)
        made.append(Case(file_of(face), files, round(float(rng.uniform()), 3), expected))
    return made


def alone(case: Case, model: Model) -> bytes:
    """The result of this job run by itself, with the worker's own steps and none of its batches."""
    knobs = Knobs(FaceMode.ALIGNED, fidelity=case.fidelity)
    uploads = [Upload("a.png", data, str(hash(data))) for data in (case.image, *case.references)]
    viewer = Viewer(None, ReferenceMemory(), ImageLimits())
    prepared = prepare(uploads[0], uploads[1:], knobs, model, viewer)
    return compose(prepared, model.restorer.restore(prepared.tasks)).result.data


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: str, log_file: Path, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REFSTAR_")} | settings
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "refstar_service.app.cli", command],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(40) == 0, log_file.read_text()


@pytest.fixture(scope="module")
def lone_results(cases: list[Case], small_models: Path) -> list[bytes]:
    manifest = load_manifest(small_models / "refstar")
    model = Model(Restorer(manifest, threads=1), manifest.input_size)
    return [alone(case, model) for case in cases]


@pytest.fixture
def settings(tmp_path: Path, small_models: Path, redis_server: str) -> dict[str, str]:
    with Redis.from_url(redis_server) as redis:
        redis.flushall()
    return {
        "REFSTAR_REDIS_URL": redis_server,
        "REFSTAR_MODELS_DIR": str(small_models),
        "REFSTAR_DATA_DIR": str(tmp_path),
    }


#: Threads of a worker, and faces of one inference.
COMPANY = {"shared batches": (1, 8), "side by side": (3, 1)}


@pytest.mark.parametrize("company", COMPANY)
def test_every_job_gets_the_result_of_its_own_picture_as_if_it_had_run_alone(
    settings: dict[str, str], cases: list[Case], lone_results: list[bytes], tmp_path: Path, company: str
) -> None:
    threads, faces_per_inference = COMPANY[company]
    settings |= {
        "REFSTAR_THREADS": str(threads),
        "REFSTAR_FACES_PER_INFERENCE": str(faces_per_inference),
    }
    port, *metrics = (free_port() for _ in range(3))
    with ExitStack() as processes, ThreadPoolExecutor(8) as clients:
        processes.enter_context(
            running("gateway", tmp_path / "gateway.log", settings | {"REFSTAR_PORT": str(port)})
        )
        client = processes.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90))
        deadline = time.monotonic() + WITHIN

        def restore(case: Case) -> str:
            files = [("image", ("a.png", case.image, "image/png"))]
            files += [("references", ("r.png", data, "image/png")) for data in case.references]
            form = {"faces": "aligned", "fidelity": str(case.fidelity)}
            answer = client.post("/v1/restorations", files=files, data=form)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["links"]["self"])

        def fetch(link: str) -> bytes:
            job = {"status": "queued"}
            while job["status"] in ("queued", "running") and time.monotonic() < deadline:
                job = client.get(link, headers={"Prefer": "wait=20"}).json()
            assert job["status"] == "succeeded", job
            return client.get(f"{link}/image").content

        workers = []
        for number, metrics_port in enumerate(metrics):
            own = {"REFSTAR_WORKER_METRICS_PORT": str(metrics_port)}
            log = tmp_path / f"worker-{number}.log"
            workers.append(processes.enter_context(running("worker", log, settings | own)))
        while ready_workers(client) < 2:
            assert time.monotonic() < deadline, (tmp_path / "gateway.log").read_text()
            time.sleep(0.1)
        # All are waiting when the workers go on, so that both have their share and batches are full.
        for worker in workers:
            worker.send_signal(signal.SIGSTOP)
        links = list(clients.map(restore, cases))
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
        results = list(clients.map(fetch, links))
        batches = [batch_sizes(metrics_port) for metrics_port in metrics]
        (labels,) = re.findall(r"^refstar_model_info{(.*)} 1\.0$", scraped(metrics[0]), re.M)

    made = np.stack([pixels_of(data).astype(np.float32) for data in results]).reshape(JOBS, -1)
    expected = np.stack([case.expected for case in cases]).astype(np.float32).reshape(JOBS, -1)
    distances = (made**2).sum(1)[:, None] + (expected**2).sum(1)[None] - 2 * made @ expected.T
    assert (distances.argmin(1) == np.arange(JOBS)).all()

    assert [number for number in range(JOBS) if lone_results[number] != results[number]] == []

    assert 'precision="fp32"' in labels.split(",")  # what runs, which the folder's graphs leave open

    # Both took part, in company.
    assert sum(faces for faces, _ in batches) >= JOBS
    for faces, count in batches:
        assert faces > 20
        assert faces / count > faces_per_inference / 2


def ready_workers(client: httpx.Client) -> int:
    try:
        return len(client.get("/readyz").json().get("workers", []))
    except httpx.TransportError:
        return 0


def batch_sizes(metrics_port: int) -> tuple[float, float]:
    """Faces and batches of a worker so far."""
    text = scraped(metrics_port)
    faces, count = (
        float(re.findall(rf"^refstar_batch_size_{name} (\S+)$", text, re.M)[0]) for name in ("sum", "count")
    )
    return faces, count


def scraped(metrics_port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text
