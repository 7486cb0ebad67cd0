"""A loss on stripes of one width and direction where the truth has none: what a discriminator teaches in the end.

Measured on system 3 beside a discriminator: from step 2,500 on, severely degraded eyes had a diagonal hatching of 5.7
pixels. Its power was below the truth's at that frequency, and no other loss or measure saw it.
"""

from torch import Tensor

from refstar_model.layers.spectrum import find_prominence, measure_power

ALLOWED = 0.7  # natural logarithms of power: what is left of chance in the spectrum of some faces


def hatching_loss(pictures: Tensor, truth: Tensor) -> Tensor:
    """How far frequencies stand out in the mean spectrum of all pictures, beyond the truth; a scalar.

        mean over k of max(0, Q(k) - max(0, Q_truth(k)) - 0.7),    Q = `find_prominence`

    Pictures and truth [B, 3, h, w] in 0..1, h and w at least 64. Of all together, since what a network prints is in all
    of its pictures, while one picture may well show a striped shirt.
    """
    own, wanted = (find_prominence(measure_power(x)) for x in (pictures, truth))
    return (own - wanted.clamp(min=0) - ALLOWED).clamp(min=0).mean()
