"""XMP packets: what of one is carried into the restored picture.

A packet is parsed and written anew, never copied: what is not understood is not passed on. Documents with
a DOCTYPE are dropped before an entity could be expanded, and depth and size are bounded.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

MOST_BYTES = 1 << 20  # of a packet that is read
_MOST_DEPTH = 48
_MOST_ELEMENTS = 20_000
_MOST_VOCABULARIES = 100
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML = "http://www.w3.org/XML/1998/namespace"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_META = "adobe:ns:meta/"
# Whole vocabularies that describe the file or the pixels that were, or hold pictures themselves.
_LEFT_OUT = (
    "http://ns.adobe.com/xap/1.0/g/img/",  # thumbnails
    "http://ns.adobe.com/xmp/note/",  # where the rest of a split packet is
    "http://ns.adobe.com/camera-raw-settings/",  # edits still to be made, crops among them
    "http://ns.google.com/photos/",  # depth maps, originals, appended videos, the view of a panorama
    "http://ns.adobe.com/hdr-gain-map/",  # how to apply a second picture, which does not come along
    "http://ns.apple.com/HDRGainMap/",
    "http://ns.apple.com/pixeldatainfo/",
)
# Layout of the file, and what EXIF or the file itself says of the new picture.
_LEFT_OUT_OF = {
    _TIFF: {
        *("Orientation", "ImageWidth", "ImageLength", "BitsPerSample", "Compression", "SamplesPerPixel"),
        *("PhotometricInterpretation", "PlanarConfiguration", "YCbCrSubSampling", "YCbCrPositioning"),
        *("YCbCrCoefficients", "TransferFunction", "WhitePoint", "PrimaryChromaticities"),
        *("ReferenceBlackWhite", "XResolution", "YResolution", "ResolutionUnit", "NativeDigest"),
    },
    _EXIF: {
        *("PixelXDimension", "PixelYDimension", "ComponentsConfiguration", "CompressedBitsPerPixel"),
        *("SubjectArea", "SubjectLocation", "MakerNote", "ColorSpace", "NativeDigest"),
    },
    "http://ns.adobe.com/xap/1.0/": {"Thumbnails"},
}
# Rectangles around people, relative to the picture before it was turned.
_REGIONS = ("http://www.metadataworkinggroup.com/schemas/regions/", "http://ns.microsoft.com/photo/1.2/")
# Coordinates and the names of places, in any vocabulary: EXIF's, Photoshop's, IPTC's, those of drones.
_PLACE = re.compile(
    r"gps|lati?tude|longt?itude|altitude|location|^geo|"
    r"^(lat|lon|lng|long|alt|city|state|province.*|country.*|worldregion|sublocation)$",
    re.IGNORECASE,
)


def carry_over(packet: bytes | None, *, keep_location: bool = False, turned: bool = False) -> bytes | None:
    """A new packet in UTF-8 for the upright picture, None where nothing is left or the old one is not clean.

    Without orientation, sizes, thumbnails, and, unless ``keep_location``, without coordinates and names of
    places; without face regions if the picture was ``turned``.
    """
    parsed = _parse_packet(packet) if packet else None
    if parsed is None:
        return None
    root, prefixes = parsed
    description = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f"{{{_RDF}}}RDF")
    if description is None:
        return None
    left_out = _LEFT_OUT + (_REGIONS if turned else ())
    _strip(description, left_out, keep_location)
    for element in list(description):
        if not len(element) and not any(_property(name) for name in element.attrib):
            description.remove(element)
    if not len(description):
        return None
    wrapped = ET.Element(f"{{{_META}}}xmpmeta")
    wrapped.append(description)
    names = _names(wrapped, prefixes)
    if len(names) > _MOST_VOCABULARIES:
        return None
    body = "".join(_serialize(wrapped, names))
    start = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    written = f'{start}\n{body}\n<?xpacket end="w"?>'.encode()
    return written if len(written) <= MOST_BYTES else None


class _XmpError(ValueError):
    pass


class _Tree(ET.TreeBuilder):
    """Builds elements; refuses a DOCTYPE, too deep and too many of them while they come in."""

    def __init__(self) -> None:
        super().__init__()
        self.prefixes: dict[str, str] = {}  # by namespace
        self._depth = self._count = 0

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise _XmpError("a document type")

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        self._depth += 1
        self._count += 1
        if self._depth > _MOST_DEPTH or self._count > _MOST_ELEMENTS:
            raise _XmpError("too deep or too many elements")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self._depth -= 1
        return super().end(tag)

    def start_ns(self, prefix: str, uri: str) -> None:
        self.prefixes.setdefault(uri, prefix)


def _parse_packet(packet: bytes) -> tuple[ET.Element, dict[str, str]] | None:
    if len(packet) > MOST_BYTES:
        return None
    tree = _Tree()
    parser = ET.XMLParser(target=tree)
    try:
        # As text: the parser then takes no other encoding from the packet's first line.
        text = packet.decode("utf-8").strip("\ufeff\0 \r\n\t")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            return None
        parser.feed(text)
        root = parser.close()
    except (ET.ParseError, ValueError):
        return None
    return root, tree.prefixes


def _strip(element: ET.Element, left_out: tuple[str, ...], keep_location: bool) -> None:
    """Remove what is not carried from ``element``, at every depth (which is bounded)."""
    for name in list(element.attrib):
        if _is_left_out(name, left_out, keep_location):
            del element.attrib[name]
    for child in list(element):
        if _is_left_out(child.tag, left_out, keep_location):
            element.remove(child)
        else:
            _strip(child, left_out, keep_location)


def _is_left_out(name: str, left_out: tuple[str, ...], keep_location: bool) -> bool:
    namespace, local = _split(name)
    if namespace in (_RDF, _XML):
        return False
    if namespace.startswith(left_out) or local in _LEFT_OUT_OF.get(namespace, ()):
        return True
    return not keep_location and _PLACE.search(local) is not None


def _property(name: str) -> bool:
    return _split(name)[0] not in (_RDF, _XML)


def _split(name: str) -> tuple[str, str]:
    namespace, found, local = name.rpartition("}")
    return (namespace[1:], local) if found else ("", name)


def _names(root: ET.Element, prefixes: dict[str, str]) -> dict[str, str]:
    """A prefix for every namespace in use: the packet's own, made different where two share one."""
    every = (name for element in root.iter() for name in (element.tag, *element.attrib))
    used = dict.fromkeys(_split(name)[0] for name in every)
    names = {_XML: "xml"}
    for namespace in list(used)[: _MOST_VOCABULARIES + 1]:
        if namespace and namespace not in names:
            wanted = {_META: "x", _RDF: "rdf"}.get(namespace) or prefixes.get(namespace) or "ns"
            number = 1
            while (prefix := wanted if number == 1 else f"{wanted}{number}") in names.values():
                number += 1
            names[namespace] = prefix
    return names


def _serialize(root: ET.Element, names: dict[str, str]) -> Iterator[str]:
    declared = [f" xmlns:{prefix}={quoteattr(uri)}" for uri, prefix in names.items() if prefix != "xml"]
    yield from _element(root, names, declared)


def _element(element: ET.Element, names: dict[str, str], declared: list[str]) -> Iterator[str]:
    tag = _qualify_name(element.tag, names)
    yield f"<{tag}"
    yield from declared
    for name, value in element.attrib.items():
        yield f" {_qualify_name(name, names)}={quoteattr(value)}"
    if not len(element) and not element.text:
        yield "/>"
    else:
        yield ">"
        yield escape(element.text or "")
        for child in element:
            yield from _element(child, names, [])
            yield escape(child.tail or "")
        yield f"</{tag}>"


def _qualify_name(name: str, names: dict[str, str]) -> str:
    namespace, local = _split(name)
    return f"{names[namespace]}:{local}" if namespace else local
