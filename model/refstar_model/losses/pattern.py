"""A loss on what repeats where nothing should: the lattice that pixel shuffles print under sharpening losses."""

from torch import Tensor

PERIOD = 16  # pixels; catches 8, 4 and 2 too
PART = 64  # pixels at least of the parts that the picture is looked at in
PARTS = 4  # of them along each axis at most


def pattern_loss(picture: Tensor, truth: Tensor) -> Tensor:
    """Mean size of the tile that the error repeats, per picture [B]; pictures [B, 3, h, w] in 0..1.

        tile_p(i, j) = mean over the tiles of part p of (picture - truth)(16 a + i, 16 b + j)
        loss = mean |tile_p - mean of tile_p|

    Detail that is only wrong averages out over a part's tiles; what is printed with a period of 16 pixels or a divisor
    of it stays. h and w are multiples of 64, at least 64.
    """
    # Channels last, as pictures are laid out: otherwise this loss's gradient is not, and slows down all that it meets.
    error = (picture - truth).permute(0, 2, 3, 1)
    batch, height, width, channels = error.shape
    rows, columns = (min(PARTS, side // PART) for side in (height, width))
    down, across = height // (rows * PERIOD), width // (columns * PERIOD)
    parts = error.reshape(batch, rows, down, PERIOD, columns, across, PERIOD, channels)
    tiles = parts.mean((2, 5))  # [B, rows, PERIOD, columns, PERIOD, 3]
    return (tiles - tiles.mean((2, 4), keepdim=True)).abs().mean((1, 2, 3, 4, 5))
