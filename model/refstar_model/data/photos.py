"""The face photographs a model is trained and judged on.

A data folder holds ``faces.csv`` (file, split, person, in512, licence, and where it has them gray, synthetic, yaw,
age_hint, iod_eff), ``pairs.csv``, ``faces256/`` and ``faces512/``: pictures aligned to the 512 template (at 256, half
of it). ``faces256`` holds every photograph, ``faces512`` those that are truly sharp at 512. Several folders make one
set: a file name stands for one photograph in all of them, and a person is in one split.

    DataError          what is wrong with a data folder, and what to do about it
    └─ PictureError    a picture that is missing, unreadable or of another size
"""

import csv
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.sources import UNNAMED, name_source

Pixels = NDArray[np.uint8]
SPLITS = ("train", "val")
LISTS = ("faces.csv", "pairs.csv")
#: One gray person in so many is kept for judging where the lists name no gray val portrait.
HELD_OUT_GRAY = 8


class DataError(ValueError):
    """A data folder that cannot be used as it is; the message names file, finding and remedy."""


class PictureError(DataError):
    """A picture that cannot be read."""


class Kind(StrEnum):
    """What a photograph brings; training balances by it, and results are told apart by it."""

    FRONT = "front"  # in color, the head turned by less than TURNED_FROM
    TURNED = "turned"  # in color, up to a three-quarter view
    PROFILE = "profile"  # in color, from PROFILE_FROM on
    GRAY = "gray"
    SYNTHETIC = "synthetic"  # nobody: drawn by a generator


#: Yaw as the lists have it: how far the nose is from between the eyes, as a share of their distance.
TURNED_FROM, PROFILE_FROM = 0.25, 0.75


@dataclass(frozen=True)
class Photo:
    file: str
    person: str
    split: str
    sharp_at_512: bool
    license: str
    gray: bool = False
    synthetic: bool = False
    yaw: float = 0.0  # >= 0, see TURNED_FROM
    age: int | None = None  # years, where the source says it
    eye_distance: float | None = None  # pixels in the source, for a head that looks at us
    source: str = UNNAMED

    @property
    def sharp_size(self) -> int:
        """The larger side at which it is sharp, 512 or 256."""
        return 512 if self.sharp_at_512 else 256

    @property
    def kind(self) -> Kind:
        if self.synthetic:
            return Kind.SYNTHETIC
        if self.gray:
            return Kind.GRAY
        if self.yaw >= PROFILE_FROM:
            return Kind.PROFILE
        return Kind.TURNED if self.yaw >= TURNED_FROM else Kind.FRONT


@dataclass(frozen=True)
class Pair:
    """Two different photographs of one person."""

    person: str
    split: str
    first: str
    second: str
    similarity: float  # of the two faces, by a recognizer; near 1 means the same sitting


@dataclass(frozen=True)
class PhotoWeights:
    """How often each kind is drawn, as shares of the samples, whatever the number of its files.

    Kinds that a set does not have leave their share to the others. ``synthetic`` stays 0 in whatever is shipped.
    """

    front: float = 0.5
    turned: float = 0.2
    profile: float = 0.1
    gray: float = 0.2
    synthetic: float = 0.0
    most: float = (
        4.0  # no file is drawn more often than so many times its even share: few files are learned by heart
    )

    def draw_chances(self, photos: Sequence[Photo]) -> NDArray[np.float64]:
        """The probability of each photograph, [N]; they add up to 1.

        Raises DataError when no photograph has a kind with a weight.
        """
        counts: dict[Kind, int] = {}
        for photo in photos:
            counts[photo.kind] = counts.get(photo.kind, 0) + 1
        share: Mapping[Kind, float] = {kind: getattr(self, kind.value) for kind in Kind}
        chances = np.array([share[p.kind] / counts[p.kind] for p in photos])
        if not chances.sum() > 0:
            raise DataError(f"no photograph to draw: {len(photos)} are there, none of a kind with a weight")
        chances /= chances.sum()
        # What is cut off the rare ones goes to the others, which may then reach the limit themselves.
        limit = self.most / np.count_nonzero(chances)
        while chances.max() > limit * (1 + 1e-9):
            over = chances >= limit
            chances[over] = limit
            rest = chances[~over]
            chances[~over] = rest * (1 - limit * over.sum()) / rest.sum()
        return chances


class PictureStore(Protocol):
    """Where the files of a set lie."""

    def read_bytes(self, photo: Photo) -> bytes:
        """The file of the size where the photograph is sharp; raises PictureError."""
        ...

    def read(self, photo: Photo, size: int) -> Pixels:
        """The photograph as RGB uint8 [size, size, 3], size 256 or 512; raises PictureError."""
        ...


@dataclass(frozen=True)
class PhotoSet:
    photos: tuple[Photo, ...]
    pairs: tuple[Pair, ...]
    store: PictureStore
    roots: tuple[Path, ...] = ()  # the data folders, for lists of their own beside faces.csv

    def split(self, name: str) -> "PhotoSet":
        """Only the people of one split (``train`` or ``val``)."""
        return replace(
            self,
            photos=tuple(p for p in self.photos if p.split == name),
            pairs=tuple(p for p in self.pairs if p.split == name),
        )

    def of_kinds(self, *kinds: Kind) -> "PhotoSet":
        """Only photographs of these kinds, and pairs of two such."""
        photos = tuple(p for p in self.photos if p.kind in kinds)
        kept = {p.file for p in photos}
        return replace(self, photos=photos, pairs=tuple(p for p in self.pairs if {p.first, p.second} <= kept))

    @cached_property
    def by_file(self) -> Mapping[str, Photo]:
        return {p.file: p for p in self.photos}

    def read(self, file: str, size: int) -> Pixels:
        """The photograph as RGB uint8 [size, size, 3]; size 256 or 512 (512 only where sharp at 512).

        Raises PictureError.
        """
        return self.store.read(self.by_file[file], size)

    def read_sharpest(self, file: str) -> Pixels:
        """The photograph at the size where it is sharp, 512 or 256."""
        return self.read(file, self.by_file[file].sharp_size)


class FolderStore:
    """Pictures in the data folders themselves."""

    def __init__(self, roots: Mapping[str, Path]) -> None:
        """``roots``: the data folder of every file."""
        self.roots = roots

    def read_bytes(self, photo: Photo) -> bytes:
        return _bytes_of(self.path(photo, photo.sharp_size))

    def read(self, photo: Photo, size: int) -> Pixels:
        path = self.path(photo, size)
        return decode_picture(_bytes_of(path), size, str(path))

    def path(self, photo: Photo, size: int) -> Path:
        return self.roots[photo.file] / f"faces{size}" / photo.file


def decode_picture(data: bytes, size: int, name: str) -> Pixels:
    """An encoded picture as RGB uint8 [size, size, 3]; ``name`` is for the PictureError."""
    picture = None if not data else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise PictureError(
            f"{name}: the picture cannot be read; bring it anew, or take its row out of faces.csv"
        )
    if picture.shape[:2] != (size, size):
        height, width = picture.shape[:2]
        raise PictureError(f"{name}: {width}x{height} pixels, not {size}x{size}")
    return np.ascontiguousarray(picture[..., ::-1])


def find_roots(folders: Sequence[Path]) -> list[Path]:
    """The data folders among ``folders`` and directly in them; raises DataError where one brings none."""
    roots: list[Path] = []
    for folder in folders:
        inside = [folder] if _is_data(folder) else sorted(f for f in folder.glob("*") if _is_data(f))
        if not inside:
            raise DataError(
                f"{folder}: neither a folder of face photographs (faces.csv) nor one that holds such"
            )
        roots += [f for f in inside if f not in roots]
    return roots


def roots_from_environment() -> list[Path]:
    """The folders that ``REFSTAR_DATA`` names (several with ``:``); empty where it is not set."""
    return [Path(part) for part in os.environ.get("REFSTAR_DATA", "").split(os.pathsep) if part]


def load_photos(*folders: Path) -> PhotoSet:
    """Read the lists of data folders, or of folders that hold such; every file named in them must be there.

    Raises DataError for a list that is missing or lacks a column, a row without a picture, a file name that two
    folders use, a person in two splits, and a pair whose second photograph is in none of the folders.
    """
    roots = find_roots(folders)
    photos: dict[str, Photo] = {}
    where: dict[str, Path] = {}
    for root in roots:
        for number, row in _rows(root / "faces.csv", ("file", "split", "person", "in512", "licence")):
            photo = _photo(row, f"{root / 'faces.csv'}, row {number}")
            if photo.file in photos:
                raise DataError(f"{photo.file} is in {where[photo.file]} and in {root}: rename one of them")
            photos[photo.file], where[photo.file] = photo, root
    store = FolderStore(where)
    for photo in photos.values():
        for size in (256, 512) if photo.sharp_at_512 else (256,):
            if not store.path(photo, size).is_file():
                raise PictureError(f"{store.path(photo, size)} is missing, though faces.csv names it")
    pairs = [pair for root in roots for pair in _pairs(root, photos)]
    _check_splits(photos.values(), where)
    return hold_out_gray(PhotoSet(tuple(photos.values()), tuple(pairs), store, tuple(roots)))


def hold_out_gray(photos: PhotoSet) -> PhotoSet:
    """The set with every eighth gray person moved to ``val``, by a hash of the name; a set with gray val portraits
    stays as it is.

    A person who is also there in color stays in training.
    """
    gray = {p.person for p in photos.photos if p.kind is Kind.GRAY}
    if any(p.kind is Kind.GRAY and p.split == "val" for p in photos.photos):
        return photos
    gray -= {p.person for p in photos.photos if p.kind is not Kind.GRAY}
    out = {p for p in gray if int(hashlib.sha256(p.encode()).hexdigest(), 16) % HELD_OUT_GRAY == 0}
    return replace(
        photos,
        photos=tuple(replace(p, split="val") if p.person in out else p for p in photos.photos),
        pairs=tuple(replace(p, split="val") if p.person in out else p for p in photos.pairs),
    )


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror}; bring it, or take its row out of faces.csv") from None


def _is_data(folder: Path) -> bool:
    return (folder / "faces.csv").is_file()


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    if not path.is_file():
        raise DataError(f"{path} is missing: a data folder has {' and '.join(LISTS)}")
    with path.open(newline="") as lines:
        reader = csv.DictReader(lines)
        if lacking := [name for name in needed if name not in (reader.fieldnames or ())]:
            raise DataError(f"{path}: no column {', '.join(lacking)}")
        yield from enumerate(reader, 2)


def _photo(row: Mapping[str, str], place: str) -> Photo:
    if row["split"] not in SPLITS:
        raise DataError(f"{place}: split {row['split']!r} is neither train nor val")
    try:
        return Photo(
            file=row["file"],
            person=row["person"],
            split=row["split"],
            sharp_at_512=row["in512"] == "1",
            license=row["licence"],
            gray=row.get("gray") == "1",
            synthetic=row.get("synthetic") == "1",
            yaw=abs(float(row.get("yaw") or 0)),
            age=int(float(row["age_hint"])) if row.get("age_hint") else None,
            eye_distance=float(value) if (value := row.get("iod_eff") or row.get("iod_px")) else None,
            source=name_source(row),
        )
    except ValueError as error:
        raise DataError(f"{place}: {error}") from None


def _pairs(root: Path, photos: Mapping[str, Photo]) -> Iterator[Pair]:
    path = root / "pairs.csv"
    for number, row in _rows(path, ("person", "split", "file_a", "file_b", "emb_sim")):
        for file in (row["file_a"], row["file_b"]):
            if file not in photos:
                home = Path(row.get("b_in") or root.name).name
                raise DataError(
                    f"{path}, row {number}: {file} is in none of the data folders; add --data for {home}"
                )
            if photos[file].person != row["person"]:
                raise DataError(
                    f"{path}, row {number}: {file} shows {photos[file].person}, not {row['person']}"
                )
        try:
            yield Pair(row["person"], row["split"], row["file_a"], row["file_b"], float(row["emb_sim"]))
        except ValueError as error:
            raise DataError(f"{path}, row {number}: {error}") from None


def _check_splits(photos: Iterable[Photo], where: Mapping[str, Path]) -> None:
    """Nobody may be learned from in one folder and judged in another."""
    seen: dict[str, Photo] = {}
    for photo in photos:
        other = seen.setdefault(photo.person, photo)
        if other.split != photo.split:
            raise DataError(
                f"{photo.person} is {other.split} in {where[other.file] / other.file} and {photo.split} in "
                f"{where[photo.file] / photo.file}: a person belongs to one split"
            )
