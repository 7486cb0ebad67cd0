"""Training system 3: what its losses see, and that a run learns, is judged and goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from narrow_nets import GANPRIOR
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import SampleMix
from refstar_model.data.samples import Samples
from refstar_model.data.stream import StreamParams
from refstar_model.export.card import Publication
from refstar_model.export.restoring import TrainedRestorer
from refstar_model.ganprior.export_view import view_network
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.params import PARTS
from refstar_model.ganprior.system import CARD
from refstar_model.ganprior.training import (
    GanPriorTraining,
    LossWeights,
    agreement_loss,
    draw_window,
    train,
    training_step,
)
from refstar_model.ganprior.weights import load, read_weights
from refstar_model.ganprior.window import Window
from refstar_model.layers.pyramid import down, up
from refstar_model.losses.adversary import Adversary
from refstar_model.losses.hatching import hatching_loss
from refstar_model.losses.pattern import pattern_loss
from refstar_model.training import LoopParams, Run, Watch
from torch import Tensor, nn
from torch.nn import functional as F

HALF_SIZE = StreamParams(batch=2, mix=SampleMix(alone=1.0, full_size=0.0), loaders=0)
HOW = GanPriorTraining(GANPRIOR, LoopParams(steps=3, warmup=1, average=0.5), HALF_SIZE)


def test_a_lattice_is_seen_and_other_errors_are_not() -> None:
    torch.manual_seed(0)
    truth = torch.rand(2, 3, 256, 256)
    for period in (4, 8, 16):
        lattice = torch.zeros(256, 256)
        lattice[::period, ::period] = 0.1
        assert (pattern_loss(truth + lattice, truth) > 0.1 / period**2).all()
        assert (pattern_loss((truth + lattice)[..., :64, :64], truth[..., :64, :64]) > 0.1 / period**2).all()
    noise = truth + 0.02 * torch.randn_like(truth)
    ramp = truth + torch.linspace(0, 0.1, 256)
    for other in (noise, ramp, truth + 0.1):
        assert (pattern_loss(other, truth) < 0.005).all()


def cloudy(count: int) -> Tensor:
    """Pictures with detail of all widths and directions, less of it the finer: noise through a filter of 1 / k."""
    cycles = torch.fft.fftfreq(256, 1 / 256)
    falling = 1 / torch.hypot(cycles[:, None], cycles[None]).clamp(min=1)
    noise = torch.fft.ifft2(torch.fft.fft2(torch.randn(count, 3, 256, 256)) * falling).real
    return 0.5 + noise / noise.std() * 0.15


def test_stripes_fainter_than_detail_are_seen_and_other_errors_are_not() -> None:
    torch.manual_seed(0)
    truth = cloudy(4)
    blurred = down_and_up(truth)
    y, x = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    for period in (3.0, 5.7, 8.0):
        stripes = 0.01 * torch.sin(2 * torch.pi * (x + y) / 2**0.5 / period)
        printed = (blurred + stripes).requires_grad_(True)
        loss = hatching_loss(printed, truth).mean()
        assert loss > 0.001
        (slope,) = torch.autograd.grad(loss, printed)
        assert hatching_loss(printed - 0.5 * stripes, truth).mean() < loss
        assert (slope * stripes).sum() > 0
        assert hatching_loss(truth + stripes, truth + stripes).max() == 0
    for other in (blurred, truth + 0.02 * torch.randn_like(truth), truth * 0.9 + 0.1):
        assert hatching_loss(other, truth).mean() < 2e-4


def down_and_up(pictures: Tensor) -> Tensor:
    return up(down(up(down(pictures))))


def test_a_run_learns_is_watched_and_goes_on(photos: PhotoSet, tmp_path: Path) -> None:
    judged: list[bool] = []

    def judge(net: nn.Module) -> dict[str, float]:
        judged.append(net.training)
        return {"score": 1.0}

    def show(net: nn.Module) -> Tensor:
        return torch.zeros(3, 8, 8)

    first = replace(HOW, loop=replace(HOW.loop, steps=1))
    train(photos, None, first, Run(tmp_path), Watch(judge, show))
    weights = train(photos, None, HOW, Run(tmp_path), Watch(judge, show))
    net, steps = load(weights)
    assert steps == 3
    assert judged == [False, False]
    fresh = GanPrior(GANPRIOR).state_dict()
    assert any(not torch.equal(value, fresh[name]) for name, value in net.state_dict().items())
    begun = replace(HOW, loop=replace(HOW.loop, steps=0))
    again, steps = load(train(photos, None, begun, Run(tmp_path / "again", start=weights)))
    assert steps == 0
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in again.state_dict().items())


def test_weights_of_another_network_are_refused(photos: PhotoSet, tmp_path: Path) -> None:
    weights = train(photos, None, replace(HOW, loop=replace(HOW.loop, steps=0)), Run(tmp_path))
    with pytest.raises(ValueError, match="holds another network"):
        read_weights(weights, replace(GANPRIOR, attention_layers=0))


def test_a_run_from_a_model_folder_begins_with_colors_that_show_the_face(
    photos: PhotoSet, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net = GanPrior(GANPRIOR)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.05)
        net.finest.features.bias.copy_(net.finest.look.bias)  # the exporter writes one for both
    folder = tmp_path / "model"
    TrainedRestorer(view_network(net.eval()), CARD, 1).export(folder, Publication("mine"))
    begun = replace(HOW, loop=replace(HOW.loop, steps=0))
    again, _ = load(train(photos, None, begun, Run(tmp_path / "run", start=folder)))
    truth = torch.stack(
        [
            torch.from_numpy(photos.read_sharpest(p.file)).permute(2, 0, 1) / 255
            for p in photos.photos
            if p.sharp_size == 512
        ]
    )
    with torch.no_grad():
        drawn, before = again(truth), net(truth)
        wanted = F.adaptive_avg_pool2d(truth, drawn.codes.shape[-1])
        plain = (wanted - wanted.mean((0, 2, 3), keepdim=True)).abs().mean()
        assert (drawn.codes - wanted).abs().mean() < plain < (before.codes - wanted).abs().mean()
        assert torch.allclose(drawn.picture, before.picture, atol=2e-3)  # weights were rounded to fp16


@pytest.mark.parametrize("part", PARTS)
def test_a_part_can_be_left_out_of_trained_weights(photos: PhotoSet, tmp_path: Path, part: str) -> None:
    whole = train(photos, None, replace(HOW, loop=replace(HOW.loop, steps=0)), Run(tmp_path / "whole"))
    less = replace(HOW, network=GANPRIOR.leave_out([part]), loop=replace(HOW.loop, steps=0))
    with pytest.raises(ValueError, match="holds another network"):
        train(photos, None, less, Run(tmp_path / "refused", start=whole))
    net, _ = load(train(photos, None, replace(less, whole=GANPRIOR), Run(tmp_path / "less", start=whole)))
    kept = torch.load(whole, weights_only=True)["weights"]
    anew = {name for name, value in net.state_dict().items() if not torch.equal(value, kept[name])}
    assert net.params == less.network
    assert len(net.state_dict()) < len(kept)
    # Without its finest grid the generator takes fewer codes, and the coarser of its bends is the only one.
    of_finest = {"decoder.to_codes.out.weight", "decoder.to_codes.out.bias", "fine_bends.bends.0.conv.weight"}
    assert anew == (of_finest if part == "finest" else set())


def test_a_run_from_trained_weights_sharpens_from_the_first_step_on_and_sees_good_pictures_at_once() -> None:
    on = GanPriorTraining().go_on()
    assert on.adversarial_from == 0 < GanPriorTraining().adversarial_from
    assert on.stream.curriculum.ruined == 0 < GanPriorTraining().stream.curriculum.ruined
    assert on.loop.warmup == 200 < GanPriorTraining().loop.warmup
    assert HOW.go_on().loop.warmup == 1


def test_what_sharpens_is_faded_in_and_asks_the_discriminator(photos: PhotoSet) -> None:
    torch.manual_seed(0)
    batch = next(iter(Samples(photos.split("train"), HALF_SIZE.mix, 2, 0)))
    net, adversary = GanPrior(GANPRIOR), Adversary()
    _, before = training_step(net, net, batch, LossWeights(), adversary, None, 0.0)
    assert set(before) == {"pixels", "pattern", "hatching", "sketch"}
    assert adversary.loss(0) is None
    total, after = training_step(net, net, batch, LossWeights(), adversary, None, 1.0)
    assert set(after) == {*before, "sharpness", "adversarial"}
    assert adversary.loss(0) is not None
    total.backward()
    assert net.finest.out.weight.grad is not None


def test_nothing_is_learned_of_a_gray_photographs_color(photos: PhotoSet) -> None:
    torch.manual_seed(0)
    batch = next(iter(Samples(photos.split("train"), HALF_SIZE.mix, 2, 0)))
    net = GanPrior(GANPRIOR)
    gray = replace(batch, truth=batch.truth[:, 1:2].expand(-1, 3, -1, -1), colorless=torch.ones(2).bool())
    shifted = gray.truth.float() + torch.tensor([30.0, 0.0, -30 * 0.299 / 0.114])[:, None, None]
    colored = replace(gray, truth=shifted)
    same, _ = training_step(net, net, gray, LossWeights())
    also, _ = training_step(net, net, colored, LossWeights())
    other, _ = training_step(net, net, replace(colored, colorless=torch.zeros(2).bool()), LossWeights())
    assert torch.allclose(same, also, rtol=1e-3)
    assert other > 1.2 * same


def test_twins_are_one_photograph_and_are_to_get_one_code(photos: PhotoSet) -> None:
    twins = replace(HALF_SIZE.mix, twins=1.0)
    batch = Samples(photos, twins, 4, 0).draw(np.random.default_rng(3))
    assert batch.twins
    assert torch.equal(batch.truth[0], batch.truth[1])
    assert not torch.equal(batch.low_quality[0], batch.low_quality[1])
    assert not torch.equal(batch.truth[0], batch.truth[2])
    net = GanPrior(GANPRIOR)
    _, parts = training_step(net, net, batch, LossWeights())
    assert parts["agreement"] == 0  # of a new network, whose codes are all the mean one
    codes = torch.tensor([[1.0], [3.0], [5.0], [5.0]])
    assert float(agreement_loss(codes)) == 1.0


def test_steps_draw_windows_as_often_as_asked_and_all_processes_the_same() -> None:
    drawn = [draw_window(HOW, step) for step in range(400)]
    assert drawn == [draw_window(HOW, step) for step in range(400)]
    windows = [window for window in drawn if window is not None]
    assert 0.65 < len(windows) / len(drawn) < 0.85
    assert len({window.top for window in windows}) > 20
    assert draw_window(replace(HOW, windowed=0.0), 0) is None


def test_a_window_is_judged_against_its_part_of_the_truth(photos: PhotoSet) -> None:
    batch = Samples(photos, HALF_SIZE.mix, 2, 0).draw(np.random.default_rng(3))
    net, window = GanPrior(GANPRIOR), Window(0, 16, 32, 64)
    untouched = replace(batch, low_quality=F.interpolate(batch.truth.float(), scale_factor=2).byte())
    _, parts = training_step(net, net, untouched, LossWeights(), window=window)
    elsewhere = replace(untouched, truth=batch.truth.roll(64, -1))
    _, wrong = training_step(net, net, elsewhere, LossWeights(), window=window)
    assert parts["pixels"] < 0.5 * wrong["pixels"]
