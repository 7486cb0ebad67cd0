"""The golden picture: drawn alike by the exporter and by the service, so that a worker can prove at start that its
provider computes what was measured. (The service has the same few lines; a test holds the two together.)
"""

import numpy as np
from numpy.typing import NDArray


def golden_picture(size: int) -> NDArray[np.uint8]:
    """RGB [size, size, 3]: smooth waves and one bright block."""
    axis = np.arange(size) / size
    x, y = np.meshgrid(axis, axis)
    waves = [127 + 90 * np.sin(2 * np.pi * (f * x + g * y)) for f, g in ((3, 1), (2, 5), (7, 4))]
    picture = np.stack(waves, -1)
    picture[size // 3 : size // 2, size // 4 : size // 2] = 230
    return np.rint(picture).astype(np.uint8)


def block_means(pixels: NDArray[np.uint8], blocks: int = 8) -> list[float]:
    """Mean level of each block and channel, row by row."""
    step = pixels.shape[0] // blocks
    means = pixels.reshape(blocks, step, blocks, step, 3).astype(np.float64).mean((1, 3))
    return [float(v) for v in means.reshape(-1)]
