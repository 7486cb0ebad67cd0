"""A job's bytes in the blob store: uploads read and checked, results kept and cleared away."""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass

from refstar_service.blobs import STORE_ERRORS, BlobStore
from refstar_service.images import EncodedPicture
from refstar_service.jobs.job import JobResult
from refstar_service.jobs.request import Request, StoredFile
from refstar_service.jobs.reservation import Attempt
from refstar_service.restoration.errors import StepError
from refstar_service.restoration.steps import ComposedPicture
from refstar_service.restoration.upload import Upload


@dataclass(frozen=True)
class JobFiles:
    """``result_ttl``: seconds that results are kept once their job has ended. Troubles of the store come as it raises
    them."""

    blobs: BlobStore
    result_ttl: float

    async def read(self, request: Request) -> list[Upload]:
        """Its uploads, in their order. Raises StepError (input-expired) when one is gone or changed."""
        blobs = await asyncio.gather(*(self.blobs.get(file.key) for file in request.uploads))
        uploads = []
        for file, data in zip(request.uploads, blobs, strict=True):
            if data is None:
                raise StepError("input-expired", f"The upload {file.name or file.key} is no longer stored.")
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise StepError(
                    "input-expired", f"The upload {file.name or file.key} was changed in the store."
                )
            uploads.append(Upload(file.name, data, file.sha256))
        return uploads

    async def keep(
        self, started: Attempt, composed: ComposedPicture, name: str, *, recorded_within: float
    ) -> JobResult:
        """Write the results of the picture with this file ``name``; do so before the outcome is recorded, so that a
        recorded one can be fetched. All of them or none. ``recorded_within``: seconds from now on; the time for which
        a job promises its result begins only then."""
        ttl = recorded_within + self.result_ttl
        image = await self._put(started, "result", composed.result, name, ttl)
        if composed.selection is None:
            return JobResult(image, None)
        try:
            return JobResult(image, await self._put(started, "selection", composed.selection, name, ttl))
        except STORE_ERRORS:
            with suppress(*STORE_ERRORS):  # then it stays until it expires
                await self.blobs.delete(image.key)
            raise

    async def drop_result(self, result: JobResult) -> None:
        files = [file for file in (result.image, result.selection) if file is not None]
        await self.blobs.delete(*(file.key for file in files))

    async def drop_uploads(self, request: Request) -> None:
        await self.blobs.delete(*(file.key for file in request.uploads))

    async def _put(
        self, started: Attempt, part: str, encoded: EncodedPicture, name: str, ttl: float
    ) -> StoredFile:
        # The fence in the key: a worker that was overtaken cannot write over the result of the one that won.
        key = f"{started.job_id}/{part}-{started.fence}"
        await self.blobs.put(key, encoded.data, ttl)
        digest = hashlib.sha256(encoded.data).hexdigest()
        return StoredFile(key, digest, encoded.media_type, len(encoded.data), name)
