"""What ruins a photograph: recipes, marks, tones, and the executor in OpenCV."""

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pictures import aligned_face, psnr
from refstar_model.data.degradation import (
    CHAINS,
    LEVELS,
    LONE_LEVELS,
    TABLE,
    Chain,
    Family,
    Jpeg,
    Recipe,
    Tone,
    apply_tone,
    degrade,
    draw_family,
    draw_recipe,
    draw_tone,
    old,
)
from refstar_model.data.degradation.marks import (
    MIRRORED,
    TRANSPOSED,
    UPSIDE_DOWN,
    Mark,
    MarkBank,
    MarkKind,
    mark_bank,
)
from refstar_model.data.degradation.recipe import Aging, Halftone, Interpolation

NOTHING = Recipe(Family.LIGHT)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def aged(picture: np.ndarray, aging: Aging, seed: int = 0) -> np.ndarray:
    return degrade(picture, replace(NOTHING, aging=aging), rng(seed))


def flat(level: int) -> np.ndarray:
    return np.full((512, 512, 3), level, np.uint8)


@pytest.mark.parametrize("level", sorted(LEVELS))
def test_a_test_level_is_the_published_chain_byte_for_byte(level: str) -> None:
    blurs, downs, noises, qualities = {
        "moderate": ((2, 5), (4, 7), (4, 12), (65, 91)),
        "severe": ((8, 11), (10, 16), (5, 15), (40, 81)),
    }[level]
    picture, ours, theirs = aligned_face(), rng(3), rng(3)
    result = degrade(picture, LEVELS[level](ours), ours)

    blur, down, noise = (theirs.uniform(*r) for r in (blurs, downs, noises))
    quality = int(theirs.integers(*qualities))
    small = round(512 / down)
    out = cv2.resize(cv2.GaussianBlur(picture, (0, 0), blur), (small, small)).astype(np.float32)
    out += theirs.standard_normal(out.shape, dtype=np.float32) * noise
    out = np.clip(np.rint(out), 0, 255).astype(np.uint8)
    out = cv2.imdecode(cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    assert np.array_equal(result, cv2.resize(out, (512, 512)))


def test_families_are_drawn_as_often_as_the_table_says() -> None:
    numbers = rng()
    drawn = Counter(draw_recipe(numbers).family for _ in range(2000))
    shares = TABLE.shares
    wanted = (
        shares.light,
        shares.present,
        shares.second_order,
        shares.old,
        shares.phone,
        shares.independent,
    )
    for family, share in zip(Family, wanted, strict=True):
        assert drawn[family] / 2000 == pytest.approx(share, abs=0.04)
    assert {draw_recipe(numbers, CHAINS).family for _ in range(100)} == {Family.PRESENT, Family.SECOND_ORDER}


def test_independent_faults_come_with_and_without_each_other() -> None:
    numbers = rng()
    chains = [draw_family(numbers, Family.INDEPENDENT).last for _ in range(400)]
    small, noisy = (
        np.array(values) for values in ([c.down >= 4 for c in chains], [c.noise >= 8 for c in chains])
    )
    blurred, coarse = np.array([c.blur > 0 for c in chains]), np.array([c.jpeg is not None for c in chains])
    whole = np.array([c.down == 1 for c in chains])
    for alone in (small & ~noisy & ~blurred, whole & noisy & ~blurred, whole & coarse & ~noisy & ~blurred):
        assert alone.mean() > 0.04
    assert (small & noisy & blurred & coarse).any()


def test_a_small_picture_is_crisp_at_its_own_size_and_a_noisy_one_keeps_its_edges() -> None:
    picture = aligned_face()
    thumbnail = degrade(picture, LONE_LEVELS["small"](rng()), rng())
    reduced, wanted = (cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA) for x in (thumbnail, picture))
    assert psnr(reduced, wanted) > psnr(thumbnail, picture) + 4
    numbers = rng()
    noisy = [degrade(picture, LONE_LEVELS["noisy"](numbers), numbers).astype(np.float32) for _ in range(24)]
    assert (
        psnr(np.clip(np.mean(noisy, 0), 0, 255).astype(np.uint8), picture)
        > psnr(noisy[0].astype(np.uint8), picture) + 6
    )


def test_every_family_repeats_with_its_seed() -> None:
    picture, numbers = aligned_face()[::2, ::2].copy(), rng()
    for family in Family:
        recipe = draw_family(numbers, family)
        one, two = (degrade(picture, recipe, rng(1), quick=True) for _ in range(2))
        assert one.shape == (512, 512, 3)
        assert np.array_equal(one, two)


def test_a_recipe_of_nothing_changes_nothing() -> None:
    picture = aligned_face()
    assert np.array_equal(degrade(picture, NOTHING, rng()), picture)
    assert np.array_equal(aged(picture, Aging()), picture)


def test_copies_of_colorless_photographs_are_mostly_gray() -> None:
    numbers = rng()
    drawn = [draw_recipe(numbers, colorless=True) for _ in range(300)]
    assert np.mean([r.gray for r in drawn]) == pytest.approx(TABLE.gray_scan, abs=0.1)
    assert not any(draw_recipe(numbers).gray for _ in range(50))
    noisy = degrade(aligned_face(), Recipe(Family.LIGHT, Chain(noise=9), gray=True), rng())
    assert np.ptp(noisy, axis=2).max() == 0


def test_the_old_level_lies_between_the_two_others() -> None:
    picture = aligned_face()
    moderate, severe, aged_far = (
        np.mean([psnr(degrade(picture, draw(numbers), numbers), picture) for numbers in map(rng, range(6))])
        for draw in (LEVELS["moderate"], LEVELS["severe"], old)
    )
    assert severe - 3 < aged_far < moderate


def test_a_bank_is_made_from_its_seed_and_its_fields_have_no_light_of_their_own() -> None:
    bank = mark_bank()
    assert np.array_equal(bank.overlays, MarkBank().overlays)
    fields = bank.overlays[MarkKind.FIELD].astype(float) - 128
    assert np.abs(fields.mean((1, 2))).max() < 1
    assert (np.abs(fields).max((1, 2)) == 127).all()
    assert bank.overlays.shape[2:] == (512, 512)


def test_marks_are_rolled_then_turned() -> None:
    bank = mark_bank()
    plain = bank.place(MarkKind.DUST, Mark(1.0, 3), 512)
    rolled = np.roll(plain, (7, 5), (0, 1))
    for turn, wanted in (
        (MIRRORED, rolled[:, ::-1]),
        (UPSIDE_DOWN, rolled[::-1]),
        (TRANSPOSED, rolled.T),
        (TRANSPOSED | MIRRORED, rolled.T[:, ::-1]),
    ):
        assert np.array_equal(bank.place(MarkKind.DUST, Mark(1.0, 3, turn, (5, 7)), 512), wanted)
    assert np.array_equal(bank.place(MarkKind.DUST, Mark(-0.5, 3), 512), -0.5 * plain)
    small = bank.place(MarkKind.FIELD, Mark(1.0, 3), 256)
    assert np.abs(small - bank.place(MarkKind.FIELD, Mark(1.0, 3), 512)[::2, ::2]).max() < 0.05


def test_marks_on_a_face_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="256 or 512 pixels, not of 128"):
        degrade(flat(9)[:128, :128], replace(NOTHING, aging=Aging(dust=Mark(1.0))), rng())


def test_light_marks_lighten_and_dark_ones_darken() -> None:
    light, dark = (aged(flat(100), Aging(scratches=Mark(s, 1))).astype(int) for s in (1.0, -1.0))
    assert light.max() > 180
    assert dark.min() < 50
    assert np.mean(light == 100) > 0.9


def test_fading_goes_to_the_paper_and_leaves_half_of_the_picture_alone() -> None:
    paper = (0.9, 0.8, 0.6)
    black, white = (aged(flat(v), Aging(fading=Mark(0.8, 2), paper=paper)).astype(int) for v in (0, 255))
    most = np.unravel_index(black[..., 0].argmax(), (512, 512))
    assert black[most].tolist() == pytest.approx([0.8 * 255 * p for p in paper], abs=3)
    assert (white - black)[most].max() < 60
    assert 0.2 < np.mean(black == 0) < 0.8


@pytest.mark.parametrize("ruled", [False, True])
def test_a_screen_keeps_the_tone(ruled: bool) -> None:
    how = Halftone(1.0, 5.0, 0.4, ruled)
    for level in (50, 128, 205):
        printed = aged(flat(level), Aging(halftone=how))
        assert printed.std() > 40
        assert printed.mean() == pytest.approx(level, abs=4)


def test_grain_is_strongest_in_the_mid_tones_and_as_coarse_as_asked() -> None:
    def grain(level: int, size: float) -> np.ndarray:
        return aged(flat(level), Aging(grain=12, grain_size=size))[..., 0].astype(float) - level

    fine, coarse = grain(128, 0.1), grain(128, 2.0)
    assert fine.std() == pytest.approx(12, rel=0.05)
    assert coarse.std() == pytest.approx(12, rel=0.1)
    assert grain(235, 1.0).std() < 0.75 * grain(128, 1.0).std()

    def neighbors(field: np.ndarray) -> float:
        return float(np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1])

    assert abs(neighbors(fine)) < 0.05
    assert neighbors(coarse) == pytest.approx(np.exp(-1 / (4 * 2.0**2)), abs=0.03)


def test_a_moving_camera_blurs_along_its_way() -> None:
    lines = flat(0)
    lines[:, ::8] = 255
    along = aged(lines, Aging(motion=16, heading=np.pi / 2))
    across = aged(lines, Aging(motion=16, heading=0.0))
    assert along.std() > 0.95 * lines.std()
    assert across.std() < 0.3 * lines.std()


def test_the_second_grid_of_a_picture_coded_twice_lies_elsewhere() -> None:
    def steps(recipe: Chain) -> np.ndarray:
        out = degrade(aligned_face(), Recipe(Family.PHONE, recipe), rng()).astype(float).mean(2)
        return np.abs(np.diff(out, axis=1)).mean(0)[8:-8]

    first = steps(Chain(jpeg=Jpeg(12)))
    second = steps(Chain(jpeg=Jpeg(12), second_jpeg=Jpeg(12, offset=(3, 0))))
    plain = [first[k::8].mean() for k in range(8)]
    twice = [second[k::8].mean() for k in range(8)]
    assert np.argmax(plain) == 7  # between columns 15 and 16
    assert np.argmax(twice) == 4  # 3 columns earlier


def test_full_chroma_keeps_more_color() -> None:
    bars = flat(128)
    bars[:, ::4, 0] = 255
    half, full = (
        degrade(bars, Recipe(Family.PHONE, Chain(jpeg=Jpeg(90, chroma))), rng()) for chroma in (False, True)
    )
    assert psnr(full, bars) > psnr(half, bars) + 3


def test_sharpening_leaves_halos_and_nearest_enlargement_leaves_blocks() -> None:
    edge = flat(80)
    edge[:, 256:] = 160
    sharp = degrade(edge, Recipe(Family.PHONE, Chain(down=2, halo=1.5)), rng())
    assert sharp.min() < 60
    assert sharp.max() > 180
    blocks = degrade(aligned_face(), Recipe(Family.PHONE, Chain(down=8, grow=Interpolation.NEAREST)), rng())
    assert np.array_equal(blocks, np.repeat(np.repeat(blocks[::8, ::8], 8, 0), 8, 1))


def test_tones_keep_what_the_table_says() -> None:
    numbers = rng()
    color, gray = ([draw_tone(numbers, is_gray) for _ in range(1500)] for is_gray in (False, True))
    table = TABLE.tone
    assert np.mean([t.colorless for t in color]) == pytest.approx(table.gray, abs=0.03)
    assert np.mean([t.colorless for t in gray]) == pytest.approx(1 - table.toned_gray, abs=0.04)
    assert np.mean([t.neutral for t in color]) == pytest.approx(
        (1 - table.gray - table.toned) * (1 - table.faded), abs=0.03
    )
    picture = aligned_face()
    for tone in color[:60]:
        colorless = np.ptp(apply_tone(picture, tone), axis=2).max() == 0
        assert colorless == tone.colorless


def test_a_faded_tone_lifts_black_and_lowers_white() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    faded = apply_tone(ramp, Tone(black=(0.2,) * 3, white=(0.8,) * 3))
    assert (faded[0, 0, 0], faded[0, 255, 0]) == (51, 204)
    assert apply_tone(ramp, Tone()) is ramp
