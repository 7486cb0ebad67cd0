"""Keys in a JSON file that its owner alone may read: for one machine, or a secret that is mounted into gateways."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from refstar_service.access.key import ApiKey


class KeyFileError(ValueError):
    """The file of keys cannot be read or holds something else; the message never shows what."""


class FileKeys:
    """Reads the file again whenever it was replaced. No file: no keys. Raises KeyFileError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}
        self._by_token: dict[str, ApiKey] = {}

    async def of_token(self, token_id: str) -> ApiKey | None:
        self._refresh()
        return self._by_token.get(token_id)

    async def get(self, name: str) -> ApiKey | None:
        self._refresh()
        return self._keys.get(name)

    async def names(self) -> list[str]:
        self._refresh()
        return sorted(self._keys)

    async def change(self, name: str, change: Callable[[ApiKey | None], ApiKey | None]) -> ApiKey | None:
        return await asyncio.to_thread(self._change, name, change)

    def _refresh(self) -> None:
        # A few microseconds: a local file's status, at every request, so that a revoked key is out at once.
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._seen, self._keys, self._by_token = None, {}, {}
            return
        except OSError as error:
            raise self._unreadable(error) from error
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        if version != self._seen:
            self._keys = self._read()
            self._by_token = {token.id: key for key in self._keys.values() for token in key.tokens}
            self._seen = version

    def _read(self) -> dict[str, ApiKey]:
        try:
            keys = [
                ApiKey.from_json(json.dumps(entry)) for entry in json.loads(self.path.read_text())["keys"]
            ]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unreadable(error) from error
        except (ValueError, KeyError, TypeError) as error:
            # Not what the parser says: it quotes the file.
            raise KeyFileError(
                f"{self.path} holds no API keys; move it away, and `refstar keys add` makes a new one"
            ) from error
        return {key.name: key for key in keys}

    def _unreadable(self, error: OSError) -> KeyFileError:
        return KeyFileError(
            f"{self.path} cannot be read as a file of API keys: {error.strerror}; "
            "set REFSTAR_KEYS_FILE to a file that this user may read"
        )

    def _change(self, name: str, change: Callable[[ApiKey | None], ApiKey | None]) -> ApiKey | None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self._read()
            changed = change(keys.pop(name, None))
            if changed is not None:
                keys[name] = changed
            self._write(keys)
            return changed
        finally:
            os.close(lock)

    def _write(self, keys: dict[str, ApiKey]) -> None:
        text = json.dumps({"keys": [json.loads(keys[name].to_json()) for name in sorted(keys)]}, indent=1)
        unfinished = self.path.with_name(f".{self.path.name}.{uuid4().hex}")
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(text + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(self.path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
