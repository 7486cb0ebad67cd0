"""How far a picture is from the truth, pixel by pixel."""

from torch import Tensor

from refstar_model.layers.pyramid import down, resize_grid


def pixel_loss(picture: Tensor, truth: Tensor, gradient_weight: float) -> Tensor:
    """Charbonnier plus L1 of the gradients at three scales, per picture: [B]."""
    error = picture - truth
    loss = (error.square() + 1e-6).sqrt().mean((1, 2, 3))
    for scale in range(3):
        if scale:
            error = down(error)
        along_x = (error[..., :, 1:] - error[..., :, :-1]).abs().mean((1, 2, 3))
        along_y = (error[..., 1:, :] - error[..., :-1, :]).abs().mean((1, 2, 3))
        loss = loss + gradient_weight * (along_x + along_y) / 2
    return loss


def coarse_loss(picture: Tensor, truth: Tensor, side: int) -> Tensor:
    """L1 of both [B, 3, h, h] shrunk to ``side``, per picture: [B]."""
    return (resize_grid(picture, side) - resize_grid(truth, side)).abs().mean((1, 2, 3))
