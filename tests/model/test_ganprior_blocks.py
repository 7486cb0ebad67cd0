"""MMRB and the attention of the codec."""

from dataclasses import replace

import pytest
import torch
from refstar_model.backbone import UNAIDED
from refstar_model.ganprior.attention import FaceAttention
from refstar_model.ganprior.cost import count_multiplications
from refstar_model.ganprior.mmrb import Mmrb, mmrb_blocks
from refstar_model.layers.blocks import NafBlock, naf_blocks
from refstar_model.refstar.backbone_naf import NafBackbone
from refstar_model.refstar.params import TINY
from torch import nn


def randomized(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    return module


@pytest.mark.parametrize("module", [Mmrb(16), FaceAttention(16, 2, 2, 8)], ids=["MMRB", "attention"])
def test_evaluation_computes_what_training_does(module: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 16, 8, 8)
    randomized(module)
    with torch.no_grad():
        assert torch.allclose(module.train()(x), module.eval()(x), atol=1e-5)


def test_each_path_of_both_stages_reaches_the_result() -> None:
    torch.manual_seed(0)
    block, x = Mmrb(16).eval(), torch.randn(1, 16, 8, 8)
    with torch.no_grad():
        whole = block(x)
        for stage in (block.first, block.second):
            for conv in (stage.near, stage.wide, *stage.far):
                kept = conv.weight.clone()
                conv.weight.zero_()
                assert not torch.allclose(block(x), whole, atol=1e-3)
                conv.weight.copy_(kept)


def test_the_paths_reach_as_far_as_they_should() -> None:
    """Two stages of two pixels each way (dilation 2, or two 3x3), before the channel attention, which sees all."""
    torch.manual_seed(0)
    block, x = Mmrb(16).eval(), torch.zeros(1, 16, 17, 17, requires_grad=True)
    (gradient,) = torch.autograd.grad(block.fuse(block.second(block.first(x)))[0, :, 8, 8].sum(), x)
    seen = gradient.abs().sum((0, 1)) > 0
    assert seen[4:13, 4:13].float().mean() > 0.9
    assert int(seen.sum()) == int(seen[4:13, 4:13].sum())


def test_many_blocks_keep_features_at_unit_scale() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        y = mmrb_blocks(32, 12)(torch.randn(2, 32, 16, 16))
    assert 0.3 < float(y.std()) < 3


def test_a_block_costs_about_what_a_naf_block_does() -> None:
    x = torch.zeros(1, 64, 64, 64)
    ours, theirs = (count_multiplications(block, x) for block in (mmrb_blocks(64, 1), naf_blocks(64, 1)))
    assert ours < 1.3 * theirs


def test_it_takes_the_place_of_the_blocks_of_another_backbone() -> None:
    """RefSTAR's U-Net with MMRB for all of its NAF blocks learns to restore."""
    torch.manual_seed(0)
    net = NafBackbone(replace(TINY, refinement=0))
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, NafBlock):
                setattr(module, name, Mmrb(child.attend.in_channels))
    assert not any(isinstance(m, NafBlock) for m in net.modules())
    assert sum(isinstance(m, Mmrb) for m in net.modules()) == 5
    truth = nn.functional.interpolate(torch.rand(4, 3, 16, 16), size=64, mode="bilinear")
    blurred = nn.functional.avg_pool2d(truth, 9, 1, 4, count_include_pad=False)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    errors = []
    for _ in range(25):
        picture = net.draw(blurred, net.analyze(blurred), UNAIDED).picture
        loss = (picture - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < 0.9 * errors[0]
    assert all(p.grad is not None for p in net.parameters())


def test_new_attention_only_adds_positions_then_sees_the_whole_face() -> None:
    torch.manual_seed(0)
    attention, x = FaceAttention(16, 2, 2, 8).eval(), torch.randn(1, 16, 8, 8)
    with torch.no_grad():
        assert torch.allclose(attention(x), x + attention.position, atol=1e-6)
        randomized(attention)
        moved = x.clone()
        moved[:, ::2, 0, 0] += 1
        assert (attention(moved) - attention(x))[..., 7, 7].abs().max() > 1e-4


def test_without_layers_attention_is_nothing() -> None:
    attention, x = FaceAttention(16, 2, 0, 8), torch.randn(1, 16, 8, 8)
    assert attention(x) is x
    assert not list(attention.parameters())


def test_multiplications_are_those_of_a_hand_count() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 6, 3, padding=1, groups=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x).flatten(2)
            return y @ y.transpose(1, 2)

    # 6 channels x 2 inputs x 9 taps x 25 places, twice; 6 x 6 entries of 25 products, twice.
    assert count_multiplications(Both(), torch.zeros(2, 4, 5, 5)) == 2 * 6 * 2 * 9 * 25 + 2 * 6 * 6 * 25
