"""A stored person's references on their way into a job: from memory, else from the blob store, else encoded anew."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from refstar_service.blobs.store import BlobStore
from refstar_service.engine.feature_bytes import from_bytes, to_bytes
from refstar_service.engine.feature_cache import Features
from refstar_service.engine.restorer import FaceRestorer
from refstar_service.jobs.request import StoredFile, StoredPerson
from refstar_service.people import PeopleStore, features_key
from refstar_service.restoration.errors import StepError
from refstar_service.restoration.recalled import StoredReference
from refstar_service.restoration.report import ReferenceReport
from refstar_service.restoration.rules import leave_out_surplus, share_references
from refstar_service.restoration.steps import Model
from refstar_service.restoration.upload import Upload

log = logging.getLogger(__name__)

#: Why a job that names a person fails: who was there when it was accepted has been deleted, or has expired.
PERSON_GONE = "person-gone"
#: Why a reference of a stored person is left out: it was removed after the job was accepted.
REMOVED = "reference-removed"


@dataclass
class Recall:
    """Finds the references of people, and shares what it had to encode. Troubles of Redis and of the blob store come as
    they raise them."""

    people: PeopleStore
    blobs: BlobStore
    _remembered: dict[str, dict[str, int]] = field(
        default_factory=dict
    )  # numbers by key in memory, by person

    async def references(self, people: Sequence[StoredPerson], model: Model) -> tuple[StoredReference, ...]:
        """The references of these people, one after the other in their order; of more than are taken, the best are
        used. Raises StepError (person-gone)."""
        present = await self.people.present([person.id for person in people])
        if gone := [person.id for person in people if person.id not in present]:
            whose = "The person" if len(people) == 1 else f"The person {gone[0]}"
            raise StepError(PERSON_GONE, f"{whose} was deleted or expired before a worker started.")
        most = share_references(len(people), model.max_references)
        recalled: list[StoredReference] = []
        for person in people:
            there = _leave_out_removed([one.report for one in person.references], present[person.id])
            reports = leave_out_surplus(there, most)
            if not any(report.used for report in reports):
                raise StepError(PERSON_GONE, f"The references of the person {person.id} were removed.")
            for report, one in zip(reports, person.references, strict=True):
                known = await self._reference(person, report, one.crop, model.restorer)
                numbered = replace(report, index=len(recalled) + 1, person=person.id)
                recalled.append(replace(known, report=numbered))
        return tuple(recalled)

    async def share(
        self, people: Sequence[StoredPerson], recalled: Sequence[StoredReference], restorer: FaceRestorer
    ) -> None:
        """Keep with these people what a job had to encode, for other workers and for later."""
        for person in people:
            own = [one for one in recalled if one.crop is not None and one.report.person == person.id]
            fresh = {one.number: restorer.recall(one.key) for one in own}
            known = {number: features for number, features in fresh.items() if features is not None}
            if known and await self.people.will_store(person.id, restorer.encoder):
                await self.keep(person.id, restorer.encoder, known)
                # What was removed meanwhile must not come back by this.
                left = (await self.people.present([person.id])).get(person.id)
                gone = [] if left is None else [number for number in known if number not in left]
                await self.blobs.delete(
                    *(features_key(person.id, number, restorer.encoder) for number in gone)
                )

    async def keep(self, person_id: str, encoder: str, features: Mapping[int, Features]) -> bool:
        """Store features by the number of their reference, for as long as the person is there. False if that is no
        longer so; then nothing is left. Whoever calls this has told the person's record of the encoder before."""
        person = await self.people.get(person_id)
        keys = [features_key(person_id, index, encoder) for index in features]
        if person is not None:
            ttl = max(1.0, person.expires_at - time.time())
            for key, arrays in zip(keys, features.values(), strict=True):
                await self.blobs.put(key, await asyncio.to_thread(to_bytes, arrays), ttl)
            if await self.people.present([person_id]):
                return True
        await self.blobs.delete(*keys)
        return False

    async def forget_deleted(self, restorers: Sequence[FaceRestorer]) -> None:
        """Of people who are gone, and of references that were removed, nothing stays in memory either."""
        present = await self.people.present(list(self._remembered))
        for person_id, keys in list(self._remembered.items()):
            left = present.get(person_id, frozenset())
            for key in [key for key, number in keys.items() if left is not None and number not in left]:
                for restorer in restorers:
                    restorer.forget(key)
            for key in list(keys):
                if all(restorer.recall(key) is None for restorer in restorers):
                    del keys[key]
            if not keys:
                del self._remembered[person_id]

    async def _reference(
        self, person: StoredPerson, report: ReferenceReport, crop: StoredFile | None, restorer: FaceRestorer
    ) -> StoredReference:
        if crop is None or not report.used:
            return StoredReference(report, report.index, "", None, None, fetched=False)
        key = f"{crop.key}/{crop.sha256}"
        self._remembered.setdefault(person.id, {})[key] = report.index
        features = restorer.recall(key)
        if features is not None:
            return StoredReference(report, report.index, key, features, None, fetched=False)
        data = await self.blobs.get(features_key(person.id, report.index, restorer.encoder))
        features = await asyncio.to_thread(from_bytes, data) if data is not None else None
        if features is not None and restorer.remember(key, features):
            return StoredReference(report, report.index, key, features, None, fetched=True)
        if data is not None:
            log.warning("stored features of reference %d of person %s are damaged", report.index, person.id)
        picture = await self.blobs.get(crop.key)
        if picture is None or hashlib.sha256(picture).hexdigest() != crop.sha256:
            raise StepError(PERSON_GONE, f"Reference {report.index} of the person is no longer stored.")
        upload = Upload(crop.name, picture, crop.sha256)
        return StoredReference(report, report.index, key, None, upload, fetched=False)


def _leave_out_removed(
    reports: Sequence[ReferenceReport], left: frozenset[int] | None
) -> list[ReferenceReport]:
    """The reports, of which those that are not among the numbers that are ``left`` (None: all are) are not used."""
    return [
        report
        if left is None or report.index in left or not report.used
        else replace(report, used=False, reason=REMOVED)
        for report in reports
    ]
