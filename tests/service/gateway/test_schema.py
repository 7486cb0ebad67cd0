"""Requests made from the API's own description, against a gateway in a process of its own: answers are as described.

Schemathesis makes them, by its own command: from boundary values, at random, and in sequences that follow the links of
the description; with all of its checks.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import JobQueue, WorkerInfo

EXAMPLES = os.environ.get("REFSTAR_SCHEMA_EXAMPLES", "5")  # of each operation

# What a schema cannot say is no fault of the answer: knobs that contradict each other, pictures of too few pixels, a
# cursor that no page gave, a person whom nobody stored, a key without its quotes, a change of nothing.
CONFIGURATION = """
[auth.openapi]
bearer = {{ bearer = "{token}" }}
header = {{ api_key = "{token}" }}

[[operations]]
include-name = [
    "POST /v1/restorations", "POST /v1/people", "PATCH /v1/people/{{person_id}}",
    "GET /v1/restorations", "GET /v1/people",
]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "422"]

[[operations]]
include-path-regex = "/events$"
max-stream-events = 1
request-timeout = 3
"""

# Most of the pictures are fit to be restored, so that there are jobs to ask for, cancel and delete.
HOOKS = '''
import io
import schemathesis
from hypothesis import strategies
from PIL import Image

def picture(kind):
    written = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).save(written, kind)
    return written.getvalue()

@schemathesis.hook
def before_load_schema(context, description):
    """The description has a schema of the stream, which is a text; here that of an event is wanted."""
    events = description["paths"]["/v1/restorations/{job_id}/events"]["get"]["responses"]["200"]["content"]
    assert events["text/event-stream"]["schema"]["type"] == "string"
    data = {"type": "string", "contentMediaType": "application/json"}
    event = {"type": "object", "properties": {"id": {"type": "string"}, "data": data}, "required": ["data"]}
    events["text/event-stream"]["schema"] = event

good = strategies.sampled_from([picture(kind) for kind in ("png", "jpeg", "webp")])
schemathesis.openapi.format("binary", good | good | good | strategies.binary(max_size=99))
'''


@dataclass(frozen=True)
class Gateway:
    address: str
    token: str


@pytest.fixture
def gateway(redis_server: str, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with one key; a worker has announced itself, and does nothing."""
    asyncio.run(_announce(redis_server))
    environment = os.environ | {
        "REFSTAR_REDIS_URL": redis_server,
        "REFSTAR_PORT": "0",
        "REFSTAR_DATA_DIR": str(tmp_path),
        "REFSTAR_MAX_WAIT": "1",
        "REFSTAR_ACCESS": "file",
        "REFSTAR_REQUESTS_PER_MINUTE": "0",
        "REFSTAR_UNFINISHED_PER_KEY": "0",
    }
    refstar = [sys.executable, "-m", "refstar_service.app.cli"]
    made = subprocess.run(
        [*refstar, "keys", "add", "test", "--may-prioritize"],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    token = made.stdout.decode().partition("token: ")[2].split()[0]
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen([*refstar, "gateway"], env=environment, stderr=stream)
    try:
        yield Gateway(_address(process, log), token)
    finally:
        process.terminate()
        process.wait(30)
    assert "Traceback" not in log.read_text()


async def _announce(redis_server: str) -> None:
    async with Redis.from_url(redis_server) as redis:
        await redis.flushall()
        worker = WorkerInfo("idle", ("refstar",), "cpu", time.time())
        await JobQueue(redis).announce_worker(worker, 600)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    give_up = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < give_up:
        if found := re.search(r"listening on (http://\S+)", log.read_text()):
            return found[1]
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError(log.read_text())


def test_answers_are_as_the_description_says(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION.format(token=gateway.token))
    (tmp_path / "pictures_for_schemathesis.py").write_text(HOOKS)
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{gateway.address}/openapi.json",
        "--checks",
        "all",
    ]
    options = ["--max-examples", EXAMPLES, "--seed", "1", "--no-color", "--request-timeout", "30"]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "pictures_for_schemathesis",
        "PYTHONPATH": str(tmp_path),
    }
    run = subprocess.run(
        [*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    log = (tmp_path / "log").read_text()
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr + log[-2000:]
    tested = re.search(r"Tested: (\d+)", run.stdout)
    assert tested is not None, run.stdout
    assert int(tested[1]) >= 18
