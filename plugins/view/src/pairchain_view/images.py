"""Images that the page sent: kept as they came, and opened each time they are scored."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Any

from pairchain.authoring import open_image
from pairchain.errors import InputError

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
        open_image(content)
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
        return open_image(content)
