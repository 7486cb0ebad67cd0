"""What a set of photographs holds, in words: people, photographs and pairs by kind, size and split."""

from collections import Counter
from collections.abc import Iterable, Sequence

from refstar_model.data.photos import SPLITS, Kind, Photo, PhotoSet, PhotoWeights


def describe_photos(photos: PhotoSet, weights: PhotoWeights | None = None) -> str:
    """A table of photographs and one of pairs as plain text; ``drawn`` is each kind's share of the train samples."""
    rows: list[tuple[str, ...]] = [("", "people", "photographs", "sharp at 512", "sharp at 256", "drawn")]
    for split in SPLITS:
        inside = photos.split(split).photos
        shares = _shares(inside, weights or PhotoWeights()) if split == "train" else {}
        rows.append(_row(split, inside, ""))
        for kind in Kind:
            if these := [p for p in inside if p.kind is kind]:
                drawn = f"{shares[kind]:.1%}" if kind in shares else ""
                rows.append(_row(f"  {kind}", these, drawn))
    pairs: list[tuple[str, ...]] = [("", "pairs", "both sharp at 512")]
    for split in SPLITS:
        kinds = Counter[str]()
        sharp = Counter[str]()
        for pair in photos.split(split).pairs:
            both = [photos.by_file[file] for file in (pair.first, pair.second)]
            for name in (split, "  " + " and ".join(sorted(p.kind for p in both))):
                kinds[name] += 1
                sharp[name] += all(p.sharp_at_512 for p in both)
        pairs += [(name, str(kinds[name]), str(sharp[name])) for name in sorted(kinds, reverse=True)]
    return "\n".join([*_align_columns(rows), "", *_align_columns(pairs)])


def _row(name: str, photos: Sequence[Photo], drawn: str) -> tuple[str, ...]:
    sharp = sum(p.sharp_at_512 for p in photos)
    people = len({p.person for p in photos})
    return (name, str(people), str(len(photos)), str(sharp), str(len(photos) - sharp), drawn)


def _shares(photos: Sequence[Photo], weights: PhotoWeights) -> dict[Kind, float]:
    shares = dict.fromkeys(Kind, 0.0)
    for photo, chance in zip(photos, weights.draw_chances(photos), strict=True):
        shares[photo.kind] += float(chance)
    return shares


def _align_columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with the first column to the left and the others to the right."""
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]
