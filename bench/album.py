"""An evening's album through `refstar serve` with its default settings: is every photograph restored and fetched?

.venv/bin/python bench/album.py --photos 500                   # a model that computes nothing
.venv/bin/python bench/album.py --photos 500 --shipped         # with the shipped model: some hours on two cores
.venv/bin/python bench/album.py --photos 40 --storage-mb 400   # a small store: fetched results make room

Photographs of 12 megapixels: portraits of REFSTAR_DATA/faces/faces512 enlarged to the height, with grain, as JPEG of
quality 92. So many clients at a time send one, wait, and fetch the result, as a script does; a refusal is repeated
after what `Retry-After` says. Exit status 1 unless each was fetched once; printed: refusals, the time that all took,
what lay in the store at most, and how many of the fetched results were still there at the end.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx
import numpy as np
from noop import write_noop_model
from stack import service

WIDTH, HEIGHT = 4000, 3000
QUALITY = 92
GRAIN = 3.0  # levels
LONGEST_WAIT = 60
ZOO = Path(__file__).parents[1] / "service" / "refstar_service" / "zoo"


@dataclass
class Seen:
    """Of all photographs so far."""

    fetched: dict[str, int] = field(default_factory=dict)  # address of the restoration -> bytes of its result
    lost: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    sent: int = 0  # bytes
    most_stored: int = 0  # bytes


def make_photograph(portrait: Path, number: int) -> bytes:
    """JPEG of WIDTH x HEIGHT: the portrait in the middle, mirrored beside itself."""
    face = cv2.imread(str(portrait))
    if face is None:
        raise SystemExit(f"{portrait} cannot be read as a picture")
    large = cv2.resize(face, (HEIGHT, HEIGHT), interpolation=cv2.INTER_CUBIC)
    side = (WIDTH - HEIGHT) // 2
    whole = cv2.copyMakeBorder(large, 0, 0, side, side, cv2.BORDER_REFLECT_101)
    grain = np.empty(whole.shape[:2], np.int8)
    cv2.setRNGSeed(number)
    cv2.randn(grain, 0, GRAIN)
    cv2.add(whole, cv2.merge([grain] * 3), dst=whole, dtype=cv2.CV_8U)
    return cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


async def restore(client: httpx.AsyncClient, name: str, picture: bytes, seen: Seen) -> None:
    """From the first attempt to send it until its result is here."""
    while True:
        files = {"image": (name, picture, "image/jpeg")}
        answer = await client.post("/v1/restorations", files=files)
        if answer.status_code == 202:
            break
        if answer.status_code not in (429, 503):
            seen.lost.append(f"{name}: {answer.status_code} {answer.text[:200]}")
            return
        seen.refusals[answer.json()["type"].rpartition("/")[2]] += 1
        await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))
    seen.sent += len(picture)
    path = answer.headers["Location"]
    while (answer := await client.get(path, headers={"Prefer": f"wait={LONGEST_WAIT}"})).json()["status"] in (
        "queued",
        "running",
    ):
        answer.raise_for_status()
    if answer.json()["status"] != "succeeded":
        seen.lost.append(f"{name}: {answer.text[:300]}")
        return
    result = await client.get(f"{path}/image")
    if result.status_code == 200:
        seen.fetched[path] = len(result.content)
    else:
        seen.lost.append(f"{name}: its result answers {result.status_code}")


async def send_album(url: str, portraits: list[Path], options: argparse.Namespace, store: Path) -> Seen:
    seen, numbers = Seen(), iter(range(options.photos))

    async def send_some(client: httpx.AsyncClient) -> None:
        for number in numbers:
            portrait = portraits[number % len(portraits)]
            picture = await asyncio.to_thread(make_photograph, portrait, number)
            await restore(client, f"{number:04d}.jpg", picture, seen)
            stored = count_bytes(store)
            seen.most_stored = max(seen.most_stored, stored)
            if number % 25 == 24:
                print(f"{len(seen.fetched)} fetched, {stored / 1e9:.2f} GB in the store", flush=True)

    limits = httpx.Limits(max_connections=None, keepalive_expiry=1.0)  # less than the service's own
    async with httpx.AsyncClient(base_url=url, timeout=LONGEST_WAIT + 120, limits=limits) as client:
        await asyncio.gather(*(send_some(client) for _ in range(options.at_once)))
        kept = 0
        for path in seen.fetched:
            kept += (await client.head(f"{path}/image")).status_code == 200
    print(f"{kept} of {len(seen.fetched)} fetched results are still there")
    return seen


def count_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it may go while they are listed
            total += path.stat().st_size if path.is_file() else 0
    return total


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--photos", type=int, default=500)
    made.add_argument("--at-once", type=int, default=8, help="clients")
    made.add_argument(
        "--shipped", action="store_true", help="the shipped model instead of one that computes nothing"
    )
    made.add_argument(
        "--storage-mb", type=int, help="REFSTAR_STORAGE_BYTES in MB; default: as `serve` has it"
    )
    options = made.parse_args()
    data = os.environ.get("REFSTAR_DATA")
    portraits = sorted(Path(data, "faces", "faces512").glob("*.jpg")) if data else []
    if not portraits:
        raise SystemExit(
            "set REFSTAR_DATA to the folder of photographs: there is no faces/faces512 to take any from"
        )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = {"DATA_DIR": str(folder / "data")}
        if options.storage_mb:
            settings["STORAGE_BYTES"] = str(options.storage_mb * 10**6)
        if not options.shipped:
            write_noop_model(folder / "models", ZOO / "detector")
            settings["MODELS_DIR"] = str(folder / "models")
        running = stack.enter_context(service(settings))
        began = time.monotonic()
        url = f"http://{running.host}:{running.port}"
        seen = asyncio.run(send_album(url, portraits, options, folder / "data" / "blobs"))
        took, busy = time.monotonic() - began, running.cpu()
    print(
        f"{options.photos} photographs of {WIDTH} x {HEIGHT}, {seen.sent / 1e6 / max(1, len(seen.fetched)):.1f} MB each"
    )
    print(
        f"fetched {len(seen.fetched)} in {took:.0f} s, lost {len(seen.lost)}, refused at first {dict(seen.refusals)}"
    )
    print(f"in the store at most {seen.most_stored / 1e9:.2f} GB; seconds of processor time: {busy}")
    for one in seen.lost:
        print(one)
    sys.exit(len(seen.fetched) != options.photos)


if __name__ == "__main__":
    main()
