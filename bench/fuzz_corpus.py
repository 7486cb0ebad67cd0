"""The whole files that bench/fuzz.py damages."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from refstar_service.images import OUTPUT_FORMATS, ImageLimits
from refstar_service.images.decode import decode
from refstar_service.images.encode import encode

LIMITS = ImageLimits(max_pixels=4_000_000, max_side=4096)


def corpus(kind: str) -> list[bytes]:
    """Small files in every variant that is taken, most of them with all metadata that the type can carry."""
    from skimage.data import astronaut

    photo = np.ascontiguousarray(astronaut()[40:232:3, 160:304:3])
    image = Image.fromarray(photo)
    gray, layered = image.convert("L"), Image.fromarray(np.dstack((photo, photo[..., 0])))
    ink, palette = image.convert("CMYK"), image.quantize(16)
    deep = photo.astype(np.uint16) * 257
    carried = {
        "exif": exif(6),
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    every = {**carried, "xmp": XMP}

    def saved(picture: Image.Image, name: str, **options: object) -> bytes:
        written = io.BytesIO()
        picture.save(written, name, **options)  # type: ignore[arg-type]
        return written.getvalue()

    # Results are the richest files: everything that a type can carry, as this service writes it.
    source = decode(saved(layered, "PNG", **carried, dpi=(300, 300), pnginfo=texts()), LIMITS)
    press = decode(saved(image, "JPEG", **every, extra=IPTC, comment="a comment", dpi=(72, 72)), LIMITS)
    results = [
        encode(like.pixels, format=kind, like=like, keep_location=True).data
        for like in (source, press)
        if kind in OUTPUT_FORMATS
    ]
    if kind == "jpeg":
        return [
            *results,
            saved(image, "JPEG", **every, extra=IPTC, comment="a comment"),
            saved(image, "JPEG", progressive=True, quality=95),
            saved(image, "JPEG", restart_marker_rows=1),
            saved(gray, "JPEG", **carried),
            saved(ink, "JPEG"),
            saved(image, "MPO", save_all=True, append_images=[image]),
        ]
    if kind == "png":
        return [
            *results,
            saved(layered, "PNG", **carried, pnginfo=texts()),
            saved(palette, "PNG", transparency=3),
            saved(gray, "PNG"),
            saved(image.convert("1"), "PNG"),
            cv2_file(".png", deep),
        ]
    if kind == "webp":
        return [
            *results,
            saved(layered, "WEBP", **every),
            saved(layered, "WEBP", lossless=True, **every),
            saved(image, "WEBP"),
            saved(image, "WEBP", lossless=True),
        ]
    if kind == "tiff":
        ways = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        return [
            *results,
            *(saved(image, "TIFF", compression=way) for way in ways),
            saved(layered, "TIFF", compression="tiff_lzw"),
            saved(gray, "TIFF"),
            saved(ink, "TIFF", compression="tiff_lzw"),
            saved(palette, "TIFF"),
            saved(image.convert("YCbCr"), "TIFF"),
            cv2_file(".tiff", deep),
        ]
    if kind == "bmp":
        return [
            *results,
            saved(image, "BMP"),
            saved(gray, "BMP"),
            saved(palette, "BMP"),
            saved(image.convert("1"), "BMP"),
        ]
    if kind == "heic":
        folder = Path(__file__).parents[1] / "tests/service/images/heic"
        return [path.read_bytes() for path in sorted(folder.glob("*.heic"))]
    if kind == "jp2":
        return [
            saved(layered, "JPEG2000"),
            saved(image, "JPEG2000", no_jp2=True),
            saved(image, "JPEG2000", irreversible=True, quality_layers=[20, 5], tile_size=(32, 32)),
            saved(gray, "JPEG2000"),
            cv2_file(".jp2", deep),
        ]
    if kind == "gif":
        return [
            saved(palette, "GIF", comment=b"a comment"),
            saved(palette, "GIF", transparency=3, interlace=1),
            saved(gray, "GIF"),
        ]
    return [
        *results,
        saved(layered, "AVIF", speed=10, **every),
        saved(gray, "AVIF", speed=10, **carried),
        saved(image, "AVIF", speed=10, subsampling="4:2:0"),
    ]


def cv2_file(suffix: str, pixels: np.ndarray) -> bytes:
    import cv2

    return bytes(cv2.imencode(suffix, pixels)[1].tobytes())


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010F], block[0x8298] = orientation, "Maker", "(c) somebody"
    block[0x011A], block[0x011B], block[0x0128] = 240.0, 240.0, 2
    block.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    block.get_ifd(0x8769)[0x927C] = b"serial 4711"
    block.get_ifd(0x8825)[1] = "N"
    block.get_ifd(0x8825)[2] = (48.0, 51.0, 30.0)
    return block.tobytes()


def texts() -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Title", "A title")
    info.add_text("Description", "A long description " * 20, zip=True)
    info.add_itxt("Author", "Дарья", "ru", "Author", zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 tiff:Orientation="6" exif:GPSLatitude="48,51.5N" photoshop:City="Paris"><dc:title><rdf:Alt>
<rdf:li xml:lang="x-default">A &lt;title&gt;</rdf:li></rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def _iptc() -> bytes:
    values = ((2, 0, b"\0\2"), (2, 5, b"A title"), (2, 90, b"Paris"), (2, 116, b"(c) somebody"))
    block = b"".join(struct.pack(">BBBH", 0x1C, r, d, len(value)) + value for r, d, value in values)
    body = (
        b"Photoshop 3.0\0"
        + b"8BIM"
        + struct.pack(">HHI", 0x0404, 0, len(block))
        + block
        + b"\0" * (len(block) % 2)
    )
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


IPTC = _iptc()
