"""A run: items in, results out, a bounded number under way, each of them submitted once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from refstar_client.async_client import AsyncClient
from refstar_client.errors import (
    AccessError,
    InvalidRequestError,
    LimitError,
    NotFoundError,
    ProblemError,
    RefstarError,
    ServiceError,
    UnexpectedAnswerError,
    UnreachableError,
)
from refstar_client.options import RestorationOptions
from refstar_client.resources import Restoration
from refstar_client.storing import PictureFile
from refstar_client.submit.journal import Entry, Journal
from refstar_client.submit.plan import Item, Wishes
from refstar_client.submit.progress import Display, Progress
from refstar_client.submit.report import describe_outcome

MOST_TRIES = 3  # restorations for one item, if results expire before they are fetched
HELD = 60.0  # seconds that an answer may be held

_SUFFIXES = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/webp": (".webp",),
    "image/tiff": (".tif", ".tiff"),
    "image/bmp": (".bmp",),
    "image/avif": (".avif",),
}
#: Refusals that every other item gets as well, if what is wrong is wanted for all of them.
_COMMON = ("unknown-parameter", "invalid-parameter", "unknown-model", "unknown-person", "person-failed")


class RunError(Exception):
    """The run cannot go on; what is under way is taken up again by the next one."""


@dataclass(frozen=True)
class Pictures:
    """The files of an item, as they are sent."""

    photograph: tuple[str, bytes]
    references: tuple[tuple[str, bytes], ...]


class Run:
    """``common``: what is wanted for all items alike. ``delete``: delete each restoration once its result is here."""

    def __init__(
        self,
        client: AsyncClient,
        journal: Journal,
        output: Path,
        common: Wishes,
        *,
        delete: bool = False,
    ) -> None:
        self._client = client
        self._journal = journal
        self._output = output
        self._common = common
        self._delete = delete
        self._names: frozenset[str] = frozenset()

    async def restore(self, items: Sequence[Item], in_flight: int, retry_failed: bool) -> Progress:
        """Everything that the journal does not know as done. Raises RunError."""
        self._names = frozenset(item.output for item in items)
        waiting = [item for item in items if self._is_wanted(item, retry_failed)]
        progress = Progress(len(items), already=len(items) - len(waiting))
        display = Display(progress)
        source = iter(waiting)
        ticker = asyncio.create_task(_tick(display))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(in_flight, len(waiting))):
                    group.create_task(self._work(source, progress, display))
        except* RunError as errors:
            raise RunError(str(errors.exceptions[0])) from None
        finally:
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker
            display.say(progress.line())
        return progress

    def _is_wanted(self, item: Item, retry_failed: bool) -> bool:
        outcome = self._journal.entry(item.output).outcome
        if outcome is None:
            return True
        if outcome["status"] == "succeeded":
            return not (self._output / str(outcome.get("file"))).exists()  # somebody deleted it
        return retry_failed

    async def _work(self, source: Iterator[Item], progress: Progress, display: Display) -> None:
        for item in source:
            progress.under_way += 1
            try:
                outcome = await self._carry_out(item)
            finally:
                progress.under_way -= 1
            self._journal.note_outcome(item.output, outcome)
            if outcome["status"] == "succeeded":
                progress.done += 1
                await self._clean_up(str(outcome["restoration"]))
            else:
                progress.failed += 1
                display.say(
                    f"{item.photograph}: {outcome.get('error', outcome['status'])}: {outcome.get('detail', '')}"
                )

    async def _carry_out(self, item: Item) -> dict[str, Any]:
        """How it ended, for the journal; raises RunError if the others would end the same way."""
        entry = self._journal.entry(item.output)
        if entry.outcome is not None:  # ended once, and wanted again
            entry.id, entry.outcome = None, None
        try:
            for _ in range(MOST_TRIES):
                ended = await self._find(entry) or await self._submit(item, entry)
                if ended is None:
                    continue
                if not ended.succeeded and ended.status != "expired":
                    return describe_outcome(ended)
                with suppress(NotFoundError):  # it expired before it was fetched: once more
                    return await self._fetch(item, ended)
                entry.id = None
            return {
                "status": "expired",
                "error": "restoration-expired",
                "detail": "results expire before they are fetched",
            }
        except _FileError as error:
            return {"status": "failed", "error": "file-error", "detail": str(error)}
        except (AccessError, LimitError, ServiceError, UnreachableError, UnexpectedAnswerError) as error:
            raise RunError(str(error)) from error
        except ProblemError as error:
            if error.slug in _COMMON and self._is_common(error, item):
                raise RunError(f"{error} (asked for every photograph)") from error
            return {"status": "refused", "error": error.slug, "detail": error.detail}

    async def _clean_up(self, restoration: str) -> None:
        """After the outcome is on record: nobody asks for the restoration again."""
        if self._delete:
            with suppress(RefstarError):  # then it expires by itself
                await self._client.delete_restoration(restoration)

    def _is_common(self, error: ProblemError, item: Item) -> bool:
        if not isinstance(error, InvalidRequestError):
            return item.wishes.people == self._common.people
        return item.wishes.options == self._common.options

    async def _find(self, entry: Entry) -> Restoration | None:
        """The restoration that an earlier run made, if it is still there."""
        if entry.id is None:
            return None
        try:
            return await self._client.wait_for_restoration(entry.id)
        except NotFoundError:
            return None

    async def _submit(self, item: Item, entry: Entry) -> Restoration | None:
        """None if an earlier run submitted it and somebody deleted it since: the next try is another request."""
        pictures = await asyncio.to_thread(_read, item)
        try:
            made = await self._client.create_restoration(
                pictures.photograph,
                references=pictures.references,
                people=item.wishes.people,
                wait=HELD,
                idempotency_key=_make_key(self._journal.nonce, item, entry.tries, pictures),
                **cast(RestorationOptions, dict(item.wishes.options)),
            )
        except NotFoundError as error:
            if error.slug != "unknown-restoration":
                raise
            entry.tries += 1
            return None
        self._journal.note_accepted(item.output, made.id)
        return made if made.ended else await self._client.wait_for_restoration(made.id)

    async def _fetch(self, item: Item, ended: Restoration) -> dict[str, Any]:
        file = await self._client.download_image(ended.id)
        name = name_result(item.output, file)
        if name != item.output and name in self._names:
            raise _FileError(
                f"the result would overwrite that of {name}: name it in a manifest's column `output`"
            )
        try:
            await asyncio.to_thread(file.write, self._output / name)
        except OSError as error:
            raise RunError(f"results cannot be written: {error}") from error
        return describe_outcome(ended) | {"file": name}


class _FileError(Exception):
    """A file of one item."""


def name_result(output: str, file: PictureFile) -> str:
    """The output's name, with another suffix behind it where its own would not tell the truth."""
    suffixes = _SUFFIXES.get(file.media_type, ())
    if not suffixes or output.lower().endswith(suffixes):
        return output
    return output + suffixes[0]


def _read(item: Item) -> Pictures:
    try:
        photograph, *references = (
            (path.name, path.read_bytes()) for path in (item.photograph, *item.wishes.references)
        )
    except OSError as error:
        raise _FileError(str(error)) from error
    return Pictures(photograph, tuple(references))


def _make_key(nonce: str, item: Item, tries: int, pictures: Pictures) -> str:
    """The same for the same request of the same journal, in whatever run it is sent: then it is carried out once. A
    photograph that was changed, or a restoration that has gone, makes another."""
    digest = hashlib.sha256()
    wishes = item.wishes
    words = (
        nonce,
        item.output,
        str(tries),
        ";".join(wishes.people),
        *sorted(f"{k}={v}" for k, v in wishes.options.items()),
    )
    files = (
        part for name, data in (pictures.photograph, *pictures.references) for part in (name.encode(), data)
    )
    for part in (*(word.encode() for word in words), *files):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


async def _tick(display: Display) -> None:
    while True:
        await asyncio.sleep(display.every)
        display.show()
