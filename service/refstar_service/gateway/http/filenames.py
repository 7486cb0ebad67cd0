"""File names that came from a client, made safe to give back."""

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import quote

MAX_LENGTH = 80
EXTENSIONS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/tiff": ".tiff",
    "image/bmp": ".bmp",
    "image/avif": ".avif",
}

_UNSAFE = re.compile(r'[\x00-\x1f\x7f"*:<>?|;%\\/]+')


def safe_name(name: str) -> str:
    """The last part of a path in either notation, without letters that mean something elsewhere; maybe ""."""
    named = unicodedata.normalize("NFC", name).replace("%22", '"')  # browsers escape quotes like that
    last = re.split(r"[\\/]", named)[-1]
    printable = "".join(letter for letter in _UNSAFE.sub("_", last) if letter.isprintable())
    trimmed = printable.strip(" .")
    if len(trimmed) <= MAX_LENGTH:
        return trimmed
    suffix = PurePosixPath(trimmed).suffix[:10]
    return trimmed[: MAX_LENGTH - len(suffix)] + suffix


def download_name(original: str, purpose: str, media_type: str) -> str:
    """The name of a file made from `original`: `face.jpg` becomes `face-restored.png`."""
    stem = PurePosixPath(safe_name(original)).stem or "face"
    return f"{stem}-{purpose}{EXTENSIONS.get(media_type, '')}"


def content_disposition(name: str) -> str:
    """RFC 6266, inline: the plain form for old clients, the encoded one where that loses letters."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    header = f'inline; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"
