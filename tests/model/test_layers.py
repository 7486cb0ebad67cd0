"""What is rewritten for speed computes what the plain form computes."""

import copy

import pytest
import torch
from refstar_model.layers.alignment import _gather, smooth_field, warp
from refstar_model.layers.blocks import ChannelNorm, NafBlock, scale_places
from refstar_model.layers.color import join_color, luminance, split_color
from refstar_model.layers.fidelity import _low_pass
from refstar_model.layers.folding import UnshuffledConv, fold_modules, unfold_weights
from refstar_model.layers.pyramid import collapse, laplacian, resize_grid
from refstar_model.layers.separable import both_ways, resizing, window_mean
from torch import nn
from torch.nn import functional as F


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("size", "pad", "factor"), [(3, 1, 8), (1, 0, 4), (3, 1, 2)])
def test_one_strided_convolution_equals_unshuffling_and_convolving(size: int, pad: int, factor: int) -> None:
    conv = UnshuffledConv(factor, 5, size)
    x = drawn(2, 3, 32, 32)
    plain = F.conv2d(F.pixel_unshuffle(x, factor), conv.weight, conv.bias, padding=pad)
    assert torch.equal(conv.train()(x), plain)
    assert torch.allclose(conv.eval()(x), plain, atol=1e-5)


def test_a_block_in_evaluation_equals_the_block_in_training() -> None:
    torch.manual_seed(0)
    block = NafBlock(16)
    with torch.no_grad():
        for value in block.parameters():
            value.add_(torch.randn_like(value) * 0.3)
    # Far from zero, as deep features are: the variance is a difference of squares there.
    for x in (drawn(2, 16, 8, 8), drawn(2, 16, 8, 8) * 3 + 20):
        whole = nn.Sequential(nn.Sequential(copy.deepcopy(block)))
        fold_modules(whole)
        assert not any(isinstance(part, NafBlock) for part in whole.modules())
        with torch.no_grad():
            plain, folded, held = block.train()(x), block.eval()(x), whole(x)
        assert torch.allclose(plain, folded, atol=2e-3 * plain.std().item())
        assert torch.equal(folded, held)


def test_a_norm_folded_into_a_convolution_equals_both() -> None:
    torch.manual_seed(0)
    norm, conv = ChannelNorm(8).eval(), nn.Conv2d(8, 6, 1)
    with torch.no_grad():
        norm.weight.add_(torch.randn_like(norm.weight))
        norm.bias.add_(torch.randn_like(norm.bias))
        x = drawn(1, 8, 4, 4)
        assert torch.allclose(F.conv2d(scale_places(x), *norm.fold_into(conv)), conv(norm(x)), atol=1e-5)


@pytest.mark.parametrize(("side", "size"), [(64, 16), (16, 64), (16, 16)])
def test_resizing_by_matrices_equals_resizing(side: int, size: int) -> None:
    x = drawn(1, 2, side, side)
    assert torch.allclose(both_ways(resizing(side, size), x), resize_grid(x, size), atol=1e-5)


def test_means_of_windows_by_matrices_equal_those_of_a_pool() -> None:
    x = drawn(1, 2, 16, 16)
    wanted = F.avg_pool2d(x, 5, 1, 2, count_include_pad=False)
    assert torch.allclose(both_ways(window_mean(16, 5), x), wanted, atol=1e-5)


def test_the_low_pass_is_what_three_bands_leave() -> None:
    x = drawn(1, 3, 64, 64)
    assert torch.allclose(x - _low_pass(x), collapse(laplacian(x, 3)), atol=1e-5)


def test_looking_up_places_equals_sampling_a_grid() -> None:
    x = drawn(2, 8, 16, 16)
    displacement = drawn(2, 2, 8, 8) * 0.2  # beyond the borders too
    assert torch.allclose(_gather(x, smooth_field(displacement, 16)), warp(x, displacement), atol=1e-4)


def test_colors_come_back_and_gray_has_none() -> None:
    picture = drawn(1, 3, 4, 4)
    y, color = split_color(picture)
    assert torch.allclose(join_color(y, color), picture, atol=1e-5)
    gray = picture[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(luminance(gray), gray[:, :1])
    assert torch.allclose(split_color(gray)[1], torch.zeros(()), atol=1e-6)


def test_weights_are_found_again_in_those_that_were_folded() -> None:
    """The network of the unfolded weights computes the same, and is folded to the same again."""
    torch.manual_seed(0)
    whole = nn.Sequential(UnshuffledConv(2, 16, 3), nn.Sequential(NafBlock(16)), nn.Conv2d(16, 4, 1))
    with torch.no_grad():
        for value in whole.parameters():
            value.add_(torch.randn_like(value) * 0.3)
    x = drawn(2, 3, 16, 16)
    fresh, folded = copy.deepcopy(whole), copy.deepcopy(whole)
    for value in fresh.parameters():
        nn.init.zeros_(value)
    fold_modules(folded)
    assert not fresh.load_state_dict(unfold_weights(fresh, folded.state_dict())).missing_keys
    with torch.no_grad():
        assert torch.allclose(fresh.eval()(x), whole.eval()(x), atol=1e-5)
        assert torch.allclose(fresh.train()(x), whole.train()(x), atol=1e-3)
    fold_modules(fresh)
    for name, value in folded.state_dict().items():
        assert torch.allclose(fresh.state_dict()[name], value, atol=1e-6), name


@pytest.mark.parametrize("channels", [16, 256])
def test_what_was_folded_rounded_and_read_again_is_folded_to_the_same_weights(channels: int) -> None:
    torch.manual_seed(0)
    norm, conv = ChannelNorm(channels), nn.Conv2d(channels, 2 * channels, 1)
    with torch.no_grad():
        norm.weight.normal_(1, 0.3)
        norm.bias.normal_()
        first, bias = (value.half().float() for value in norm.fold_into(conv))
        again = nn.Conv2d(channels, 2 * channels, 1)
        again.weight.copy_(first)
        again.bias.copy_(bias)
        assert torch.equal(ChannelNorm(channels).fold_into(again)[0], first)
        assert torch.equal(ChannelNorm(channels).fold_into(again)[1], bias)
        assert not torch.equal(first, conv.weight)


def test_weights_of_another_shape_are_refused() -> None:
    small, large = nn.Sequential(UnshuffledConv(2, 4, 3)), nn.Sequential(UnshuffledConv(2, 8, 3))
    fold_modules(small)
    with pytest.raises(
        ValueError, match=r"0\.weight is \[4, 12, 3, 3\], and \[8, 12, 3, 3\] in this network"
    ):
        unfold_weights(large, small.state_dict())
