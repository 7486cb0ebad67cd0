"""HEIF, which AVIF and HEIC are kinds of: the boxes that describe the items of a file and their properties."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from refstar_service.images import exif
from refstar_service.images.containers.budget import Budget
from refstar_service.images.errors import ImageError, RefusalCode

# EXIF's name for a turn by 90 degrees anticlockwise, `irot` times, and then a mirroring (`imir`: None, 0 top
# and bottom exchanged, 1 left and right exchanged).
_ORIENTATIONS = {
    (0, None): 1,
    (0, 0): 4,
    (0, 1): 2,
    (1, None): 8,
    (1, 0): 5,
    (1, 1): 7,
    (2, None): 3,
    (2, 0): 2,
    (2, 1): 4,
    (3, None): 6,
    (3, 0): 7,
    (3, 1): 5,
}
_RDF = b"application/rdf+xml\0"
_ALPHAS = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0")
_MOST_ITEMS = 2048  # 200 megapixels in tiles of 512 x 512, and their gain map
_MOST_OF_ONE = 64  # properties of an item
# Boxes, items and their pieces, properties of items and targets of references: so many items with ten properties each.
_MOST_PARTS = 1 << 15


@dataclass
class _Meta:
    """The meta box, as far as it is of use here."""

    primary: int = -1
    kinds: dict[int, bytes] = field(default_factory=dict)  # item -> type
    kinds_at: dict[int, int] = field(default_factory=dict)  # item -> where its type is written
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # item -> (start, length)s
    properties: list[tuple[bytes, int, int]] = field(default_factory=list)  # (type, start, end)
    of_item: dict[int, list[int]] = field(default_factory=dict)  # item -> indices into properties, from 1
    references: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)  # (type, from, to)


@dataclass(frozen=True)
class Items:
    """A file and what its meta box says of the items in it."""

    data: bytes
    meta: _Meta
    whole: bool  # every box ends within the file
    moving: bool  # it holds a sequence, too

    @classmethod
    def of(cls, data: bytes) -> "Items":
        """Raises ImageError, struct.error or IndexError for a file that is damaged or cut off in its header."""
        budget = Budget(_MOST_PARTS, "HEIF", "parts")
        boxes = list(_boxes(data, 0, None, budget))
        names = [kind for kind, _, _ in boxes]
        _, start, end = boxes[names.index(b"meta")] if b"meta" in names else (b"", 0, len(data) + 1)
        if end > len(data):
            raise ImageError(RefusalCode.TRUNCATED, "The file ends inside its header.")
        whole = all(end <= len(data) for _, _, end in boxes)
        return cls(data, _meta(data, start, end, budget), whole, b"moov" in names)

    def size(self, *coded: bytes) -> tuple[int, int]:
        """Width and height of the primary picture as stored, which is an item of type ``coded`` or made of such."""
        meta, mine = self.meta, self.properties(self.meta.primary)
        if b"ispe" not in mine or meta.kinds.get(meta.primary) not in (*coded, b"grid"):
            raise _refusal("does not describe its primary picture")
        width, height = struct.unpack_from(">II", self.data, mine[b"ispe"][0] + 4)
        return width, height

    def orientation(self) -> int:
        mine = self.properties(self.meta.primary)
        turn = self.data[mine[b"irot"][0]] & 3 if b"irot" in mine else 0
        mirror = self.data[mine[b"imir"][0]] & 1 if b"imir" in mine else None
        return _ORIENTATIONS[turn, mirror]

    def properties(self, item: int) -> dict[bytes, tuple[int, int]]:
        """(start, end) of an item's properties by type; of those with one type the last."""
        return {kind: (start, end) for kind, start, end in self._listed(item)}

    def configuration(self, kind: bytes) -> bytes | None:
        """That of the primary picture or of its first tile: the property ``kind``."""
        primary = self.meta.primary
        tiles = [
            to[0] for name, item, to in self.meta.references if name == b"dimg" and item == primary and to
        ]
        for item in (primary, *tiles[:1]):
            if kind in (found := self.properties(item)):
                return self.data[slice(*found[kind])]
        return None

    def has_alpha(self) -> bool:
        primary = self.meta.primary
        auxiliary = {item for kind, item, to in self.meta.references if kind == b"auxl" and primary in to}
        return any(map(self._is_alpha, auxiliary))

    def of_kind(self, kind: bytes) -> dict[int, bytes | None]:
        """The bytes of every item of a type by its number; None where they are not all in the file."""
        return {item: self.bytes_of(item) for item, name in self.meta.kinds.items() if name == kind}

    def bytes_of(self, item: int) -> bytes | None:
        extents = self.meta.extents.get(item, [])
        if not extents or any(start + length > len(self.data) for start, length in extents):
            return None
        return b"".join(self.data[start : start + length] for start, length in extents)

    def profile(self) -> bytes | None:
        """The ICC profile, from one of the color boxes; another may hold the color space in numbers."""
        found = (place for kind, place in self._colors() if kind in (b"prof", b"rICC"))
        place = next(found, None)
        return self.data[place] if place else None

    def color_numbers(self) -> tuple[int, int] | None:
        """Primaries and transfer function as ITU-T H.273 counts them."""
        numbers = (place for kind, place in self._colors() if kind == b"nclx")
        found = next((place for place in numbers if place.stop - place.start >= 4), None)
        return struct.unpack_from(">HH", self.data, found.start) if found else None

    def exif(self) -> bytes | None:
        for item, kind in self.meta.kinds.items():
            payload = self.bytes_of(item) if kind == b"Exif" else None
            if payload is not None and len(payload) > 4:
                (skipped,) = struct.unpack_from(">I", payload)
                return exif.block(payload[4 + skipped :])
        return None

    def packet(self) -> bytes | None:
        """The XMP packet."""
        for item, kind in self.meta.kinds.items():
            at = self.meta.kinds_at[item]
            # After the type two strings that end in a zero: the item's name, and its content's type.
            name_end = self.data.find(b"\0", at + 4, at + 256)
            if kind == b"mime" and name_end >= 0 and self.data.startswith(_RDF, name_end + 1):
                return self.bytes_of(item)
        return None

    def without_metadata(self) -> bytes:
        """The same file with its EXIF and XMP items renamed, so that decoders pass them over."""
        changed = bytearray(self.data)
        for item, name in self.meta.kinds.items():
            if name in (b"Exif", b"mime"):
                changed[self.meta.kinds_at[item] : self.meta.kinds_at[item] + 4] = b"skip"
        return bytes(changed)

    def _listed(self, item: int) -> list[tuple[bytes, int, int]]:
        known = self.meta.properties
        return [known[index - 1] for index in self.meta.of_item.get(item, []) if 0 < index <= len(known)]

    def _is_alpha(self, item: int) -> bool:
        start, end = self.properties(item).get(b"auxC", (0, 0))
        return self.data.startswith(_ALPHAS, start + 4, end)

    def _colors(self) -> Iterator[tuple[bytes, slice]]:
        """Kind of each of the primary picture's color boxes, and where its content is."""
        for kind, start, end in self._listed(self.meta.primary):
            if kind == b"colr":
                yield self.data[start : start + 4], slice(start + 4, end)


def _boxes(data: bytes, start: int, within: int | None, budget: Budget) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of each box's body. The last one ends ``within`` the box that it is in, whatever its own size
    says: boxes that overlap could be many large ones in a small file. Of the file itself, it may end after the file."""
    end = len(data) if within is None else min(within, len(data))
    while start + 8 <= end:
        budget.spend()
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        elif size == 0:
            size = end - start
        if size < body - start:
            raise _refusal("has a damaged box")
        yield kind, body, start + size if within is None else min(start + size, end)
        start += size


def _meta(data: bytes, start: int, end: int, budget: Budget) -> _Meta:
    meta = _Meta()
    within = {kind: (body, stop) for kind, body, stop in _boxes(data, start + 4, end, budget)}
    for kind, (body, stop) in within.items():
        version = data[body]
        if kind == b"pitm":
            (meta.primary,) = struct.unpack_from(">I" if version else ">H", data, body + 4)
        elif kind == b"iinf":
            _read_items(data, meta, body + (8 if version else 6), stop, budget)
        elif kind == b"iloc":
            _read_locations(data, meta, body, within.get(b"idat", (0, 0))[0], budget)
        elif kind == b"iprp":
            for inner, at, until in _boxes(data, body, stop, budget):
                if inner == b"ipco":
                    meta.properties += _boxes(data, at, until, budget)
                elif inner == b"ipma":
                    _read_associations(data, meta, at, budget)
        elif kind == b"iref":
            head, wide = (">IH", "I") if version else (">HH", "H")
            start = struct.calcsize(head)
            for inner, at, until in _boxes(data, body + 4, stop, budget):
                item, count = struct.unpack_from(head, data, at)
                count = min(count, (until - at) // struct.calcsize(wide))
                budget.spend(count)
                to = struct.unpack_from(f">{count}{wide}", data, at + start)
                meta.references.append((inner, item, to))
    return meta


def _read_items(data: bytes, meta: _Meta, start: int, end: int, budget: Budget) -> None:
    for kind, body, _ in _boxes(data, start, end, budget):
        if kind == b"infe" and data[body] in (2, 3):
            wide = ">I" if data[body] == 3 else ">H"
            (item,) = struct.unpack_from(wide, data, body + 4)
            at = body + 4 + struct.calcsize(wide) + 2
            meta.kinds[item], meta.kinds_at[item] = data[at : at + 4], at
    if len(meta.kinds) > _MOST_ITEMS:
        raise _refusal(f"has more than {_MOST_ITEMS} items")


def _read_locations(data: bytes, meta: _Meta, at: int, idat: int, budget: Budget) -> None:
    version = data[at]
    sizes = data[at + 4] >> 4, data[at + 4] & 15, data[at + 5] >> 4, data[at + 5] & 15
    offset_size, length_size, base_size, index_size = sizes
    if not set(sizes) <= {0, 4, 8}:
        raise _refusal("has a damaged index")
    at += 6

    def number(size: int) -> int:
        nonlocal at
        if at + size > len(data):
            raise ImageError(RefusalCode.TRUNCATED, "The file ends inside its header.")
        at += size
        return int.from_bytes(data[at - size : at])

    for _ in range(min(number(4 if version == 2 else 2), _MOST_ITEMS)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)  # where the data is: always this file
        base = number(base_size) + (idat if method == 1 else 0)
        count = number(2)
        budget.spend(1 + count)
        if count > 1 and not any((index_size if version else 0, offset_size, length_size)):
            raise _refusal("has pieces that overlap")  # each the whole file, and none takes a byte to say so
        extents = meta.extents.setdefault(item, [])
        for _ in range(count):
            number(index_size if version else 0)
            start = base + number(offset_size)
            # A length of 0 means "to the end of the file".
            extents.append((start, number(length_size) or max(len(data) - start, 0)))
    every = [piece for pieces in meta.extents.values() for piece in pieces]
    if sum(length for start, length in every if start + length <= len(data)) > 2 * len(data):
        raise _refusal("has pieces that overlap")


def _read_associations(data: bytes, meta: _Meta, at: int, budget: Budget) -> None:
    version, wide = data[at], data[at + 3] & 1
    (count,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(min(count, _MOST_ITEMS)):
        (item,) = struct.unpack_from(">I" if version else ">H", data, at)
        at += 4 if version else 2
        of_item = meta.of_item.setdefault(item, [])
        length = data[at]
        at += 1
        budget.spend(1 + length)
        if len(of_item) + length > _MOST_OF_ONE:
            raise _refusal(f"has an item of more than {_MOST_OF_ONE} properties")
        for _ in range(length):
            # The top bit says that a reader must know the property.
            of_item.append(struct.unpack_from(">H", data, at)[0] & 0x7FFF if wide else data[at] & 0x7F)
            at += 2 if wide else 1


def _refusal(what: str) -> ImageError:
    return ImageError(RefusalCode.UNDECODABLE, f"The file {what}.")
