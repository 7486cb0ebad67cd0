"""Color that files tell in numbers: kept with the pixels, or converted with them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from refstar_service.images import colorimetry, icc
from refstar_service.images.colorimetry import SRGB, Colorimetry, Curve
from refstar_service.images.decode import decode
from refstar_service.images.encode import encode

P3 = ((0.3127, 0.3290), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))


@pytest.fixture
def told(photo, save, chunk):
    """``told(kind=body, ...)``: the photograph as PNG with these chunks; ``pixels`` instead of it."""

    def told(pixels=photo, **chunks: bytes) -> bytes:
        data = save(pixels, "PNG")
        return data[:33] + b"".join(chunk(kind.encode(), body) for kind, body in chunks.items()) + data[33:]

    return told


def chroma(primaries) -> bytes:
    return struct.pack(">8I", *(round(100_000 * value) for point in primaries for value in point))


def gamma(value: float) -> bytes:
    return struct.pack(">I", round(100_000 * value))


def through(profile: bytes, pixels: np.ndarray) -> np.ndarray:
    """The pixels as a color-managed viewer shows them, in sRGB."""
    return np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(pixels),
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
        )
    )


def test_a_linear_png_is_brought_to_the_usual_curve(told, photo, limits) -> None:
    picture = decode(told(gAMA=gamma(1.0)), limits)
    light = photo / 255
    expected = np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
    )
    assert np.array_equal(picture.pixels, np.rint(255 * expected).astype(np.uint8))
    assert picture.icc_profile is None


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": gamma(0.45455)},
        {"gAMA": gamma(0.45455), "cHRM": chroma(SRGB)},
        {"sRGB": b"\0", "gAMA": gamma(1.0)},
        {"cICP": bytes((1, 13, 0, 1))},
        {"cICP": bytes((2, 2, 0, 1)), "gAMA": gamma(1.0)},
        {"gAMA": bytes(4), "cHRM": bytes(32)},
        {"cHRM": chroma(((0.3127, 0.329), (0.3, 0.3), (0.3, 0.3), (0.3, 0.3)))},
    ],
)
def test_numbers_that_mean_srgb_or_nothing_change_nothing(told, photo, limits, chunks) -> None:
    picture = decode(told(**chunks), limits)
    assert np.array_equal(picture.pixels, photo)
    assert picture.icc_profile is None


@pytest.mark.parametrize(
    "chunks", [{"cICP": bytes((12, 13, 0, 1))}, {"gAMA": gamma(0.45455), "cHRM": chroma(P3)}]
)
def test_primaries_are_kept_as_a_profile(told, photo, limits, chunks) -> None:
    picture = decode(told(**chunks), limits)
    assert np.array_equal(picture.pixels, photo)
    assert icc.space(picture.icc_profile) == icc.RGB
    again = decode(encode(picture.pixels, format="jpeg", quality=95, like=picture).data, limits)
    assert again.icc_profile == picture.icc_profile


def test_the_profile_says_where_the_primaries_lie() -> None:
    same = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert np.abs(through(icc.with_srgb_curve(SRGB), same).astype(int) - same).max() <= 1
    # Full red of P3 lies outside of sRGB; half of it shows as more red and less of the others.
    red = np.full((4, 4, 3), (150, 90, 90), np.uint8)
    (r, g, b) = through(icc.with_srgb_curve(P3), red)[0, 0]
    assert r > 155
    assert g < 90
    # Linear light by the textbook matrix from P3 to sRGB (both D65).
    linear = ((np.array((150, 90, 90)) / 255 + 0.055) / 1.055) ** 2.4
    matrix = np.linalg.inv(colorimetry.xyz_of(SRGB)) @ colorimetry.xyz_of(P3)
    expected = 255 * (1.055 * (matrix @ linear) ** (1 / 2.4) - 0.055)
    assert np.abs(np.array((r, g, b)) - expected).max() < 2


def test_the_matrix_of_srgb_is_the_one_of_the_standard() -> None:
    standard = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    assert np.abs(colorimetry.xyz_of(SRGB) - standard).max() < 2e-4


def test_pq_and_hlg_put_white_and_skin_where_they_belong() -> None:
    pq = Colorimetry(SRGB, Curve.PQ).levels(1 << 16)
    hlg = Colorimetry(SRGB, Curve.HLG).levels(1 << 16)
    # ITU-R BT.2408: a white page is 58 % of PQ and 75 % of HLG, a gray card (26 cd/m2) 38 % of both.
    for levels, white, card in ((pq, 0.58, 0.38), (hlg, 0.75, 0.38)):
        assert 235 <= levels[round(65535 * white)] <= 248
        assert 97 <= levels[round(65535 * card)] <= 103
        assert (np.diff(levels.astype(int)) >= 0).all()
        assert levels[0] == 0
        assert levels[-1] == 255


def test_cicp_goes_before_a_profile_and_a_profile_before_gamma(told, photo, save, srgb, limits) -> None:
    data = save(photo, "PNG", icc_profile=srgb)
    with_gamma = data[:33] + told(gAMA=gamma(1.0))[33:49] + data[33:]
    assert np.array_equal(decode(with_gamma, limits).pixels, photo)
    assert decode(with_gamma, limits).icc_profile == srgb
    with_codes = data[:33] + told(cICP=bytes((12, 13, 0, 1)))[33:49] + data[33:]
    assert decode(with_codes, limits).icc_profile not in (srgb, None)


def test_a_narrow_range_is_widened(told, limits) -> None:
    bars = np.repeat(np.array([16, 126, 235], np.uint8), 48 * 16).reshape(48, 48)
    picture = decode(told(np.dstack([bars] * 3), cICP=bytes((1, 1, 0, 0))), limits)
    assert sorted(set(picture.pixels.ravel().tolist())) == [0, 128, 255]


def test_alpha_and_gray_and_palettes_follow(told, photo, limits) -> None:
    layered = np.dstack((photo, photo[..., 0]))
    picture = decode(told(layered, gAMA=gamma(1.0)), limits)
    assert np.array_equal(picture.alpha, photo[..., 0])
    levels = Colorimetry(SRGB, Curve.POWER, 1.0).levels(256)
    assert np.array_equal(picture.pixels, levels[photo])

    gray = decode(told(photo[..., 1], gAMA=gamma(1.0), cHRM=chroma(P3)), limits)
    assert gray.grayscale
    assert gray.icc_profile is None
    assert np.array_equal(gray.pixels[..., 0], levels[photo[..., 1]])


def test_16_bits_keep_their_precision_in_the_shadows(chunk, limits) -> None:
    import cv2

    ramp = np.tile(np.arange(0, 2048, 32, np.uint16), (16, 1))
    data = cv2.imencode(".png", ramp)[1].tobytes()
    picture = decode(data[:33] + chunk(b"gAMA", gamma(1.0)) + data[33:], limits)
    assert len(np.unique(picture.pixels)) > 40  # eight levels if it were rounded first


@pytest.mark.parametrize(
    ("codes", "profiled", "changed"),
    [((1, 13), False, False), ((12, 13), True, False), ((9, 16), True, True), ((9, 18), True, True)],
)
def test_avif_with_numbers(photo, save, limits, codes, profiled, changed) -> None:
    data = bytearray(save(photo, "AVIF", speed=10, quality=95, subsampling="4:4:4"))
    at = data.index(b"nclx") + 4
    plain = decode(bytes(data), limits)
    struct.pack_into(">HH", data, at, *codes)
    picture = decode(bytes(data), limits)
    assert (picture.icc_profile is not None) == profiled
    assert np.array_equal(picture.pixels, plain.pixels) != changed


def test_what_tells_how_to_apply_a_gain_map_goes_with_it(photo, save, limits) -> None:
    packet = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
     xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
     xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
     xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" hdrgm:Version="1.0" HDRGainMap:Headroom="1.3"
     xmlns:Container="http://ns.google.com/photos/1.0/container/"><dc:format>image/jpeg</dc:format>
     <Container:Directory><rdf:Seq/></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"""
    carried = decode(save(photo, "JPEG", xmp=packet), limits).metadata.xmp
    assert carried is not None
    assert b"image/jpeg" in carried
    for left in (b"hdrgm", b"HDRGainMap", b"Container", b"Headroom"):
        assert left not in carried
