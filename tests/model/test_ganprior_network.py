"""System 3 as a whole: where it starts, what its switches do, what it costs."""

from dataclasses import replace

import pytest
import torch
from refstar_model.backbone import UNAIDED, Transfer
from refstar_model.data.photos import PhotoSet
from refstar_model.ganprior.cost import count_multiplications
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.params import BASE, PARTS, SMALL, TINY, BlockKind, GanPriorParams
from refstar_model.ganprior.window import Window
from refstar_model.layers.pyramid import down
from refstar_model.refstar import params as refstar
from torch.nn import functional as F

VARIANTS = {
    "whole": TINY,
    "NAF blocks": replace(TINY, block=BlockKind.NAF),
    "no attention": replace(TINY, attention_layers=0),
    "finest grid a quarter": replace(TINY, prior_widths=TINY.prior_widths[:-1]),
    "blind at the end": replace(TINY, sees_input=False),
    "fine grids unbent": replace(TINY, bends_fine=False),
}


@pytest.fixture(scope="module")
def faces(photos: PhotoSet) -> torch.Tensor:
    """Four drawn faces [4, 3, 64, 64]."""
    drawn = [torch.from_numpy(photos.read(p.file, 256)) for p in photos.photos[:8:2]]
    return F.avg_pool2d(torch.stack(drawn).permute(0, 3, 1, 2).float() / 255, 4)


@pytest.fixture(params=VARIANTS)
def net(request: pytest.FixtureRequest) -> GanPrior:
    torch.manual_seed(1)
    return GanPrior(VARIANTS[request.param])


def randomized(net: GanPrior) -> GanPrior:
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    return net


def test_a_new_network_returns_its_input(net: GanPrior, faces: torch.Tensor) -> None:
    for mode in (True, False):
        with torch.no_grad():
            assert torch.equal(net.train(mode)(faces).picture, faces)


def test_evaluation_computes_what_training_does(net: GanPrior, faces: torch.Tensor) -> None:
    randomized(net)
    with torch.no_grad():
        trained, evaluated = (net.train(mode)(faces) for mode in (True, False))
    assert not torch.allclose(evaluated.picture, faces, atol=1e-2)
    assert torch.allclose(trained.picture, evaluated.picture, atol=1e-4)
    assert torch.allclose(trained.features, evaluated.features, atol=1e-4)


def test_it_keeps_the_shapes_of_the_seam(net: GanPrior, faces: torch.Tensor) -> None:
    with torch.no_grad():
        seen = net.analyze(faces)
        drawing = net.draw(faces, seen, UNAIDED)
    assert [f.shape[1:] for f in seen] == [(8, 16, 16), (8, 8, 8), (16, 4, 4)]
    assert drawing.features.shape == (4, 8, 16, 16)
    assert drawing.picture.dtype == torch.float32


@pytest.mark.parametrize("place", [(4, 3), (0, 8), (8, 0)])
def test_a_window_is_drawn_as_the_whole_face_is(
    net: GanPrior, faces: torch.Tensor, place: tuple[int, int]
) -> None:
    randomized(net)
    window = Window(*place, 8, 16)
    with torch.no_grad():
        whole, part = net(faces), net(faces, window)
    assert part.picture.shape == (4, 3, 32, 32)
    assert part.codes.shape[2:] == (min(16, whole.codes.shape[-1]),) * 2
    # What lies a margin and a cell inside sees none of the zeros around the part.
    inside = (..., slice(4, 28), slice(4, 28))
    assert torch.allclose(part.picture[inside], window.select(whole.picture)[inside], atol=1e-5)
    assert torch.allclose(part.style, whole.style, atol=1e-6)


def test_a_window_that_leaves_its_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="not within its grid of 16 cells"):
        Window(9, 0, 8, 16)


def test_what_references_bring_reaches_the_picture(net: GanPrior, faces: torch.Tensor) -> None:
    randomized(net).eval()
    with torch.no_grad():
        seen = net.analyze(faces)
        usual = net.draw(faces, seen, UNAIDED).picture
        for helped in (Transfer(lambda x: x + 1, lambda x: x), Transfer(lambda x: x, lambda x: x + 1)):
            assert (net.draw(faces, seen, helped).picture - usual).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["whole", "finest grid a quarter"])
def test_it_learns_to_restore_and_its_prior_to_draw(name: str, faces: torch.Tensor) -> None:
    torch.manual_seed(1)
    net = GanPrior(VARIANTS[name]).train()
    blurred = F.interpolate(down(down(down(faces))), scale_factor=8.0, mode="bilinear")
    optimizer = torch.optim.Adam(net.parameters(), 1e-2, (0.9, 0.99))
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, total_iters=20)
    errors, sketches = [], []
    for _ in range(40):
        drawing = net(blurred)
        error, sketch = (drawing.picture - faces).square().mean(), net.losses(drawing.codes, faces)["sketch"]
        optimizer.zero_grad()
        (error + 0.1 * sketch).backward()
        optimizer.step()
        warm_up.step()
        errors.append(float(error.detach()))
        sketches.append(float(sketch.detach()))
    assert errors[-1] < 0.9 * errors[0]
    assert sketches[-1] < 0.3 * sketches[0]


def test_the_sketch_is_held_to_truths_of_both_sizes(faces: torch.Tensor) -> None:
    net, truth = GanPrior(TINY), faces
    sketch = net(truth).codes
    assert sketch is not None
    assert sketch.shape == (4, 3, 16, 16)
    whole, half = (net.losses(sketch, t)["sketch"] for t in (truth, down(truth)))
    assert torch.allclose(whole, half, atol=1e-6)
    assert net.losses(down(down(truth)), truth)["sketch"] < 1e-6 < whole


def test_the_finest_convolutions_see_the_input_unless_they_are_blind(
    faces: torch.Tensor,
) -> None:
    seeing, blind = (randomized(GanPrior(replace(TINY, sees_input=sees))).eval() for sees in (True, False))
    features, decoded = torch.rand(4, 8, 32, 32), torch.rand(4, 8, 16, 16)
    with torch.no_grad():
        for net, differs in ((seeing, True), (blind, False)):
            gray, face = (
                net.finest(features, decoded, picture) for picture in (torch.full_like(faces, 0.5), faces)
            )
            assert torch.allclose(gray, face) is not differs


@pytest.mark.parametrize("part", PARTS)
def test_a_network_without_a_part_is_smaller_and_restores(part: str, faces: torch.Tensor) -> None:
    params = TINY.leave_out([part])
    less, whole = (sum(value.numel() for value in GanPrior(p).parameters()) for p in (params, TINY))
    assert less < whole
    with torch.no_grad():
        assert GanPrior(params).eval()(faces).picture.shape == faces.shape


def test_the_encoder_is_deeper_than_the_decoder() -> None:
    for params in (SMALL, BASE):
        looking = sum(params.encoder_blocks) + params.bottom_blocks + params.attention_layers
        assert looking >= 2 * sum(params.decoder_blocks)


def test_small_is_as_small_as_promised() -> None:
    assert count_multiplications(GanPrior(SMALL).eval(), torch.zeros(1, 3, 512, 512)) < 12e9


@pytest.mark.parametrize("params", [SMALL, BASE, *VARIANTS.values()])
def test_params_survive_a_file(params: GanPriorParams) -> None:
    assert GanPriorParams.from_dict(params.to_dict()) == params


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"looks": (8, 8)}, "has 2 widths; unshuffle 4 needs one"),
        ({"attention_layers": 7}, "7 attention layers; choose 0 to 6"),
        ({"prior_widths": (8, 8)}, "make the finest grid 8; size 64 needs 32 or 16"),
        ({"widths": (8, 10, 16)}, "choose multiples of 4"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, object], finding: str) -> None:
    with pytest.raises(ValueError, match=finding):
        replace(TINY, **change)


def test_a_prior_of_another_size_than_its_whole_is_refused() -> None:
    with pytest.raises(ValueError, match=r"size is 128 and that of the prior 64; both must be the same"):
        replace(refstar.TINY, backbone=refstar.BackboneKind.GAN_PRIOR, size=128)


def test_refstar_takes_it_in_every_size() -> None:
    for whole in (refstar.SMALL, refstar.BASE, refstar.TINY):
        params = replace(whole, backbone=refstar.BackboneKind.GAN_PRIOR)
        assert refstar.RefStarParams.from_dict(params.to_dict()) == params
