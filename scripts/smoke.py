#!/usr/bin/env python3
"""Run the commands of README.md's "Getting started" against a service that is running, and look at what they bring.

scripts/smoke.py                                          http://127.0.0.1:8000: `make serve` or `docker compose up`
scripts/smoke.py http://127.0.0.1:9000
scripts/smoke.py https://faces.example.org --key-file key   the file holds an API key

Needs bash, curl and Python 3.11, nothing of .venv. What it made it deletes. Exit status 1, and why, at the first
thing that is wrong.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]
HERE = "http://127.0.0.1:8000"  # the address in README.md
READY_WITHIN = 120.0  # seconds: workers load and warm up their models
ENDS_WITHIN = 120.0


class SmokeError(Exception):
    """What is wrong."""


class Service:
    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def ask(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Raises SmokeError if nobody answers."""
        request = Request(self.url + path, method=method, headers=self._headers)
        try:
            with urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()
        except (URLError, OSError) as error:
            raise SmokeError(f"{self.url} does not answer: {error}") from error

    def read(self, path: str) -> dict[str, Any]:
        """Raises SmokeError unless the answer is 200."""
        status, body = self.ask(path)
        if status != 200:
            raise SmokeError(f"GET {path} says {status}: {body.decode()}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while True:
            status, body = self.ask("/readyz")
            if status == 200:
                return
            if time.monotonic() > deadline:
                raise SmokeError(f"/readyz says {status} after {READY_WITHIN:.0f} s: {body.decode()}")
            time.sleep(0.5)

    def wait_for(self, restoration: str) -> dict[str, Any]:
        deadline = time.monotonic() + ENDS_WITHIN
        while True:
            job = self.read(f"/v1/restorations/{restoration}")
            if job["status"] not in ("queued", "running"):
                return job
            if time.monotonic() > deadline:
                raise SmokeError(f"restoration {restoration} is {job['status']} after {ENDS_WITHIN:.0f} s")
            time.sleep(0.2)


def read_commands() -> str:
    """The commands of README.md that talk to a service, with the names that they set told at the end."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    commands = [block for block in blocks if "$url/v1/" in block]
    names = re.findall(r"^(\w+)=", "".join(commands), re.M)
    if not {"url", "image", "person"} <= set(names):
        raise SmokeError("README.md has no commands that set url, image and person")
    return "set -euo pipefail\n" + "\n".join(commands) + '\nprintf "\\n%s\\n%s\\n" "$image" "$person"\n'


def run_commands(url: str, key: str | None, folder: Path) -> tuple[str, str, str]:
    """In `folder`; returns the address of the first restored picture, the person's id, the restoration of the person.

    Raises SmokeError if a command fails.
    """
    (folder / "docs").symlink_to(ROOT / "docs")
    if key is not None:
        curlrc = folder / ".curlrc"
        curlrc.touch(0o600)
        curlrc.write_text(f'header = "Authorization: Bearer {key}"\n')
    done = subprocess.run(
        ["bash", "-c", read_commands().replace(HERE, url)],
        cwd=folder,
        env=os.environ | {"CURL_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise SmokeError(f"the commands of README.md failed:\n{done.stdout}{done.stderr}")
    answer, image, person = done.stdout.rstrip("\n").rsplit("\n", 2)
    return image, person, json.loads(answer)["id"]


def check(service: Service, key: str | None) -> None:
    """Raises SmokeError for the first thing that is not as promised."""
    service.read("/healthz")
    service.wait_until_ready()
    print("ready:", ", ".join(model["name"] for model in service.read("/v1/models")["models"]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, person, second = run_commands(service.url, key, folder)
        restored = (folder / "restored.jpg").read_bytes()
    if not restored.startswith(b"\xff\xd8\xff"):
        raise SmokeError(f"restored.jpg is no JPEG: it begins with {restored[:60]!r}")
    if restored == (ROOT / "docs" / "example" / "degraded.jpg").read_bytes():
        raise SmokeError("restored.jpg is the degraded picture")
    print(f"a photograph is restored: {len(restored)} bytes")
    job = service.wait_for(second)
    if job["status"] != "succeeded":
        raise SmokeError(f"the restoration of a stored person {job['status']}: {job['error']}")
    print("a stored person is used")
    for made in (image.removesuffix("/image"), f"/v1/restorations/{second}", f"/v1/people/{person}"):
        for method, expected in (("DELETE", 204), ("GET", 404)):
            status, body = service.ask(made, method)
            if status != expected:
                raise SmokeError(f"{method} {made} says {status} and not {expected}: {body.decode()}")
    print("what was made is deleted")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", default=HERE)
    parser.add_argument("--key-file", type=Path, help="a file that holds an API key")
    options = parser.parse_args()
    key = options.key_file.read_text().strip() if options.key_file else None
    try:
        check(Service(options.url, key), key)
    except SmokeError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
