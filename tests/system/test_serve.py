"""`refstar serve` as a user has it: real processes, Redis and pictures, and the shipped model where it counts."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from pictures import aligned_face, degraded_face, file_of, pixels_of, psnr
from processes import ORPHANS_END_WITHIN, wait_until_gone
from redis import Redis
from served import Served, end, start
from small_model import SIDE


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = start(tmp_path_factory.mktemp("serve"), REFSTAR_STALE_AFTER="2")
    yield served
    assert end(served) == 0


def test_a_photograph_comes_back_with_only_its_face_restored(
    served: Served,
) -> None:
    truth = np.ascontiguousarray(skimage.data.astronaut())
    small = cv2.resize(cv2.GaussianBlur(truth, (0, 0), 2.5), (140, 140), interpolation=cv2.INTER_AREA)
    ruined = np.asarray(cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC), np.uint8)
    files = [
        ("image", ("group.png", file_of(ruined), "image/png")),
        ("references", ("her.png", file_of(np.ascontiguousarray(truth[:, ::-1])), "image/png")),
    ]
    answer = served.client.post("/v1/restorations", files=files)  # nothing said of faces: the largest one
    job = served.ended(answer.json()["id"])
    assert job["status"] == "succeeded", job["error"]
    assert [face["action"] for face in job["faces"]].count("restored") == 1
    assert [(one["used"], one["reason"]) for one in job["references"]] == [(True, None)]
    result = pixels_of(served.client.get(job["links"]["image"]).content)
    x, y, width, height = (
        round(side) for face in job["faces"] if face["action"] == "restored" for side in face["box"]
    )
    rows, columns = slice(y, y + height), slice(x, x + width)
    assert psnr(result[rows, columns], truth[rows, columns]) > psnr(
        ruined[rows, columns], truth[rows, columns]
    )
    changed = (result != ruined).any(-1)
    assert changed[rows, columns].mean() > 0.4
    # The mask's soft edge ends near the box; beyond it every bit is the picture's own.
    margin = width // 3
    changed[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin] = False
    assert not changed.any()


def test_a_photograph_without_a_face_fails_and_says_so(served: Served) -> None:
    files = [("image", ("rocket.png", file_of(np.asarray(skimage.data.rocket())), "image/png"))]
    job = served.ended(served.client.post("/v1/restorations", files=files).json()["id"])
    assert job["status"] == "failed"
    assert job["error"]["type"].endswith("no-face-found")
    assert served.client.get(f"/v1/restorations/{job['id']}/image").status_code == 409


def test_a_picture_goes_in_and_a_better_one_comes_out(served: Served) -> None:
    answer = served.restore()
    assert answer.status_code == 202
    assert answer.headers["location"] == answer.json()["links"]["self"]
    job = served.ended(answer.json()["id"])
    assert job["status"] == "succeeded"
    assert [face["action"] for face in job["faces"]] == ["restored"]
    result = served.client.get(job["links"]["image"])
    assert result.headers["content-type"] == "image/png"
    assert "granny" in result.headers["content-disposition"]
    assert psnr(pixels_of(result.content), aligned_face()) > psnr(degraded_face(), aligned_face())
    selection = served.client.get(job["links"]["selection"])
    assert pixels_of(selection.content).shape == (512, 512, 3)


def test_the_same_request_gives_the_same_bytes_in_company(served: Served) -> None:
    alone = served.ended(served.restore().json()["id"])
    expected = served.client.get(alone["links"]["image"]).content
    crowd = [served.restore(fidelity=str(f / 10)).json()["id"] for f in (5, 1, 9, 5, 3, 5)]
    results = [served.client.get(served.ended(job)["links"]["image"]).content for job in crowd]
    assert results[0] == results[3] == results[5] == expected
    assert len(set(results)) == 4


def test_a_job_whose_worker_is_killed_is_finished_by_another_once(served: Served) -> None:
    for _ in range(5):
        jobs = [served.restore().json()["id"] for _ in range(4)]
        (worker,) = served.workers()
        while True:
            states = [served.client.get(f"/v1/restorations/{job}").json()["status"] for job in jobs]
            if "running" in states or "queued" not in states:
                break
        os.kill(worker, signal.SIGKILL)
        ended = [served.ended(job) for job in jobs]
        assert [job["status"] for job in ended] == ["succeeded"] * 4
        pictures = {served.client.get(job["links"]["image"]).content for job in ended}
        assert len(pictures) == 1
        if max(job["attempts"] for job in ended) > 1:
            break
    else:
        raise AssertionError("no kill met a running job")
    assert served.client.get("/metrics").text.count("refstar_queue_depth") >= 2
    depths = re.findall(r"^refstar_queue_depth\{.*\} (\S+)$", served.client.get("/metrics").text, re.M)
    assert {float(d) for d in depths} == {0.0}


def test_an_accepted_job_survives_the_end_of_everything(tmp_path: Path, small_models: Path) -> None:
    models = {"REFSTAR_MODELS_DIR": str(small_models)}
    first = start(tmp_path, **models)
    (worker,) = first.workers()
    os.kill(worker, signal.SIGSTOP)  # accepted, and nobody works on it
    job = first.restore().json()["id"]
    first.client.close()
    first.process.kill()
    first.process.wait()
    assert first.process.stdout is not None
    first.process.stdout.close()
    time.sleep(1)  # the embedded Redis and the worker end with their owner
    second = start(tmp_path, REFSTAR_STALE_AFTER="1", **models)
    done = second.ended(job)
    assert done["status"] == "succeeded"
    again = second.ended(second.restore().json()["id"])
    late, new = (second.client.get(one["links"]["image"]).content for one in (done, again))
    assert late == new
    assert pixels_of(late).shape == (SIDE, SIDE, 3)
    assert end(second) == 0


def begin_long_job(served: Served) -> None:
    """A worker is busy with it for longer than these tests wait."""
    height, width = 3000, 4000
    photograph = cv2.resize(skimage.data.astronaut()[..., ::-1], (width, height))
    files = [("image", ("large.jpg", file_of(photograph, ".jpg"), "image/jpeg"))]
    served.client.post("/v1/restorations", files=files, data={"faces": "all", "format": "avif"})
    time.sleep(0.5)


def test_its_worker_ends_with_it_when_it_is_killed(tmp_path: Path, small_models: Path) -> None:
    served = start(tmp_path, REFSTAR_MODELS_DIR=str(small_models))
    (worker,) = served.workers()
    redis = redis_process_of(tmp_path)
    begin_long_job(served)
    served.client.close()
    served.process.kill()
    served.process.wait()
    assert served.process.stdout is not None
    served.process.stdout.close()
    wait_until_gone({"worker": worker, "redis": redis})


@pytest.mark.parametrize("which", ["redis", "watchdog"])
def test_it_ends_with_a_word_when_its_redis_is_gone(tmp_path: Path, small_models: Path, which: str) -> None:
    served = start(tmp_path, REFSTAR_MODELS_DIR=str(small_models))
    (worker,) = served.workers()
    begin_long_job(served)
    redis = redis_process_of(tmp_path)
    watchdog = int(Path(f"/proc/{redis}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(redis if which == "redis" else watchdog, signal.SIGKILL)
    served.client.close()
    assert served.process.stdout is not None
    served.process.stdout.close()
    assert served.process.wait(ORPHANS_END_WITHIN) == 1
    wait_until_gone({"worker": worker, "redis": redis})
    assert "the embedded redis-server has exited" in (tmp_path / "log").read_text()


def redis_process_of(folder: Path) -> int:
    """Asked of the server itself: its program may have any name."""
    [configuration] = folder.rglob("redis.conf")
    options = dict(line.split(" ", 1) for line in configuration.read_text().splitlines())
    with Redis(port=int(options["port"]), password=options["requirepass"]) as redis:
        return int(redis.info("server")["process_id"])


def test_a_model_that_was_changed_stops_it_at_once(tmp_path: Path, small_models: Path) -> None:
    zoo = shutil.copytree(small_models, tmp_path / "zoo")
    graph = zoo / "refstar" / "restore.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    ended = subprocess.run(
        [sys.executable, "-m", "refstar_service.app.cli", "serve", "--port", "0", "--models-dir", str(zoo)],
        env={**os.environ, "REFSTAR_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "restore.onnx: sha256 is" in ended.stderr


def test_a_second_one_says_which_settings_it_needs_of_its_own(tmp_path: Path, small_models: Path) -> None:
    first = start(tmp_path, REFSTAR_MODELS_DIR=str(small_models))
    port = str(first.client.base_url.port)

    def serve_again(*options: str) -> str:
        command = [sys.executable, "-m", "refstar_service.app.cli", "serve", *options]
        models = ("--models-dir", str(small_models))
        ended = subprocess.run([*command, *models], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 1
        return ended.stderr

    said = serve_again("--data-dir", str(tmp_path), "--port", "0")
    assert re.search(
        r"redis is in use by another instance.* of its own \(REFSTAR_DATA_DIR, REFSTAR_PORT\)", said
    )
    said = serve_again("--data-dir", str(tmp_path / "own"), "--port", port)
    assert f"cannot serve on 127.0.0.1:{port}; choose another address (REFSTAR_HOST, REFSTAR_PORT" in said
    assert end(first) == 0


def test_delete_leaves_no_picture_behind(tmp_path: Path, small_models: Path) -> None:
    served = start(tmp_path, REFSTAR_BLOBS="directory", REFSTAR_MODELS_DIR=str(small_models))
    job = served.ended(served.restore().json()["id"])
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]  # result and selection
    assert served.client.delete(job["links"]["self"]).status_code == 204
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert served.client.get(job["links"]["image"]).status_code == 404
    assert served.client.delete(job["links"]["self"]).status_code == 204
    assert end(served) == 0
