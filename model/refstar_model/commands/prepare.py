"""``prepare``: an album, one folder a person, to a data folder."""

import argparse
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from refstar_model.data.photos import DataError, load_photos
from refstar_model.options.teachers import RECOGNIZER

FEWEST_PEOPLE = 4  # two to train on and two to judge by, each with the other's photograph as a stranger's


def add(commands: Any) -> None:
    prepare = commands.add_parser(
        "prepare", help="make a data folder of your own photographs: find, align, measure and split them"
    )
    prepare.add_argument(
        "album", type=Path, help="folder that holds one folder of photographs for each person"
    )
    prepare.add_argument(
        "--out", type=Path, required=True, help="data folder to write; must not hold one yet"
    )
    prepare.add_argument("--license", default="not stated", help="what the photographs may be used under")
    prepare.add_argument("--source", help="whose photographs they are (default: the name of the album)")
    prepare.add_argument(
        "--val", type=float, default=0.1, metavar="SHARE", help="of the people, to judge by (default: 0.1)"
    )
    prepare.add_argument(
        "--detector",
        type=Path,
        default=find_detector(),
        help="model folder of the face detector (default: the one that the service ships)",
    )
    prepare.add_argument(
        "--recognizer",
        type=Path,
        default=RECOGNIZER.find(),
        help="face recognizer (ONNX) that measures likeness and finds strangers; works without",
    )
    prepare.set_defaults(run=prepare_album)


def find_detector() -> Path | None:
    """The folder in the service's zoo, where the service is installed; nothing of it is imported."""
    service = find_spec("refstar_service")
    places = service.submodule_search_locations if service else None
    return Path(next(iter(places))) / "zoo/detector" if places else None


def prepare_album(arguments: argparse.Namespace) -> None:
    from refstar_model.data.inventory import describe_photos
    from refstar_model.preparing.album import find_photographs, read_album
    from refstar_model.preparing.finder import FaceSearch
    from refstar_model.preparing.likeness import embed_entries, leave_out_strangers, pair_portraits
    from refstar_model.preparing.lists import LEFT_OUT, Rights, check_target, split_people, write_data

    if not 0 <= arguments.val < 1:
        raise SystemExit(f"--val is a share from 0 to below 1, not {arguments.val:g}")
    if arguments.detector is None:
        raise SystemExit("--detector is missing: it names the folder service/refstar_service/zoo/detector")
    recognizer = _open_recognizer(arguments.recognizer)
    check_target(arguments.out)
    photographs = find_photographs(arguments.album)
    print(
        f"{len(photographs)} photographs of {len({person for person, _ in photographs})} people", flush=True
    )
    entries = list(read_album(photographs, FaceSearch(arguments.detector)))
    vectors = None
    if recognizer is not None:
        vectors = embed_entries(entries, recognizer)
        entries = leave_out_strangers(entries, vectors)
    for reason, count in Counter(
        _shorten(one.reason) for one in entries if one.portrait is None
    ).most_common():
        print(f"{count} left out: {reason}")
    people = [one.person for one in entries if one.portrait is not None]
    if not people:
        raise DataError(f"{arguments.album}: no photograph can be used")
    pairs = pair_portraits(entries, vectors)
    splits = split_people(people, {pair.person for pair in pairs}, arguments.val)
    rights = Rights(arguments.source or arguments.album.resolve().name, arguments.license)
    write_data(arguments.out, entries, pairs, splits, rights)
    print(describe_photos(load_photos(arguments.out)))
    print(f"{arguments.out}: {len(people)} faces; what was left out, and why: {arguments.out / LEFT_OUT}")
    if len(set(people)) < FEWEST_PEOPLE:
        print(
            f"with fewer than {FEWEST_PEOPLE} people, results cannot be judged: that takes two val people with two "
            "photographs each"
        )


def _open_recognizer(path: Path | None) -> Any:
    lost = "strangers in a folder are not noticed, and every pair counts as of one sitting (emb_sim 1)"
    chosen = RECOGNIZER.choose(path, "--recognizer", lost)
    if chosen is None:
        return None
    from refstar_model.judges.recognition import Recognizer

    return Recognizer(chosen)


def _shorten(reason: str) -> str:
    """Without the numbers of the one photograph."""
    return reason.split(":")[0].split(" as ")[0]
