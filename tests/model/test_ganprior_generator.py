"""The generator by itself, and the critic that it is trained against."""

import pytest
import torch
from refstar_model.ganprior.codec import Bend
from refstar_model.ganprior.critic import Critic, spread
from refstar_model.ganprior.generator import UNBENT, Generator
from refstar_model.ganprior.modulation import StyledConv
from refstar_model.ganprior.params import TINY, TINY_CRITIC
from torch.nn import functional as F


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(1)
    generator = Generator(TINY).eval()
    with torch.no_grad():
        generator.mean_code.normal_()
        for name, value in generator.named_parameters():
            if name.endswith("noise_strength"):
                value.fill_(0.5)
    return generator


def test_scaled_inputs_equal_weights_of_its_own_for_each_picture() -> None:
    """StyleGAN2's own form: weights [B, D, C, 3, 3], demodulated, as a grouped convolution."""
    torch.manual_seed(0)
    conv = StyledConv(6, 4, 5)
    x, code = torch.randn(3, 6, 8, 8), torch.randn(3, 5, 1, 1)
    with torch.no_grad():
        weight = conv.weight * conv.scale * conv.affine(code).reshape(3, 1, 6, 1, 1)
        weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
        wanted = F.conv2d(x.reshape(1, 18, 8, 8), weight.flatten(0, 1), padding=1, groups=3).reshape(
            3, 4, 8, 8
        )
        assert torch.allclose(conv(x, code), F.leaky_relu(wanted * 2**0.5, 0.2), atol=1e-5)


def test_a_face_from_codes_depends_on_nothing_else(generator: Generator) -> None:
    codes = torch.randn(2, TINY.codes, TINY.style)
    with torch.no_grad():
        first, second = generator.draw(codes), generator.draw(codes)
        noisy = [generator.draw(codes, noisy=True) for _ in range(2)]
    assert first.shape == (2, 3, TINY.size, TINY.size)
    assert torch.equal(first, second)
    assert not torch.equal(*noisy)


def test_every_code_has_a_say(generator: Generator) -> None:
    codes = torch.randn(1, TINY.codes, TINY.style)
    with torch.no_grad():
        usual = generator.draw(codes)
        for index in range(TINY.codes):
            other = codes.clone()
            other[:, index] += 1
            assert (generator.draw(other) - usual).abs().max() > 1e-3, index


def test_truncation_leads_to_the_mean_face_and_training_moves_the_mean(generator: Generator) -> None:
    z = torch.randn(3, TINY.style)
    with torch.no_grad():
        mean = generator.sample(z, truncation=0)
        assert torch.allclose(mean, mean[:1].expand_as(mean), atol=1e-5)
        assert not torch.allclose(generator.sample(z)[0], mean[0], atol=1e-2)
        before = generator.mean_code.clone()
        generator.sample(z)
        assert torch.equal(generator.mean_code, before)
        generator.train().map(z)
        assert not torch.equal(generator.mean_code, before)


def test_a_new_generator_prints_no_lattice(generator: Generator) -> None:
    """All four phases of the last pixel shuffle are equal: no detail at the period of two pixels."""
    with torch.no_grad():
        codes = torch.randn(2, TINY.codes, TINY.style)
        features = generator.paint(codes, UNBENT).features
        finest = generator.finest_colors(features, codes[:, -1, :, None, None])
    phases = finest.unflatten(1, (3, 4))
    assert torch.equal(phases, phases[:, :, :1].expand_as(phases))


def test_new_bending_changes_nothing_and_later_half_of_the_channels() -> None:
    torch.manual_seed(0)
    bend, seen, x = Bend(8, 6), torch.randn(2, 8, 4, 4), torch.randn(2, 6, 4, 4)
    with torch.no_grad():
        assert torch.equal(bend(seen)(x), x)
        bend.conv.weight.normal_()
        after = bend(seen)(x)
    assert torch.equal(after[:, :3], x[:, :3])
    assert ((after[:, 3:] - x[:, 3:]).abs().amax((2, 3)) > 0.1).all()


def test_the_critic_learns_to_tell_true_faces_and_the_generator_to_fool_it() -> None:
    torch.manual_seed(0)
    generator, critic = Generator(TINY).train(), Critic(TINY_CRITIC)
    real = F.interpolate(torch.rand(8, 3, 4, 4), size=64, mode="bilinear") * 0.3
    z = torch.randn(8, TINY.style)
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3, (0.0, 0.99))
    fake = generator.sample(z).detach()
    for _ in range(12):
        loss = F.softplus(critic(fake)).mean() + F.softplus(-critic(real)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert critic(real).min() > critic(fake).max()
    optimizer = torch.optim.Adam(generator.parameters(), 2e-3, (0.0, 0.99))
    verdicts = []
    for _ in range(8):
        verdict = critic(generator.sample(z)).mean()
        optimizer.zero_grad()
        F.softplus(-verdict).backward()
        optimizer.step()
        verdicts.append(float(verdict.detach()))
    assert verdicts[-1] > verdicts[0] + 0.1


def test_the_critic_can_be_held_smooth() -> None:
    """R1 needs second derivatives through every layer."""
    critic, real = Critic(TINY_CRITIC), torch.rand(4, 3, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
    gradient.square().sum().backward()
    weights = [p for name, p in critic.named_parameters() if name.endswith("weight")]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights)


def test_the_spread_of_faces_is_measured_in_groups() -> None:
    same, apart = torch.ones(4, 3, 4, 4), torch.zeros(4, 3, 4, 4)
    apart[::2] = 2
    assert torch.allclose(spread(same), torch.full((4, 1, 4, 4), 1e-4))
    assert torch.allclose(spread(apart), torch.ones(4, 1, 4, 4))
    # Of three faces 2, 0, 2 the variance is 8 / 9.
    assert torch.allclose(spread(apart[:3]), torch.full((3, 1, 4, 4), (8 / 9) ** 0.5))
    # Two groups: every second face of eight.
    both = torch.stack([apart, same], 1).flatten(0, 1)
    assert torch.allclose(spread(both)[:, 0, 0, 0], torch.tensor([1.0, 1e-4] * 4))
