"""What is written about a picture: kept as far as the result's type can hold it, the place only if asked."""

from __future__ import annotations

import io
import struct
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo
from refstar_service.images import OUTPUT_FORMATS, exif, iptc, texts, xmp
from refstar_service.images.decode import decode
from refstar_service.images.encode import encode

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
VOCABULARIES = {
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "drone-dji": "http://www.dji.com/drone-dji/1.0/",
    "geo": "http://www.w3.org/2003/01/geo/wgs84_pos#",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
}
CARRYING_XMP = [form for form in OUTPUT_FORMATS if form != "bmp"]
PLACES = (b"PLACE", b"Pontoise", b"48,51", b"2.349")


def packet(attributes: str = "", elements: str = "", before: str = "") -> bytes:
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in VOCABULARIES.items())
    return (
        f'{before}<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="a toolkit"><rdf:RDF xmlns:rdf="{RDF}">'
        f'<rdf:Description rdf:about="" {declared} {attributes}>{elements}</rdf:Description>'
        f'</rdf:RDF></x:xmpmeta>\n{" " * 200}<?xpacket end="w"?>'
    ).encode()


TITLE = (
    '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Mother &amp; "child" &lt;1951&gt;</rdf:li>'
    "</rdf:Alt></dc:title>"
)
PLACED = packet(
    'exif:GPSLatitude="48,51.5N" photoshop:City="Pontoise" drone-dji:GpsLongtitude="2.349" xmp:Rating="3"',
    TITLE
    + '<Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li rdf:parseType="Resource">'
    + "<Iptc4xmpExt:Sublocation>PLACE</Iptc4xmpExt:Sublocation></rdf:li></rdf:Bag></Iptc4xmpExt:LocationShown>"
    + "<geo:lat>48,51</geo:lat><Iptc4xmpCore:CountryCode>PLACE</Iptc4xmpCore:CountryCode>",
)
CAPTIONS = b"".join(
    struct.pack(">BBBH", 0x1C, record, dataset, len(value)) + value
    for record, dataset, value in (
        (1, 90, b"\x1b%G"),
        (2, 0, b"\0\2"),
        (2, 5, "Mädchen".encode()),
        (2, 90, b"Pontoise"),
        (2, 101, b"PLACE"),
        (2, 116, b"(c) somebody"),
        (2, 202, b"a preview"),
        (7, 10, b"abc"),
    )
)


def photoshop(block: bytes) -> bytes:
    """An APP13 segment as Photoshop writes it: a named resource before the captions, one after."""
    resources = b"8BIM\x03\xed\x05named" + struct.pack(">I", 16) + bytes(16)
    resources += b"8BIM\x04\x04\0\0" + struct.pack(">I", len(block)) + block + bytes(len(block) % 2)
    resources += b"8BIM\x04\x0c\0\0" + struct.pack(">I", 9) + b"thumbnail\0"
    body = b"Photoshop 3.0\0" + resources
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def packet_of(data: bytes) -> bytes:
    """As Pillow finds it."""
    info = opened(data).info
    found = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    return found.encode() if isinstance(found, str) else found


@pytest.fixture
def everything(photo, save, camera, srgb) -> bytes:
    """A JPEG as it leaves Photoshop: EXIF, XMP, IPTC, a comment, a profile, 240 pixels per inch."""
    return save(
        photo,
        "JPEG",
        exif=camera(1),
        xmp=PLACED,
        extra=photoshop(CAPTIONS),
        comment="for Дарья",
        icc_profile=srgb,
        dpi=(240, 240),
    )


@pytest.mark.parametrize("form", OUTPUT_FORMATS)
def test_the_place_goes_along_only_if_asked(everything, limits, form) -> None:
    picture = decode(everything, limits)
    plain = encode(picture.pixels, format=form, like=picture).data
    located = encode(picture.pixels, format=form, like=picture, keep_location=True).data

    assert opened(plain).getexif().get_ifd(0x8825) == {}
    assert not any(place in plain for place in PLACES)
    assert decode(plain, limits).located == decode(plain, limits).metadata
    if form == "bmp":
        return
    assert opened(located).getexif().get_ifd(0x8825) == {1: "N", 2: (48.0, 51.0, 30.0)}
    for place in PLACES:
        assert place in packet_of(located)
    again = decode(located, limits)
    assert again.located.exif == picture.located.exif
    assert again.located.xmp == picture.located.xmp
    assert again.metadata.exif == picture.metadata.exif


@pytest.mark.parametrize("form", CARRYING_XMP)
def test_xmp_is_kept_in_every_type_that_has_it(everything, limits, form) -> None:
    picture = decode(everything, limits)
    data = encode(picture.pixels, format=form, like=picture).data

    root = ET.fromstring(packet_of(data).decode().strip("\ufeff"))
    title = root.find(f".//{{{VOCABULARIES['dc']}}}title/{{{RDF}}}Alt/{{{RDF}}}li")
    assert title.text == 'Mother & "child" <1951>'
    assert root.find(f".//{{{RDF}}}Description").get(f"{{{VOCABULARIES['xmp']}}}Rating") == "3"
    assert b'xmp:Rating="3"' in packet_of(data)  # with the prefix that careless readers look for
    assert decode(data, limits).metadata.xmp == picture.metadata.xmp


@pytest.mark.parametrize("form", ["jpeg", "tiff"])
def test_captions_are_kept_where_they_have_a_place(everything, limits, form) -> None:
    picture = decode(everything, limits)
    data = encode(picture.pixels, format=form, like=picture).data
    found = IptcImagePlugin.getiptcinfo(opened(data))

    assert found[(2, 5)] == "Mädchen".encode()
    assert found[(2, 116)] == b"(c) somebody"
    assert found[(1, 90)] == b"\x1b%G"
    assert not {(2, 90), (2, 101), (2, 202), (7, 10)} & set(found)
    located = encode(picture.pixels, format=form, like=picture, keep_location=True).data
    assert IptcImagePlugin.getiptcinfo(opened(located))[(2, 90)] == b"Pontoise"


@pytest.mark.parametrize("form", OUTPUT_FORMATS)
def test_resolution_is_kept(photo, save, limits, form) -> None:
    for source, options in (("JPEG", {}), ("PNG", {}), ("BMP", {}), ("TIFF", {})):
        picture = decode(save(photo, source, dpi=(240, 120), **options), limits)
        data = encode(picture.pixels, format=form, like=picture).data
        assert decode(data, limits).metadata.resolution == pytest.approx((240, 120), abs=0.02), source
        if form not in ("webp", "avif"):  # they have it in EXIF only
            assert opened(data).info["dpi"] == pytest.approx((240, 120), abs=0.02), source


def test_resolution_in_centimeters_and_by_ratio_only(photo, save, limits) -> None:
    data = bytearray(save(photo, "JPEG", dpi=(100, 100)))
    at = data.index(b"JFIF\0") + 7
    data[at] = 2
    assert decode(bytes(data), limits).metadata.resolution == (254, 254)
    data[at] = 0
    assert decode(bytes(data), limits).metadata.resolution is None


def test_texts_of_a_png_are_kept_in_one_and_reach_exif_elsewhere(photo, save, limits) -> None:
    info = PngInfo()
    info.add_text("Title", "A title")
    info.add_text("Description", "line one\r\nline two", zip=True)
    info.add_itxt("Author", "Дарья", "ru", "Автор", zip=True)
    info.add_itxt("Copyright", "© somebody")
    info.add_text("exif:GPSLatitude", "48/1, 51/1")
    info.add_text("parameters", "private")
    picture = decode(save(photo, "PNG", pnginfo=info), limits)

    kept = {
        "Title": "A title",
        "Description": "line one\nline two",
        "Author": "Дарья",
        "Copyright": "© somebody",
    }
    assert picture.metadata.texts == kept
    assert opened(encode(picture.pixels, format="png", like=picture).data).text == kept
    for form in ("jpeg", "webp", "tiff", "avif"):
        found = exif.read(decode(encode(picture.pixels, format=form, like=picture).data, limits).exif)
        assert found.first[0x010E].value == b"line one\nline two\0"
        assert found.first[0x013B].value.decode() == "Дарья\0"
        assert found.first[0x8298].value.decode() == "© somebody\0"


def test_the_comment_of_a_jpeg(everything, limits) -> None:
    picture = decode(everything, limits)
    assert picture.metadata.texts == {"Comment": "for Дарья"}
    assert (
        opened(encode(picture.pixels, format="jpeg", like=picture).data).info["comment"].decode()
        == "for Дарья"
    )
    assert opened(encode(picture.pixels, format="png", like=picture).data).text["Comment"] == "for Дарья"


def test_too_long_and_too_many_texts_are_left_out(photo, save, chunk, limits) -> None:
    info = PngInfo()
    info.add_text("Title", "x" * (texts.MOST_BYTES + 1))
    info.add_text("Author", "y" * texts.MOST_BYTES, zip=True)
    for number in range(50):
        info.add_text("Comment", f"comment {number}\x00\x07".replace("\x00", ""))
    assert decode(save(photo, "PNG", pnginfo=info), limits).metadata.texts == {
        "Author": "y" * texts.MOST_BYTES,
        "Comment": "comment 0",
    }


@pytest.mark.parametrize("form", ["tiff", "jpeg"])
def test_a_tiff_keeps_what_it_says(photo, save, srgb, limits, form) -> None:
    first = encode(photo, format="tiff").data
    assert decode(first, limits).metadata == decode(encode(photo, format="png").data, limits).metadata

    tags = Image.Exif()
    tags[0x010F], tags[0x0112], tags[700], tags[33723] = "Maker", 1, PLACED, CAPTIONS
    picture = decode(save(photo, "TIFF", exif=tags, icc_profile=srgb, dpi=(300, 300)), limits)
    data = encode(picture.pixels, format=form, like=picture).data
    again = decode(data, limits)
    assert again.metadata == picture.metadata
    assert again.icc_profile == srgb


def test_layout_of_the_old_file_and_old_pixels_are_left_out_of_xmp() -> None:
    cleaned = xmp.carry_over(
        packet(
            'tiff:Orientation="6" tiff:ImageWidth="4000" tiff:Make="Maker" exif:PixelXDimension="4000" '
            'exif:ISOSpeedRatings="100" xmpNote:HasExtendedXMP="0123" GDepth:Data="AAAA" crs:CropTop="0.2"',
            "<xmp:Thumbnails><rdf:Alt><rdf:li><xmpGImg:image>AAAA</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>",
        )
    )
    assert b'tiff:Make="Maker"' in cleaned
    assert b'exif:ISOSpeedRatings="100"' in cleaned
    for gone in (b"Orientation", b"4000", b"0123", b"AAAA", b"Crop", b"Thumbnails"):
        assert gone not in cleaned


def test_rectangles_around_faces_go_when_the_picture_was_turned() -> None:
    regions = packet("", "<mwg-rs:Regions><rdf:Description/></mwg-rs:Regions>" + TITLE)
    assert b"mwg-rs:Regions" in xmp.carry_over(regions)
    assert b"Regions" not in xmp.carry_over(regions, turned=True)


def test_cleaning_a_clean_packet_changes_nothing() -> None:
    once = xmp.carry_over(PLACED, keep_location=True)
    assert xmp.carry_over(once, keep_location=True) == once
    assert xmp.carry_over(xmp.carry_over(once)) == xmp.carry_over(once) == xmp.carry_over(PLACED)


LAUGHS = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"no xml",
        b"\xff\xfe\0\0",
        packet(TITLE.encode().hex() + '="x"')[:-300],
        packet('xmp:Rating="1"', before=LAUGHS),
        packet('xmp:Rating="1"', "<dc:title>&a;</dc:title>", before=LAUGHS),
        packet('xmp:Rating="1"', before='<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
        packet('xmp:Rating="1"').decode().encode("utf-16"),
        b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE x+AD4-<x/>',
        packet('xmp:Rating="1"', "<dc:a>" * 100 + "</dc:a>" * 100),
        packet('xmp:Rating="1"', "<dc:a/>" * 30_000),
        b"<a>" * 300_000,
        packet('xmp:Rating="1"', "x" * xmp.MOST_BYTES),
        packet("", "".join(f'<a:x xmlns:a="u{number}"/>' for number in range(19_000))),
        packet(),
        packet('exif:GPSLatitude="48,51.5N"'),
        b"<a xmlns='http://example.com'/>",
    ],
    ids=lambda value: f"{len(value)}-bytes",
)
def test_a_packet_that_is_not_clean_or_says_nothing_is_dropped(bad) -> None:
    assert xmp.carry_over(bad) is None


def test_a_prefix_cannot_smuggle_anything_in() -> None:
    odd = packet("", f'<q:a xmlns:q="x&quot; y=&quot;&lt;" q:b="&#10;&quot;">]]&gt;</q:a>{TITLE}')
    cleaned = xmp.carry_over(odd)
    element = ET.fromstring(cleaned.decode().strip("\ufeff")).find('.//{x" y="<}a')
    assert (element.text, element.get('{x" y="<}b')) == ("]]>", '\n"')


def test_a_packet_too_long_for_a_jpeg_is_kept_elsewhere(photo, save, limits) -> None:
    long = packet("", f"<dc:description>{'x' * 70_000}</dc:description>")
    picture = decode(save(photo, "WEBP", xmp=long), limits)
    assert packet_of(encode(picture.pixels, format="jpeg", like=picture).data) == b""
    for form in ("png", "webp", "tiff", "avif"):
        assert b"x" * 70_000 in packet_of(encode(picture.pixels, format=form, like=picture).data)


def test_damaged_captions_end_where_they_are_damaged() -> None:
    assert iptc.carry_over(CAPTIONS[:-5] + b"\xff" * 40) == iptc.carry_over(CAPTIONS)
    assert iptc.carry_over(b"\x1c\2\5\xff\xff" + CAPTIONS) is None
    assert iptc.carry_over(b"\x1c\2\0\0\2\0\2") is None
    assert iptc.carry_over(CAPTIONS + b"".join(b"\x1c\2\x19\x20\0" + bytes(0x2000) for _ in range(5))) is None


def test_large_values_are_left_out_of_exif_and_the_rest_is_kept(photo, save, limits) -> None:
    block = Image.Exif()
    block[0x010F] = "Maker"
    block.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + b"x" * 30_000
    picture = decode(save(photo, "JPEG", exif=block.tobytes()), limits)
    assert set(exif.read(picture.exif).first) == {0x010F, 0x0112}


def test_a_color_space_is_not_claimed_for_converted_pixels(photo, save, limits) -> None:
    block = Image.Exif()
    block[0x010F] = "Maker"
    block.get_ifd(0x8769)[0xA001] = 0xFFFF
    for mode, expected in (("RGB", {0xA001}), ("CMYK", set())):
        picture = decode(save(Image.fromarray(photo).convert(mode), "JPEG", exif=block.tobytes()), limits)
        assert set(exif.read(picture.exif).shot) == expected


def test_a_profile_that_a_bmp_cannot_hold_is_applied(photo, save, limits) -> None:
    from PIL import ImageCms

    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, blue = wide.index(b"rXYZ"), wide.index(b"bXYZ")
    swapped = bytearray(wide)
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"  # red and blue exchanged
    picture = decode(save(photo, "PNG", icc_profile=bytes(swapped)), limits)
    found = decode(encode(picture.pixels, format="bmp", like=picture).data, limits).pixels

    assert np.abs(found.astype(int) - photo[..., ::-1]).mean() < 1.5
