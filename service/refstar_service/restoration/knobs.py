"""The knobs of a restoration: each is declared once, here. The form, the command line and the description of the API
show what stands here, and all of them read texts with `Knob.parse`."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any

from refstar_service.faces.face import LEAST_SCORE, Box
from refstar_service.faces.select import FaceMode
from refstar_service.images import OUTPUT_FORMATS

MOST_BOXES = 32
FORMATS = ("same", *OUTPUT_FORMATS)

_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_SWITCH = {
    "true": True,
    "1": True,
    "on": True,
    "yes": True,
    "false": False,
    "0": False,
    "off": False,
    "no": False,
}


class KnobKind(StrEnum):
    CHOICE = "choice"  # one of some words or whole numbers
    NUMBER = "number"
    WHOLE = "whole"  # a whole number
    SWITCH = "switch"  # on or off
    BOXES = "boxes"


class ReferenceFace(StrEnum):
    ONLY = "only"
    LARGEST = "largest"


class Stranger(StrEnum):
    IGNORE = "ignore"
    REFUSE = "refuse"
    USE = "use"


@dataclass(frozen=True)
class Knob:
    """One choice that a request may make. ``default`` None: `rules` decides. ``least`` and ``most`` are inclusive."""

    name: str
    kind: KnobKind
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    least: float = -math.inf
    most: float = math.inf

    @property
    def wanted(self) -> str:
        """What its value must be: "a number from 0 to 1"."""
        match self.kind:
            case KnobKind.CHOICE:
                *others, last = map(str, self.choices)
                return f"{', '.join(others)} or {last}"
            case KnobKind.NUMBER:
                return f"a number from {self.least:g} to {self.most:g}"
            case KnobKind.WHOLE:
                return f"a whole number from {self.least:g} to {self.most:g}"
            case KnobKind.SWITCH:
                return "true or false"
            case KnobKind.BOXES:
                return f"a JSON list of 1 to {MOST_BOXES} boxes [x, y, width, height]"

    def parse(self, text: str) -> Any:
        """The value that ``text`` stands for. Raises ValueError, which says what it must be."""
        value: Any = None
        match self.kind:
            case KnobKind.CHOICE:
                value = next((choice for choice in self.choices if str(choice) == text), None)
            case KnobKind.NUMBER if _NUMBER.fullmatch(text):
                value = self._within(float(text))
            case KnobKind.WHOLE if _WHOLE.fullmatch(text):
                value = self._within(int(text))
            case KnobKind.SWITCH:
                value = _SWITCH.get(text.lower())
            case KnobKind.BOXES:
                return parse_boxes(text)
        if value is None:
            raise ValueError(f"must be {self.wanted}, not {text[:80]!r}")
        return value

    def _within(self, value: float) -> float | None:
        return value if self.least <= value <= self.most else None


def _choice(choices: tuple[Any, ...], text: str) -> dict[str, Any]:
    return _declare(KnobKind.CHOICE, text, choices=choices)


def _number(least: float, most: float, text: str) -> dict[str, Any]:
    return _declare(KnobKind.NUMBER, text, least=least, most=most)


def _whole(least: int, most: int, text: str) -> dict[str, Any]:
    return _declare(KnobKind.WHOLE, text, least=least, most=most)


def _declare(kind: KnobKind, text: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "help": " ".join(text.split()), **more}


@dataclass(frozen=True)
class Knobs:
    """The choices of one restoration, whoever asked. How a knob is declared is what it means."""

    faces: FaceMode = field(
        metadata=_choice(
            tuple(FaceMode),
            """Which faces of the photograph are restored. `center`: the one closest to the center. `boxes`: the ones in
            `boxes`. `aligned`: the picture is an aligned face crop, and so is every reference; no face is searched for.
            Default: `boxes` if boxes are given, otherwise `largest` with references, `all` without and with several
            people's.""",
        )
    )
    boxes: tuple[Box, ...] = field(
        default=(),
        metadata=_declare(
            KnobKind.BOXES,
            f"""The faces to restore, as JSON: `[[x, y, width, height], ...]` in pixels of the upright picture, at most
            {MOST_BOXES}. For each box, the face that fits it best is restored. Implies `faces=boxes`.""",
        ),
    )
    min_face: int = field(
        default=24,
        metadata=_whole(
            16,
            512,
            """Minimum size of a face, in pixels per side of its box. Smaller faces are skipped with the reason
            `face-too-small`.""",
        ),
    )
    min_score: float = field(
        default=LEAST_SCORE,
        metadata=_number(
            0.1,
            1,
            """Minimum score of a face. Lower it if a face is missed, raise it if something else is taken for one. Faces
            below 32 pixels need 0.1 more, faces in a picture that lies on its side 0.2.""",
        ),
    )
    upscale: int = field(
        default=1,
        metadata=_choice(
            (1, 2, 4),
            """Enlargement factor of the result. The background is enlarged by Lanczos, which invents nothing, and faces
            are put in at the higher resolution. With `faces=aligned`, the whole result is enlarged by Lanczos.""",
        ),
    )
    reference_face: ReferenceFace = field(
        default=ReferenceFace.ONLY,
        metadata=_choice(
            tuple(ReferenceFace),
            """Which face of a reference is used. `only`: a reference with several faces is refused (`several-faces`).
            `largest`: its largest face is used.""",
        ),
    )
    fidelity: float = field(
        default=0.5,
        metadata=_number(
            0,
            1,
            """0 gives the most detail, much of which may be invented; 0.5 is what the model was trained for; 1 stays
            closest to the picture.""",
        ),
    )
    reference_strength: float = field(
        default=1.0,
        metadata=_number(
            0,
            1,
            """How much is taken from the references, from 0 (nothing) to 1 (as much as the model finds fitting).""",
        ),
    )
    stranger: Stranger = field(
        default=Stranger.IGNORE,
        metadata=_choice(
            tuple(Stranger),
            """What happens if a reference probably shows somebody else (`same_person`). `ignore`: hardly anything is
            taken from it. `refuse`: the face is not restored (`reference-stranger`). `use`: it is used all the same,
            because you know better.""",
        ),
    )
    grain: bool = field(
        default=True,
        metadata=_declare(
            KnobKind.SWITCH,
            """Give restored faces the grain or noise of the photograph around them, so that they do not stand out.""",
        ),
    )
    keep: bool = field(
        default=True,
        metadata=_declare(
            KnobKind.SWITCH,
            """Keep a face as it was if its restoration is no better: `already-sharp` or `not-plausible`. With `false`,
            whatever the model draws is put in.""",
        ),
    )
    format: str = field(
        default="same",
        metadata=_choice(
            FORMATS,
            """File type of the result. `same` is the type of the picture, or PNG (for AVIF: WebP) if that cannot be
            written.""",
        ),
    )
    quality: int = field(
        default=95, metadata=_whole(1, 100, """Quality of a JPEG, WebP or AVIF result, in percent.""")
    )
    keep_location: bool = field(
        default=False,
        metadata=_declare(
            KnobKind.SWITCH,
            """Keep the location (GPS) in the metadata of the result. It is dropped by default.""",
        ),
    )

    @property
    def aligned(self) -> bool:
        """Whether every picture is one aligned face crop."""
        return self.faces == FaceMode.ALIGNED


#: All of them by name, in the order in which they are shown.
KNOBS: Mapping[str, Knob] = {
    one.name: Knob(one.name, default=None if one.default is MISSING else one.default, **one.metadata)
    for one in fields(Knobs)
}


def parse_boxes(text: str) -> tuple[Box, ...]:
    """Raises ValueError, which says which box is wrong, and why."""
    wanted = f"must be {KNOBS['boxes'].wanted}"
    try:
        boxes = json.loads(text)
    except (ValueError, RecursionError):
        boxes = None
    if not isinstance(boxes, list) or not 1 <= len(boxes) <= MOST_BOXES:
        raise ValueError(wanted)
    checked = []
    for number, box in enumerate(boxes, 1):
        # bool is an int to Python.
        if not isinstance(box, list) or len(box) != 4 or any(type(side) not in (int, float) for side in box):
            raise ValueError(f"{wanted}; box {number} is not four numbers")
        try:
            checked.append(check_box(*box))
        except ValueError as error:
            raise ValueError(f"{wanted}; box {number} {error}") from error
    return tuple(checked)


def check_box(x: float, y: float, width: float, height: float) -> Box:
    """The box. Raises ValueError for sides that are not finite (Python's JSON has NaN, and numbers that no float can
    hold) or not positive."""
    try:
        box = float(x), float(y), float(width), float(height)
    except OverflowError:
        raise ValueError("is not finite") from None
    if not all(map(math.isfinite, box)):
        raise ValueError("is not finite")
    if width <= 0 or height <= 0:
        raise ValueError("has no area")
    return box
