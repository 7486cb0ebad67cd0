"""Where a restoration's time goes: milliseconds of each stage, of pictures of several kinds, and a plot.

.venv/bin/python bench/stages.py
.venv/bin/python bench/stages.py --plot stages.svg

The worker's own steps in this process, one after another and with all cores, as if nobody else asked. With `--docs` the
plot goes to docs/performance-stages.svg.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bare import add_model_options
from bars import stacked_bars
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import FaceTask, ReferencePicture
from refstar_service.engine.session import Provider
from refstar_service.faces.align import align, cut
from refstar_service.faces.detect import load_detector
from refstar_service.faces.face import Face, FaceDetector
from refstar_service.faces.grain import match_grain
from refstar_service.faces.paste import PastedFace, paste_faces
from refstar_service.images import ImageLimits
from refstar_service.images.decode import decode
from refstar_service.images.encode import encode, encode_indexed
from refstar_service.restoration import selection_picture
from refstar_service.restoration.review import find_objection
from refstar_service.restoration.selection_picture import FaceSelection
from refstar_service.restoration.stopwatch import Stopwatch
from refstar_service.settings import Settings
from report import DOCS, Report, Table, command, parser, publish, this_machine
from restoring import Restoring
from samples import Faces, faces, jpeg, photograph

STAGES = ("decode", "detect", "align", "references", "infer", "review", "paste", "selection", "encode")
PLOT = DOCS.parent / "performance-stages.svg"
WARM_UP = 1

Clock = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Case:
    """``faces`` 0: the picture is an aligned face itself."""

    label: str
    image: bytes
    faces: int
    reference: bytes | None = None


@dataclass(frozen=True)
class Bench:
    restoring: Restoring
    detector: FaceDetector
    limits: ImageLimits
    size: int

    def run(self, case: Case, number: int, clock: Clock) -> int:
        """One restoration; returns how many faces were found."""
        with clock("decode"):
            picture = decode(case.image, self.limits)
            reference = decode(case.reference, self.limits).pixels if case.reference else None
        found: list[Face] = []
        if case.faces:
            with clock("detect"):
                found = list(self.detector.find(picture.pixels))
                beside = self.detector.find(reference) if reference is not None else []
            with clock("align"):
                places = [align(face.points, self.size) for face in found]
                crops = [cut(picture.pixels, place) for place in places]
                if reference is not None:
                    reference = cut(reference, align(max(beside, key=lambda f: f.size).points, self.size))
        else:
            crops = [picture.pixels]
        known = ()
        if reference is not None:
            with clock("references"):  # a key of its own: it is encoded every time
                known = tuple(self.restoring.restorer.encode([ReferencePicture(str(number), reference)]))
        with clock("infer"):
            restored = self.restoring.restore([FaceTask(crop, known, 1.0, 0.5) for crop in crops])
        with clock("review"):  # whatever it says, the face is put back
            for crop, face in zip(crops, restored, strict=True):
                find_objection(crop, face.pixels)
        if case.faces:
            with clock("paste"):
                pasted = [
                    PastedFace(match_grain(face.pixels, crop), place, one.points)
                    for crop, face, place, one in zip(crops, restored, places, found, strict=True)
                ]
                result = paste_faces(picture.pixels, pasted, 1)
        else:
            result = restored[0].pixels
        if known:
            with clock("selection"):
                if case.faces:
                    selections = [
                        FaceSelection(face.selection, place, one.points)
                        for face, place, one in zip(restored, places, found, strict=True)
                    ]
                    size = (result.shape[1], result.shape[0])
                    shown = selection_picture.draw_for_photograph(result, size, selections, [0])
                else:
                    shown = selection_picture.draw_for_crop(result, restored[0].selection, [0])
                encode_indexed(shown)
        with clock("encode"):
            encode(result, format="jpeg", quality=95, like=picture)
        return len(restored)


def cases(files: Faces) -> list[Case]:
    face, sharp = files.degraded[0], files.references[0]
    return [
        Case("aligned 512", face, 0),
        Case("aligned 512, new reference", face, 0, sharp),
        Case("2 megapixels, 1 face", jpeg(photograph(2, 1, sharp)), 1),
        Case("2 megapixels, 6 faces", jpeg(photograph(2, 6, sharp)), 6),
        Case("12 megapixels, 1 face", jpeg(photograph(12, 1, sharp)), 1),
        Case("12 megapixels, 1 face, reference", jpeg(photograph(12, 1, sharp)), 1, sharp),
    ]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--times", type=int, default=15)
    made.add_argument("--plot", type=Path, metavar="FILE", help="write the plot there (SVG)")
    add_model_options(made)
    options = made.parse_args()
    machine, settings = this_machine(), Settings()
    manifest = load_manifest(options.model)
    restoring = Restoring(options.model, Provider(options.provider), settings)
    detector = load_detector(options.model.parent, None, restoring.budget.detector)
    bench = Bench(restoring, detector, ImageLimits(max_bytes=64 << 20), manifest.input_size)
    found: dict[str, dict[str, float]] = {}
    for case in cases(faces(options)):
        runs = []
        for number in range(options.times + WARM_UP):
            clock = Stopwatch()
            count = bench.run(case, number, clock)
            if count != max(1, case.faces):
                raise RuntimeError(f"{case.label}: {count} faces were found")
            runs.append(clock.seconds)
        found[case.label] = {
            stage: 1000 * float(np.median([run.get(stage, 0.0) for run in runs[WARM_UP:]]))
            for stage in STAGES
        }
    rows = tuple((label, *stages.values(), sum(stages.values())) for label, stages in found.items())
    table = Table("stages", ("median, ms", *STAGES, "all"), rows)
    for path in {options.plot, PLOT if options.docs else None} - {None}:
        path.write_text(stacked_bars("Milliseconds of a restoration by stage", found, "ms"))
    publish(Report(command("stages", options, made), (table,)), machine, options)


if __name__ == "__main__":
    main()
