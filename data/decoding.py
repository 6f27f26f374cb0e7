"""Any photograph's bytes to 8-bit RGB, or the reason why not."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageCms, ImageOps

from data.png import Pixels
from data.quarantine import BadImageError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"II*\0", b"MM\0*", b"GIF8", b"RIFF")
_PAPER = (255, 255, 255)  # what shows through a transparent pixel


def decode_image(payload: bytes, max_pixels: int = 100_000_000, min_size_px: int = 1) -> Pixels:
    """The picture as a person sees it, uint8 H×W×3 sRGB: turned by its EXIF orientation, its colour profile applied.

    16-bit and float pictures are scaled, CMYK and grey ones converted, transparency laid on white; of an animation
    the first frame. Raises BadImageError: not_an_image, too_many_pixels (from the header), truncated, too_small.
    """
    picture = _open(payload, max_pixels)
    if min(picture.size) < min_size_px:
        size = f"{picture.size[0]}×{picture.size[1]}"
        raise BadImageError("too_small", f"at least {min_size_px} px on the shorter side; it has {size}")
    try:
        with _pixel_limit(max_pixels):
            picture.load()
        return np.array(_to_rgb(_upright(picture)), np.uint8)
    except Exception as error:  # a decoder given damaged bytes may raise anything
        expected = f"a complete {picture.format} of {picture.size[0]}×{picture.size[1]}; decoding stopped: {error}"
        raise BadImageError("truncated", expected) from error


def _open(payload: bytes, max_pixels: int) -> Image.Image:
    """The picture with only its header read."""
    if not payload:
        raise BadImageError("not_an_image", "image bytes; the file is empty")
    try:
        with _pixel_limit(max_pixels):
            picture = Image.open(io.BytesIO(payload), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise BadImageError("too_many_pixels", f"at most {max_pixels} pixels; {error}") from error
    except Exception as error:  # a plug-in that misreads foreign bytes may raise anything
        if payload.startswith(_SIGNATURES):
            raise BadImageError("truncated", "a complete image; its header is damaged or breaks off") from error
        raise BadImageError("not_an_image", f"one of {', '.join(FORMATS)}; the bytes are none of them") from error
    width, height = picture.size
    if width * height > max_pixels:
        raise BadImageError("too_many_pixels", f"at most {max_pixels} pixels; it has {width}×{height}")
    return picture


@contextmanager
def _pixel_limit(max_pixels: int) -> Iterator[None]:
    """Pillow's own guard at our limit: its default would refuse what the user allowed, or warn on the terminal."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return picture


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        return Image.fromarray(_deep_to_8bit(np.asarray(picture), picture.mode)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return _profiled(Image.alpha_composite(Image.new("RGBA", layer.size, _PAPER), layer).convert("RGB"), picture)
    return _profiled(picture.convert("RGB") if picture.mode in ("P", "1") else picture, picture)


def _deep_to_8bit(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], mode: str) -> Pixels:
    """16-bit, 32-bit and float samples to 8 bits: by the type's range where it has one, else by the largest value."""
    deep = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(deep.max(initial=0.0))
    # Mode I is what Pillow makes of 16-bit PNG and PGM too; float pictures reach up to 1 or up to 255.
    tops = (1.0, 255.0) if mode == "F" else (65535.0,)
    top = next((top for top in tops if largest <= top), largest)
    return np.rint(np.clip(deep / top, 0, 1) * 255).astype(np.uint8)


def _profiled(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Through the embedded ICC profile to sRGB where there is a usable one, else by the plain conversion."""
    profile = original.info.get("icc_profile")
    if profile and picture.mode in ("RGB", "CMYK", "L", "LAB"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):  # profile of another colour space, or damaged
            pass
    return picture.convert("RGB")
