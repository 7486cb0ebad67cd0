"""The adversarial loss: a small patch discriminator, its own training, and R1.

    generator:      softplus(-D(fake))
    discriminator:  softplus(D(fake)) + softplus(-D(real)) + gamma / 2 * |grad D(real)|^2   (the last every 16th step)

Non-saturating loss with R1 as in StyleGAN2 (arXiv 1912.04958, appendix B). The discriminator sees crops of 256 pixels:
whole pictures where the truth is sharp only at 256, a random place of those at 512. The fakes are the self stream as
well as the result: the blend holds the self stream fixed, so that the result alone could sharpen nothing outside the
masks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.precision import autocast

CROP = 256


@dataclass(frozen=True)
class DiscriminatorParams:
    width: int = 32  # channels on the finest grid
    gamma: float = 1.0  # of R1, on inputs in -1..1
    r1_every: int = 16  # steps; the penalty is scaled up by it


class PatchDiscriminator(nn.Module):
    """Logits per patch: [N, 3, h, w] in 0..1 to [N, 1, h / 8, w / 8]; h and w multiples of 8.

    Each logit sees some 70 pixels: an eye with its brow at 256, not a face. What makes a person is the identity loss's
    business; a net that has seen 560 people must not judge faces as a whole.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(12, width, 3, padding=1),
                nn.Conv2d(width, 2 * width, 4, 2, 1),
                nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
                nn.Conv2d(4 * width, 4 * width, 3, padding=1),
            ]
        )
        self.out = nn.Conv2d(4 * width, 1, 3, padding=1)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """What the layers say, fine to coarse."""
        x, out = F.pixel_unshuffle(pictures * 2 - 1, 2), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            out.append(x)
        return out

    def forward(self, pictures: Tensor) -> Tensor:
        return self.out(self.features(pictures)[-1])


class Adversary:
    """A discriminator at work: it judges what a step made, then learns from it (the ``Rival`` of the loop)."""

    def __init__(self, params: DiscriminatorParams | None = None) -> None:
        self.params = params or DiscriminatorParams()
        self.module = PatchDiscriminator(self.params.width)
        self._seen: tuple[Tensor, Tensor] | None = None

    def judge(self, fakes: list[Tensor], truth: Tensor, matched: bool = True) -> tuple[Tensor, Tensor | None]:
        """The generator's loss and, where ``matched``, the feature distance to the truth; means over the batch.

        ``fakes`` and ``truth`` [B, 3, h, w] in 0..1. The feature distance (L1 of the discriminator's layers, as in
        pix2pixHD, arXiv 1711.11585) is a perceptual loss without foreign weights.
        """
        top, left = (int(torch.randint(max(1, s - CROP + 1), ())) for s in truth.shape[-2:])
        place = (..., slice(top, top + CROP), slice(left, left + CROP))
        fake, real = torch.cat([f[place] for f in fakes]), truth[place]
        self._seen = (fake.detach(), real.detach())
        # Only the pictures may learn from this pass; the discriminator's own comes later.
        self.module.requires_grad_(False)
        with autocast(fake.device):
            seen = self.module.features(fake)
            with torch.no_grad():
                wanted = self.module.features(real) if matched else []
            verdict = self.module.out(seen[-1]).float()
        self.module.requires_grad_(True)
        fooled = F.softplus(-verdict).mean()
        if not matched:
            return fooled, None
        apart = [
            (a.float() - b.float().repeat(len(fakes), 1, 1, 1)).abs().mean()
            for a, b in zip(seen, wanted, strict=True)
        ]
        return fooled, torch.stack(apart).mean()

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]] | None:
        """The discriminator's own loss on the pictures that it judged last; None when it judged none since."""
        if self._seen is None:
            return None
        (fake, real), self._seen = self._seen, None
        with autocast(fake.device):
            on_fake, on_real = self.module(fake).float(), self.module(real).float()
        total = F.softplus(on_fake).mean() + F.softplus(-on_real).mean()
        parts = {
            "rival": float(total.detach()),
            "rival_gap": float((on_real.mean() - on_fake.mean()).detach()),
        }
        if step % self.params.r1_every == 0:
            total = total + self.params.gamma / 2 * self.params.r1_every * gradient_penalty(self.module, real)
        return total, parts


def gradient_penalty(module: nn.Module, real: Tensor) -> Tensor:
    """R1: the mean over patches of the squared gradient of their logits at real pictures (in -1..1 units)."""
    real = real.clone().requires_grad_(True)
    logits = module(real)
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return (gradient / 2).square().sum() / logits.numel()
