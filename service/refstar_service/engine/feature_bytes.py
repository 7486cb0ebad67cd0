"""Features as bytes, for keeping them outside the process: an uncompressed .npz, since their digits look random."""

import io
import zipfile
from typing import Any

import numpy as np

from refstar_service.engine.feature_cache import Features


def to_bytes(features: Features) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = dict(features)
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Features | None:
    """None for what ``to_bytes`` did not write, or what was changed since: every array has its checksum.

    Whether they are of a model's shapes is for ``Restorer.remember`` to say. Nothing in them is executed.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError):
        return None
