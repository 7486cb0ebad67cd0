"""Pixels to bytes."""

import numpy as np
import numpy.typing as npt

from refstar_service.images.picture import Encoded, Picture


def encode(
    pixels: npt.NDArray[np.uint8],
    *,
    format: str,  # noqa: A002  the word of the API
    quality: int = 95,
    like: Picture | None = None,
) -> Encoded:
    """Encode RGB [H, W, 3] or grey [H, W] as "png", "jpeg" or "webp", with metadata and alpha of ``like``.

    ``quality`` 1..100 is for jpeg and webp. Raises ValueError on a wrong argument.
    """
    raise NotImplementedError
