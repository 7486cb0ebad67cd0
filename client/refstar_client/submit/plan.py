"""What a run is to restore: one item a photograph, out of folders, pictures and manifests."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from refstar_client.options import RestorationOptions

#: Names of files that are taken for pictures. What they really are, the service sees.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif"}
    | {".heic", ".heif", ".hif", ".jp2", ".j2k", ".gif"}
)
#: Its pictures are files, which are read here.
OPTIONS = frozenset(RestorationOptions.__annotations__) - {"image_url", "reference_urls"}
_COLUMNS = ("photograph", "references", "person", "output")


class PlanError(ValueError):
    """Something asked for cannot be meant; the message names the file and the line."""


@dataclass(frozen=True)
class Wishes:
    """What is wanted of a photograph beside the photograph itself."""

    references: tuple[Path, ...] = ()
    people: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """``output``: where the result goes below the output folder, with slashes; no two items have the same."""

    photograph: Path
    output: str
    wishes: Wishes


def plan_items(paths: Sequence[Path], common: Wishes, output: Path) -> list[Item]:
    """All items, in the order of the paths. Raises PlanError, OSError for what cannot be read.

    A folder is searched with all folders in it, except ``output``. Of several paths, each one's results lie in a folder
    that is named after it.
    """
    items: list[Item] = []
    for path in paths:
        below = PurePosixPath(path.resolve().name if path.is_dir() else path.stem) if len(paths) > 1 else None
        if path.is_dir():
            found = _search(path, common, output)
        elif path.suffix.lower() == ".csv":
            found = _read_manifest(path, common)
        elif path.is_file():
            found, below = iter((Item(path, path.name, common),)), None
        else:
            raise PlanError(f"{path} is no folder, no picture and no manifest")
        before = len(items)
        items += (item if below is None else _move(item, below) for item in found)
        if len(items) == before:
            raise PlanError(f"{path} has no pictures ({' '.join(sorted(SUFFIXES))})")
    _check_outputs(items)
    return items


def parse_option(text: str) -> tuple[str, str]:
    """``NAME=VALUE``; raises ValueError for a name that no option has."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    return check_option(name.strip()), value.strip()


def check_option(name: str) -> str:
    if name not in OPTIONS:
        near = get_close_matches(name, OPTIONS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(OPTIONS))}"
        raise ValueError(f"{name!r} is no option; {hint}")
    return name


def _search(folder: Path, common: Wishes, output: Path) -> Iterator[Item]:
    results = output.resolve()
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (here / name).resolve() != results
        )
        for name in sorted(files):
            path = here / name
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Item(path, path.relative_to(folder).as_posix(), common)


def _read_manifest(path: Path, common: Wishes) -> Iterator[Item]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            columns = [name.strip() for name in rows.fieldnames or ()]
            rows.fieldnames = columns
            _check_columns(path, columns)
            for row in rows:
                where = f"{path} line {rows.line_num}"
                if None in row:
                    raise PlanError(f"{where} has more cells than the header; quote cells that have commas")
                cells = {name: value.strip() for name, value in row.items() if value and value.strip()}
                yield _read_row(where, path.parent, cells, common)
        except (csv.Error, UnicodeDecodeError) as error:
            raise PlanError(f"{path} is no CSV file in UTF-8: {error}") from error


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if "photograph" not in columns:
        raise PlanError(f"{path} has no column `photograph`; its first line must name the columns")
    for name in columns:
        if name not in _COLUMNS:
            try:
                check_option(name)
            except ValueError as error:
                raise PlanError(f"{path}: column {error}") from None
    if len(set(columns)) < len(columns):
        raise PlanError(f"{path} has a column twice")


def _read_row(where: str, folder: Path, cells: Mapping[str, str], common: Wishes) -> Item:
    if "photograph" not in cells:
        raise PlanError(f"{where} names no photograph")
    names = [name.strip() for name in cells.get("references", "").split(";")]
    references = tuple(folder / name for name in names if name)
    people = tuple(name for one in cells.get("person", "").split(";") if (name := one.strip()))
    if references and people:
        raise PlanError(f"{where} has references and a person: leave one out")
    if len(set(people)) < len(people):
        raise PlanError(f"{where} names a person twice")
    if not references and not people:
        references, people = common.references, common.people
    own = {name: value for name, value in cells.items() if name not in _COLUMNS}
    wishes = Wishes(references, people, {**common.options, **own} if own else common.options)
    output = cells.get("output")
    if output is None:
        given = PurePosixPath(Path(cells["photograph"]).as_posix())
        output = given.name if given.is_absolute() or ".." in given.parts else given.as_posix()
    elif PurePosixPath(output).is_absolute() or ".." in PurePosixPath(output).parts:
        raise PlanError(f"{where}: output {output!r} is not inside the output folder")
    return Item(folder / cells["photograph"], PurePosixPath(output).as_posix(), wishes)


def _move(item: Item, below: PurePosixPath) -> Item:
    return Item(item.photograph, (below / item.output).as_posix(), item.wishes)


def _check_outputs(items: Sequence[Item]) -> None:
    seen: dict[str, Item] = {}
    for item in items:
        other = seen.setdefault(item.output, item)
        if other is not item:
            raise PlanError(
                f"the results of {other.photograph} and {item.photograph} would both be {item.output}: "
                "name them in the column `output` of a manifest"
            )
