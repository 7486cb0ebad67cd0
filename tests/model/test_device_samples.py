"""Samples made on a device are those that OpenCV makes, up to what chance and rounding do."""

from dataclasses import replace
from itertools import islice

import torch
from refstar_model.data.batch import Batch
from refstar_model.data.degradation import CHAINS
from refstar_model.data.device_samples import DeviceSamples
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import SampleMix
from refstar_model.data.samples import Samples
from refstar_model.training.processes import Course

MIX = SampleMix(alone=0.0, full_size=0.5)
CPU = torch.device("cpu")


def draw_both(photos: PhotoSet, mix: SampleMix, index: int) -> tuple[Batch, Batch]:
    train = photos.split("train")
    samples = Samples(train, mix, 4, 3)
    with_opencv = samples.make(samples.planner.draw_number(3, index))
    return with_opencv, DeviceSamples(train, mix, 4, 3, CPU).draw(index)


def test_both_makers_follow_the_same_plan(photos: PhotoSet) -> None:
    for index in range(2):
        one, two = draw_both(photos, replace(MIX, degradations=CHAINS), index)
        for name in ("truth", "low_quality", "references", "present", "right", "colorless"):
            ours, theirs = getattr(two, name), getattr(one, name)
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), name
        for name in ("present", "right", "fidelity", "colorless"):
            assert torch.equal(getattr(one, name), getattr(two, name)), name
        assert one.alone == two.alone
        # Tones round once more in OpenCV's tables.
        assert (one.truth.int() - two.truth.int()).abs().max() <= 2
        assert (one.low_quality.float() - two.low_quality.float()).abs().mean() < 12
        absent = ~two.present
        assert not two.references[absent].any()


def test_a_stranger_is_the_same_stranger_for_both(photos: PhotoSet) -> None:
    mix = replace(MIX, absent=0.0, wrong=1.0, full_size=0.0, same_tone=1.0)
    one, two = draw_both(photos, mix, 1)
    assert (one.references.float() - two.references.float()).abs().mean() < 25  # in another light


def test_the_stream_repeats_and_can_be_shared(photos: PhotoSet) -> None:
    def take(count: int, **where: int) -> list[Batch]:
        return list(
            islice(DeviceSamples(photos.split("train"), MIX, 2, 5, CPU, course=Course(**where)), count)
        )

    whole = take(4)
    for again in (take(1, start=2)[0], take(2, stride=2)[1]):
        assert torch.equal(whole[2].low_quality, again.low_quality)
        assert torch.equal(whole[2].references, again.references)
    assert not torch.equal(whole[0].truth, whole[2].truth) or whole[0].truth.shape != whole[2].truth.shape


def test_no_photograph_of_a_val_person_is_in_the_device_s_memory(photos: PhotoSet) -> None:
    samples = DeviceSamples(photos.split("train"), MIX, 2, 0, CPU)
    assert {name[:2] for rows in samples._rows.values() for name in rows} == {"p0", "p1", "p2", "p3"}
