"""Images, audio and video as users name them, opened into what a processor reads, within limits."""

from __future__ import annotations

import base64
import binascii
import io
import string
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch

from pairchain.errors import InputError, PluginError
from pairchain.modality import AUDIO, CONTENT, IMAGE, NAMES, TEXT, VIDEO, Modality, is_pair, modality_of
from pairchain_transformer.processors import missing_part


@dataclass(frozen=True)
class Limits:
    """What may be fetched.

    Attributes:
        allow_urls: Whether URLs are fetched; if not, one that names a medium is refused.
        timeout: Seconds without an answer after which fetching ends.
        max_bytes: Largest file that is fetched.
    """

    allow_urls: bool = True
    timeout: float = 20.0
    max_bytes: int = 50 * 1024 * 1024


@dataclass(frozen=True)
class Opener:
    """Opens what inputs name, for one model.

    Attributes:
        supported: What the model takes; a text that looks like a path stays a text for a model that takes only text.
        sampling_rate: Samples a second that the model's audio must have, or None if it takes no audio.
        limits: What may be fetched.
    """

    supported: Sequence[Modality]
    sampling_rate: int | None
    limits: Limits

    def open(self, item: Any) -> Any:
        """Return an input with every medium in it opened: images as PIL, audio and video as arrays.

        Raises:
            InputError: A file or URL cannot be opened, or audio has another sampling rate than the model's.
            PluginError: Opening it needs a package that is not installed.
        """
        if is_pair(item):
            return tuple(self._side(side) for side in item)
        if isinstance(item, list):
            return [{**message, "content": self._content(message["content"])} for message in item]
        return self._side(item)

    def _side(self, side: Any) -> Any:
        found = modality_of(side, self.supported)
        if isinstance(side, Mapping) and set(side) <= set(CONTENT):
            return {kind: self._several(value, kind) for kind, value in side.items()}
        return self._value(side, found) if isinstance(found, str) else side

    def _content(self, content: Any) -> Any:
        if isinstance(content, str):
            return content
        return [self._part(part) for part in content]

    def _part(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        kind = part.get("type", TEXT)
        key = next((key for key in (kind, *NAMES) if key in part), None)
        if kind == TEXT or key is None:
            return part
        value = part[key]
        if key == "base64" and not value.startswith("data:"):
            value = f"data:{kind}/*;base64,{value}"
        # the library would open what stands under another name itself, without limits
        return {**{name: other for name, other in part.items() if name not in NAMES}, kind: self._several(value, kind)}

    def _several(self, value: Any, kind: str) -> Any:
        if kind != VIDEO and isinstance(value, (list, tuple)):
            return [self._value(one, kind) for one in value]
        return self._value(value, kind)

    def _value(self, value: Any, kind: str) -> Any:
        opener = {IMAGE: self._image, AUDIO: self._audio, VIDEO: self._video}.get(kind)
        return value if opener is None else opener(value)

    def _image(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        content = self._bytes(value, IMAGE)
        try:
            from PIL import Image
        except ImportError as error:
            raise missing_part(error) from error
        try:
            with Image.open(io.BytesIO(content)) as image:
                return image.convert("RGB")
        # a damaged file raises whatever its decoder does
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise _unopened(IMAGE, value, error) from error

    def _audio(self, value: Any) -> Any:
        rate = None
        if isinstance(value, Mapping):
            value, rate = value["array"], value["sampling_rate"]
        elif isinstance(value, str):
            value, rate = _decoded_audio(self._bytes(value, AUDIO), value)
        elif type(value).__name__ == "AudioDecoder":
            samples = value.get_all_samples()
            value, rate = samples.data.mean(dim=0), samples.sample_rate
        if rate is not None and self.sampling_rate is not None and rate != self.sampling_rate:
            raise InputError(
                f"the audio has {rate} samples a second, and this model takes {self.sampling_rate}.",
                next_step=f"resample it to {self.sampling_rate} first, for example with scipy.signal.resample_poly.",
            )
        if isinstance(value, torch.Tensor):
            # numpy has no bfloat16
            value = value.detach().cpu().float().numpy() if value.is_floating_point() else value.cpu().numpy()
        samples = np.asarray(value)
        if samples.dtype.kind != "f" or not samples.size:
            raise InputError(
                f"the audio is {samples.size} samples of type {samples.dtype}; models take floats from -1 to 1.",
                next_step="divide the samples of a 16-bit recording by 32768.",
            )
        return samples.mean(axis=int(np.argmin(samples.shape))) if samples.ndim == 2 else samples

    def _video(self, value: Any) -> Any:
        # a processor reads frames, or opens what is named with the package it has for it
        if isinstance(value, str) and _is_url(value):
            self._check_urls_allowed(value)
        return value["array"] if isinstance(value, Mapping) and "array" in value else value

    def _bytes(self, name: str, kind: str) -> bytes:
        if name.lower().startswith("data:"):
            try:
                return base64.b64decode("".join(name.partition(",")[2].split()), validate=True)
            except binascii.Error as error:
                raise InputError(
                    f"the data URL {_short(name)} is not base64: {error}.", next_step="check where it was cut."
                ) from error
        if _is_url(name):
            return self._fetched(name)
        try:
            return Path(name).read_bytes()
        except (OSError, ValueError) as error:
            raise _unopened(kind, name, error) from error

    def _fetched(self, url: str) -> bytes:
        self._check_urls_allowed(url)
        try:
            # an address may be written in any script, and travels in ASCII
            request = urllib.request.Request(quote(url, safe=string.punctuation), headers={"User-Agent": "pairchain"})
            with _opener().open(request, timeout=self.limits.timeout) as answer:
                content: bytes = answer.read(self.limits.max_bytes + 1)
        except (OSError, ValueError, HTTPException) as error:
            raise InputError(
                f"the URL {_short(url)} cannot be fetched: {error}.",
                next_step="check the address, or fetch it yourself and pass the content.",
            ) from error
        if len(content) > self.limits.max_bytes:
            raise InputError(
                f"the URL {_short(url)} holds more than {self.limits.max_bytes:,} bytes.",
                next_step="fetch it yourself and pass it made smaller.",
            )
        return content

    def _check_urls_allowed(self, url: str) -> None:
        if not self.limits.allow_urls:
            raise InputError(
                f"an input names the URL {_short(url)}, and allow_urls is False.",
                next_step="fetch it yourself and pass the content.",
            )


def _opener() -> urllib.request.OpenerDirector:
    # only the web: urllib's own opener also follows redirects to files and FTP servers
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _is_url(name: str) -> bool:
    return name.lower().startswith(("http://", "https://"))


def _unopened(kind: str, name: str, error: Exception) -> InputError:
    return InputError(
        f"the {kind} {_short(name)} cannot be opened: {error}.", next_step="check the path and what is in the file."
    )


def _decoded_audio(content: bytes, name: str) -> tuple[Any, int]:
    try:
        import soundfile
    except ImportError as error:
        raise PluginError(
            f"opening the audio {_short(name)} needs the package soundfile.",
            distribution="pairchain-transformer",
            next_step="pip install 'pairchain-transformer[audio]', or pass an array.",
        ) from error
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except RuntimeError as error:
        raise _unopened(AUDIO, name, error) from error
    return samples.mean(axis=1), rate


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
