"""How many bytes a restoration may come to need, so that none is admitted whose result finds no room."""

from refstar_service.images import ImageInfo
from refstar_service.jobs import RestoreRequest
from refstar_service.restoration.rules import ResultPlan

#: Bytes for a pixel of the result: what a photograph full of noise takes. Lossless types beyond these do not shrink it.
LOSSY = {"jpeg": 1.5, "webp": 1.5, "avif": 1.5}
LOSSLESS = 3.0
ALPHA = 1.0
SELECTION = 0.5  # for a pixel of the picture before `upscale`; few colors, in large areas
METADATA = 128 * 1024


def estimate_result_bytes(request: RestoreRequest, info: ImageInfo, plan: ResultPlan) -> int:
    """Bytes that the planned result and the selection picture take at most."""
    pixels = plan.width * plan.height
    each = LOSSY.get(plan.format, LOSSLESS) + (ALPHA if info.has_alpha else 0)
    factor = request.knobs.upscale**2
    selection = SELECTION * pixels / factor if request.references or request.person else 0
    return round(each * pixels + selection) + METADATA
