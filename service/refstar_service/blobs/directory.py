"""Blobs as files in a directory, which may be a volume that several machines share.

A file's name is the SHA-256 of its key, so no key can lead out of the directory; its modification time is the
moment at which it expires, so nothing else must be stored. Clocks of the machines must agree to seconds. They are
people's faces: only the user whom the service runs as may read them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from refstar_service.blobs.store import BlobsFullError, BlobsUnavailableError
from refstar_service.threads import Threads

T = TypeVar("T")

FOLDER_MODE = 0o700
FILE_MODE = 0o600
FULL = (errno.ENOSPC, errno.EDQUOT)
UNFINISHED = ".part"
UNFINISHED_AFTER = 3600.0  # seconds; nobody takes so long to write one blob, so its writer is gone
AT_ONCE = 16  # files that are read, written or deleted: a network's file system answers late


class DirectoryBlobs:
    """Expired blobs are no longer found, but take up space until somebody calls `sweep`."""

    sweep_every = 60.0  # seconds

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = Threads(AT_ONCE, "blobs")
        self._folder = str(path)
        self._private: set[Path] = set()  # folders that this process has made so

    async def put(self, key: str, data: bytes, ttl_seconds: float) -> None:
        await self._do("write", self._write, key, data, time.time() + ttl_seconds)

    async def check_writable(self) -> None:
        await self._do("write", self._write_nothing)

    async def get(self, key: str) -> bytes | None:
        return await self._do("read", self._read, key)

    async def delete(self, *keys: str) -> None:
        await self._do("delete", self._unlink, keys)

    async def sweep(self) -> int:
        """Delete what has expired and what was never finished; returns how many files."""
        return await self._do("list", self._sweep)

    async def _do(self, name: str, act: Callable[..., T], *arguments: object) -> T:
        try:
            return await self._threads.run(act, *arguments)
        except OSError as error:
            # Not the name of the file: it is a hash, and says nothing.
            kind = BlobsFullError if error.errno in FULL else BlobsUnavailableError
            raise kind(f"{self.path}: cannot {name}: {error.strerror or error}") from error

    def _file(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return Path(f"{self._folder}/{name[:2]}/{name}")

    def _write(self, key: str, data: bytes, expires_at: float) -> None:
        file = self._file(key)
        if file.parent not in self._private:
            self._make_folder(file.parent)
        unfinished = Path(f"{file}.{uuid4().hex}{UNFINISHED}")
        try:
            with os.fdopen(self._create(unfinished), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.utime(stream.fileno(), (expires_at, expires_at))
                # Else a power cut may leave the name without the bytes.
                os.fsync(stream.fileno())
            unfinished.replace(file)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def _create(self, file: Path) -> int:
        """An open descriptor; also where the folder was deleted since it was made."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            return os.open(file, flags, FILE_MODE)
        except FileNotFoundError:
            self._make_folder(file.parent)
            return os.open(file, flags, FILE_MODE)

    def _write_nothing(self) -> None:
        probe = f"check/{uuid4().hex}"
        try:
            self._write(probe, b"x", 0.0)
        finally:
            self._unlink([probe])

    def _make_folder(self, folder: Path) -> None:
        """Of files; private. So is the whole directory."""
        for each in (self.path, folder):
            each.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            # Also one that was there before, if it is ours to close: some other group's is the operator's own doing.
            status = each.stat()
            if status.st_uid == os.getuid() and status.st_mode & 0o007:
                each.chmod(status.st_mode & 0o770)
        self._private.add(folder)

    def _read(self, key: str) -> bytes | None:
        try:
            with self._file(key).open("rb") as stream:
                if os.fstat(stream.fileno()).st_mtime > time.time():
                    return stream.read()
        except FileNotFoundError:
            pass
        # Not deleted here: a put may be renaming a new file over it at this moment. That is for `sweep`.
        return None

    def _unlink(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._file(key).unlink(missing_ok=True)

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
