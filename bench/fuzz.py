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
import struct
import subprocess
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from fuzz_corpus import LIMITS, corpus
from PIL import Image
from refstar_service.images import OUTPUT_FORMATS, ImageError, probe
from refstar_service.images.decode import decode
from refstar_service.images.encode import encode

TYPES = ("jpeg", "png", "webp", "tiff", "bmp", "avif", "heic", "jp2", "gif")
SECONDS = 10.0  # for one file
MEMORY = 1 << 30  # bytes above what the started interpreter has
NUMBERS = (0, 1, 2, 3, 4, 7, 8, 12, 127, 128, 255, 256, 4095, 32767, 32768, 65535, 1 << 24, 2**31 - 1, 2**31)

Units = list[tuple[int, int]]


def jpeg_units(data: bytes) -> Units:
    """(start, end) of the segments; the pictures' data follows them."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and len(found) < 200:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        found.append((at, end))
        at = end
    return found


def png_units(data: bytes) -> Units:
    found, at = [], 8
    while at + 12 <= len(data) and len(found) < 200:
        found.append((at, at + 12 + int.from_bytes(data[at : at + 4])))
        at = found[-1][1]
    return found


def webp_units(data: bytes) -> Units:
    found, at = [], 12
    while at + 8 <= len(data) and len(found) < 200:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((at, at + 8 + size + size % 2))
        at = found[-1][1]
    return found


def tiff_units(data: bytes) -> Units:
    """The directory's entries."""
    order = "little" if data[:2] == b"II" else "big"
    at = int.from_bytes(data[4:8], order)  # type: ignore[arg-type]
    count = int.from_bytes(data[at : at + 2], order)  # type: ignore[arg-type]
    return [(at + 2 + 12 * n, at + 14 + 12 * n) for n in range(min(count, 100))]


def bmp_units(data: bytes) -> Units:
    return [(at, at + 4) for at in (2, 10, 14, 18, 22, 28, 30, 34, 38, 46, 54, 66)]


def avif_units(data: bytes) -> Units:
    """Boxes, and the boxes inside the meta box."""
    found: Units = []

    def walk(at: int, end: int) -> None:
        while at + 8 <= end and len(found) < 200:
            size = int.from_bytes(data[at : at + 4]) or end - at
            found.append((at, at + size))
            kind = data[at + 4 : at + 8]
            if kind in (b"iprp", b"ipco"):
                walk(at + 8, min(at + size, end))
            elif kind in (b"meta", b"iref"):
                walk(at + 12, min(at + size, end))
            elif kind == b"iinf":
                walk(at + 14, min(at + size, end))
            at += max(size, 8)

    walk(0, len(data))
    return found


def jp2_units(data: bytes) -> Units:
    """Boxes, and the markers of the codestream's header."""
    found: Units = []
    at = 0
    while at + 8 <= len(data) and len(found) < 50 and data[at + 4 : at + 8] != b"jp2c":
        found.append((at, at + max(int.from_bytes(data[at : at + 4]), 8)))
        at = found[-1][1]
    at = data.find(b"\xff\x4f\xff\x51") + 2
    while 1 < at + 4 <= len(data) and data[at] == 0xFF and len(found) < 100:
        found.append((at, at + 2 + int.from_bytes(data[at + 2 : at + 4])))
        at = found[-1][1]
    return found


def gif_units(data: bytes) -> Units:
    """Screen and palette, extensions and the picture, as `containers.gif` sees them."""
    from refstar_service.images.containers import gif

    try:
        return [(6, 13), *((start, end) for _, start, end in gif._blocks(data))]
    except (IndexError, ImageError):
        return [(6, 13)]


UNITS: dict[str, Callable[[bytes], Units]] = {
    "jpeg": jpeg_units,
    "png": png_units,
    "webp": webp_units,
    "tiff": tiff_units,
    "bmp": bmp_units,
    "avif": avif_units,
    "heic": avif_units,
    "jp2": jp2_units,
    "gif": gif_units,
}
# Where a unit has its length: (offset in it, bytes).
LENGTHS = {
    "jpeg": ((2, 2),),
    "png": ((0, 4),),
    "webp": ((4, 4),),
    "tiff": ((2, 2), (4, 4), (8, 4)),
    "bmp": ((0, 4),),
    "avif": ((0, 4),),
    "heic": ((0, 4),),
    "jp2": ((0, 4), (2, 2)),
    "gif": ((0, 2), (2, 2), (4, 2), (6, 2)),
}


def mutated(kind: str, corpus: list[bytes], chance: Random) -> bytes:
    """One damaged file: changed bits and bytes, cuts, units doubled, lengths changed, two files spliced."""
    data = bytearray(chance.choice(corpus))
    if kind == "png" and chance.random() < 0.3:
        _rows(data, chance)
        return bytes(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if len(data) > 32:
            chance.choice((_bits, _bytes, _cut, _hole, _repeat, _units, _units, _lengths, _lengths, _splice))(
                kind, data, corpus, chance
            )
    if kind == "png" and chance.random() < 0.8:
        _sums(data)
    if kind == "webp" and chance.random() < 0.6:
        data[4:8] = struct.pack("<I", max(len(data) - 8, 0))
    return bytes(data)


def _place(data: bytearray, chance: Random) -> int:
    """Half of them near the start, where the headers are."""
    return chance.randrange(len(data) if chance.random() < 0.5 else min(len(data), 800))


def _bits(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    for _ in range(chance.choice((1, 2, 8, 32))):
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _bytes(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    for _ in range(chance.choice((1, 2, 8))):
        data[_place(data, chance)] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))


def _cut(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    del data[chance.randrange(len(data)) :]
    if chance.random() < 0.3:  # and closed again
        data += {"jpeg": b"\xff\xd9", "png": b"\0\0\0\0IEND\xaeB`\x82"}.get(
            kind, bytes(chance.randrange(2000))
        )


def _hole(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    start = _place(data, chance)
    del data[start : start + chance.choice((1, 2, 4, 20, 500))]


def _repeat(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    start, to = _place(data, chance), _place(data, chance)
    data[to:to] = data[start : start + chance.choice((1, 4, 12, 64, 1000))] * chance.choice((1, 2, 50))


def _units(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    """Chunks, segments, boxes or entries doubled, removed, exchanged, taken from another file, or damaged inside."""
    found = UNITS[kind](bytes(data))
    if not found:
        return
    start, end = chance.choice(found)
    unit = bytes(data[start:end])
    match chance.randrange(5):
        case 0:
            to, _ = chance.choice(found)
            data[to:to] = unit * chance.choice((1, 1, 2, 100))
        case 1:
            del data[start:end]
        case 2:
            other = chance.choice(corpus)
            first, last = chance.choice(UNITS[kind](other))
            data[start:end] = other[first:last]
        case 3:
            to, until = chance.choice(found)
            data[start:end], data[to:until] = data[to:until], unit
        case _:
            if kind == "png":  # only what the chunk holds: its length is another one's business
                start, end = start + 8, end - 4
            for _ in range(chance.choice((1, 4, 16))):
                at = chance.randrange(start, max(min(end, len(data)), start + 1))
                if at < len(data):
                    data[at] = chance.choice((0, 255, ord("<"), ord('"'), chance.randrange(256)))


def _lengths(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    found = UNITS[kind](bytes(data))
    if found and chance.random() < 0.7:
        start, _ = chance.choice(found)
        offset, size = chance.choice(LENGTHS[kind])
        at = start + offset
    else:
        at, size = _place(data, chance), chance.choice((1, 2, 3, 4))
    order = "little" if kind in ("webp", "bmp") or (kind == "tiff" and data[:2] == b"II") else "big"
    old = int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]
    new = chance.choice((*NUMBERS, old + 1, old - 1, old * 2, len(data), len(data) - at, 2**32 - 1))
    data[at : at + size] = (new % 256**size).to_bytes(size, order)  # type: ignore[arg-type]


def _splice(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    other = chance.choice(corpus)
    data[_place(data, chance) :] = other[_place(bytearray(other), chance) :]


def _rows(data: bytearray, chance: Random) -> None:
    """Damage what is compressed: rows and their filters."""
    bodies = [(start, end) for start, end in png_units(bytes(data)) if data[start + 4 : start + 8] == b"IDAT"]
    try:
        rows = bytearray(zlib.decompress(b"".join(data[start + 8 : end - 4] for start, end in bodies)))
    except zlib.error:
        return
    if not bodies:
        return
    for _ in range(chance.choice((1, 16, 256)) if rows else 0):
        rows[chance.randrange(len(rows))] = chance.randrange(256)
    if chance.random() < 0.3:
        del rows[chance.randrange(len(rows) + 1) :]
    for start, end in reversed(bodies[1:]):
        del data[start:end]
    start, end = bodies[0]
    body = zlib.compress(bytes(rows))
    data[start:end] = (
        struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    )


def _sums(data: bytearray) -> None:
    """Make the checksums right again, so that the damage reaches what comes after them."""
    for start, end in png_units(bytes(data)):
        if end <= len(data):
            data[end - 4 : end] = struct.pack(">I", zlib.crc32(data[start + 4 : end - 4]))


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
