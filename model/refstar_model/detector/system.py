"""The face detector as a system."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refstar_model.data.photos import Kind, PhotoSet
from refstar_model.options.photographs import open_named_photos
from refstar_model.options.run import read_loop, read_run
from refstar_model.options.teachers import MESH, YUNET, find_teachers, in_folder
from refstar_model.system import System, TrainedSystem

if TYPE_CHECKING:
    from refstar_model.detector.network import Finder, Refiner
    from refstar_model.export.card import Publication


class DetectorSystem:
    title = "finds faces and their five points"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--teachers",
            type=Path,
            default=find_teachers(),
            help="folder that holds yunet/ and mediapipe/",
        )
        parser.add_argument("--backgrounds", type=Path, help="folder of photographs without faces")
        parser.add_argument(
            "--part", choices=["finder", "refiner"], help="train only one of the two networks"
        )

    def train(self, arguments: argparse.Namespace) -> Path:
        run = read_run(arguments)
        from refstar_model.detector.labels import Teachers
        from refstar_model.detector.training import LABELS, PARTS, DetectorTraining, train

        teachers = None
        if not (arguments.out / LABELS).is_file():  # what teachers said once is kept there
            yunet, mesh = (t.require(in_folder(t, arguments.teachers), "--teachers") for t in (YUNET, MESH))
            teachers = Teachers(yunet, mesh)
        how = DetectorTraining(seed=arguments.seed)
        how = replace(how, finder=read_loop(arguments, how.finder), refiner=read_loop(arguments, how.refiner))
        parts = (arguments.part,) if arguments.part else PARTS
        # The teachers' points are good on heads that look at us only.
        photos = open_named_photos(arguments).of_kinds(Kind.FRONT)
        return train(photos, teachers, arguments.backgrounds, how, run, parts)

    def load(self, weights: Path) -> TrainedSystem:
        from refstar_model.detector.training import load

        return TrainedDetector(*load(weights))


@dataclass(frozen=True, eq=False)
class TrainedDetector:
    finder: "Finder"
    refiner: "Refiner"
    steps: int

    def export(self, folder: Path, model: "Publication", photos: PhotoSet | None = None) -> dict[str, Any]:
        from refstar_model.detector.publishing import export_detector

        return export_detector(self.finder, self.refiner, model, self.steps, folder, photos)

    def open_restorer(self) -> None:
        return None


SYSTEM: System = DetectorSystem()
