"""A stored person's reference as a job takes it."""

from dataclasses import dataclass

from refstar_service.engine.feature_cache import Features
from refstar_service.engine.restorer import ReferencePicture
from refstar_service.faces.align import fit_aligned
from refstar_service.images import ImageLimits
from refstar_service.restoration.references import Reference
from refstar_service.restoration.report import ReferenceReport
from refstar_service.restoration.stopwatch import Stopwatch
from refstar_service.restoration.upload import Upload


@dataclass(frozen=True, eq=False)
class StoredReference:
    """A reference of a stored person: its features, or else its aligned face, or neither if it is of no use.

    ``number``: of the person's references, from 1, which counts on in the ``report`` where several people were named.
    """

    report: ReferenceReport
    number: int
    key: str  # of its features in a worker's memory
    features: Features | None
    crop: Upload | None
    fetched: bool  # the features came from the blob store


def take_recalled(recalled: StoredReference, size: int, limits: ImageLimits, clock: Stopwatch) -> Reference:
    """As the model takes it; ``size`` is the side of the model's crops."""
    if recalled.features is not None:
        return Reference(recalled.features, recalled.report, None, ("fetch",) if recalled.fetched else ())
    if recalled.crop is None:
        return Reference(None, recalled.report)
    with clock("decode"):
        pixels = fit_aligned(recalled.crop.decode("the stored reference", limits).pixels, size)
    return Reference(ReferencePicture(recalled.key, pixels), recalled.report, None, ("decode",))
