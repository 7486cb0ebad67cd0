"""A dictionary that is looked up, and learnt."""

import torch
from refstar_model.layers.quantizer import Quantizer


def test_the_nearest_code_is_found() -> None:
    quantizer = Quantizer(7, 3)
    z = torch.randn(2, 3, 4, 4)
    distance = (z.unsqueeze(1) - quantizer.codes.reshape(1, 7, 3, 1, 1)).square().sum(2)
    assert torch.equal(quantizer.nearest(z), distance.argmin(1))


def test_training_in_halves_finds_the_code_that_the_exported_graph_finds() -> None:
    quantizer = Quantizer(512, 32)
    z = torch.randn(2, 32, 8, 8)
    wanted = quantizer.nearest(z)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantizer.nearest(z), wanted)
        assert torch.equal(quantizer(z).indices, wanted)


def test_a_code_stands_for_itself() -> None:
    quantizer = Quantizer(5, 3)
    indices = torch.tensor([[[0, 4], [2, 2]]])
    codes = quantizer.look_up(indices)
    assert torch.equal(quantizer.nearest(codes), indices)
    assert quantizer(codes).loss < 1e-12


def test_the_gradient_goes_straight_through_and_codes_follow_the_features() -> None:
    quantizer = Quantizer(6, 3)
    z = torch.randn(1, 3, 4, 4, requires_grad=True)
    quantized = quantizer(z)
    quantized.values.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))
    assert quantizer.codes.grad is None or not quantizer.codes.grad.any()
    before = quantizer(z.detach()).loss
    optimizer = torch.optim.SGD(quantizer.parameters(), 0.5)
    quantizer(z.detach()).loss.backward()
    optimizer.step()
    assert quantizer(z.detach()).loss < before


def test_sure_logits_expect_their_code() -> None:
    quantizer = Quantizer(4, 2)
    logits = torch.full((1, 4, 1, 1), -50.0)
    logits[0, 3] = 50
    assert torch.allclose(quantizer.average(logits)[0, :, 0, 0], quantizer.codes[3])
