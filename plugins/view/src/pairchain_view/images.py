"""Keeps the images that the page sends, and opens them each time they are scored."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Any

from pairchain.authoring import open_image
from pairchain.errors import InputError

_MOST_KEPT = 16


class Images:
    """Keeps the images that were sent last, each under a key."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._changing = threading.Lock()

    def add(self, content: bytes) -> str:
        """Keep the bytes of an image file, and return its key.

        Raises:
            InputError: The bytes are not an image that can be opened.
        """
        open_image(content)
        key = hashlib.sha256(content).hexdigest()
        with self._changing:
            self._kept[key] = content
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return key

    def get(self, key: str) -> Any:
        """Return the PIL image that the model would receive from the file.

        Raises:
            InputError: The key is unknown or too old.
        """
        with self._changing:
            content = self._kept.get(key)
        if content is None:
            raise InputError(
                f"the image is gone: only the last {_MOST_KEPT} are kept.", next_step="choose the file again."
            )
        return open_image(content)
