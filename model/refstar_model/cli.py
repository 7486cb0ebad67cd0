"""refstar-model: train, export, quantize, evaluate."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refstar_model.data.inventory import describe_photos
from refstar_model.data.pack import open_photos, write_pack
from refstar_model.data.photos import DataError, Kind, PhotoSet, roots_from_environment

if TYPE_CHECKING:
    from refstar_model.evaluation import Section

#: More than any clock allows.
BY_CLOCK_STEPS = 10**9


def main() -> None:
    parser = argparse.ArgumentParser(prog="refstar-model", description=__doc__)
    commands = parser.add_subparsers(required=True)

    train = commands.add_parser("train", help="train a network; goes on where --out has a checkpoint")
    train.add_argument("system", choices=["refstar", "detector"])
    _add_data(train, "folder of faces.csv and pictures, or one that holds such")
    train.add_argument("--recognizer", type=Path, default=_data("models/mobileface/mobileface_v3.onnx"))
    train.add_argument(
        "--teachers", type=Path, default=_data("models"), help="detector: folder of yunet/ and mediapipe/"
    )
    train.add_argument("--backgrounds", type=Path, help="detector: folder of face-free photographs")
    train.add_argument(
        "--part",
        choices=["finder", "refiner", "person"],
        help="detector: only finder or refiner; refstar: person, the gate that knows strangers, of the net in --init",
    )
    train.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and weights.pt")
    train.add_argument("--steps", type=int, help="steps of the whole run")
    train.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop this slice after so many minutes"
    )
    train.add_argument("--seed", type=int, default=0)
    train.add_argument(
        "--processes",
        type=int,
        default=1,
        help="refstar: that take every step together, best one for each core or GPU",
    )
    train.add_argument(
        "--size", choices=["small", "base"], default="small", help="refstar: for a CPU, for a GPU"
    )
    train.add_argument("--backbone", choices=["naf", "vq", "gan_prior"], default="naf", help="refstar")
    train.add_argument(
        "--attention", choices=["none", "joint", "dual"], default="dual", help="refstar: in the features"
    )
    train.add_argument(
        "--init", "--start", type=Path, help="refstar: weights.pt to begin from, with a fresh schedule"
    )
    train.add_argument(
        "--labels", type=Path, help="refstar: selection masks and mesh points (data/selection_masks.py)"
    )
    train.add_argument(
        "--judge",
        type=Path,
        default=_data("models/mobileface/mobileface_v2.onnx"),
        help="refstar: scores val pairs now and then, for best.pt; another one than --recognizer",
    )
    train.add_argument("--rate", type=float, help="refstar: learning rate; 4e-4 is good after --init")
    train.add_argument(
        "--compiled", action="store_true", help="refstar: torch.compile, worth its minutes on long runs"
    )
    train.add_argument("--batch", type=int, help="refstar: faces of a batch; 32 to 64 on a GPU")
    train.add_argument(
        "--device", choices=["cpu", "cuda"], help="refstar: where to train; a GPU where there is one"
    )
    train.add_argument(
        "--on-device",
        action="store_true",
        help="refstar: make the samples on the device too; on a GPU many times faster than any loader",
    )
    train.add_argument(
        "--by-clock",
        action="store_true",
        help="refstar: one whole schedule in the --minutes of this call, however many steps they are",
    )
    train.add_argument(
        "--travel",
        type=Path,
        help="refstar: folder for what can travel of every checkpoint: a few files in halves",
    )
    train.add_argument(
        "--vgg", type=Path, help="refstar: torchvision's VGG-19 weights for the loss of that name"
    )
    train.set_defaults(run=_train)

    export = commands.add_parser("export", help="weights to a model folder, checked in onnxruntime")
    export.add_argument("system", choices=["refstar", "detector"])
    export.add_argument("--weights", type=Path, required=True, help="weights.pt of a training run")
    export.add_argument("--out", type=Path, required=True, help="model folder to write")
    _add_data(export, "real faces for the parity check")
    export.set_defaults(run=_export)

    data = commands.add_parser("data", help="say what photographs there are")
    _add_data(data, "folder of faces.csv and pictures, one that holds such, or a pack")
    data.add_argument("--sheet", type=Path, help="folder for contact sheets of what training does to them")
    data.set_defaults(run=_data_command)

    pack = commands.add_parser(
        "pack", help="photographs in a few files with hashes, for a machine without network"
    )
    _add_data(pack, "folder of faces.csv and pictures, or one that holds such")
    pack.add_argument("--out", type=Path, required=True, help="folder for the pack; must not hold one")
    pack.add_argument(
        "--quality", type=int, help="code the pictures anew as WebP of this quality (88: 40 MB instead of 72)"
    )
    pack.set_defaults(run=_pack)

    quantize = commands.add_parser("quantize", help="int8 graphs beside a refstar folder's others, for CPUs")
    quantize.add_argument("folder", type=Path)
    _add_data(quantize, "real faces to calibrate with")
    quantize.set_defaults(run=_quantize)

    evaluate = commands.add_parser(
        "evaluate", help="measure a model folder on the val pairs and real portraits"
    )
    evaluate.add_argument("folder", type=Path)
    _add_data(evaluate, "folder of faces.csv and pictures, or one that holds such")
    evaluate.add_argument("--judge", type=Path, default=_data("models/mobileface/mobileface_v2.onnx"))
    evaluate.add_argument(
        "--lookalikes",
        type=Path,
        default=_data("models/mobileface/mobileface_v3.onnx"),
        help="recognizer that finds the look-alikes; not the judge",
    )
    evaluate.add_argument(
        "--teachers", type=Path, default=_data("models"), help="folder of yunet/ and mediapipe/"
    )
    evaluate.add_argument("--lpips", type=Path, help="LPIPS as ONNX (docs/training.md); off without")
    evaluate.add_argument("--inception", type=Path, help="Inception features as ONNX, for FID; off without")
    evaluate.add_argument("--sheets", type=Path, help="folder for contact sheets")
    evaluate.add_argument("--report", type=Path, help="folder for evaluation.md and evaluation.json")
    evaluate.add_argument("--quick", action="store_true", help="a dozen cases, a few figures, a minute")
    evaluate.add_argument(
        "--only",
        type=_sections,
        help="sections with commas: pairs, knobs, real, harm, old, kinds (default: all)",
    )
    evaluate.add_argument("--seed", type=int, default=7)
    evaluate.add_argument("--write", action="store_true", help="put the table into the folder's model.json")
    evaluate.add_argument(
        "--precision", choices=["fp32", "fp16", "int8"], default="fp32", help="which of its graphs"
    )
    evaluate.set_defaults(run=_evaluate)

    arguments = parser.parse_args()
    if arguments.run is _evaluate and arguments.judge is None:
        parser.error("--judge is missing (or set REFSTAR_DATA to the folder that holds faces/ and models/)")
    if arguments.run is _train and arguments.processes != 1:
        if arguments.processes < 1:
            parser.error(f"--processes {arguments.processes}: at least 1")
        if arguments.system != "refstar" or arguments.part:
            parser.error("--processes is for `train refstar` without --part: only its batches are dealt out")
    try:
        arguments.run(arguments)
    except DataError as error:
        raise SystemExit(f"refstar-model: {error}") from None


def _sections(names: str) -> frozenset["Section"]:
    from refstar_model.evaluation import Section

    try:
        return frozenset(Section(name) for name in names.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; there are {', '.join(Section)}") from None


def _add_data(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        help=f"{what}; may be repeated (default: all that REFSTAR_DATA names)",
    )


def _data(part: str) -> Path | None:
    """A path below a folder that $REFSTAR_DATA names, for the teacher models; the first one's where none has it."""
    paths = [root / part for root in roots_from_environment()]
    return next((path for path in paths if path.exists()), paths[0] if paths else None)


def _photos(arguments: argparse.Namespace) -> PhotoSet:
    """The photographs of --data, else of REFSTAR_DATA."""
    folders = arguments.data or roots_from_environment()
    if not folders:
        raise SystemExit(
            "--data is missing (or set REFSTAR_DATA to the folder that holds faces/ and models/)"
        )
    return open_photos(folders)


def _train(arguments: argparse.Namespace) -> None:
    if arguments.system == "detector":
        _train_detector(arguments)
        return
    if arguments.part == "person":
        _train_person(arguments)
        return
    from refstar_model import processes

    if arguments.processes > 1 and processes.started() == 1:
        processes.start(arguments.processes, "refstar_model.cli", sys.argv[1:])
    from refstar_model.data.stream import StreamParams
    from refstar_model.evaluation import NetModel, draw_quick_sheet, quick_scores
    from refstar_model.recognition import Recognizer
    from refstar_model.refstar.params import BASE, SMALL, Attention, BackboneKind
    from refstar_model.refstar.training import RefStarTraining, train

    network = replace(
        BASE if arguments.size == "base" else SMALL,
        backbone=BackboneKind(arguments.backbone),
        attention=Attention(arguments.attention),
    )
    how = RefStarTraining(
        network=network,
        stream=StreamParams(seed=arguments.seed, on_device=arguments.on_device),
        start=arguments.init,
        vgg=arguments.vgg,
        labels=arguments.labels,
        compiled=arguments.compiled,
        device=arguments.device,
        travel=arguments.travel,
    )
    if arguments.batch:
        how = replace(how, stream=replace(how.stream, batch=arguments.batch))
    if arguments.by_clock:
        if arguments.minutes == float("inf"):
            raise SystemExit("--by-clock needs --minutes")
        by_clock = replace(how.loop, by_clock=True, steps=BY_CLOCK_STEPS, line_seconds=5.0, save_minutes=2.0)
        how = replace(how, loop=by_clock)
    if arguments.rate:
        how = replace(how, loop=replace(how.loop, learning_rate=arguments.rate))
    if arguments.steps:
        how = replace(how, loop=replace(how.loop, steps=arguments.steps))
    recognizer = Recognizer(arguments.recognizer) if arguments.recognizer else None
    photos = _photos(arguments)
    scorer = Recognizer(arguments.judge) if arguments.judge else None

    def judge(net: Any) -> dict[str, float]:
        assert scorer is not None
        return quick_scores(NetModel(net), photos.split("val"), scorer)

    def show(net: Any) -> Any:
        return draw_quick_sheet(NetModel(net), photos.split("val"))

    weights = train(
        photos,
        recognizer,
        how,
        arguments.out,
        arguments.minutes,
        judge if scorer else None,
        show if arguments.travel else None,
    )
    if processes.rank() == 0:
        print(weights)


def _train_person(arguments: argparse.Namespace) -> None:
    from refstar_model.recognition import Recognizer
    from refstar_model.refstar.person_training import PersonTraining, train_person

    if arguments.init is None or arguments.recognizer is None:
        raise SystemExit("--part person needs --init (weights.pt of the net) and --recognizer")
    how = PersonTraining(seed=arguments.seed)
    if arguments.rate:
        how = replace(how, loop=replace(how.loop, learning_rate=arguments.rate))
    if arguments.steps:
        how = replace(how, loop=replace(how.loop, steps=arguments.steps))
    recognizer = Recognizer(arguments.recognizer)
    photos = _photos(arguments).of_kinds(Kind.FRONT)
    print(train_person(arguments.init, photos, recognizer, how, arguments.out, arguments.minutes))


def _train_detector(arguments: argparse.Namespace) -> None:
    from refstar_model.detector.labels import Teachers
    from refstar_model.detector.training import PARTS, DetectorTraining, train

    if arguments.teachers is None:
        raise SystemExit("--teachers is missing (or set REFSTAR_DATA)")
    teachers = Teachers(
        arguments.teachers / "yunet/face_detection_yunet_2023mar.onnx",
        arguments.teachers / "mediapipe/face_landmark.tflite",
    )
    how = DetectorTraining(seed=arguments.seed)
    if arguments.steps:
        how = replace(
            how,
            finder=replace(how.finder, steps=arguments.steps),
            refiner=replace(how.refiner, steps=arguments.steps),
        )
    parts = (arguments.part,) if arguments.part else PARTS
    photos = _photos(arguments).of_kinds(Kind.FRONT)  # the teachers' points are good on such heads only
    print(train(photos, teachers, arguments.backgrounds, how, arguments.out, arguments.minutes, parts))


def _export(arguments: argparse.Namespace) -> None:

    photos = _photos(arguments) if arguments.data or roots_from_environment() else None
    if arguments.system == "detector":
        from refstar_model.detector import publishing
        from refstar_model.detector.training import load as load_detector

        manifest = publishing.publish(*load_detector(arguments.weights), arguments.out, photos)
    else:
        from refstar_model.refstar.publishing import publish
        from refstar_model.refstar.training import load

        manifest = publish(*load(arguments.weights), arguments.out, photos)
    for name, graph in manifest["graphs"].items():
        print(f"{name}: parity {graph['parity']:.1e}")
    _print_size(arguments.out)


def _data_command(arguments: argparse.Namespace) -> None:
    photos = _photos(arguments)
    print(describe_photos(photos))
    if arguments.sheet:
        from refstar_model.data.degradation_sheet import draw_sheet

        train = photos.split("train")
        chosen = [train.of_kinds(kind).photos for kind in (Kind.FRONT, Kind.TURNED, Kind.GRAY)]
        sharp = [next((p for p in kind if p.sharp_at_512), None) for kind in chosen]
        for file in draw_sheet([train.read(p.file, 512) for p in sharp if p is not None], arguments.sheet):
            print(file)


def _pack(arguments: argparse.Namespace) -> None:
    if arguments.quality is not None and not 1 <= arguments.quality <= 100:
        raise SystemExit(f"--quality {arguments.quality} is not within 1 and 100")
    for file in write_pack(_photos(arguments), arguments.out, arguments.quality):
        print(f"{file}  {file.stat().st_size / 2**20:.1f} MiB")
    print(describe_photos(open_photos([arguments.out])))


def _quantize(arguments: argparse.Namespace) -> None:
    from refstar_model.quantization import quantize

    manifest = quantize(arguments.folder, _photos(arguments).split("train"))
    for name, graph in manifest["graphs"].items():
        if "quantized" in graph:
            print(f"{name}: {graph['quantized']} convolutions in int8")
    _print_size(arguments.folder)


def _print_size(folder: Path) -> None:
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.1f} MB")


def _evaluate(arguments: argparse.Namespace) -> None:
    from refstar_model import evaluation
    from refstar_model.evaluation.perceptual import Inception, PerceptualDistance
    from refstar_model.landmarks import FaceFinder, FaceMesh
    from refstar_model.recognition import Recognizer

    photos, judge = _photos(arguments), Recognizer(arguments.judge)
    model = evaluation.FolderModel(arguments.folder, precision=arguments.precision)
    if arguments.quick:
        if arguments.write:
            raise SystemExit("--quick is for choosing; --write wants the whole table")
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
        ),
        sheets.show if sheets else None,
    )
    if sheets:
        sheets.close()
    print(evaluation.markdown(table))
    if arguments.report:
        evaluation.write_report(arguments.report, table, records)
    if arguments.write:
        evaluation.write_quality(arguments.folder, table, arguments.precision)


if __name__ == "__main__":
    main()
