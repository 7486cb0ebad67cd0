"""How many bytes a restoration may come to need, so that none is admitted whose result finds no room."""

from refstar_service.images import ImageInfo, ImageLimits
from refstar_service.jobs import RestoreRequest
from refstar_service.restoration.rules import ResultPlan

#: Bytes for a pixel of the result: what a photograph full of noise takes. Lossless types beyond these do not shrink it.
LOSSY = {"jpeg": 1.5, "webp": 1.5, "avif": 1.5}
LOSSLESS = 3.0
ALPHA = 1.0
SELECTION = 0.5  # for a pixel of the picture before `upscale`; few colors, in large areas
METADATA = 128 * 1024


#: Of a picture that is yet to be fetched: what telephones make. For a larger one less room is kept free than its result
#: may take; where that is not to be had then, its restoration fails as `storage-full`.
PRESUMED_PIXELS = 12_000_000


def estimate_result_bytes(request: RestoreRequest, info: ImageInfo, plan: ResultPlan) -> int:
    """Bytes that the planned result and the selection picture take at most."""
    each = LOSSY.get(plan.format, LOSSLESS) + (ALPHA if info.has_alpha else 0)
    return _estimate(request, plan.width * plan.height, each)


def presume_result_bytes(request: RestoreRequest, side: int, limits: ImageLimits) -> int:
    """The same where the picture is yet to be fetched; ``side``: of the model's crops, in pixels."""
    knobs = request.knobs
    pixels = side**2 if knobs.aligned else PRESUMED_PIXELS
    each = LOSSY["jpeg"] if knobs.format == "same" else LOSSY.get(knobs.format, LOSSLESS)
    return _estimate(request, min(knobs.upscale**2 * pixels, limits.max_pixels), each)


def _estimate(request: RestoreRequest, pixels: int, each: float) -> int:
    factor = request.knobs.upscale**2
    selection = SELECTION * pixels / factor if request.references or request.people else 0
    return round(each * pixels + selection) + METADATA
