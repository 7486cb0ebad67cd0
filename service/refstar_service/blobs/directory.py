"""Blobs as files in a directory, which may be a volume that several machines share.

A file's name is the SHA-256 of its key, so no key can lead out of the directory; its modification time is the
moment at which it expires, so nothing else must be stored. Clocks of the machines must agree to seconds. They are
people's faces: only the user whom the service runs as may read them.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from refstar_service.blobs.store import BlobsFullError, BlobsUnavailableError

FOLDER_MODE = 0o700
FILE_MODE = 0o600
FULL = (errno.ENOSPC, errno.EDQUOT)
UNFINISHED = ".part"
UNFINISHED_AFTER = 3600.0  # seconds; nobody takes so long to write one blob, so its writer is gone


class DirectoryBlobs:
    """Expired blobs are no longer found, but take up space until somebody calls `sweep`."""

    sweep_every = 60.0  # seconds

    def __init__(self, path: Path) -> None:
        self.path = path

    async def put(self, key: str, data: bytes, ttl_seconds: float) -> None:
        with self._may_fail_to("write"):
            await asyncio.to_thread(self._write, self._file(key), data, time.time() + ttl_seconds)

    async def check_writable(self) -> None:
        with self._may_fail_to("write"):
            await asyncio.to_thread(self._write_nothing)

    async def get(self, key: str) -> bytes | None:
        with self._may_fail_to("read"):
            return await asyncio.to_thread(self._read, self._file(key))

    async def delete(self, *keys: str) -> None:
        with self._may_fail_to("delete"):
            await asyncio.to_thread(self._unlink, [self._file(key) for key in keys])

    async def sweep(self) -> int:
        """Delete what has expired and what was never finished; returns how many files."""
        with self._may_fail_to("list"):
            return await asyncio.to_thread(self._sweep)

    @contextmanager
    def _may_fail_to(self, act: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # Not the name of the file: it is a hash, and says nothing.
            kind = BlobsFullError if error.errno in FULL else BlobsUnavailableError
            raise kind(f"{self.path}: cannot {act}: {error.strerror or error}") from error

    def _file(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.path / name[:2] / name

    def _write(self, file: Path, data: bytes, expires_at: float) -> None:
        self._make_private(self.path)
        self._make_private(file.parent)
        unfinished = file.with_name(f"{file.name}.{uuid4().hex}{UNFINISHED}")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.utime(stream.fileno(), (expires_at, expires_at))
                # Else a power cut may leave the name without the bytes.
                os.fsync(stream.fileno())
            unfinished.replace(file)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def _write_nothing(self) -> None:
        probe = self._file(f"check/{uuid4().hex}")
        try:
            self._write(probe, b"x", 0.0)
        finally:
            probe.unlink(missing_ok=True)

    def _make_private(self, folder: Path) -> None:
        folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        # Also one that was there before, if it is ours to close: some other group's is the operator's own doing.
        status = folder.stat()
        if status.st_uid == os.getuid() and status.st_mode & 0o007:
            folder.chmod(status.st_mode & 0o770)

    def _read(self, file: Path) -> bytes | None:
        try:
            with file.open("rb") as stream:
                if os.fstat(stream.fileno()).st_mtime > time.time():
                    return stream.read()
        except FileNotFoundError:
            pass
        # Not deleted here: a put may be renaming a new file over it at this moment. That is for `sweep`.
        return None

    def _unlink(self, files: list[Path]) -> None:
        for file in files:
            file.unlink(missing_ok=True)

    def _sweep(self) -> int:
        now = time.time()
        count = 0
        for file in self.path.glob("??/*"):
            with suppress(FileNotFoundError):
                status = file.stat()
                patience = UNFINISHED_AFTER if file.suffix == UNFINISHED else 0.0
                if now > status.st_mtime + patience:
                    file.unlink()
                    count += 1
        return count
