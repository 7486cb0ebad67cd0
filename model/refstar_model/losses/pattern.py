"""A loss on what repeats where nothing should: the lattice that pixel shuffles print under sharpening losses."""

from torch import Tensor

PERIOD = 16  # pixels; catches 8, 4 and 2 too
PARTS = 4  # the picture is looked at in so many parts along each axis


def pattern_loss(picture: Tensor, truth: Tensor) -> Tensor:
    """Mean size of the tile that the error repeats, per picture [B]; pictures [B, 3, h, w] in 0..1.

        tile_p(i, j) = mean over the tiles of part p of (picture - truth)(16 a + i, 16 b + j)
        loss = mean |tile_p - mean of tile_p|

    Detail that is only wrong averages out over a part's tiles; what is printed with a period of 16 pixels or a divisor
    of it stays. h and w are multiples of 64.
    """
    error = picture - truth
    batch, channels, height, width = error.shape
    down, across = height // (PARTS * PERIOD), width // (PARTS * PERIOD)
    parts = error.reshape(batch, channels, PARTS, down, PERIOD, PARTS, across, PERIOD)
    tiles = parts.mean((3, 6))  # [B, 3, PARTS, PERIOD, PARTS, PERIOD]
    return (tiles - tiles.mean((3, 5), keepdim=True)).abs().mean((1, 2, 3, 4, 5))
