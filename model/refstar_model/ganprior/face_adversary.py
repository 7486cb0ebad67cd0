"""Who the generator of faces learns against: the critic, behind augmentation that adapts to how much it has overfitted.

    generator:  softplus(-D(fake))
    critic:     softplus(D(fake)) + softplus(-D(real)) + gamma / 2 * |grad D(real)|^2   (the last every 16th step)

Non-saturating loss with lazy R1 as in StyleGAN2 (arXiv 1912.04958, appendix B). Overfitting shows in the critic's
verdicts on true faces (arXiv 2006.06676, section 3): r = E[sign D(real)] is 0 where it is unsure and 1 where it knows
them all. Every few steps the chance of augmentation goes up where r is above a target, else down.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.ganprior.augmentation import augment
from refstar_model.ganprior.critic import Critic
from refstar_model.ganprior.params import CriticParams
from refstar_model.layers.precision import autocast
from refstar_model.losses.adversary import gradient_penalty
from refstar_model.ranks import count_started
from refstar_model.training.loop import Loss
from refstar_model.training.processes import average_value


@dataclass(frozen=True)
class FaceAdversaryParams:
    critic: CriticParams = field(default_factory=CriticParams)
    gamma: float = 4.0  # of R1, on inputs in -1..1; arXiv 2006.06676 has 0.0002 S^2 / batch
    r1_every: int = 16  # steps; the penalty is scaled up by it
    target: float = 0.6  # of r
    adapt_every: int = 4  # steps
    faces_to_one: int = 100_000  # true faces that are seen while the chance goes from 0 to 1
    most: float = 0.8  # chance; above it augmentation would show in what is drawn


class AugmentedCritic(nn.Module):
    """Logits [N] of augmented pictures [N, 3, S, S] in 0..1; its buffers are what adaptation must remember."""

    chance: Tensor
    signs: Tensor  # sum of sign D(real) since the chance was last changed
    judged: Tensor  # how many they were

    def __init__(self, params: CriticParams) -> None:
        super().__init__()
        self.critic = Critic(params)
        for name in ("chance", "signs", "judged"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.critic(augment(pictures, float(self.chance)))


class FaceAdversary:
    """The critic at work: it judges what a step drew, then learns from it (the ``Rival`` of the loop)."""

    def __init__(self, params: FaceAdversaryParams | None = None) -> None:
        self.params = params or FaceAdversaryParams()
        self.module = AugmentedCritic(self.params.critic)
        self._seen: tuple[Tensor, Tensor] | None = None

    def judge(self, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's loss on what it drew; both [B, 3, S, S] in 0..1. The true ones are for the critic's turn."""
        self._seen = (fake.detach(), real)
        # Only the generator may learn from this pass; the critic's own comes later.
        self.module.requires_grad_(False)
        with autocast(fake.device):
            verdict = self.module(fake)
        self.module.requires_grad_(True)
        return F.softplus(-verdict).mean()

    def loss(self, step: int) -> Loss | None:
        """The critic's own loss on the pictures that it judged last; None when it judged none since."""
        if self._seen is None:
            return None
        (fake, real), self._seen = self._seen, None
        with autocast(fake.device):
            on_fake, on_real = self.module(fake), self.module(real)
        total = F.softplus(on_fake).mean() + F.softplus(-on_real).mean()
        parts = {
            "critic": float(total.detach()),
            "critic_gap": float((on_real.mean() - on_fake.mean()).detach()),
            "real_sign": float(on_real.detach().sign().mean()),
            "chance": float(self.module.chance),
        }
        if step % self.params.r1_every == 0:
            # At augmented pictures and not through them: to resample has no second derivative here.
            seen = augment(real, float(self.module.chance))
            penalty = gradient_penalty(self.module.critic, seen)
            parts["r1"] = float(penalty.detach())
            total = total + self.params.gamma / 2 * self.params.r1_every * penalty
        self._adapt(step, on_real.detach())
        return total, parts

    def _adapt(self, step: int, on_real: Tensor) -> None:
        """Count the signs, and every few steps change the chance: in all processes alike."""
        module, p = self.module, self.params
        module.signs += on_real.sign().sum()
        module.judged += len(on_real)
        if step % p.adapt_every != p.adapt_every - 1:
            return
        judged = float(module.judged) * count_started()
        sign = average_value(float(module.signs / module.judged), on_real.device)
        change = judged / p.faces_to_one * (1 if sign > p.target else -1)
        module.chance.fill_(min(p.most, max(0.0, float(module.chance) + change)))
        module.signs.zero_()
        module.judged.zero_()
