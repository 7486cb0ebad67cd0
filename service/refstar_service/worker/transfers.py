"""Pictures from the URLs of a request, and its result to the URL that it names."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from typing import TypeVar

from refstar_service.images import EncodedPicture, ImageError, ImageLimits, probe
from refstar_service.jobs.request import EnrollRequest, RemoteFile, Request, StoredFile, remote_files
from refstar_service.outgoing.carrier import Carrier, Room, TransferError, Trouble
from refstar_service.restoration.errors import StepError
from refstar_service.restoration.upload import Upload
from refstar_service.worker.work import Download

T = TypeVar("T")

_DOWNLOAD_CODES = {
    Trouble.REFUSED: "image-url-refused",
    Trouble.UNREACHABLE: "image-url-unreachable",
    Trouble.REJECTED: "image-url-rejected",
    Trouble.TOO_LATE: "image-url-timeout",
    Trouble.TOO_LARGE: "image-too-many-bytes",
    Trouble.NO_ROOM: "request-too-large",
}
_DELIVERY_CODES = {
    Trouble.REFUSED: "output-url-refused",
    Trouble.REJECTED: "output-url-rejected",
    Trouble.TOO_LATE: "output-url-timeout",
}


class Transfers:
    """``most_bytes``: of all pictures of a request together. ``timeout``: seconds for all that is fetched for a job,
    and again for its delivery. Without a ``carrier``, nothing is fetched and delivered."""

    def __init__(
        self, carrier: Carrier | None, limits: ImageLimits, *, most_bytes: int, timeout: float
    ) -> None:
        self._carrier, self._limits = carrier, limits
        self._most_bytes, self.timeout = most_bytes, timeout

    async def download(self, request: Request) -> tuple[Download, ...]:
        """The pictures that a request names by URL, in their order, each as fit as an upload must be. Raises
        StepError."""
        deadline = asyncio.get_running_loop().time() + self.timeout
        room = Room(self._most_bytes - request.bytes)
        fetching = [
            asyncio.create_task(self._fetch(label, file, room, deadline))
            for label, file in zip(_name_urls(request), remote_files(request.files), strict=True)
        ]
        try:
            return tuple(await asyncio.gather(*fetching))
        finally:
            for task in fetching:
                task.cancel()
            await asyncio.gather(*fetching, return_exceptions=True)

    async def deliver(self, url: str, picture: EncodedPicture) -> float:
        """Put the result there; returns when, in unix seconds. Raises StepError."""
        deadline = asyncio.get_running_loop().time() + self.timeout
        try:
            await self._required("output_url").put(url, picture.data, picture.media_type, deadline)
        except TransferError as error:
            code = _DELIVERY_CODES.get(error.trouble, "output-url-unreachable")
            raise StepError(code, self._tell("output_url", error)) from None
        return time.time()

    async def _fetch(self, label: str, file: RemoteFile, room: Room, deadline: float) -> Download:
        carrier = self._required(label)
        try:
            data = await carrier.fetch(file.url, self._limits.max_bytes, room, deadline)
        except TransferError as error:
            raise StepError(_DOWNLOAD_CODES[error.trouble], self._tell(label, error)) from None
        return await asyncio.to_thread(_look_at, label, file, data, self._limits)

    def _tell(self, label: str, error: TransferError) -> str:
        """As a sentence. It names no host: where it went wrong may be behind a redirect."""
        match error.trouble:
            case Trouble.REFUSED:
                return f"{label}: The URL, or where it leads, may not be called: {error.detail}."
            case Trouble.TOO_LATE:
                return f"{label}: Its server {error.detail}; there are {self.timeout:g} s."
            case Trouble.TOO_LARGE:
                return f"{label}: Its server {error.detail}; the limit is {self._limits.max_bytes}."
            case Trouble.NO_ROOM:
                return f"{label}: Its server {error.detail}: {self._most_bytes} (REFSTAR_MAX_REQUEST_BYTES)."
        return f"{label}: Its server {error.detail}."

    def _required(self, label: str) -> Carrier:
        if self._carrier is None:
            raise StepError("urls-disabled", f"{label}: This worker connects to no URLs.")
        return self._carrier


def in_order(request: Request, stored: Sequence[T], fetched: Sequence[T]) -> list[T]:
    """What belongs to the files of a request, in their order, from what belongs to its uploads and to its URLs."""
    uploads, downloads = iter(stored), iter(fetched)
    return [next(uploads if isinstance(file, StoredFile) else downloads) for file in request.files]


def _name_urls(request: Request) -> list[str]:
    """What the form calls each of its URLs, in their order."""
    references = [f"reference_urls[{index}]" for index in range(len(remote_files(request.references)))]
    if isinstance(request, EnrollRequest) or isinstance(request.image, StoredFile):
        return references
    return ["image_url", *references]


def _look_at(label: str, file: RemoteFile, data: bytes, limits: ImageLimits) -> Download:
    """Hashes megabytes."""
    try:
        info = probe(data, limits)
    except ImageError as refused:
        raise StepError(refused.code, f"{label}: {refused.detail}") from refused
    digest = hashlib.sha256(data).hexdigest()
    return Download(Upload(file.name, data, digest), info.width * info.height)
