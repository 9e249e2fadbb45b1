"""What an input is, told without opening it, and what a model that cannot take it says."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pairchain.errors import InputError
from pairchain.inputs.modality import description_of, is_message, is_pair, modality_of, modality_of_pair, modality_parts
from pairchain.inputs.supported import check_supported

ALL = ["text", "image", "audio", "video", "message"]
SAID = {"role": "user", "content": "hello"}
PICTURE = Image.new("RGB", (2, 2))
SOUND = {"array": np.zeros(8), "sampling_rate": 16000}
FILM = {"array": np.zeros((2, 2, 2, 3)), "video_metadata": {"fps": 1}}

SUFFIXES = {
    "image": [".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tiff", ".webp"],
    "video": [".mp4", ".avi", ".mov", ".wmv", ".flv", ".mkv"],
    "audio": [".mp3", ".wav", ".ogg", ".flac", ".aac"],
}
BY_SUFFIX = [(modality, suffix) for modality, suffixes in SUFFIXES.items() for suffix in suffixes]

# What a text-only model must never take for anything but text, and what no model may look up.
texts = st.text() | st.sampled_from(["https://", "http://[", "file:///", "data:image/", "\0.png", "a" * 5000 + ".png"])


def refused(value: Any, supported: list[Any] | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        modality_of(value, ALL if supported is None else supported)
    return caught.value


def unsupported(items: list[Any], supported: list[Any]) -> str:
    with pytest.raises(InputError) as caught:
        check_supported(items, supported)
    return str(caught.value)


# -- one side of a pair --


@pytest.mark.parametrize(
    ("value", "modality"),
    [
        ("how many people?", "text"),
        ("", "text"),
        (np.str_("text"), "text"),
        (PICTURE, "image"),
        (PICTURE.convert("L"), "image"),
        (np.zeros(16000), "audio"),
        (np.zeros((2, 16000)), "audio"),
        (np.zeros((3, 4, 4)), "image"),
        (np.zeros((2, 3, 4, 4)), "video"),
        (np.zeros((1, 2, 3, 4, 4)), "video"),
        (torch.zeros(16000), "audio"),
        (torch.zeros(3, 4, 4), "image"),
        (torch.zeros(2, 3, 4, 4), "video"),
        (SOUND, "audio"),
        (FILM, "video"),
        ({"text": "a bee"}, "text"),
        ({"image": PICTURE}, "image"),
        ({"image": "bee.png"}, "image"),
        ({"text": "a bee", "image": PICTURE}, ("image", "text")),
        ({"video": FILM, "text": "", "audio": SOUND}, ("audio", "text", "video")),
        (OrderedDict(text="a bee"), "text"),
        (SAID, "message"),
        ({**SAID, "name": "x"}, "message"),
        ([SAID, SAID], "message"),
        ((SAID,), "message"),
    ],
)
def test_what_a_value_is_follows_from_its_type_and_shape(value: Any, modality: Any) -> None:
    assert modality_of(value, ALL) == modality
    # what it is does not depend on what a model takes; only texts that name media do
    assert modality_of(value, ["text"]) == modality


def test_a_picture_that_a_file_opened_is_an_image_whatever_its_format(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "bee.png")
    with Image.open(tmp_path / "bee.png") as opened:
        assert type(opened) is PngImagePlugin.PngImageFile
        assert modality_of(opened) == "image"


@pytest.mark.parametrize(("value", "modality"), [("AudioDecoder", "audio"), ("VideoDecoder", "video")])
def test_decoders_of_torchcodec_are_told_by_where_they_are_defined(value: str, modality: str) -> None:
    decoder = type(value, (), {"__module__": "torchcodec.decoders._decoder"})()
    namesake = type(value, (), {"__module__": "my_torchcodec.decoders"})()

    assert modality_of(decoder) == modality
    assert f"an object of type {value}" in str(refused(namesake))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ["is None", "neither text, image, audio nor video"]),
        (3, ["is the int 3"]),
        (b"bytes", ["an object of type bytes"]),
        (np.float32(1), ["an object of type float32"]),
        (np.array(1.0), ["an object of type ndarray"]),
        (np.zeros((1,) * 6), ["an object of type ndarray"]),
        (np.array(["a", "b"]), ["an object of type ndarray"]),
        ([], ["is the list []"]),
        (["a", "b"], ["is the list ['a', 'b']", "pass a string"]),
        ([SAID, "b"], ["is the list [{'role'"]),
        (Path("bee.png"), ["an object of type", "pass a string"]),
        ({}, ["is an empty dict", "{'text': …, 'image': …}"]),
        ({"txt": "a"}, ["the key 'txt' (did you mean 'text'?)", "the keys are text, image, audio, video"]),
        ({1: "a"}, ["the key 1."]),
        ({"text": "a", "message": "b"}, ["the key 'message'"]),
        ({"array": np.zeros(4)}, ["'array' but neither 'sampling_rate' nor 'video_metadata'", "16000"]),
        ({"sampling_rate": 16000}, ["the key 'sampling_rate'", "{'audio': {'array': …, 'sampling_rate': …}}"]),
        ({"video_metadata": {}}, ["{'video': {'array': …, 'video_metadata': …}}"]),
        ({"role": "user"}, ["the key 'role'"]),
    ],
)
def test_what_no_model_could_take_is_refused_with_what_to_pass(value: Any, words: list[str]) -> None:
    error = refused(value)

    for word in words:
        assert word in str(error)


def test_a_long_value_is_shortened_in_the_error() -> None:
    assert len(description_of(["word"] * 1000)) < 80
    assert description_of("word") == "the str 'word'"


# -- texts that name media --


@pytest.mark.parametrize(("modality", "suffix"), BY_SUFFIX)
def test_a_text_that_names_a_medium_is_one_only_where_the_model_takes_it(
    modality: str, suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"bee{suffix.upper()}"
    file.touch()
    others = [other for other in ALL if other != modality]

    for text in (str(file), f"https://example.org/bee{suffix}", f"HTTP://example.org/a/b{suffix}?size=3&x=.txt#top"):
        assert modality_of(text, ALL) == modality_of(text, ["text", modality]) == modality
        assert modality_of(text, others) == modality_of(text, ["text"]) == modality_of(text) == "text"


def test_what_a_model_takes_only_in_company_counts_too() -> None:
    assert modality_of("https://example.org/bee.png", ["text", ("image", "text")]) == "image"


@pytest.mark.parametrize(
    "text",
    [
        "no-such-file.png",
        "bee.png",
        "see https://example.org/bee.png",
        "https://example.org/bee.png is a bee",
        "https://example.org/page?file=bee.png",
        "ftp://example.org/bee.png",
        "https://example.org/bee",
        "the png",
        ".png",
    ],
)
def test_a_text_about_media_is_a_text(text: str) -> None:
    assert modality_of(text, ALL) == "text"


def test_a_folder_named_like_a_picture_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "bee.png").mkdir()
    assert modality_of(str(tmp_path / "bee.png"), ALL) == "text"


def test_a_picture_inside_a_text_is_an_image_only_for_a_model_that_takes_images() -> None:
    text = "data:image/png;base64,iVBORw0KGgo="

    assert modality_of(text, ALL) == "image"
    assert modality_of(text, ["text", "message"]) == "text"


@given(texts)
def test_whatever_a_text_says_a_model_of_text_takes_it_as_text(text: str) -> None:
    assert modality_of(text, ["text", "message"]) == "text"
    assert modality_of(text, ALL) in ("text", "image")


# -- a whole input --


@pytest.mark.parametrize(
    ("item", "modality"),
    [
        (("a", "b"), "text"),
        (["a", "b"], "text"),
        (("a", PICTURE), ("image", "text")),
        ((PICTURE, "a"), ("image", "text")),
        ((PICTURE, PICTURE), "image"),
        ((SOUND, {"text": "a", "image": PICTURE}), ("audio", "image", "text")),
        (({"text": "a"}, "b"), "text"),
        ([SAID], "message"),
        ([SAID, SAID], "message"),
        ((SAID, "a"), "message"),
    ],
)
def test_a_pair_is_what_its_sides_are_together(item: Any, modality: Any) -> None:
    assert modality_of_pair(item, ALL) == modality


def test_which_side_of_a_pair_is_nothing_is_said() -> None:
    with pytest.raises(InputError, match="element 1 of a pair is None") as caught:
        modality_of_pair(("a", None), ALL)

    assert "pass a string" in caught.value.next_step


def test_pairs_and_messages_are_told_apart() -> None:
    assert is_message(SAID)
    assert not is_message({"role": "user"})
    assert not is_message([("role", "user"), ("content", "hello")])
    assert is_pair(("a", "b"))
    assert is_pair([PICTURE, {"text": "b"}])
    assert not any(map(is_pair, [[SAID, SAID], ("a", SAID), ("a",), ("a", "b", "c"), "ab", {"a": 1, "b": 2}]))
    assert (modality_parts("text"), modality_parts(("image", "text"))) == (("text",), ("image", "text"))


# -- what a model takes --


@pytest.mark.parametrize(
    ("items", "supported"),
    [
        ([], ["text"]),
        ([("a", "b"), ["a", {"text": "b"}]], ["text"]),
        ([("a", "https://example.org/bee.png"), ("data:image/png;base64,", "x")], ["text"]),
        ([("a", PICTURE), (PICTURE, PICTURE), ("a", "b")], ["text", "image", "message"]),
        ([("a", {"text": "b", "image": PICTURE})], [("image", "text"), "message"]),
        ([("a", "https://example.org/bee.png")], ["text", "image", "message"]),
        ([[SAID], [SAID, SAID]], ["message"]),
        ([[{"role": "user", "content": [{"type": "image", "image": PICTURE}, {"text": "a"}]}]], ["image", "message"]),
    ],
)
def test_what_a_model_says_it_takes_it_takes(items: list[Any], supported: list[Any]) -> None:
    check_supported(items, supported)


@pytest.mark.parametrize(
    ("items", "supported", "words"),
    [
        (
            [("a", "b"), ("a", PICTURE)],
            ["text"],
            ["input 1, element 1 is image; this model takes text", "another input"],
        ),
        ([(SOUND, "a")], ["text", "image", "message"], ["input 0, element 0 is audio", "takes text, image, message"]),
        (
            [("a", {"image": PICTURE, "audio": SOUND, "video": FILM})],
            ["text", "image", "message"],
            ["element 1 is audio and video"],
        ),
        (
            [("a", PICTURE)],
            ["text", ("image", "text")],
            ["is image, which needs a chat template in a pair", "image+text"],
        ),
        ([("a", "https://x.org/a.png")], ["text", "image"], ["element 1 is image, which needs a chat template"]),
        ([("a", "b"), [SAID]], ["text"], ["input 1 is a conversation; this model takes text"]),
        (
            [[{"role": "user", "content": [{"type": "audio", "audio": SOUND}]}]],
            ["text", "message"],
            ["input 0 is audio; this model takes text, message"],
        ),
        ([[{"role": "user", "content": PICTURE}]], ["message"], ["input 0: the content of a message is an object of"]),
        ([[{"role": "user", "content": ["a"]}]], ["message"], ["the list ['a']", "{'type': 'text', 'text': …}"]),
        ([[{"role": "user", "content": None}]], ["message"], ["the content of a message is None", "pass a string"]),
        ([("a", None)], ["text"], ["input 0, element 1 is None", "This model takes text."]),
        ([("a", {"txt": "b"})], ["text"], ["element 1 is a dict with the key 'txt' (did you mean 'text'?)"]),
        ([("a", [SAID])], ["text", "message"], ["input 0, element 1 is a chat message", "conversation as one list"]),
    ],
)
def test_what_a_model_does_not_take_is_named_with_its_place(
    items: list[Any], supported: list[Any], words: list[str]
) -> None:
    said = unsupported(items, supported)

    for word in words:
        assert word in said
