"""Where a training's batches come from: loader processes, or the device itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from refstar_model.data.batch import Batch
from refstar_model.data.device_samples import DeviceSamples
from refstar_model.data.loading import open_loader
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import Curriculum, SampleMix
from refstar_model.data.samples import Samples
from refstar_model.data.selection_masks import SelectionLabels
from refstar_model.data.turning import Relief
from refstar_model.training.processes import Course


@dataclass(frozen=True)
class StreamParams:
    batch: int = 4
    seed: int = 0
    mix: SampleMix = field(default_factory=SampleMix)
    curriculum: Curriculum = field(default_factory=Curriculum)
    loaders: int = 1  # processes that draw samples; some 140 faces a second each
    on_device: bool = False  # samples made where the training is, for a GPU; else by the loaders


def open_stream(
    photos: PhotoSet,
    params: StreamParams,
    course: Course,
    device: torch.device,
    lookalikes: Mapping[str, Sequence[str]] | None = None,
    labels: SelectionLabels | None = None,
    reach: float = 0.0,
    reliefs: Mapping[str, Relief] | None = None,
) -> Iterator[Batch]:
    """Batches of ``photos`` on the device; ``lookalikes``, ``labels``, ``reach`` and ``reliefs`` as for `Samples`.

    Raises ValueError where samples made on the device are asked for what only the loaders make: selection labels and
    expressions.
    """
    if params.on_device:
        if labels is not None or params.mix.expression:
            raise ValueError(
                "samples made on the device have no selection labels and no expressions: use loaders"
            )
        return iter(
            DeviceSamples(
                photos,
                params.mix,
                params.batch,
                params.seed,
                device,
                lookalikes,
                course,
                params.curriculum,
                reliefs,
            )
        )
    samples = Samples(
        photos,
        params.mix,
        params.batch,
        params.seed,
        lookalikes,
        course,
        params.curriculum,
        labels,
        reach,
        reliefs,
    )
    return open_loader(samples, params.loaders, device)
