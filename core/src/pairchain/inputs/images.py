"""Opening images: every file of an image is opened here, in few formats and up to a number of pixels."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from pairchain.errors import InputError, MissingPackageError

# Formats of the web, whose decoders are part of Pillow. Others start programs, as PostScript does, or are seldom tried.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

# Of a photograph with 64 megapixels; decoded and converted, it takes half a gigabyte.
MOST_PIXELS = 64_000_000

# Tags of TIFF.
_TILE_WIDTH, _TILE_HEIGHT = 322, 323

# What Pillow calls a JPEG that holds further views.
_ALSO = ("MPO",)


def open_image(file: BinaryIO | bytes, called: str = "the image") -> Any:
    """Return the first frame of an image file as a PIL image in RGB; nothing is decoded of one that is refused.

    Args:
        file: An open file, or what is in it.
        called: What errors call the image.

    Raises:
        InputError: It is damaged, of another format, or of too many pixels.
        MissingPackageError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError(
            f"opening {called} needs the package pillow.", next_step="pip install 'pairchain-transformer[image]'"
        ) from error
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=FORMATS) as image:
            _check_pixels(image, called)
            return image.convert("RGB")
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{called} cannot be opened: {error}", next_step=_SMALLER) from error
    except Exception as error:  # a damaged file raises whatever its decoder does
        reason = "it is of another format, or damaged" if _is_unknown(error) else f"{type(error).__name__}: {error}"
        raise InputError(
            f"{called} cannot be opened: {reason}.",
            next_step=f"check what is in it; it may be one of these: {', '.join(FORMATS)}.",
        ) from error


def check_lazy_image(image: Any) -> None:
    """Refuse a PIL image that is not decoded yet, if it could not be opened here; decoding is what it would cost.

    Raises:
        InputError: It is of another format, or of too many pixels.
    """
    if getattr(image, "fp", None) is None or getattr(image, "format", None) is None:
        return
    _check_pixels(image, "the image")
    if image.format not in (*FORMATS, *_ALSO):
        raise InputError(
            f"the image is an open file in the format {image.format}, which is not decoded here.",
            next_step="if you trust where it comes from, pass image.convert('RGB'); formats that are decoded: "
            f"{', '.join(FORMATS)}.",
        )


_SMALLER = "make it smaller; models scale it down anyway."


def _check_pixels(image: Any, called: str) -> None:
    for what, width, height in (("", image.width, image.height), (" in a tile", *_tile_of(image))):
        if width * height > MOST_PIXELS:
            raise InputError(
                f"{called} has {width:,} × {height:,} pixels{what}; at most {MOST_PIXELS // 1_000_000} million are "
                "decoded.",
                next_step=_SMALLER,
            )


def _tile_of(image: Any) -> tuple[int, int]:
    """Return the size of a TIFF's tiles, which are decoded whole and may be larger than the image."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_HEIGHT, 0))


def _is_unknown(error: Exception) -> bool:
    return type(error).__name__ == "UnidentifiedImageError"
