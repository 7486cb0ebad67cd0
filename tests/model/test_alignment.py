"""The reference is moved onto the face: by nothing at first, smoothly, and no further than allowed."""

import pytest
import torch
from refstar_model.layers.alignment import AlignmentHead, alignment_loss, smooth_field, warp


def test_a_new_head_moves_nothing_and_a_zero_field_keeps_the_picture() -> None:
    head = AlignmentHead(8, 8, 16, 0.1)
    field = head(torch.randn(2, 8, 16, 16), torch.randn(2, 3, 8, 16, 16))
    assert field.shape == (2, 3, 2, 8, 8)
    assert not field.any()
    for side in (16, 64, 512):
        picture = torch.rand(1, 3, side, side)
        for cubic in (False, True):
            assert torch.equal(warp(picture, torch.zeros(1, 2, 8, 8), cubic), picture)


def test_no_head_moves_further_than_its_reach() -> None:
    head = AlignmentHead(8, 8, 16, 0.05)
    with torch.no_grad():
        head.out.bias.copy_(torch.tensor([50.0, -50.0]))
    field = head(torch.randn(1, 8, 16, 16), torch.randn(1, 1, 8, 16, 16))
    assert torch.allclose(field[0, 0, 0], torch.tensor(0.05))
    assert torch.allclose(field[0, 0, 1], torch.tensor(-0.05))


@pytest.mark.parametrize("side", [16, 128])
def test_a_displacement_is_in_picture_widths_and_points_into_the_reference(side: int) -> None:
    picture = torch.rand(1, 3, side, side)
    field = torch.zeros(1, 2, 8, 8)
    field[:, 0] = 0.125
    moved = warp(picture, field)
    step = side // 8
    assert torch.allclose(moved[..., : side - step], picture[..., step:], atol=1e-4)


def test_a_field_has_no_kinks() -> None:
    field = smooth_field(torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(1)), 64)
    bend = field[..., 2:] - 2 * field[..., 1:-1] + field[..., :-2]
    assert bend.abs().max() < 0.15  # bilinear alone would bend by up to 3/8 at the control points


def test_corresponding_points_teach_a_head_to_move() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(4, 8, 8, 0.1)
    face, reference = torch.randn(1, 4, 8, 8), torch.randn(1, 2, 4, 8, 8)
    points = torch.rand(1, 30, 2) * 0.6 + 0.2
    there = (points + torch.tensor([0.04, -0.03])).unsqueeze(1).repeat(1, 2, 1, 1)
    there[:, 1] = float("nan")  # the second pair has no points
    known = torch.tensor([[True, False]])
    optimizer = torch.optim.Adam(head.parameters(), 0.02)
    losses = []
    for _ in range(30):
        loss = alignment_loss(head(face, reference), points, there, known)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    moved = head(face, reference)[0, 0].mean((1, 2))
    assert torch.allclose(moved, torch.tensor([0.04, -0.03]), atol=0.015)


def test_without_known_points_there_is_nothing_to_learn() -> None:
    field = torch.zeros(1, 1, 2, 8, 8, requires_grad=True)
    points = torch.rand(1, 5, 2)
    loss = alignment_loss(field, points, points.unsqueeze(1), torch.zeros(1, 1, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert not field.grad.any()
