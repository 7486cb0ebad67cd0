"""Faces without colors on their way to a model and back.

Models are trained on color photographs. Gray ones, and bluish ones even more, are strange to them, and they keep less
of the person; the same crop in the tone of skin is not. So faces and references without colors are shown to the model
in that tone, and what it makes of them gets the photograph's own again.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.feature_cache import Features
from refstar_service.engine.restorer import ReferencePicture
from refstar_service.faces.color import Tone, tone_of

Pixels = NDArray[np.uint8]

#: Gray levels by which red goes up and blue goes down, in middle gray; black and white stay. 0: gray is shown as gray.
#: Without references the shipped model keeps .75 of the identity of ten faces then, as in color; shown as gray .68.
WARMTH = 40.0

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # of brightness, which stays


def _skin() -> Tone:
    levels = np.arange(256.0)
    by = WARMTH * 4 * levels * (255 - levels) / 255**2
    table = np.stack([levels + by, levels - by * (_RED - _BLUE) / _GREEN, levels - by], -1)
    return Tone(np.clip(np.rint(table), 0, 255).astype(np.uint8))


_SKIN = _skin()


def warm(crop: Pixels) -> Pixels:
    """The crop [S, S, 3] as the model is shown it: in the tone of skin if it has no colors, else as it is."""
    return crop if not WARMTH or tone_of(crop) is None else _SKIN.of(crop)


def warm_reference(reference: ReferencePicture | Features) -> ReferencePicture | Features:
    """The same for a reference. Of one whose features are known it was done before."""
    if not isinstance(reference, ReferencePicture):
        return reference
    return replace(reference, pixels=warm(reference.pixels))


def cool(restored: Pixels, crop: Pixels) -> Pixels:
    """What the model made [S, S, 3] of ``crop`` in the crop's own tone, if that has no colors."""
    tone = tone_of(crop)
    return restored if tone is None else tone.of(restored)
