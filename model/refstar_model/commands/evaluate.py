"""``evaluate``: a model folder, or the weights of a training, measured."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refstar_model.commands.weights import load_trained
from refstar_model.options.photographs import add_data, open_named_photos
from refstar_model.options.teachers import JUDGE, MESH, RECOGNIZER, YUNET, find_teachers, in_folder
from refstar_model.system import SYSTEMS

if TYPE_CHECKING:
    from refstar_model.evaluation import Section
    from refstar_model.export.restorers import GraphModel


NO_JUDGE = "identity is not measured: nothing says whether a face is still that of the person"
NO_LOOKALIKES = "no reference of a look-alike is tried"
NO_MESH = "landmarks, mouth, eyes and skin tones are not measured"
NO_YUNET = "a face that YuNet no longer finds is not counted as a failure"


def add(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="measure a model on the val pairs and real portraits")
    evaluate.add_argument("model", type=Path, help="model folder, or weights.pt or best.pt of a --system")
    evaluate.add_argument("--system", choices=list(SYSTEMS), help="the system of the weights")
    add_data(evaluate, "folder with faces.csv and pictures, or a folder of such folders")
    evaluate.add_argument(
        "--judge", type=Path, default=JUDGE.find(), help="face recognizer that measures identity (ONNX)"
    )
    evaluate.add_argument(
        "--lookalikes",
        type=Path,
        default=RECOGNIZER.find(),
        help="face recognizer that finds the look-alikes; should not be the judge",
    )
    evaluate.add_argument(
        "--teachers", type=Path, default=find_teachers(), help="folder that holds yunet/ and mediapipe/"
    )
    evaluate.add_argument("--lpips", type=Path, help="LPIPS as ONNX (docs/training.md); not measured without")
    evaluate.add_argument(
        "--inception", type=Path, help="Inception features as ONNX, for FID; not measured without"
    )
    evaluate.add_argument("--sheets", type=Path, help="folder for contact sheets")
    evaluate.add_argument("--report", type=Path, help="folder for evaluation.md and evaluation.json")
    evaluate.add_argument("--quick", action="store_true", help="a dozen cases and a few figures, in a minute")
    evaluate.add_argument(
        "--only",
        type=read_sections,
        help="sections, separated by commas: pairs, knobs, gate, views, parts, real, harm, old, kinds, "
        "super-resolution, occluded (default: all)",
    )
    evaluate.add_argument("--seed", type=int, default=7)
    evaluate.add_argument(
        "--write", action="store_true", help="write the results into the folder's model.json"
    )
    evaluate.add_argument(
        "--precision", choices=["fp32", "fp16", "int8"], default="fp32", help="which graphs of the folder"
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
    from refstar_model.export.gate_graph import open_gate
    from refstar_model.judges.landmarks import FaceFinder, FaceMesh
    from refstar_model.judges.recognition import Recognizer

    photos = open_named_photos(arguments)
    judge, lookalikes = (
        None if path is None else Recognizer(path) for path in _choose_recognizers(arguments)
    )
    model = _open_model(arguments)
    if arguments.quick:
        if arguments.write or arguments.only:
            raise SystemExit("--quick measures too little for --write, and has no sections for --only")
        quick = evaluation.quick_scores if model.takes_references else evaluation.quick_scores_alone
        for name, value in quick(model, photos.split("val"), judge).items():
            print(f"{name}: {value:.3f}")
        return
    mesh = MESH.choose(in_folder(MESH, arguments.teachers), "--teachers", NO_MESH)
    yunet = YUNET.choose(in_folder(YUNET, arguments.teachers), "--teachers", NO_YUNET)
    judges = evaluation.Judges(
        judge,
        FaceMesh(mesh) if mesh else None,
        FaceFinder(yunet) if yunet else None,
        PerceptualDistance(arguments.lpips) if arguments.lpips else None,
        Inception(arguments.inception) if arguments.inception else None,
        evaluation.find_second_recognizer(),
    )
    sheets = evaluation.Sheets(arguments.sheets) if arguments.sheets else None
    sections = arguments.only or frozenset(evaluation.Section)
    asked = evaluation.Section.GATE in sections and arguments.model.is_dir()
    gate = open_gate(arguments.model, arguments.precision) if asked else None
    table, records = evaluation.evaluate(
        model,
        photos,
        judges,
        lookalikes,
        evaluation.Extent(
            seed=arguments.seed,
            sections=sections,
            references=model.takes_references,
            fidelity=model.takes_fidelity,
        ),
        sheets.show if sheets else None,
        gate,
    )
    if sheets:
        sheets.close()
    print(evaluation.markdown(table))
    if arguments.report:
        evaluation.write_report(arguments.report, table, records)
    if arguments.write:
        evaluation.write_quality(arguments.model, table, arguments.precision)


def _choose_recognizers(arguments: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """The judge and who finds look-alikes, who are not asked where there is ``--quick``."""
    judge = JUDGE.choose(arguments.judge, "--judge", NO_JUDGE)
    if arguments.quick:
        return judge, None
    return judge, RECOGNIZER.choose(arguments.lookalikes, "--lookalikes", NO_LOOKALIKES)


def _open_model(arguments: argparse.Namespace) -> "GraphModel":
    if arguments.model.is_dir():
        if arguments.system:
            raise SystemExit(f"{arguments.model} is a model folder; --system is for weights")
        from refstar_model.evaluation import FolderModel

        return FolderModel(arguments.model, precision=arguments.precision)
    if arguments.system is None:
        raise SystemExit(f"{arguments.model} is not a model folder; for weights, name their --system")
    if arguments.write or arguments.precision != "fp32":
        raise SystemExit("--write and --precision need a model folder; export the weights first")
    model = load_trained(arguments.system, arguments.model).open_restorer()
    if model is None:
        raise SystemExit(f"{arguments.system} does not restore faces; there is nothing to evaluate")
    return model
