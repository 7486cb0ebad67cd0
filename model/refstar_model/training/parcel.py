"""A checkpoint made small enough to travel: halves, in files of a few megabytes, each with its hash.

What travels is what a run needs to go on: averaged weights (fp16: eleven bits of them), the optimizer's second moments
(bf16: their range is beyond fp16's) and the same of a rival, whose own weights stand for an average that it has not.
The weights of the moment and the first moments stay behind: a run goes on from the average, and first moments are new
again after some ten steps.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

INDEX = "parcel.json"
FORMAT = 1
PART = 15 * 2**20  # bytes of tensors in one file at the most
#: Largest and smallest that fp16 keeps to eleven bits.
FP16_RANGE = (6.1e-5, 65504.0)


class ParcelError(ValueError):
    """A parcel that is incomplete, damaged or of another format; the message names the file."""


def write_parcel(
    tensors: Mapping[str, Tensor], about: Mapping[str, object], folder: Path, part_bytes: int = PART
) -> list[Path]:
    """Write tensors by name and ``about`` (what JSON can hold); returns the files, the index last.

    An earlier parcel in the folder is replaced, and stays whole until the new one is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old = _index(folder).get("parts", []) if (folder / INDEX).exists() else []
    parts = []
    for content in _shares(tensors, part_bytes):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        # Named by content: a part of the parcel before is never overwritten.
        path = folder / f"parcel-{digest[:12]}.pt"
        path.write_bytes(data)
        parts.append({"file": path.name, "sha256": digest})
    index = folder / f"{INDEX}.new"
    index.write_text(json.dumps({"format": FORMAT, "parts": parts, "about": dict(about)}) + "\n")
    index.replace(folder / INDEX)
    for name in {part["file"] for part in old} - {part["file"] for part in parts}:
        (folder / name).unlink(missing_ok=True)
    return [*(folder / part["file"] for part in parts), folder / INDEX]


def read_parcel(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, in fp32 where they were numbers, and ``about``; raises ParcelError."""
    index = _index(folder)
    tensors: dict[str, Tensor] = {}
    for part in index["parts"]:
        path = folder / part["file"]
        if not path.is_file():
            raise ParcelError(f"{path} is missing: a parcel needs all of its parts in one folder")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != part["sha256"]:
            raise ParcelError(f"{path}: not the bytes that {INDEX} names: copy it again")
        tensors |= torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    return {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}, index["about"]


def halve(value: Tensor) -> Tensor:
    """A tensor in the half that keeps more of it: fp16, or bf16 where a number is beyond fp16's range."""
    value = value.detach().cpu()
    if not value.is_floating_point():
        return value
    sizes = value.abs()
    small, large = FP16_RANGE
    # Numbers too small for fp16 matter only where they are not next to nothing beside the others.
    lost = (sizes > 0) & (sizes < small) & (sizes > sizes.max() * 2**-11)
    return value.to(torch.bfloat16 if bool((sizes > large).any() | lost.any()) else torch.float16)


def _shares(tensors: Mapping[str, Tensor], part_bytes: int) -> Iterator[dict[str, Tensor]]:
    content: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        half = halve(tensor).contiguous().clone()
        taken = half.numel() * half.element_size() + 512  # and its header
        if content and size + taken > part_bytes:
            yield content
            content, size = {}, 0
        content[name] = half
        size += taken
    yield content


def _index(folder: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise ParcelError(f"{folder / INDEX} cannot be read: {error}") from None
    if index.get("format") != FORMAT:
        raise ParcelError(f"{folder / INDEX} has format {index.get('format')}, not {FORMAT}")
    return index
