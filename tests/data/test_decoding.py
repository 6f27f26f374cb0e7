"""Every kind of photograph becomes the same 8-bit RGB picture; damaged ones say why not."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from data.decoding import decode_image
from data.quarantine import BadImageError


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _ramp(mode: str = "RGB") -> Image.Image:
    """48×32: red grows to the right, green downwards."""
    y, x = np.mgrid[:32, :48]
    return Image.fromarray(np.stack([x * 5, y * 7, x * 0 + 60], -1).astype(np.uint8)).convert(mode)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _header_only_png(width: int, height: int) -> bytes:
    """A PNG that says how large it is and has the first few of its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(999)))


def test_plain_rgb_is_untouched() -> None:
    assert np.array_equal(decode_image(_encoded(_ramp(), "PNG")), np.asarray(_ramp()))


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP", "PPM"])
def test_other_lossless_formats_give_the_same_pixels(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode_image(_encoded(_ramp(), kind, **options)), np.asarray(_ramp()))


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270°
    picture = decode_image(_encoded(_ramp(), "PNG", exif=exif))
    assert np.array_equal(picture, np.rot90(np.asarray(_ramp()), -1))


def test_grey_becomes_three_equal_channels() -> None:
    grey = _ramp("L")
    assert np.array_equal(decode_image(_encoded(grey, "PNG")), np.repeat(np.asarray(grey)[..., None], 3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    deep = (np.arange(48, dtype=np.uint16) * 1394)[None].repeat(32, axis=0)
    picture = decode_image(_encoded(Image.fromarray(deep), kind))
    expected = np.rint(deep / 257)
    assert np.abs(picture[..., 0] - expected).max() <= 1  # rounding
    assert picture.max() == 255


def test_float_picture_is_scaled_by_its_range() -> None:
    unit = np.linspace(0, 1, 48, dtype=np.float32)[None].repeat(32, axis=0)
    assert decode_image(_encoded(Image.fromarray(unit), "TIFF"))[0, -1, 0] == 255
    bytes_range = np.linspace(0, 255, 48, dtype=np.float32)[None].repeat(32, axis=0)
    assert decode_image(_encoded(Image.fromarray(bytes_range), "TIFF"))[0, -1, 0] == 255


def test_cmyk_jpeg_shows_its_colours() -> None:
    red = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    picture = decode_image(_encoded(red, "JPEG", quality=95))
    assert np.abs(picture.astype(int) - (255, 0, 0)).max() <= 3  # JPEG's own loss


def test_transparency_lies_on_white() -> None:
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    clear.putpixel((0, 0), (10, 20, 30, 255))
    picture = decode_image(_encoded(clear, "PNG"))
    assert picture[0, 0].tolist() == [10, 20, 30]
    assert picture[4, 4].tolist() == [255, 255, 255]
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([200, 0, 0, 0, 200, 0])
    assert (decode_image(_encoded(palette, "PNG", transparency=0)) == 255).all()


def test_colour_profile_is_applied_and_a_damaged_one_ignored() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    through_srgb = decode_image(_encoded(_ramp(), "PNG", icc_profile=profile)).astype(int)
    assert np.abs(through_srgb - np.asarray(_ramp())).max() <= 1
    assert np.array_equal(decode_image(_encoded(_ramp(), "PNG", icc_profile=b"no profile")), np.asarray(_ramp()))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_an_image"),
        (b"dear diary", "not_an_image"),
        (_header_only_png(30_000, 30_000), "too_many_pixels"),
        (_header_only_png(11_000, 11_000), "too_many_pixels"),
        (_encoded(_ramp(), "JPEG")[:-60], "truncated"),
        (_encoded(_ramp(), "JPEG")[:90], "truncated"),
        (_encoded(_ramp(), "PNG")[:-60], "truncated"),
        (_encoded(Image.new("RGB", (40, 9)), "PNG"), "too_small"),
    ],
    ids=["empty", "text", "bomb", "large", "cut jpeg", "cut in the header", "cut png", "narrow"],
)
def test_bad_bytes_are_refused_with_their_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(BadImageError) as refused:
        decode_image(payload, min_size_px=16)
    assert refused.value.reason == reason
    assert refused.value.expected


def test_limit_of_pixels_may_be_raised_above_pillows_own() -> None:
    with pytest.raises(BadImageError) as refused:
        decode_image(_header_only_png(15_000, 15_000), max_pixels=2**30)
    assert refused.value.reason == "truncated", "the header passed; only the pixels are missing"
    assert Image.MAX_IMAGE_PIXELS is not None
    assert Image.MAX_IMAGE_PIXELS < 100_000_000, "the library's own limit is as before"
