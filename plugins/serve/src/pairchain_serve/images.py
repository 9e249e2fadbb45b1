"""Opens the images of requests before they wait, so that no slow address keeps the model from others."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from pairchain.authoring import IMAGE, Limits, fetched, is_url, open_image, quoted
from pairchain.errors import InputError

# From public addresses only: a request must not reach what this machine can and its sender cannot.
_LIMITS = Limits(allow_urls=True, allow_private_urls=False, allow_paths=False, timeout=5.0, total_timeout=20.0)


def opened(side: Any, modalities: Sequence[str], *, allow_urls: bool) -> Any:
    """Return one side of a pair, with the image that it names by URL opened.

    Args:
        side: A text, or content by modality.
        modalities: What the model takes. An image is not opened for a model that takes none.
        allow_urls: Whether to fetch images; otherwise, only data URLs are opened.

    Raises:
        InputError: The image cannot be opened, or not fetched.
    """
    if not isinstance(side, Mapping) or not isinstance(name := side.get(IMAGE), str):
        return side
    if IMAGE not in modalities:
        raise InputError("the model takes no images.", next_step="send texts.")
    return {**side, IMAGE: open_image(_content(name, allow_urls))}


def _content(name: str, allow_urls: bool) -> bytes:
    if name[:5].lower() == "data:":
        head, _, encoded = name.partition(",")
        if not head.lower().endswith(";base64"):
            raise InputError("the data URL of an image is not base64.")
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError(f"the data URL of an image is not base64: {error}.") from error
    if not is_url(name):
        raise InputError(f"the image {quoted(name)} is not a data URL.", next_step="send data:image/png;base64,….")
    if not allow_urls:
        raise InputError(
            f"the image {quoted(name)} is not fetched.",
            next_step="send it as a data URL, or start the server with --allow-urls.",
        )
    return fetched(name, _LIMITS)
