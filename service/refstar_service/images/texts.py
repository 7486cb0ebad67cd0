"""Short texts of a picture: PNG's text chunks and JPEG's comment."""

from collections.abc import Iterable, Mapping
from itertools import islice

# The keywords of the PNG specification. Others are programs' private ones: some hold coordinates.
KEYWORDS = (
    *("Title", "Author", "Description", "Copyright", "Creation Time", "Software"),
    *("Disclaimer", "Warning", "Source", "Comment"),
)
COMMENT = "Comment"
_SPACES = "\n\t\u00a0\u3000"  # beside the common one
MOST_BYTES = 16_384  # of one text
MOST_COMMENTS = 8  # that are looked at where none says anything
_BY_LOWER_CASE = {keyword.lower(): keyword for keyword in KEYWORDS}


def keyword(name: bytes) -> str | None:
    """The keyword as the specification writes it, None for any other."""
    return _BY_LOWER_CASE.get(name.decode("latin-1").lower())


def clean(value: bytes, encoding: str = "utf-8") -> str | None:
    """The text without control characters; None if it is empty or too long. UTF-8 that is none is Latin-1."""
    if len(value) > MOST_BYTES:
        return None
    try:
        text = value.decode(encoding)
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(letter for letter in lines if letter in _SPACES or letter.isprintable()).strip()
    return kept if kept and len(kept.encode()) <= MOST_BYTES else None


def first_comment(found: Iterable[bytes]) -> Mapping[str, str]:
    """Of the first few, the first that says something."""
    said = next(filter(None, map(clean, islice(found, MOST_COMMENTS))), None)
    return first_of_each([(COMMENT, said)])


def first_of_each(found: list[tuple[str, str | None]]) -> Mapping[str, str]:
    """By keyword, in the order of the file."""
    texts: dict[str, str] = {}
    for name, text in found:
        if text is not None:
            texts.setdefault(name, text)
    return texts
