"""Opens image files: only a few formats, and up to a number of pixels."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from pairchain.errors import InputError, MissingPackageError

# Web formats whose decoders are part of Pillow. Other decoders start programs, as for PostScript, or are little tested.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

# A photograph of this size takes half a gigabyte, decoded and converted.
MOST_PIXELS = 64_000_000

# The tags of TIFF for a tile's width and height.
_TILE = (322, 323)

_SMALLER = "make it smaller; models scale it down anyway."


def open_image(file: BinaryIO | bytes, title: str = "the image") -> Any:
    """Return the first frame of an image file as a PIL image in RGB. A refused file is not decoded.

    Args:
        file: An open file, or its content.
        title: The image's name in errors.

    Raises:
        InputError: It is damaged, of another format, or has too many pixels.
        MissingPackageError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError(
            f"opening {title} needs the package pillow.", next_step="pip install 'pairchain-transformer[image]'"
        ) from error
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=FORMATS) as image:
            _check_pixels(image, title)
            return image.convert("RGB")
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{title} cannot be opened: {error}", next_step=_SMALLER) from error
    except Exception as error:  # a damaged file raises whatever its decoder does
        is_unknown = type(error).__name__ == "UnidentifiedImageError"
        reason = "it is of another format, or damaged" if is_unknown else f"{type(error).__name__}: {error}"
        raise InputError(
            f"{title} cannot be opened: {reason}.", next_step=f"check the file; the formats are {', '.join(FORMATS)}."
        ) from error


def check_lazy_image(image: Any) -> None:
    """Refuse a PIL image that is not decoded yet, if `open_image` would refuse its file.

    Raises:
        InputError: It is of another format, or has too many pixels.
    """
    if getattr(image, "fp", None) is None or getattr(image, "format", None) is None:
        return
    _check_pixels(image, "the image")
    if image.format not in (*FORMATS, "MPO"):  # a JPEG with several views
        raise InputError(
            f"the image is an open file in the format {image.format}, which pairchain does not decode.",
            next_step=f"if you trust its origin, pass image.convert('RGB'); pairchain decodes {', '.join(FORMATS)}.",
        )


def _check_pixels(image: Any, title: str) -> None:
    tags = getattr(image, "tag_v2", {})
    # a TIFF's tiles may be larger than the image
    tile = [int(tags.get(tag, 0)) for tag in _TILE]
    for what, (width, height) in {"": image.size, " in a tile": tile}.items():
        if width * height > MOST_PIXELS:
            raise InputError(
                f"{title} has {width:,} × {height:,} pixels{what}; at most {MOST_PIXELS // 1_000_000} million are "
                "decoded.",
                next_step=_SMALLER,
            )
