"""Training samples made on the device that trains: photographs lie in its memory, and whole batches are ruined there.

The same plans as those of `samples.Samples`, carried out in torch: a loader on CPUs feeds some hundred faces a second
and core, a GPU trains on ten times as many. Selection labels and expressions are not made here.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.data.batch import Batch
from refstar_model.data.batch_views import apply_tones, relight, turn, warp
from refstar_model.data.degradation.device import Degrader
from refstar_model.data.degradation.marks import mark_bank
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import FULL, HALF, Curriculum, FacePlan, Planner, SampleMix, Source
from refstar_model.data.pseudo import PAIR_LIGHT, PSEUDO_LIGHT, Light, Move, draw_light, draw_move
from refstar_model.data.turning import Relief, turn_field
from refstar_model.data.upload import upload
from refstar_model.training.processes import WHOLE, Course

_OF_THE_TRUTH = Source.PSEUDO, Source.ITSELF
READERS = 16  # threads that decode photographs; OpenCV decodes outside of Python's lock


class DeviceSamples:
    """An endless stream of batches on ``device``; batch number i depends on the seed and i alone.

    ``course`` and ``reliefs`` as for `samples.Samples`. Every photograph that is drawn at all is
    decoded once into the device's memory: 0.8 MB for one that is sharp at 512, 0.2 MB at half size for each.
    """

    def __init__(
        self,
        photos: PhotoSet,
        mix: SampleMix,
        batch: int,
        seed: int,
        device: torch.device,
        lookalikes: Mapping[str, Sequence[str]] | None = None,
        course: Course = WHOLE,
        curriculum: Curriculum | None = None,
        reliefs: Mapping[str, Relief] | None = None,
    ) -> None:
        self.seed, self.device = seed, device
        self.course = course
        self.reliefs = reliefs or {}
        self.mix = mix
        self.planner = Planner(photos, mix, batch, lookalikes, curriculum, frozenset(self.reliefs))
        self.degrader = Degrader(mark_bank(), device)
        self.generator = torch.Generator(device)
        full = list(self.planner.full.files) if self.planner.full is not None else []
        half = list(self.planner.half.files)
        self._rows = {FULL: _number_files(full), HALF: _number_files(half)}
        self._pictures = {FULL: _load(photos, full, FULL, device), HALF: _load(photos, half, HALF, device)}

    def __iter__(self) -> Iterator[Batch]:
        index = self.course.start
        while True:
            yield self.draw(index)
            index += self.course.stride

    @torch.no_grad()
    def draw(self, index: int) -> Batch:
        """Batch number ``index`` of the stream."""
        plan = self.planner.draw_number(self.seed, index, self.course.progress(index))
        faces, size = plan.faces, plan.size
        self.generator.manual_seed(faces[0].seed)
        truth = self._turn(self._pick(size, [face.file for face in faces]), faces)
        truth = _levels(apply_tones(truth, [face.tone for face in faces]))
        low_quality = self.degrader.degrade(truth, [face.recipe for face in faces], self.generator)
        references = self._make_references(faces, size)
        mirrored = self._flags(face.mirrored for face in faces)
        truth, low_quality, references = (
            torch.where(mirrored.reshape(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)
            for x in (truth, low_quality, references)
        )
        shape = references.shape[:2]
        return Batch(
            _bytes(truth),
            _bytes(low_quality),
            _bytes(references),
            self._flags(r.present for face in faces for r in face.references).unflatten(0, shape),
            self._flags(r.right for face in faces for r in face.references).unflatten(0, shape),
            upload(np.array([face.fidelity for face in faces], np.float32), self.device),
            self._flags(face.colorless for face in faces),
            plan.alone,
            plan.twins,
        )

    def _turn(self, pictures: Tensor, faces: Sequence[FacePlan]) -> Tensor:
        turns = {row: face.turn for row, face in enumerate(faces) if face.turn is not None}
        if not turns:
            return pictures
        fields = [turn_field(self.reliefs[faces[row].file], asked) for row, asked in turns.items()]
        rows = upload(np.array(list(turns)), self.device)
        return pictures.index_copy(0, rows, _levels(turn(pictures.index_select(0, rows), fields)))

    def _make_references(self, faces: Sequence[FacePlan], size: int) -> Tensor:
        """[B, R, 3, 512, 512] in 0..1, black where absent."""
        plans = [(face, reference) for face in faces for reference in face.references]
        count = len(plans) // len(faces)
        out = torch.zeros(len(plans), 3, FULL, FULL, device=self.device)
        rows = [row for row, (_, reference) in enumerate(plans) if reference.present]
        if rows:
            given = [plans[row] for row in rows]
            draws = [np.random.default_rng([face.seed, place]) for place, (face, _) in enumerate(given)]
            pictures = self._pick(size, [reference.file for _, reference in given])
            pseudo = [place for place, (_, r) in enumerate(given) if r.source is Source.PSEUDO]
            if pseudo:
                moves: list[Move] = [
                    draw_move(draws[place], self.mix.mirrored, self.mix.moved) for place in pseudo
                ]
                places = upload(np.array(pseudo), self.device)
                pictures = pictures.index_copy(0, places, warp(pictures.index_select(0, places), moves))
            lights: list[Light] = [
                draw_light(rng, PSEUDO_LIGHT if r.source in _OF_THE_TRUTH else PAIR_LIGHT)
                for rng, (_, r) in zip(draws, given, strict=True)
            ]
            pictures = apply_tones(relight(pictures, lights), [reference.tone for _, reference in given])
            if size != FULL:
                pictures = F.interpolate(pictures, (FULL, FULL), mode="bicubic", align_corners=False)
            out = out.index_copy(0, upload(np.array(rows), self.device), pictures)
        return out.unflatten(0, (len(faces), count))

    def _pick(self, size: int, files: Sequence[str]) -> Tensor:
        """Photographs [N, 3, size, size] in 0..1."""
        rows = upload(np.array([self._rows[size][file] for file in files]), self.device)
        return self._pictures[size].index_select(0, rows).float() / 255

    def _flags(self, values: Iterator[bool]) -> Tensor:
        return upload(np.array(list(values)), self.device)


def _number_files(files: Sequence[str]) -> dict[str, int]:
    return {file: row for row, file in enumerate(files)}


def _load(photos: PhotoSet, files: Sequence[str], size: int, device: torch.device) -> Tensor:
    """Photographs as uint8 [N, 3, size, size] on the device."""
    pictures = torch.empty(len(files), 3, size, size, dtype=torch.uint8, device=device)

    def read(row: int) -> None:
        picture = torch.from_numpy(photos.read(files[row], size)).permute(2, 0, 1)
        pictures[row].copy_(picture)

    with ThreadPoolExecutor(READERS) as readers:
        list(readers.map(read, range(len(files))))
    return pictures


def _levels(x: Tensor) -> Tensor:
    """In 0..1, at the 256 levels of a picture."""
    return (x * 255).round().clamp(0, 255) / 255


def _bytes(x: Tensor) -> Tensor:
    return (x * 255).round().clamp(0, 255).to(torch.uint8)
