"""``data`` and ``pack``: which photographs there are, and how they travel."""

import argparse
from pathlib import Path
from typing import Any

from refstar_model.data.inventory import describe_photos
from refstar_model.data.pack import open_photos, write_pack
from refstar_model.data.photos import Kind
from refstar_model.options.photographs import add_data, open_named_photos
from refstar_model.options.teachers import MESH, find_teachers, in_folder


def add(commands: Any) -> None:
    data = commands.add_parser("data", help="list which photographs there are")
    add_data(data, "folder with faces.csv and pictures, a folder of such folders, or a pack")
    data.add_argument("--sheet", type=Path, help="folder for contact sheets of what training does to them")
    data.add_argument(
        "--labels",
        type=Path,
        help="file (.npz) for selection masks and mesh points of all pairs, for train refstar --labels; takes a second "
        "per pair",
    )
    data.add_argument(
        "--teachers",
        type=Path,
        default=find_teachers(),
        help="folder of mediapipe/, for turned faces and --labels",
    )
    data.set_defaults(run=describe)

    pack = commands.add_parser(
        "pack", help="pack photographs into a few files with hashes, for a machine without a network"
    )
    add_data(pack, "folder with faces.csv and pictures, or a folder of such folders")
    pack.add_argument("--out", type=Path, required=True, help="folder for the pack; must not hold one yet")
    pack.add_argument(
        "--quality",
        type=int,
        help="encode the pictures again, as WebP of this quality (88: 40 MB instead of 72)",
    )
    pack.set_defaults(run=write)


def describe(arguments: argparse.Namespace) -> None:
    photos = open_named_photos(arguments)
    print(describe_photos(photos))
    if arguments.sheet:
        from refstar_model.data.degradation_sheet import draw_sheet

        train = photos.split("train")
        chosen = [train.of_kinds(kind).photos for kind in (Kind.FRONT, Kind.TURNED, Kind.GRAY)]
        sharp = [next((p for p in kind if p.sharp_at_512), None) for kind in chosen]
        pictures = [train.read(p.file, 512) for p in sharp if p is not None]
        for file in draw_sheet(pictures, arguments.sheet):
            print(file)
        place = in_folder(MESH, arguments.teachers)
        if pictures and MESH.choose(place, "--teachers", "no sheet of turned faces is drawn"):
            from refstar_model.data.turning_sheet import draw_turning_sheet
            from refstar_model.judges.landmarks import FaceMesh

            assert place is not None
            mesh = FaceMesh(place)
            print(draw_turning_sheet(pictures, mesh, arguments.sheet))
    if arguments.labels:
        place = MESH.require(in_folder(MESH, arguments.teachers), "--teachers")
        from refstar_model.data.selection_masks import make_labels
        from refstar_model.judges.landmarks import FaceMesh

        make_labels(photos, FaceMesh(place), arguments.labels)


def write(arguments: argparse.Namespace) -> None:
    if arguments.quality is not None and not 1 <= arguments.quality <= 100:
        raise SystemExit(f"--quality must be between 1 and 100, not {arguments.quality}")
    for file in write_pack(open_named_photos(arguments), arguments.out, arguments.quality):
        print(f"{file}  {file.stat().st_size / 2**20:.1f} MiB")
    print(describe_photos(open_photos([arguments.out])))
