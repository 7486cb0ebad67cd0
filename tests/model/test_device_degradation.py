"""The executor in torch held to the one in OpenCV, and to what a GPU needs."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pictures import aligned_face, psnr
from refstar_model.data.batch_views import apply_tones, relight, warp
from refstar_model.data.degradation import (
    LONE_LEVELS,
    Chain,
    Family,
    Jpeg,
    Recipe,
    apply_tone,
    degrade,
    draw_family,
    draw_recipe,
    draw_tone,
    old,
    severe,
)
from refstar_model.data.degradation.device import Degrader
from refstar_model.data.degradation.jpeg import quantization_tables, through_jpeg
from refstar_model.data.degradation.marks import Mark, MarkKind, mark_bank
from refstar_model.data.degradation.recipe import (
    Aging,
    Interpolation,
)
from refstar_model.data.degradation.resampling import blur_matrix, resize_matrix
from refstar_model.data.photos import load_photos
from refstar_model.data.pseudo import draw_light as draw_lamp
from refstar_model.data.pseudo import draw_move, pseudo_view
from refstar_model.layers.pyramid import laplacian
from torch.utils._python_dispatch import TorchDispatchMode

CPU = torch.device("cpu")
DRAWS: dict[str, Callable[[np.random.Generator], Recipe]] = {
    **{family.name: partial(draw_family, family=family) for family in Family},
    **{f"{level} level": draw for level, draw in LONE_LEVELS.items()},
}


@pytest.fixture(scope="module")
def degrader() -> Degrader:
    return Degrader(mark_bank(), CPU)


def tensor(pictures: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def on_device(degrader: Degrader, pictures: list[np.ndarray], recipes: list[Recipe]) -> torch.Tensor:
    return degrader.degrade(tensor(pictures), recipes, torch.Generator().manual_seed(1))


def one(degrader: Degrader, picture: np.ndarray, recipe: Recipe) -> np.ndarray:
    out = on_device(degrader, [picture], [recipe])[0].permute(1, 2, 0) * 255
    return out.round().numpy().astype(np.uint8)


def face(side: int) -> np.ndarray:
    return np.asarray(cv2.resize(aligned_face(), (side, side), interpolation=cv2.INTER_AREA))


def assert_alike(ours: torch.Tensor, theirs: torch.Tensor, truth: torch.Tensor) -> None:
    """Mean within half a level, every band's energy within 15 %, the distance to the truth within half a decibel."""
    assert abs(float((ours - theirs).mean())) * 255 < 0.6
    for mine, other in zip(laplacian(ours, 6), laplacian(theirs, 6), strict=True):
        assert float(mine.square().mean()) == pytest.approx(float(other.square().mean()), rel=0.15)
    wide = torch.nn.functional.interpolate(truth, size=(512, 512), mode="bilinear", align_corners=False)

    def distance(x: torch.Tensor) -> torch.Tensor:
        return -10 * torch.log10((x - wide).square().mean((1, 2, 3)).clamp(min=1e-6))

    assert float((distance(ours) - distance(theirs)).mean()) == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("family", sorted(DRAWS))
def test_a_family_ruins_as_much_as_in_opencv(degrader: Degrader, family: str) -> None:
    numbers = np.random.default_rng(5)
    recipes = [DRAWS[family](numbers) for _ in range(6)]
    picture = face(256)
    theirs = tensor([degrade(picture, recipe, numbers) for recipe in recipes])
    pictures = [picture] * len(recipes)
    assert_alike(on_device(degrader, pictures, recipes), theirs, tensor(pictures))


@pytest.mark.skipif("REFSTAR_DATA" not in os.environ, reason="needs photographs (REFSTAR_DATA)")
def test_a_mixed_batch_of_photographs_is_ruined_as_in_opencv(degrader: Degrader) -> None:
    photos = load_photos(Path(os.environ["REFSTAR_DATA"]) / "faces").split("train")
    sharp = [p.file for p in photos.photos if p.sharp_at_512][:12]
    numbers = np.random.default_rng(6)
    recipes = [draw_recipe(numbers) for _ in sharp]
    pictures = [photos.read(file, 512) for file in sharp]
    theirs = tensor([degrade(p, r, numbers) for p, r in zip(pictures, recipes, strict=True)])
    assert_alike(on_device(degrader, pictures, recipes), theirs, tensor(pictures))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(Family.LIGHT),
        Recipe(Family.LIGHT, Chain(), Aging(focus=2.5)),
        Recipe(Family.LIGHT, Chain(), Aging(motion=14, heading=0.6)),
        Recipe(
            Family.LIGHT,
            Chain(),
            Aging(exposure=Mark(0.5, 1, 3), fading=Mark(0.6, 7, 6), paper=(0.8, 0.7, 0.5)),
        ),
        Recipe(Family.LIGHT, Chain(), Aging(stain=Mark(0.6, 2, 5), stain_tint=(0.4, 0.7, 1.0))),
        Recipe(Family.LIGHT, Chain(), Aging(scratches=Mark(-0.9, 4, 1, (100, 33)), fold=Mark(0.8, 5, 4))),
        Recipe(Family.PHONE, Chain(down=2.7, shrink=Interpolation.AREA, smear=30, halo=1.2, halo_width=0.8)),
        Recipe(Family.PHONE, Chain(down=4, grow=Interpolation.NEAREST), gray=True),
        Recipe(Family.PHONE, Chain(down=3.4, grow=Interpolation.CUBIC, shrink=Interpolation.CUBIC)),
    ],
    ids=["nothing", "focus", "motion", "light", "stain", "marks", "sharpened", "blocks", "cubic"],
)
def test_what_has_no_noise_comes_out_the_same(degrader: Degrader, recipe: Recipe) -> None:
    picture = face(256)
    theirs = degrade(picture, recipe, np.random.default_rng(0))
    assert psnr(one(degrader, picture, recipe), theirs) > 46


@pytest.mark.parametrize(("offset", "full"), [((0, 0), False), ((0, 0), True), ((5, 2), False)])
def test_jpeg_is_libjpegs(degrader: Degrader, offset: tuple[int, int], full: bool) -> None:
    chain = Chain(down=1.9, jpeg=Jpeg(75, full), second_jpeg=Jpeg(40, full, offset) if any(offset) else None)
    recipe, picture = Recipe(Family.PHONE, chain), face(512)
    theirs = degrade(picture, recipe, np.random.default_rng(0))
    # Coded twice, a level's rounding in the first can be a whole step in the second.
    assert psnr(one(degrader, picture, recipe), theirs) > (38 if any(offset) else 46)
    uncoded = degrade(picture, Recipe(Family.PHONE, Chain(down=1.9)), np.random.default_rng(0))
    assert psnr(theirs, uncoded) < 42


def test_a_picture_of_whole_blocks_goes_through_jpeg_as_in_libjpeg() -> None:
    picture = aligned_face()
    for quality in (30, 75, 95):
        coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        theirs = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]
        tables = torch.from_numpy(quantization_tables([quality]))
        ours = through_jpeg(tensor([picture]) * 255, tables, False)[0].permute(1, 2, 0).numpy()
        assert psnr(ours.astype(np.uint8), theirs) > 45


def test_tables_are_those_of_the_standard_at_quality_50() -> None:
    light, color = quantization_tables([50])[0]
    assert light[0].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]
    assert color[0, :5].tolist() == [17, 18, 24, 47, 99]
    assert quantization_tables([100]).max() == 1


def test_matrices_are_opencvs_filters() -> None:
    rows = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    source, target = torch.tensor([64, 64, 64, 64]), torch.tensor([27, 64, 20, 40])
    kinds = torch.tensor([Interpolation.LINEAR, Interpolation.AREA, Interpolation.AREA, Interpolation.CUBIC])
    matrices = resize_matrix(kinds, source, target, 64, 64)
    for matrix, kind, side in zip(matrices, kinds.tolist(), target.tolist(), strict=True):
        theirs = cv2.resize(rows, (64, side), interpolation=kind)
        assert np.abs((matrix @ torch.from_numpy(rows))[:side].numpy() - theirs).max() < 1e-4
    blur = blur_matrix(torch.tensor([2.0]), torch.tensor([6.0]), torch.tensor([64]), 64)[0]
    theirs = cv2.sepFilter2D(rows, -1, np.ones((1, 1)), cv2.getGaussianKernel(13, 2.0))
    assert np.abs((blur @ torch.from_numpy(rows)).numpy() - theirs).max() < 1e-5


@pytest.mark.parametrize("side", [256, 512])
def test_marks_lie_where_they_lie_in_opencv(degrader: Degrader, side: int) -> None:
    marks = [Mark(0.7, 3, turn, (130 * turn, 64)) for turn in range(8)]
    placed = degrader._place(MarkKind.SCRATCHES, marks, side)
    for mine, mark in zip(placed[:, 0].numpy(), marks, strict=True):
        assert np.allclose(mine, mark_bank().place(MarkKind.SCRATCHES, mark, side), atol=1e-6)


def test_what_happens_to_a_picture_does_not_depend_on_its_neighbors(degrader: Degrader) -> None:
    recipes = [
        Recipe(Family.PHONE, Chain(down=6, jpeg=Jpeg(60)), gray=True),
        Recipe(Family.LIGHT),
        Recipe(Family.OLD, Chain(blur=2, down=1.5), Aging(focus=1, dust=Mark(1.0, 2))),
        Recipe(Family.SECOND_ORDER, Chain(down=3), earlier=Chain(blur=1, stretch=0.5, down=1.5)),
    ]
    picture = face(256)
    together = on_device(degrader, [picture] * 4, recipes)
    for row, recipe in zip(together, recipes, strict=True):
        # Sums of a batch may round otherwise than those of one picture.
        assert (row - on_device(degrader, [picture], [recipe])[0]).abs().mean() * 255 < 0.02


def test_faces_of_another_size_and_missing_recipes_are_refused(degrader: Degrader) -> None:
    with pytest.raises(ValueError, match="512 or 256 pixels, not of 128"):
        on_device(degrader, [face(128)], [Recipe(Family.LIGHT)])
    with pytest.raises(ValueError, match="1 recipes for 2 faces"):
        on_device(degrader, [face(256)] * 2, [Recipe(Family.LIGHT)])


class NoWaiting(TorchDispatchMode):
    """Refuses whatever would have the host wait for a GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        assert func.overloadpacket.__name__ not in (
            "_local_scalar_dense",
            "nonzero",
            "masked_select",
            "equal",
        )
        return func(*args, **(kwargs or {}))


def test_nothing_waits_for_the_device(degrader: Degrader) -> None:
    numbers = np.random.default_rng(8)
    recipes = [draw(numbers) for draw in DRAWS.values()]
    pictures = [face(256)] * len(recipes)
    batch = tensor(pictures)
    with NoWaiting():
        degrader.degrade(batch, recipes, torch.Generator().manual_seed(1))
        warp(batch, [draw_move(numbers) for _ in recipes])
        relight(batch, [draw_lamp(numbers, 0.2) for _ in recipes])
        apply_tones(batch, [draw_tone(numbers, gray=True) for _ in recipes])
        with pytest.raises(AssertionError):
            batch.mean().item()


def test_a_batch_repeats_with_its_generator_and_is_rounded(degrader: Degrader) -> None:
    recipes = [old(np.random.default_rng(2)), severe(np.random.default_rng(2))]
    one, two = (on_device(degrader, [face(256)] * 2, recipes) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.allclose(one * 255, (one * 255).round(), atol=1e-4)
    assert one.shape == (2, 3, 512, 512)


def test_views_of_a_batch_are_those_of_single_pictures() -> None:
    picture = face(256)
    for seed in range(3):
        view = pseudo_view(picture, np.random.default_rng(seed))
        source = picture[:, ::-1] if view.mirrored else picture
        theirs = cv2.remap(
            np.ascontiguousarray(source),
            view.places,
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        ours = warp(tensor([picture]), [draw_move(np.random.default_rng(seed))])[0].permute(1, 2, 0).numpy()
        assert psnr((ours * 255).round().astype(np.uint8), theirs) > 42  # cv2 places to 1/32 pixel


def test_light_and_tones_of_a_batch_are_those_of_single_pictures() -> None:
    picture, numbers = face(256), np.random.default_rng(1)
    tones = [draw_tone(numbers, gray=n % 2 == 0) for n in range(24)]
    ours = apply_tones(tensor([picture] * len(tones)), tones) * 255
    for mine, tone in zip(ours, tones, strict=True):
        theirs = apply_tone(picture, tone).astype(float)
        assert np.abs(mine.permute(1, 2, 0).numpy() - theirs).max() < 6
        assert np.abs(mine.permute(1, 2, 0).numpy() - theirs).mean() < 0.6
    lamp = draw_lamp(np.random.default_rng(3), 0.2)
    lit = relight(tensor([picture]), [lamp])[0].permute(1, 2, 0).numpy()
    wanted = ((picture / 255) ** lamp.gamma * lamp.gain + lamp.offset).clip(0, 1)
    assert np.abs(lit - wanted).max() < 1e-5
