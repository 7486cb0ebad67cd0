"""A picture is turned upright exactly once: by `decode`, and by no reader of the result."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps
from refstar_service.images import OUTPUT_FORMATS
from refstar_service.images.decode import decode
from refstar_service.images.encode import encode

CORNERS = {"top left": (8, 8), "top right": (8, -8), "bottom left": (-8, 8), "bottom right": (-8, -8)}
COLORS = {
    "top left": (220, 40, 40),
    "top right": (40, 200, 40),
    "bottom left": (40, 40, 220),
    "bottom right": (230, 230, 60),
}
# Where the corners of the upright picture are stored, by EXIF's definition of each value: the upright
# picture's top left, top right, bottom left, bottom right.
STORED = {
    1: ("top left", "top right", "bottom left", "bottom right"),
    2: ("top right", "top left", "bottom right", "bottom left"),
    3: ("bottom right", "bottom left", "top right", "top left"),
    4: ("bottom left", "bottom right", "top left", "top right"),
    5: ("top left", "bottom left", "top right", "bottom right"),
    6: ("bottom left", "top left", "bottom right", "top right"),
    7: ("bottom right", "top right", "bottom left", "top left"),
    8: ("top right", "bottom right", "top left", "bottom left"),
}
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 tiff:Orientation="6" xmp:Rating="4"/></rdf:RDF></x:xmpmeta>"""


def stored(orientation: int) -> np.ndarray:
    """The file's rows and columns of an upright picture of 64 x 48."""
    height, width = (64, 48) if orientation >= 5 else (48, 64)
    pixels = np.empty((height, width, 3), np.uint8)
    for upright, where in zip(CORNERS, STORED[orientation], strict=True):
        rows = slice(height // 2) if where.startswith("top") else slice(height // 2, None)
        columns = slice(width // 2) if where.endswith("left") else slice(width // 2, None)
        pixels[rows, columns] = COLORS[upright]
    return pixels


def assert_upright(pixels: np.ndarray, what: str) -> None:
    assert pixels.shape[:2] == (48, 64), what
    for corner, (y, x) in CORNERS.items():
        assert np.abs(pixels[y, x].astype(int) - COLORS[corner]).max() < 20, f"{corner} of {what}"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_once_on_the_way_in_and_never_again(save, limits, kind, orientation) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    options = {"exif": exif} if kind == "TIFF" else {"exif": exif.tobytes(), "quality": 95}
    xmp = {"xmp": XMP} if kind in ("JPEG", "WEBP", "AVIF") else {}

    picture = decode(save(stored(orientation), kind, **options, **xmp), limits)

    assert picture.info.orientation == orientation
    assert_upright(picture.pixels, kind)
    for form in OUTPUT_FORMATS:
        data = encode(picture.pixels, format=form, like=picture).data
        with Image.open(io.BytesIO(data)) as image:
            turned = ImageOps.exif_transpose(image)
            assert_upright(np.asarray(turned.convert("RGB")), f"{form} of {kind} after a reader's turn")
        again = decode(data, limits)
        assert again.info.orientation == 1
        assert_upright(again.pixels, f"{form} of {kind}")
        assert again.exif is not None or form == "bmp"


def test_bmp_rows_from_the_top_or_from_the_bottom(save, limits) -> None:
    data = bytearray(save(stored(1), "BMP"))
    assert_upright(decode(bytes(data), limits).pixels, "rows from the bottom")
    data[22:26] = (-48).to_bytes(4, "little", signed=True)
    assert np.array_equal(decode(bytes(data), limits).pixels, stored(1)[::-1])


def test_xmp_alone_turns_nothing(save, limits) -> None:
    """Viewers go by EXIF; Pillow, for one, would go by XMP where there is no EXIF."""
    picture = decode(save(stored(1), "JPEG", xmp=XMP, quality=95), limits)
    assert_upright(picture.pixels, "the picture")
    data = encode(picture.pixels, format="jpeg", like=picture).data
    with Image.open(io.BytesIO(data)) as image:
        assert b"Rating" in image.info["xmp"]
        assert_upright(np.asarray(ImageOps.exif_transpose(image)), "the result")


@pytest.mark.parametrize("orientation", [1, 6])
def test_resolution_is_turned_too(save, limits, orientation) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x011B], exif[0x0128] = orientation, 300.0, 150.0, 2
    picture = decode(save(stored(orientation), "JPEG", exif=exif), limits)

    assert picture.metadata.resolution == ((150, 300) if orientation == 6 else (300, 150))
    data = encode(picture.pixels, format="jpeg", like=picture).data
    assert decode(data, limits).metadata.resolution == picture.metadata.resolution
