"""Opens images, audio and videos that inputs name, within limits, for the model's processor."""

from __future__ import annotations

import base64
import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
import torch

from pairchain.authoring import (
    AUDIO,
    CONTENT,
    IMAGE,
    NAMES,
    TEXT,
    VIDEO,
    Limits,
    Modality,
    check_lazy_image,
    fetched,
    is_frames,
    is_on_another_machine,
    is_pair,
    is_url,
    may_name_medium,
    modality_of,
    open_image,
    plain_part,
    quoted,
    taking_turns,
)
from pairchain.errors import InputError, MissingPackageError, PluginError
from pairchain_transformer.libraries.packages import missing_package

# The largest local file that is read into memory; videos are not read into memory.
_MOST_LOCAL_BYTES = 2**30

# Samples in all channels together: 100 minutes at 16,000 samples per second, 400 MB in memory.
_MOST_SAMPLES = 100_000_000

# The first bytes of files that FFmpeg reads as lists of other files: HLS, concat, DASH, SMIL, SDP, and playlists.
_PLAYLISTS = (b"#ext", b"ffconcat", b"<?xml", b"<mpd", b"<smil", b"<asx", b"v=0", b"[playlist]", b"[reference]")


class Opener:
    """Opens media for one model, in a ``with`` block that lasts until the processor has read them.

    Args:
        supported: The modalities that the model takes. For a text-only model, a text that looks like a path stays text.
        sampling_rate: Samples per second that the model needs; None if it takes no audio.
        limits: The files and URLs that may be opened.
    """

    def __init__(self, supported: Sequence[Modality], sampling_rate: int | None, limits: Limits) -> None:
        self.supported = supported
        self.sampling_rate = sampling_rate
        self.limits = limits
        self._openers: dict[str, Callable[[Any], Any]] = {IMAGE: self._image, AUDIO: self._audio, VIDEO: self._video}
        self._opened: dict[tuple[str, str], Any] = {}
        self._files = ExitStack()

    def __enter__(self) -> Opener:
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def open(self, items: Sequence[Any]) -> list[Any]:
        """Return inputs with all their media opened, each under its modality.

        Images become PIL images, audio becomes arrays, and videos become arrays, lists of frames or paths of files;
        videos with metadata become a dict of ``array`` and ``video_metadata``. A text that merely looks like the name
        of a medium becomes a dict of ``text``, so that it is not checked again.

        Raises:
            InputError: A file or URL cannot be opened, or audio has another sampling rate; the error names the input.
            PluginError: Opening a file needs a package that is not installed.
        """
        return [self._item(item, index) for index, item in enumerate(items)]

    def _item(self, item: Any, index: int) -> Any:
        if is_pair(item):
            return tuple(self._side(side, index, element) for element, side in enumerate(item))
        if isinstance(item, list):
            with _about(index):
                return [self._message(message) for message in item]
        return self._side(item, index)

    def _side(self, side: Any, index: int, element: int | None = None) -> Any:
        found = modality_of(side, self.supported)
        if found == TEXT and isinstance(side, str):
            return {TEXT: side} if may_name_medium(side, self.supported) else side
        with _about(index, element):
            if isinstance(side, Mapping) and set(side) <= set(CONTENT):
                return {kind: self._several(value, kind) for kind, value in side.items()}
            return {found: self._several(side, found)} if found in self._openers else side

    def _message(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        content = message["content"]
        if isinstance(content, str):
            return message
        return {**message, "content": [self._part(plain_part(part)) for part in content]}

    def _part(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        kind = part.get("type", TEXT)
        key = next((key for key in (kind, *NAMES) if key in part), None)
        if kind == TEXT or key is None:
            return part
        value = part[key]
        if key == "base64" and not value.startswith("data:"):
            value = f"data:{kind}/*;base64,{value}"
        # the library would open a medium under another name itself, without limits
        return {**{name: other for name, other in part.items() if name not in NAMES}, kind: self._several(value, kind)}

    def _several(self, value: Any, kind: Any) -> Any:
        if kind not in self._openers:
            return value
        is_one_video = kind == VIDEO and is_frames(value)
        if (isinstance(value, (list, tuple)) and not is_one_video) or getattr(value, "ndim", 0) == 5:
            return [self._one(each, kind) for each in value]
        return self._one(value, kind)

    def _one(self, value: Any, kind: str) -> Any:
        if not isinstance(value, str):
            return self._openers[kind](value)
        # every pair of a batch may contain the same query
        if (kind, value) not in self._opened:
            self._opened[kind, value] = self._openers[kind](value)
        return self._opened[kind, value]

    def _image(self, value: Any) -> Any:
        if getattr(value, "ndim", 0) == 2:
            return torch.stack([value] * 3) if isinstance(value, torch.Tensor) else np.stack([value] * 3, axis=-1)
        if not isinstance(value, str):
            return _decoded_image(value)
        with self._opened_file(value, IMAGE) as file:
            try:
                return open_image(file, f"the image {quoted(value)}")
            except MissingPackageError as error:
                raise missing_package(error) from error

    def _audio(self, value: Any) -> Any:
        rate = None
        if isinstance(value, Mapping):
            value, rate = value["array"], value["sampling_rate"]
        elif isinstance(value, str):
            with self._opened_file(value, AUDIO) as file:
                value, rate = _decoded_audio(file, value)
        elif type(value).__name__ == "AudioDecoder":
            with taking_turns([value]):
                samples = value.get_all_samples()
            value, rate = samples.data.mean(dim=0), samples.sample_rate
        if rate is not None and self.sampling_rate is not None and rate != self.sampling_rate:
            raise InputError(
                f"the audio has {rate} samples per second, and this model takes {self.sampling_rate}.",
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
        if isinstance(value, str):
            return self._video_file(value)
        if isinstance(value, Mapping):
            return {**value, "array": self._video(value["array"])}
        if isinstance(value, (list, tuple)):
            return [self._one(frame, IMAGE) for frame in value]
        if type(value).__name__ == "VideoDecoder":
            told = value.metadata
            metadata = {"fps": told.average_fps, "total_num_frames": told.num_frames, "duration": told.duration_seconds}
            with taking_turns([value]):
                return {"array": value.get_frames_in_range(0, len(value)).data, "video_metadata": metadata}
        return value

    def _video_file(self, name: str) -> str:
        """Return the path of a local file; from it, the library decodes only the frames that it samples."""
        with self._opened_file(name, VIDEO) as file:
            _refuse_playlist(file, name)
            if not isinstance(file, io.BytesIO):
                return name
            path = Path(self._files.enter_context(TemporaryDirectory(prefix="pairchain-")), VIDEO)
            path.write_bytes(file.getbuffer())
        return str(path)

    def _opened_file(self, name: str, kind: str) -> BinaryIO:
        """Open the file, URL or data URL ``name``; anything but a local file is read into memory."""
        if is_url(name):
            return io.BytesIO(fetched(name, self.limits))
        if name.lower().startswith("data:"):
            return io.BytesIO(_of_data_url(name))
        if not self.limits.allow_paths:
            raise InputError(
                f"the file {quoted(name)} is not opened, because allow_paths is False.",
                next_step="pass what is in it, {'text': …} if it is a text, or allow_paths=True.",
                argument="allow_paths",
            )
        try:
            return _local_file(name, most_bytes=None if kind == VIDEO else _MOST_LOCAL_BYTES)
        except (OSError, ValueError) as error:
            raise _unopened(kind, name, error) from error


def without_marks(item: Any) -> Any:
    """Turn the dicts that `Opener.open` made of texts back into plain texts."""
    if is_pair(item):
        return tuple(map(without_marks, item))
    is_marked = isinstance(item, Mapping) and set(item) == {TEXT} and isinstance(item[TEXT], str)
    return item[TEXT] if is_marked else item


def split_metadata(videos: Sequence[Any]) -> tuple[list[Any], list[dict[str, Any]] | None]:
    """Split videos into frames and metadata; the metadata is None if no video has any."""
    known = [video["video_metadata"] if isinstance(video, Mapping) else None for video in videos]
    frames = [video["array"] if isinstance(video, Mapping) else video for video in videos]
    if not any(known):
        return frames, None
    return frames, [
        {"total_num_frames": len(video), "fps": None, "frames_indices": list(range(len(video))), **(metadata or {})}
        for video, metadata in zip(frames, known, strict=True)
    ]


@contextmanager
def _about(index: int, element: int | None = None) -> Iterator[None]:
    """Make InputErrors in the block name the input."""
    try:
        yield
    except InputError as error:
        error.place(index, element)
        raise


def _of_data_url(name: str) -> bytes:
    try:
        return base64.b64decode("".join(name.partition(",")[2].split()), validate=True)
    except ValueError as error:
        raise InputError(
            f"the data URL {quoted(name)} is not base64: {error}.", next_step="check where it was cut."
        ) from error


def _local_file(name: str, most_bytes: int | None) -> BinaryIO:
    """Open a regular local file, or raise an OSError or ValueError; a device or a pipe might never end."""
    if "://" in name:
        raise ValueError("only http and https addresses are fetched")
    if is_on_another_machine(name):
        raise ValueError("it is on another machine")
    found = os.stat(name)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is not a regular file")
    if most_bytes is not None and found.st_size > most_bytes:
        raise ValueError(f"it holds more than {most_bytes:,} bytes")
    return open(name, "rb")


def _refuse_playlist(file: BinaryIO, name: str) -> None:
    """Refuse a file that a decoder would read as a list of further files and addresses to open."""
    start = file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_PLAYLISTS):
        raise InputError(
            f"the video {quoted(name)} is a list of other files or addresses, which pairchain does not open.",
            next_step="pass the video that it lists.",
        )


def _unopened(kind: str, name: str, error: Exception) -> InputError:
    return InputError(
        f"the {kind} {quoted(name)} cannot be opened: {error}.", next_step="check the path and the content of the file."
    )


def _decoded_image(image: Any) -> Any:
    """Decode an image now, because PIL would otherwise decode it in each thread that reads it."""
    check_lazy_image(image)
    if type(image).__module__.startswith("PIL."):
        try:
            with taking_turns([image]):
                image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(
                f"the image that was passed cannot be opened: {error}.", next_step="check the file that it comes from."
            ) from error
    return image


def _decoded_audio(file: BinaryIO, name: str) -> tuple[Any, int]:
    try:
        import soundfile
    except ImportError as error:
        raise PluginError(
            f"opening the audio {quoted(name)} needs the package soundfile.",
            distribution="pairchain-transformer",
            next_step="pip install 'pairchain-transformer[audio]', or pass an array.",
        ) from error
    try:
        with soundfile.SoundFile(file) as sound:
            if sound.frames * sound.channels > _MOST_SAMPLES:
                raise InputError(
                    f"the audio {quoted(name)} has {sound.frames:,} samples in {sound.channels} channels; at most "
                    f"{_MOST_SAMPLES // 1_000_000} million are decoded.",
                    next_step="cut it into shorter pieces.",
                )
            return sound.read(dtype="float32", always_2d=True).mean(axis=1), sound.samplerate
    except RuntimeError as error:
        raise _unopened(AUDIO, name, error) from error
