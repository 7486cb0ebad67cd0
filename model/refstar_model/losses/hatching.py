"""A loss on stripes of one width and direction where the truth has none: what a discriminator teaches in the end.

Measured on system 3 beside a discriminator: from step 2,500 on, severely degraded eyes had a diagonal hatching of 5.7
pixels. Its power was below the truth's at that frequency, and no other loss or measure saw it.
"""

from torch import Tensor

from refstar_model.layers.spectrum import find_prominence, measure_power

ALLOWED = 1.2  # natural logarithms of power: what chance leaves in the spectrum of a face


def hatching_loss(picture: Tensor, truth: Tensor) -> Tensor:
    """How far frequencies stand out in a picture's spectrum, beyond the truth's, per picture [B].

        mean over k of max(0, Q(k) - max(0, Q_truth(k)) - 1.2),    Q = `find_prominence`

    Pictures and truth [B, 3, h, w] in 0..1, h and w at least 64. Blurred faces have 0.0001 of it; hatched ones,
    restored from what is severely degraded, 0.002. Of each picture by itself: in a mean spectrum the detail of good
    ones hides what is printed into bad ones (1,500 steps with such a loss left their hatching at 9 decibels).
    """
    own, wanted = (find_prominence(measure_power(x)) for x in (picture, truth))
    return (own - wanted.clamp(min=0) - ALLOWED).clamp(min=0).mean((-2, -1))
