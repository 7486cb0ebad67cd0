"""``evaluate``: a model folder, or the weights of a training, measured."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refstar_model.options.photographs import (
    JUDGE,
    MISSING,
    TEACHER,
    TEACHERS,
    add_data,
    find_model,
    open_named_photos,
)
from refstar_model.system import SYSTEMS, find_system

if TYPE_CHECKING:
    from refstar_model.evaluation import Section
    from refstar_model.evaluation.restorers import GraphModel


def add(commands: Any) -> None:
    evaluate = commands.add_parser(
        "evaluate", help="measure a model folder on the val pairs and real portraits"
    )
    evaluate.add_argument("model", type=Path, help="model folder, or weights.pt or best.pt of --system")
    evaluate.add_argument("--system", choices=list(SYSTEMS), help="whose weights they are")
    add_data(evaluate, "folder of faces.csv and pictures, or one that holds such")
    evaluate.add_argument("--judge", type=Path, default=find_model(JUDGE))
    evaluate.add_argument(
        "--lookalikes",
        type=Path,
        default=find_model(TEACHER),
        help="recognizer that finds the look-alikes; not the judge",
    )
    evaluate.add_argument(
        "--teachers", type=Path, default=find_model(TEACHERS), help="folder of yunet/ and mediapipe/"
    )
    evaluate.add_argument("--lpips", type=Path, help="LPIPS as ONNX (docs/training.md); off without")
    evaluate.add_argument("--inception", type=Path, help="Inception features as ONNX, for FID; off without")
    evaluate.add_argument("--sheets", type=Path, help="folder for contact sheets")
    evaluate.add_argument("--report", type=Path, help="folder for evaluation.md and evaluation.json")
    evaluate.add_argument("--quick", action="store_true", help="a dozen cases, a few figures, a minute")
    evaluate.add_argument(
        "--only",
        type=read_sections,
        help="sections with commas: pairs, knobs, real, harm, old, kinds (default: all)",
    )
    evaluate.add_argument("--seed", type=int, default=7)
    evaluate.add_argument("--write", action="store_true", help="put the table into the folder's model.json")
    evaluate.add_argument(
        "--precision", choices=["fp32", "fp16", "int8"], default="fp32", help="which of its graphs"
    )
    evaluate.set_defaults(run=evaluate_model)


def read_sections(names: str) -> frozenset["Section"]:
    from refstar_model.evaluation import Section

    try:
        return frozenset(Section(name) for name in names.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; there are {', '.join(Section)}") from None


def evaluate_model(arguments: argparse.Namespace) -> None:
    from refstar_model import evaluation
    from refstar_model.evaluation.perceptual import Inception, PerceptualDistance
    from refstar_model.landmarks import FaceFinder, FaceMesh
    from refstar_model.recognition import Recognizer

    if arguments.judge is None:
        raise SystemExit(f"--judge is missing {MISSING}")
    photos, judge = open_named_photos(arguments), Recognizer(arguments.judge)
    model = _open_model(arguments)
    if arguments.quick:
        if arguments.write or arguments.only:
            raise SystemExit("--quick is for choosing; --write and --only are about the whole table")
        quick = evaluation.quick_scores if model.takes_references else evaluation.quick_scores_alone
        for name, value in quick(model, photos.split("val"), judge).items():
            print(f"{name}: {value:.3f}")
        return
    teachers = arguments.teachers
    judges = evaluation.Judges(
        judge,
        FaceMesh(teachers / "mediapipe/face_landmark.tflite") if teachers else None,
        FaceFinder(teachers / "yunet/face_detection_yunet_2023mar.onnx") if teachers else None,
        PerceptualDistance(arguments.lpips) if arguments.lpips else None,
        Inception(arguments.inception) if arguments.inception else None,
        evaluation.find_second_recognizer(),
    )
    sheets = evaluation.Sheets(arguments.sheets) if arguments.sheets else None
    table, records = evaluation.evaluate(
        model,
        photos,
        judges,
        Recognizer(arguments.lookalikes) if arguments.lookalikes else None,
        evaluation.Extent(
            seed=arguments.seed,
            sections=arguments.only or frozenset(evaluation.Section),
            references=model.takes_references,
            fidelity=model.takes_fidelity,
        ),
        sheets.show if sheets else None,
    )
    if sheets:
        sheets.close()
    print(evaluation.markdown(table))
    if arguments.report:
        evaluation.write_report(arguments.report, table, records)
    if arguments.write:
        evaluation.write_quality(arguments.model, table, arguments.precision)


def _open_model(arguments: argparse.Namespace) -> "GraphModel":
    if arguments.model.is_dir():
        if arguments.system:
            raise SystemExit(f"{arguments.model} is a model folder; --system is for weights")
        from refstar_model.evaluation import FolderModel

        return FolderModel(arguments.model, precision=arguments.precision)
    if arguments.system is None:
        raise SystemExit(f"{arguments.model} is not a model folder; for weights, name their --system")
    if arguments.write or arguments.precision != "fp32":
        raise SystemExit("--write and --precision are about a model folder; export the weights first")
    model = find_system(arguments.system).load(arguments.model).open_restorer()
    if model is None:
        raise SystemExit(f"{arguments.system} restores no faces; there is nothing to evaluate")
    return model
