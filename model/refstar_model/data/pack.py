"""Photographs packed to travel: a few files with hashes, for a machine that has a GPU and no network.

A pack is a folder: ``pack.json`` (the lists, and every shard's size and sha256) and ``shard-N.tar``, whose members are
``512/FILE`` for photographs that are sharp at 512 and ``256/FILE`` for the others; what is asked at 256 of the former
is the mean of 2x2. Shards are small, so that a pack can travel in parts: it is whole when all of them lie together.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from refstar_model.data.photos import (
    DataError,
    Kind,
    Pair,
    Photo,
    PhotoSet,
    Pixels,
    decode_picture,
    load_photos,
)

INDEX = "pack.json"
FORMAT = 1
SHARD = 25 * 2**20  # bytes at the most


class PackError(DataError):
    """A pack that is incomplete, damaged or of another format."""


@dataclass(frozen=True)
class Place:
    """Where a photograph lies."""

    shard: Path
    offset: int
    length: int


class PackStore:
    """Pictures in the shards of a pack."""

    def __init__(self, places: dict[str, Place]) -> None:
        self.places = places

    def read_bytes(self, photo: Photo) -> bytes:
        place = self.places[photo.file]
        with place.shard.open("rb") as shard:
            shard.seek(place.offset)
            return shard.read(place.length)

    def read(self, photo: Photo, size: int) -> Pixels:
        stored = photo.sharp_size
        picture = decode_picture(
            self.read_bytes(photo), stored, f"{self.places[photo.file].shard}: {photo.file}"
        )
        if size == stored:
            return picture
        if size > stored:
            raise DataError(f"{photo.file} is sharp at {stored} only, not at {size}")
        return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def write_pack(
    photos: PhotoSet, folder: Path, quality: int | None = None, shard_bytes: int = SHARD
) -> list[Path]:
    """Pack all but the synthetic photographs, both splits; returns the files written, the index last.

    ``quality`` (1..100): code the pictures anew as WebP, smaller; None keeps the files as they are. Raises DataError
    where ``folder`` holds a pack already, and PictureError for a picture that cannot be read.
    """
    if (folder / INDEX).exists():
        raise DataError(f"{folder / INDEX} exists: take another folder for the new pack")
    folder.mkdir(parents=True, exist_ok=True)
    kept = photos.of_kinds(*(kind for kind in Kind if kind is not Kind.SYNTHETIC))
    coded = ((photo, _encode(kept, photo, quality)) for photo in kept.photos)
    shards = []
    for number, members in enumerate(_shards(coded, shard_bytes)):
        shards.append(folder / f"shard-{number}.tar")
        with tarfile.open(shards[-1], "w", format=tarfile.USTAR_FORMAT) as archive:
            for photo, data in members:
                member = tarfile.TarInfo(f"{photo.sharp_size}/{photo.file}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    index = {
        "format": FORMAT,
        "shards": [{"file": s.name, "bytes": s.stat().st_size, "sha256": _hash(s)} for s in shards],
        "photos": [asdict(p) for p in kept.photos],
        "pairs": [asdict(p) for p in kept.pairs],
    }
    # Last, and in one move: a pack that was interrupted has none.
    part = folder / f"{INDEX}.part"
    part.write_text(json.dumps(index) + "\n")
    part.replace(folder / INDEX)
    return [*shards, folder / INDEX]


def open_pack(folder: Path) -> PhotoSet:
    """The photographs of a pack, every shard checked; raises PackError naming what is missing or damaged."""
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise PackError(f"{folder / INDEX} cannot be read: {error}") from None
    if index.get("format") != FORMAT:
        raise PackError(
            f"{folder / INDEX} has format {index.get('format')}, not {FORMAT}: pack the photographs anew"
        )
    places: dict[str, Place] = {}
    for shard in index["shards"]:
        places |= dict(_members(folder / shard["file"], shard["bytes"], shard["sha256"]))
    photos = tuple(Photo(**row) for row in index["photos"])
    if lacking := [p.file for p in photos if p.file not in places]:
        raise PackError(
            f"{folder}: {len(lacking)} photographs of {INDEX} are in no shard, {lacking[0]} first"
        )
    return PhotoSet(photos, tuple(Pair(**row) for row in index["pairs"]), PackStore(places))


def open_photos(folders: Sequence[Path]) -> PhotoSet:
    """A pack where the one folder is a pack, else the data folders' photographs; raises DataError."""
    packs = [folder for folder in folders if (folder / INDEX).exists()]
    if not packs:
        return load_photos(*folders)
    if len(folders) > 1:
        raise DataError(
            f"{packs[0]} is a pack and stands alone: give it without other --data, or pack all anew"
        )
    return open_pack(packs[0])


def _shards(coded: Iterable[tuple[Photo, bytes]], shard_bytes: int) -> Iterator[list[tuple[Photo, bytes]]]:
    """The members of one archive after another, none larger than ``shard_bytes``."""
    members: list[tuple[Photo, bytes]] = []
    room = shard_bytes // tarfile.RECORDSIZE * tarfile.RECORDSIZE  # archives are whole records
    size = end = 2 * tarfile.BLOCKSIZE  # what an archive ends with
    for photo, data in coded:
        blocks = -(-len(data) // tarfile.BLOCKSIZE) + 1  # and its header
        if members and size + blocks * tarfile.BLOCKSIZE > room:
            yield members
            members, size = [], end
        members.append((photo, data))
        size += blocks * tarfile.BLOCKSIZE
    if members:
        yield members


def _members(path: Path, size: int, wanted: str) -> Iterator[tuple[str, Place]]:
    if not path.is_file():
        raise PackError(f"{path} is missing: a pack needs all of its shards in one folder")
    if path.stat().st_size != size or _hash(path) != wanted:
        raise PackError(f"{path}: not the bytes that {INDEX} names (sha256 {wanted[:12]}...): copy it again")
    with tarfile.open(path) as archive:
        for member in archive:
            yield Path(member.name).name, Place(path, member.offset_data, member.size)


def _encode(photos: PhotoSet, photo: Photo, quality: int | None) -> bytes:
    if quality is None:
        return photos.store.read_bytes(photo)
    picture = photos.read_sharpest(photo.file)
    _, data = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])
    return data.tobytes()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
