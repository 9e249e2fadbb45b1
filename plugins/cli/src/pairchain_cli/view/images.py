"""Images that the page sent: kept as they came, and opened each time they are scored."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from typing import Any

from pairchain.errors import InputError

# Those that decoders for the web know; others, such as PostScript, would start programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_MOST_PIXELS = 64_000_000
_MOST_KEPT = 16


class Images:
    """The images that were sent last, each under a key."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._changing = threading.Lock()

    def add(self, content: bytes) -> str:
        """Keep the bytes of an image file, and return the key to ask for it by.

        Raises:
            InputError: It cannot be opened.
        """
        _opened(content)
        key = hashlib.sha256(content).hexdigest()
        with self._changing:
            self._kept[key] = content
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return key

    def get(self, key: str) -> Any:
        """Return the image as a PIL image, as the model would open the file itself.

        Raises:
            InputError: It is not kept, or no more.
        """
        with self._changing:
            content = self._kept.get(key)
        if content is None:
            raise InputError(
                f"the image is not here: the last {_MOST_KEPT} are kept.", next_step="choose it from your files again."
            )
        return _opened(content)


def _opened(content: bytes) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(
            "opening an image needs the package pillow.", next_step="pip install 'pairchain-transformer[image]'."
        ) from error
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise InputError(
                    f"the image has {image.width:,} × {image.height:,} pixels, and this page takes "
                    f"{_MOST_PIXELS // 1_000_000} million.",
                    next_step="make it smaller; models scale it down anyway.",
                )
            return image.convert("RGB")
    except InputError:
        raise
    # a damaged file raises whatever its decoder does
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"the image cannot be opened: {type(error).__name__}.",
            next_step=f"send one of these: {', '.join(_FORMATS)}.",
        ) from error
