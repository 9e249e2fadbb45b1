"""Parts of messages as clients of OpenAI-like servers write them are taken as the reference takes them, or refused."""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_models import GOLDEN, load

from pairchain import CrossEncoder
from pairchain.errors import InputError

_PNG = io.BytesIO()
Image.new("RGB", (32, 32), "red").save(_PNG, "PNG")
RED = "data:image/png;base64," + base64.b64encode(_PNG.getvalue()).decode()

TEXT_PART = {"type": "text", "text": "a red square"}
IMAGE_PART = {"type": "image_url", "image_url": {"url": RED, "detail": "low"}}
IMAGE_PARTS = {
    "an object": IMAGE_PART,
    "a string": {"type": "image_url", "image_url": RED},
}


@cache
def loaded(name: str) -> CrossEncoder:
    return load(GOLDEN / name / "model")


@pytest.fixture
def vlm() -> CrossEncoder:
    return loaded("vlm_llava")


def chat(*document: Any) -> list[dict[str, Any]]:
    return [{"role": "query", "content": [TEXT_PART]}, {"role": "document", "content": list(document)}]


@pytest.mark.parametrize("written", IMAGE_PARTS)
def test_an_image_url_in_a_conversation_is_an_image(written: str, vlm: CrossEncoder) -> None:
    expected = vlm.predict([chat({"type": "image", "image": RED}, TEXT_PART)])

    assert vlm.predict([chat(IMAGE_PARTS[written], TEXT_PART)]).tolist() == expected.tolist()
    assert vlm.predict([chat({"type": "image", "url": RED}, TEXT_PART)]).tolist() == expected.tolist()


@pytest.mark.peer
@pytest.mark.parametrize("written", IMAGE_PARTS)
def test_an_image_url_scores_as_in_sentence_transformers(written: str, vlm: CrossEncoder) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.CrossEncoder(str(GOLDEN / "vlm_llava" / "model"), device="cpu")

    ours = vlm.predict([chat(IMAGE_PARTS[written])])

    np.testing.assert_allclose(ours, theirs.predict([chat(IMAGE_PARTS[written])]), rtol=1e-5, atol=1e-6)


def test_an_image_url_is_opened_within_the_limits_of_the_call(vlm: CrossEncoder) -> None:
    part = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/red.png"}}
    for limits, refused in ({"allow_urls": False}, "allow_urls is False"), ({}, "allow_private_urls is False"):
        with pytest.raises(InputError, match=refused):
            vlm.predict([chat(part)], **limits)
        with pytest.raises(InputError, match=refused):
            vlm[0].preprocess([chat(part)], **limits)


def test_an_image_url_without_url_is_refused(vlm: CrossEncoder) -> None:
    with pytest.raises(InputError, match="input 0: a part of a message holds None under 'image'"):
        vlm.predict([chat({"type": "image_url", "image_url": {}})])


REFUSED_PARTS = {
    "video_url": ({"type": "video_url", "video_url": {"url": "a.mp4"}}, "{'type': 'video', 'url': …}"),
    "input_audio": ({"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}}, "{'type': 'audio', "),
    "input_image": ({"type": "input_image", "image_url": RED}, "{'type': 'image', 'url': …}"),
    "input_text": ({"type": "input_text", "text": "a"}, "{'type': 'text', 'text': …}"),
    "file": ({"type": "file", "file": {}}, "the types are text, image, audio, video"),
    "image": ({"type": "image", "source": {"data": "aa"}}, "{'type': 'image', 'url': …}"),
    "no type": ({"image_url": RED}, "{'type': 'image', 'url': …}"),
}


@pytest.mark.parametrize("written", REFUSED_PARTS)
def test_another_part_is_refused_with_the_part_to_write(written: str, vlm: CrossEncoder) -> None:
    part, shape = REFUSED_PARTS[written]
    with pytest.raises(InputError, match=written) as caught:
        vlm.predict([("a", "b"), chat(part)])
    assert caught.value.index == 1
    assert shape in caught.value.next_step


SIDES = {
    "content with parts": ({"content": [TEXT_PART, IMAGE_PART]}, "pass {'text': …, 'image': …}."),
    "content with a text": ({"content": "a"}, "pass the text alone."),
    "a list of parts": ([TEXT_PART, IMAGE_PART, IMAGE_PART], "pass {'text': …, 'image': […, …]}."),
    "a list of texts": ([TEXT_PART, TEXT_PART], "pass the text alone"),
    "a part": (IMAGE_PART, "pass {'image': …}."),
    "a medium under image_url": ({"image_url": RED}, "pass {'image': …}."),
    "a text beside it": ({"text": "a", "image_url": RED}, "pass {'text': …, 'image': …}."),
    "a text beside anything else": ({"text": "a", "title": "b"}, "the keys are text, image, audio, video."),
}


@pytest.mark.parametrize("model", ["vlm_llava", "bert_seqcls_1label"])
@pytest.mark.parametrize("written", SIDES)
def test_parts_as_a_side_of_a_pair_are_refused_with_the_side_to_write(written: str, model: str) -> None:
    side, shape = SIDES[written]
    scorer = loaded(model)
    with pytest.raises(InputError) as caught:
        scorer.predict([("a", "b"), ("a", side)])
    assert (caught.value.index, caught.value.element) == (1, 1)
    assert shape in caught.value.next_step
    with pytest.raises(InputError) as caught:
        scorer.rank("a", ["b", side])
    assert shape in caught.value.next_step


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_without_roles_are_no_pair(parts: int, vlm: CrossEncoder) -> None:
    with pytest.raises(InputError, match="input 1 is a list of content parts without roles") as caught:
        vlm.predict([("a", "b"), [TEXT_PART] * parts])
    assert "[{'role': 'query', 'content': […]}" in caught.value.next_step
