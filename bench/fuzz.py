"""Decodes thousands of damaged files of every type, and encodes again what could be decoded: docs/images.md.

python bench/fuzz.py                      # 5,000 of each type
python bench/fuzz.py --types png --files 20000 --seed 7 --keep DIR

Everything happens in a child process with a limit of memory and a clock on every file, so that a crash, an
endless loop or a bomb is counted instead of suffered; files that caused one are written to DIR.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
from fuzz_corpus import LIMITS, corpus
from fuzz_damage import mutated
from PIL import Image
from refstar_service.images import OUTPUT_FORMATS, ImageError, probe
from refstar_service.images.decode import decode
from refstar_service.images.encode import encode

TYPES = ("jpeg", "png", "webp", "tiff", "bmp", "avif", "heic", "jp2", "gif")
SECONDS = 10.0  # for one file
MEMORY = 1 << 30  # bytes above what the started interpreter has


def examine(data: bytes, number: int) -> str:
    """What became of the file: "decoded", a refusal's code, or what should not have been."""
    try:
        info = probe(data, LIMITS)
        picture = decode(data, LIMITS)
    except ImageError as refused:
        return "MEMORY" if isinstance(refused.__cause__, MemoryError) else str(refused.code)
    assert info == picture.info, "probe and decode disagree"
    assert picture.pixels.shape == (info.height, info.width, 3)
    form, located = OUTPUT_FORMATS[number % len(OUTPUT_FORMATS)], bool(number // len(OUTPUT_FORMATS) % 2)
    result = encode(picture.pixels, format=form, like=picture, keep_location=located)
    again = decode(result.data, LIMITS)
    assert again.pixels.shape == picture.pixels.shape, f"{form} came out in another size"
    assert again.info.orientation == 1, f"{form} came out turned"
    assert located or again.located == again.metadata, f"{form} still holds a place"
    if form != "bmp":
        assert (again.exif is None) <= (picture.exif is None), f"{form} lost its EXIF"
        assert again.metadata.xmp == picture.metadata.xmp or form == "jpeg", f"{form} changed its XMP"
    with Image.open(io.BytesIO(result.data)) as image:
        image.load()
        image.getexif()
    return "decoded"


def child(kind: str, seed: int, start: int, stop: int, keep: Path | None) -> None:
    """Prints "number" before a file and "outcome" after it, at the end the most memory used."""
    files = corpus(kind)
    for form in OUTPUT_FORMATS:
        encode(np.zeros((64, 64, 3), np.uint8), format=form)  # encoders are loaded now, not under the limit
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    # Decoders complain there. What went wrong here is still to be seen.
    ours = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for number in range(start, stop):
        print(number, flush=True)
        data = mutated(kind, files, Random(f"{seed} {kind} {number}"))
        try:
            outcome = examine(data, number)
        except Exception as error:
            outcome = f"ERROR {type(error).__name__}: {error}"
            traceback.print_exc(file=ours)
            ours.flush()
        if outcome == "MEMORY" or outcome.startswith("ERROR"):
            written(keep, kind, number, data)
        print(outcome.replace("\n", " "), flush=True)
    print("most", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)


def written(keep: Path | None, kind: str, number: int, data: bytes) -> None:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{number}.{kind}").write_bytes(data)


def fuzz(kind: str, options: argparse.Namespace) -> tuple[Counter[str], float, int]:
    """(outcomes, the slowest file's seconds, the most MiB that a child used)."""
    outcomes: Counter[str] = Counter()
    slowest, most, number = 0.0, 0, 0
    while number < options.files:
        command = [
            sys.executable,
            __file__,
            "--child",
            kind,
            str(options.seed),
            str(number),
            str(options.files),
        ]
        command += [str(options.keep)] if options.keep else []
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert process.stdout is not None
        started: float | None = None
        waiting = selectors.DefaultSelector()
        waiting.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not waiting.select(SECONDS if started is not None else 60):
                process.kill()
                outcomes["TIMEOUT"] += 1
                break
            line = process.stdout.readline().strip()
            if not line:
                if process.wait() != 0:
                    reason = signal.Signals(-process.returncode).name if process.returncode < 0 else "exit"
                    outcomes[f"CRASH {reason}"] += 1
                break
            if line.startswith("most "):
                most = max(most, int(line[5:]))
            elif line.isdecimal():
                number, started = int(line), time.monotonic()
            else:
                outcomes[line] += 1
                slowest = max(slowest, time.monotonic() - (started or 0))
        process.wait()
        if started is None:
            raise SystemExit(f"the child for {kind} did not start")
        if sum(outcomes.values()) <= number:  # killed while at this file
            raise SystemExit("lost count")
        number += 1
    return outcomes, slowest, most


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--keep", type=Path, help="a folder for files that crash, hang or raise")
    options = parser.parse_args()
    bad = 0
    for kind in options.types.split(","):
        began = time.monotonic()
        outcomes, slowest, most = fuzz(kind, options)
        bad += sum(count for name, count in outcomes.items() if name[0].isupper())
        print(f"{kind}: {sum(outcomes.values())} files, slowest {slowest:.2f} s, {most} MiB, ", end="")
        print(f"{time.monotonic() - began:.0f} s in all")
        for name, count in outcomes.most_common():
            print(f"  {count:6} {name}", flush=True)
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        kind, seed, start, stop, *keep = sys.argv[2:]
        child(kind, int(seed), int(start), int(stop), Path(keep[0]) if keep else None)
    else:
        main()
