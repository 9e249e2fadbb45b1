"""The kinds of content that an input can hold, and how to recognise each: the table to extend for a new modality."""

from __future__ import annotations

from dataclasses import dataclass

TEXT, IMAGE, AUDIO, VIDEO, MESSAGE = "text", "image", "audio", "video", "message"


@dataclass(frozen=True)
class Kind:
    """A kind of content.

    Attributes:
        name: Its name, which is also its key in a dict and the type of a message's part.
        expected: What to pass, for errors.
        suffixes: Suffixes of paths and URLs of such media.
        classes: Classes of other libraries, by the beginning of the module's name and the class's name.
        dimensions: Numbers of dimensions of an array that is passed on its own.
        keyed_dimensions: Numbers of dimensions of an array under the kind's key.
        array_key: The key beside ``array`` that marks a dict as this kind.
    """

    name: str
    expected: str
    suffixes: tuple[str, ...] = ()
    classes: tuple[tuple[str, str], ...] = ()
    dimensions: tuple[int, ...] = ()
    keyed_dimensions: tuple[int, ...] = ()
    array_key: str = ""


# An array of two dimensions is audio, but under the key "image" it is a greyscale image. Five dimensions are several
# videos.
KINDS = (
    Kind(TEXT, "a string"),
    Kind(
        IMAGE,
        "a PIL image, an array of 2 or 3 dimensions, a path or a URL",
        suffixes=(".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tiff", ".webp"),
        classes=(("PIL.", "Image"),),
        dimensions=(3,),
        keyed_dimensions=(2, 3),
    ),
    Kind(
        AUDIO,
        "an array of 1 or 2 dimensions, a dict of array and sampling_rate, a path or a URL",
        suffixes=(".mp3", ".wav", ".ogg", ".flac", ".aac"),
        classes=(("torchcodec.", "AudioDecoder"),),
        dimensions=(1, 2),
        keyed_dimensions=(1, 2),
        array_key="sampling_rate",
    ),
    Kind(
        VIDEO,
        "an array of 4 dimensions, a list of frames, a path or a URL",
        suffixes=(".mp4", ".avi", ".mov", ".wmv", ".flv", ".mkv"),
        classes=(("torchcodec.", "VideoDecoder"),),
        dimensions=(4, 5),
        keyed_dimensions=(4, 5),
        array_key="video_metadata",
    ),
)

CONTENT = tuple(kind.name for kind in KINDS)

# A part of a message may name its medium under these keys, besides its kind's own.
NAMES = ("url", "path", "base64")


def kind_of(name: str) -> Kind:
    return KINDS[CONTENT.index(name)]
