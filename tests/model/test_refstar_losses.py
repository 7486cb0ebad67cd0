"""What each loss pushes towards, and what it must not push towards."""

from pathlib import Path

import pytest
import torch
from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.precision import Precision, compute_in
from refstar_model.layers.pyramid import down, up
from refstar_model.losses.adversary import Adversary, DiscriminatorParams, gradient_penalty
from refstar_model.losses.balance import balance_loss
from refstar_model.losses.perception import Vgg, recognizer_distance
from refstar_model.losses.structure import sharpness_loss, structure_loss
from refstar_model.refstar.cycle import cycle_loss, ruin
from refstar_model.refstar.losses import LossWeights, restoration_loss
from refstar_model.refstar.network import TINY, RefStar, Restoration
from refstar_model.refstar.target import Target
from torch import Tensor, nn
from torch.nn.functional import softplus


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def restoration(right: bool = True) -> tuple[RefStar, Restoration, Target, Tensor]:
    net = RefStar(TINY)
    truth, references = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 3, 64, 64)
    result = net(ruin(truth), references, net.encode(references), torch.ones(2, 1), torch.full((2,), 0.5))
    yes = torch.ones(2, 1, dtype=torch.bool)
    return net, result, Target(truth, yes, yes if right else ~yes, torch.full((2,), 0.5)), references


def test_structure_minds_blur_and_not_brightness() -> None:
    truth = torch.rand(2, 3, 64, 64)
    assert structure_loss(truth, truth).abs().max() < 1e-6
    darker = structure_loss(truth * 0.95 - 0.02, truth)
    blurred = structure_loss(up(down(truth)), truth)
    assert (darker < 0.02).all()
    assert (blurred > 0.2).all()


def test_sharpness_is_a_matter_of_amount_and_not_of_pattern() -> None:
    truth = torch.rand(1, 3, 128, 128)
    assert sharpness_loss(truth, truth) == 0
    other_pattern, soft = torch.rand(1, 3, 128, 128), up(down(truth))
    assert sharpness_loss(soft, truth) > 5 * sharpness_loss(other_pattern, truth)


def test_the_recognizers_first_layers_compare_pictures_of_any_size(recognizer: Recognizer) -> None:
    grids = recognizer.pyramid(torch.rand(1, 3, 64, 64) * 255, 2)
    assert [tuple(g.shape[1:]) for g in grids] == [(4, 32, 32), (6, 16, 16)]
    truth = torch.rand(2, 3, 64, 64)
    picture = up(down(truth)).requires_grad_(True)
    distance = recognizer_distance(recognizer, picture, truth, 2)
    assert (distance > recognizer_distance(recognizer, truth, truth, 2)).all()
    distance.sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0


def test_vgg_weights_of_the_user_are_read_and_others_refused(tmp_path: Path) -> None:
    state, index, channels = {}, 0, 3
    for count in Vgg.BLOCKS:  # torchvision's numbering: convolution, ReLU, ..., pooling
        for _ in range(count):
            state[f"features.{index}.weight"] = torch.randn(4, channels, 3, 3)
            state[f"features.{index}.bias"] = torch.zeros(4)
            index, channels = index + 2, 4
        index += 1
    torch.save(state, tmp_path / "vgg.pth")
    vgg = Vgg(tmp_path / "vgg.pth")
    truth = torch.rand(1, 3, 32, 32)
    assert [f.shape[-1] for f in vgg(truth)] == [32, 16, 8, 4, 2]
    assert vgg.distance(truth, truth) == 0 < vgg.distance(1 - truth, truth)
    del state["features.0.weight"]
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="15 convolutions"):
        Vgg(tmp_path / "other.pth")


def test_judging_teaches_the_picture_and_not_the_discriminator() -> None:
    adversary = Adversary(DiscriminatorParams(width=4))
    assert adversary.loss(0) is None
    fake, truth = torch.rand(2, 3, 32, 32, requires_grad=True), torch.rand(2, 3, 32, 32)
    fooled, apart = adversary.judge([fake], truth)
    (fooled + apart).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert all(p.grad is None for p in adversary.module.parameters())
    answer = adversary.loss(0)
    assert answer is not None
    answer[0].backward()
    assert all(p.grad is not None for p in adversary.module.parameters())
    assert adversary.loss(1) is None


def test_what_a_picture_and_the_discriminator_learn_is_that_of_the_formulas() -> None:
    torch.manual_seed(0)
    adversary = Adversary(DiscriminatorParams(width=4))
    fake, truth = torch.rand(2, 3, 32, 32, requires_grad=True), torch.rand(2, 3, 32, 32)
    with compute_in(Precision.FP32):
        fooled, apart = adversary.judge([fake], truth)
        assert apart is not None
        (3 * fooled + apart).backward()
        answer = adversary.loss(1)
    assert answer is not None
    answer[0].backward()
    learned = {name: p.grad for name, p in adversary.module.named_parameters()}
    adversary.module.zero_grad(set_to_none=True)
    again = fake.detach().requires_grad_(True)
    layers = zip(adversary.module.features(again), adversary.module.features(truth), strict=True)
    distance = torch.stack([(a - b).abs().mean() for a, b in layers]).mean()
    gap = adversary.module(truth) - adversary.module(again)
    (gradient,) = torch.autograd.grad(3 * softplus(gap).mean() + distance, again, retain_graph=True)
    softplus(-gap).mean().backward()
    assert torch.allclose(fooled, softplus(gap).mean())
    assert torch.allclose(apart, distance)
    assert fake.grad is not None
    assert torch.allclose(fake.grad, gradient, atol=1e-7)
    for name, parameter in adversary.module.named_parameters():
        assert torch.allclose(learned[name], parameter.grad, atol=1e-7), name


def test_the_discriminator_learns_to_tell_sharp_from_soft() -> None:
    adversary = Adversary(DiscriminatorParams(width=4))
    optimizer = torch.optim.Adam(adversary.module.parameters(), 5e-3, betas=(0.0, 0.99))
    truth = torch.rand(4, 3, 32, 32)
    for step in range(30):
        adversary.judge([up(down(truth))], truth)
        answer = adversary.loss(step)
        assert answer is not None
        optimizer.zero_grad()
        answer[0].backward()
        optimizer.step()
    assert answer[1]["rival_gap"] > 0.5


def test_fakes_are_told_from_their_own_truth_where_no_single_picture_could_be_told() -> None:
    torch.manual_seed(0)
    adversary = Adversary(DiscriminatorParams(width=4))
    optimizer = torch.optim.Adam(adversary.module.parameters(), 5e-3, betas=(0.0, 0.99))
    for step in range(40):
        # Contrasts of fakes and of truths are spread alike; each fake has a little less than its truth.
        contrast = torch.rand(8, 1, 1, 1) * 0.9 + 0.1
        truth = 0.5 + contrast * (torch.rand(8, 3, 32, 32) - 0.5)
        adversary.judge([0.5 + (truth - 0.5) * 0.8], truth)
        answer = adversary.loss(step)
        assert answer is not None
        optimizer.zero_grad()
        answer[0].backward()
        optimizer.step()
    assert answer[1]["rival"] < 0.35  # of log 2


def test_every_fake_is_judged_beside_the_truth_of_its_own_face() -> None:
    torch.manual_seed(0)
    adversary = Adversary(DiscriminatorParams(width=4))
    truth = torch.rand(2, 3, 32, 32)
    others = torch.rand(2, 3, 32, 32)
    fooled, _ = adversary.judge([truth, others], truth, matched=False)
    with torch.no_grad():
        on_truth, on_others = (adversary.module(pictures) for pictures in (truth, others))
        wanted = softplus(on_truth - on_others).mean(), softplus(on_others - on_truth).mean()
    even = 0.6931  # of a fake that is its truth
    assert float(fooled) == pytest.approx((even + float(wanted[0])) / 2, rel=0.01)
    answer = adversary.loss(1)
    assert answer is not None
    assert answer[1]["rival"] == pytest.approx((even + float(wanted[1])) / 2, rel=0.01)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e2])
def test_a_balanced_loss_pulls_as_strongly_as_it_is_told_whatever_its_scale(factor: float) -> None:
    picture, truth = torch.rand(2, 3, 16, 16, requires_grad=True), torch.rand(2, 3, 16, 16)
    against = (picture - truth).square().mean()
    balanced = balance_loss(factor * picture.sin().sum(), against, [picture], 0.5)
    (of_against,) = torch.autograd.grad(against, picture, retain_graph=True)
    (of_balanced,) = torch.autograd.grad(balanced, picture)
    assert float(of_balanced.norm() / of_against.norm()) == pytest.approx(0.5, rel=1e-4)


def test_a_balanced_loss_is_measured_at_all_pictures_and_may_leave_some_alone() -> None:
    one, other = (torch.rand(1, 3, 8, 8, requires_grad=True) for _ in range(2))
    balanced = balance_loss(one.sum(), 3 * one.mean() + 4 * other.mean(), [one, other], 1.0)
    (pull,) = torch.autograd.grad(balanced, one)
    assert float(pull.norm()) == pytest.approx(5 / 192**0.5, rel=1e-4)


def test_the_gradient_penalty_is_that_of_a_known_slope() -> None:
    slope = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(slope.weight, 3.0)
    # d logit / d pixel = 3 in 0..1 units, 1.5 in -1..1 units; one pixel a logit
    assert float(gradient_penalty(slope, torch.rand(2, 1, 4, 4)).detach()) == pytest.approx(2.25)


def test_the_cycle_opens_masks_and_never_gains_by_closing_them() -> None:
    net, result, target, references = restoration()
    result.trust.retain_grad()
    loss = cycle_loss(net, result, references, target.right, target.fidelity)
    loss.backward()
    assert result.trust.grad is not None
    assert result.trust.grad.sum() < 0  # a step against the gradient raises the trust
    with torch.no_grad():
        closed = result._replace(restored=result.self_stream, masks=result.masks * 1e-3)
        assert cycle_loss(net, closed, references, target.right, target.fidelity) > 0.5 * loss


def test_the_cycle_asks_nothing_of_wrong_references() -> None:
    net, result, target, references = restoration(right=False)
    assert cycle_loss(net, result, references, target.right, target.fidelity) == 0


def test_every_term_is_off_at_weight_zero_and_counts_at_its_weight(recognizer: Recognizer) -> None:
    _, result, target, references = restoration()
    off = restoration_loss(result, target, references, LossWeights(sharpness=0.0), recognizer, 0.0)[1]
    assert not {"structure", "perceptual", "sharpness"} & set(off)
    on = LossWeights(structure=1.0, perceptual=1.0, sharpness=1.0)
    once = restoration_loss(result, target, references, on, recognizer, 0.0)[1]
    twice = restoration_loss(
        result, target, references, LossWeights(structure=2.0, perceptual=2.0, sharpness=2.0), recognizer, 0.0
    )[1]
    for name in ("structure", "perceptual", "sharpness"):
        assert twice[name] == pytest.approx(2 * once[name], rel=1e-5)
        assert once[name] > 0
