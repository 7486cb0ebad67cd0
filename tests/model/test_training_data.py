"""What training sees: degradations, pseudo references, the stream of batches."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from pictures import aligned_face, psnr
from refstar_model.data.degradation import TABLE, Chain, Family, Jpeg, Recipe, degrade, draw_family
from refstar_model.data.photos import Pair, PhotoSet, PhotoWeights
from refstar_model.data.plan import TOGETHER, Curriculum, Planner, SampleMix, Source
from refstar_model.data.pseudo import draw_move, expression_field, mirror_order, pseudo_view
from refstar_model.data.samples import Samples
from refstar_model.data.selection_masks import SelectionLabel, SelectionLabels
from refstar_model.training.clock import Clock
from refstar_model.training.processes import Course
from torch.nn import functional as F


def test_the_quick_blur_is_the_same_blur() -> None:
    picture = aligned_face()
    for sigma in (8.0, 12.0):
        how = Recipe(Family.PRESENT, Chain(blur=sigma, down=6, jpeg=Jpeg(100)))
        slow, quick = (
            degrade(picture, how, np.random.default_rng(0), quick=q).astype(int) for q in (False, True)
        )
        assert np.abs(slow - quick).mean() < 1


def test_a_second_order_repeats_with_its_seed_and_loses_more() -> None:
    picture = aligned_face()
    how = draw_family(np.random.default_rng(3), Family.SECOND_ORDER)
    one, two = (degrade(picture, how, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one, two)
    assert one.shape == (512, 512, 3)
    light = replace(how, last=replace(how.last, blur=0.0, down=2.0, noise=2.0))
    once = degrade(picture, replace(light, earlier=None), np.random.default_rng(4))
    assert psnr(degrade(picture, light, np.random.default_rng(4)), picture) < psnr(once, picture)


def test_a_pseudo_reference_is_moved_as_far_as_asked() -> None:
    whole, half, none = (draw_move(np.random.default_rng(5), 1.0, moved) for moved in (1.0, 0.5, 0.0))
    assert abs(whole.angle) > 0.5
    assert half.angle == pytest.approx(whole.angle / 2)
    assert half.shift == pytest.approx(whole.shift / 2)
    assert np.allclose(half.bend, whole.bend / 2, atol=1e-6)
    assert none.mirrored
    assert not none.bend.any()
    assert np.allclose(none.affine(256), [[1, 0, 0], [0, 1, 0]], atol=1e-6)
    assert not draw_move(np.random.default_rng(5), mirrored=0.0).mirrored


def test_an_expression_moves_eyes_and_mouth_and_leaves_the_rest() -> None:
    fields = np.stack([expression_field(np.random.default_rng(seed), 256) for seed in range(8)])
    moved = np.linalg.norm(fields, axis=-1)
    assert moved[:, 186, 100].mean() > 1  # a mouth corner
    assert moved.max() < 15  # 30 pixels at 512
    edge = np.concatenate([moved[:, :16].ravel(), moved[:, :, :8].ravel(), moved[:, :, -8:].ravel()])
    assert edge.max() < 0.1
    half, full = (expression_field(np.random.default_rng(1), side) for side in (256, 512))
    assert np.abs(full[::2, ::2] - 2 * half).max() < 0.3


def test_points_go_where_a_pseudo_reference_shows_them() -> None:
    picture = aligned_face()[::2, ::2].copy()
    points = np.array([[0.4, 0.45], [0.6, 0.45], [0.5, 0.7]], np.float32)
    view = pseudo_view(picture, np.random.default_rng(2), expression=1.0)
    there = view.carry(points) * 256 - 0.5
    x, y = np.rint(there).astype(int).T
    back = view.places[y, x] + (there - np.rint(there))  # nearest place, and the rest of a pixel
    assert np.abs(back - (points * 256 - 0.5)).max() < 0.5


def test_a_mirrored_face_keeps_its_left_eye_left() -> None:
    mean = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6]], np.float32)
    assert mirror_order(mean).tolist() == [1, 0, 2]


def test_the_stream_goes_on_where_it_was_and_can_be_shared(photos: PhotoSet) -> None:
    def take(count: int, **where: int) -> list[torch.Tensor]:
        samples = Samples(photos.split("train"), SampleMix(full_size=0), 1, 5, course=Course(**where))
        return [b.low_quality for b in islice(samples, count)]

    whole = take(4)
    assert torch.equal(whole[2], take(1, start=2)[0])
    assert torch.equal(whole[3], take(2, start=1, stride=2)[1])
    assert not torch.equal(whole[0], whole[1])


def test_a_curriculum_begins_at_half_size_and_has_its_own_full_batch(photos: PhotoSet) -> None:
    samples = Samples(
        photos.split("train"), SampleMix(full_size=1.0), 2, 0, curriculum=Curriculum(0.5, full_batch=1)
    )
    early, late = (samples.draw(np.random.default_rng(0), progress) for progress in (0.4, 0.6))
    assert early.truth.shape == (2, 3, 256, 256)
    assert late.truth.shape == (1, 3, 512, 512)


def test_a_curriculum_begins_with_what_is_plainly_ruined(photos: PhotoSet) -> None:
    planner = Planner(photos.split("train"), SampleMix(), 8, curriculum=Curriculum(ruined=0.5))
    families = [
        {
            face.recipe.family
            for index in range(10)
            for face in planner.draw_number(0, index + at, (index + at) / 100).faces
        }
        for at in (0, 60)
    ]
    assert families[0] == {Family.PRESENT, Family.SECOND_ORDER}
    assert len(families[1]) == len(Family)


def test_a_curriculum_begins_with_the_photograph_itself_as_reference(photos: PhotoSet) -> None:
    mix = SampleMix(alone=0.0, absent=0.0, wrong=0.3, same_tone=1.0, full_size=0.0)
    train, curriculum = photos.split("train"), Curriculum(itself=0.5)
    planner = Planner(train, mix, 40, curriculum=curriculum)
    early, late = (
        {reference.source for face in planner.draw_number(0, 1, at).faces for reference in face.references}
        for at in (0.4, 0.6)
    )
    assert early == {Source.ITSELF, Source.STRANGER}
    assert late == {Source.PAIR, Source.PSEUDO, Source.STRANGER}
    batch = Samples(train, replace(mix, wrong=0.0), 4, 0, curriculum=curriculum).draw(
        np.random.default_rng(0), 0.1
    )
    assert batch.right.all()
    seen = F.interpolate(batch.references[:, 0].float(), batch.truth.shape[-2:], mode="area")
    for truth, reference in zip(batch.truth.float(), seen, strict=True):
        # Relit, and in place.
        assert np.corrcoef(truth.flatten(), reference.flatten())[0, 1] > 0.95


def test_a_curriculum_follows_the_clock_of_a_run_that_nobody_knows_the_length_of(photos: PhotoSet) -> None:
    def draw_families(clock: Clock) -> set[Family]:
        samples = Samples(
            photos.split("train"),
            SampleMix(full_size=0.0),
            8,
            0,
            course=Course(0, 1, 10**9, clock),
            curriculum=Curriculum(ruined=0.5),
        )
        progress = [samples.course.progress(index) for index in range(10)]
        plans = [samples.planner.draw_number(0, index, at) for index, at in enumerate(progress)]
        return {face.recipe.family for plan in plans for face in plan.faces}

    assert draw_families(Clock(60)) == {Family.PRESENT, Family.SECOND_ORDER}
    over = Clock(0)
    assert len(draw_families(over)) == len(Family)


def test_lookalikes_come_as_often_as_asked(photos: PhotoSet) -> None:
    train = photos.split("train")
    alike = {p.file: ["p3_0.png"] for p in train.photos if p.person != "p3"}
    mix = SampleMix(lookalike=1.0, alone=0.0, wrong=1.0, absent=0.0)
    planner = Planner(train, mix, 20, alike)
    faces = planner.draw(np.random.default_rng(0)).faces
    assert {r.file for f in faces if not f.file.startswith("p3") for r in f.references} == {"p3_0.png"}
    assert all(
        train.by_file[r.file].person != train.by_file[f.file].person for f in faces for r in f.references
    )


def test_photographs_are_drawn_by_the_weight_of_their_kind(photos: PhotoSet) -> None:
    changed = {"p0": {"gray": True}, "p1": {"synthetic": True}}
    people = tuple(replace(p, **changed.get(p.person, {})) for p in photos.split("train").photos)  # type: ignore[arg-type]
    mix = SampleMix(weights=PhotoWeights(front=0.25, gray=0.75), alone=1.0, full_size=0)
    planner = Planner(replace(photos, photos=people, pairs=()), mix, 400)
    faces = planner.draw(np.random.default_rng(0)).faces
    shares = [sum(f.file.startswith(person) for f in faces) / 400 for person in ("p0", "p1")]
    assert abs(shares[0] - 0.75) < 0.08
    assert shares[1] == 0
    assert all(f.colorless == f.file.startswith("p0") for f in faces)
    assert all(r.source is Source.ABSENT for f in faces for r in f.references)


def test_references_are_drawn_by_kind_however_many_a_person_has(photos: PhotoSet) -> None:
    """One more photograph from the front, four from a side: half as often a side as the front, 0.2 to 0.5."""
    yaws = (0.0, 0.0, 0.5, 0.5, 0.5, 0.5)
    people = tuple(
        replace(photo, person="abcd"[min(i // 6, 1)], yaw=yaws[i % 6])
        for i, photo in enumerate(photos.photos)
    )
    files = [photo.file for photo in people]
    pairs = tuple(Pair("a", "train", files[a], files[b], 0.5) for a in range(6) for b in range(a + 1, 6))
    mix = SampleMix(alone=0.0, real_pair=1.0, absent=0.0, wrong=0.0, two_references=0.0, full_size=0.0)
    planner = Planner(replace(photos, photos=people, pairs=pairs), mix, 1500)
    plan = planner.draw(np.random.default_rng(0))
    drawn = [f.references[0].file for f in plan.faces if f.file == files[0]]
    assert len(drawn) > 300
    assert np.mean([file == files[1] for file in drawn]) == pytest.approx(0.5 / 0.7, abs=0.08)


def test_input_and_truth_share_their_tone(photos: PhotoSet) -> None:
    toned = replace(TABLE, tone=replace(TABLE.tone, gray=1.0, toned=0.0, faded=0.0), gray_scan=1.0)
    mix = SampleMix(degradations=toned, alone=1.0, full_size=0)
    drawn = Samples(photos.split("train"), mix, 8, 0).draw(np.random.default_rng(0))
    for pictures in (drawn.truth, drawn.low_quality):
        assert torch.equal(pictures[:, 0], pictures[:, 1])
        assert torch.equal(pictures[:, 0], pictures[:, 2])
    assert not drawn.colorless.any()  # in color once: that gray stays gray may be learned


def test_labels_and_points_are_mirrored_with_their_pictures(photos: PhotoSet) -> None:
    train = photos.split("train")
    ramp = np.broadcast_to(np.arange(64) < 32, (6, 64, 64)).astype(np.float32)
    label = SelectionLabel(ramp, np.ones_like(ramp), np.zeros((64, 64), np.float32))
    both = {(a, b): label for p in train.pairs for a, b in ((p.first, p.second), (p.second, p.first))}
    points = {p.file: np.array([[63.5, 100.0], [127.5, 10.0]], np.float32) for p in train.photos}
    mix = SampleMix(alone=0.0, real_pair=1.0, absent=0.0, wrong=0.0, two_references=0.0, full_size=0.0)
    samples = Samples(train, mix, 8, 0, labels=SelectionLabels(both, points))
    drawn = samples.draw(np.random.default_rng(0))
    assert drawn.labels is not None
    assert drawn.truth_points is not None
    assert drawn.reference_points is not None
    assert drawn.points_known is not None
    assert drawn.points_known.all()
    mirrored = drawn.labels[:, 0, 0, 0, 0] == 0
    assert mirrored.any()
    assert not mirrored.all()
    assert torch.allclose(drawn.truth_points[:, 0, 0], torch.where(mirrored, 0.75, 0.25))
    assert torch.allclose(drawn.truth_points, drawn.reference_points[:, 0])

    pseudo = Samples(train, replace(mix, real_pair=0.0), 2, 0, labels=SelectionLabels(both, points))
    view = pseudo.draw(np.random.default_rng(0))
    assert view.confidence is not None
    assert view.points_known is not None
    assert not view.confidence.any()
    assert view.points_known.all()

    alone = Samples(train, mix, 8, 0, labels=SelectionLabels({}, points)).draw(np.random.default_rng(0))
    assert alone.labels is alone.confidence is None
    assert alone.truth_points is not None
    assert torch.equal(alone.truth_points, drawn.truth_points)


def test_batches_that_processes_share_take_equally_long(photos: PhotoSet) -> None:
    mix = SampleMix(full_size=0.5, two_references=0.5, alone=0.0)
    samples = Samples(photos.split("train"), mix, 1, 5)
    kinds = [(b.truth.shape[-1], b.references.shape[1]) for b in islice(samples, 5 * TOGETHER)]
    groups = [set(kinds[start : start + TOGETHER]) for start in range(0, len(kinds), TOGETHER)]
    assert all(len(group) == 1 for group in groups)
    assert len(set.union(*groups)) > 2
