"""Images in pairs: every way to pass them, what is fetched, within which limits, and what never is."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from media_web import Web, serving
from PIL import Image
from tiny_models import GOLDEN, load, save_tiny

from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain.inputs.fetching import Limits
from pairchain_transformer.inputs.media import Opener

RED = GOLDEN / "vlm_llava" / "assets" / "red.png"
BLUE = GOLDEN / "vlm_llava" / "assets" / "blue.png"
QUERY = "a bee on a flower"
# the server of these tests is at a loopback address
ANYWHERE = {"allow_private_urls": True}


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(red_png=RED.read_bytes(), page_png=b"<html></html>", cut_png=RED.read_bytes()[:60]) as running:
        yield running


@cache
def golden_model(case: str) -> CrossEncoder:
    return load(GOLDEN / case / "model")


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def red() -> Image.Image:
    return Image.open(RED).convert("RGB")


def data_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def test_an_image_scores_the_same_however_it_is_passed(web: Web) -> None:
    model = golden_model("vlm_llava")
    pixels = np.asarray(red())
    wrapped = data_url(RED)
    ways = [
        red(),
        red().convert("RGBA"),
        pixels,
        pixels.transpose(2, 0, 1),
        torch.tensor(pixels.transpose(2, 0, 1)),
        str(RED),
        f"{web.at}/red.png",
        f"{web.at}/red.png?size=small",
        f"{web.at}/to/{web.at}/red.png",
        wrapped,
        wrapped[:60] + "\n" + wrapped[60:],
        {"image": red()},
        {"image": [red()]},
        {"image": str(RED)},
        {"image": f"{web.at}/red.png"},
        {"image": wrapped},
    ]

    expected = model.predict((QUERY, red()))

    assert model.predict([(QUERY, way) for way in ways], **ANYWHERE) == pytest.approx([expected] * len(ways), abs=1e-5)
    assert [hit["score"] for hit in model.rank(QUERY, ways, **ANYWHERE)] == pytest.approx(
        [expected] * len(ways), abs=1e-5
    )
    assert model.predict((QUERY, Image.open(BLUE))) != pytest.approx(expected, abs=1e-3)


def test_a_message_names_its_image_under_any_of_the_usual_keys(web: Web) -> None:
    model = golden_model("vlm_llava")
    expected = model.predict((QUERY, red()))
    coded = base64.b64encode(RED.read_bytes()).decode()

    for part in (
        {"image": red()},
        {"image": str(RED)},
        {"path": str(RED)},
        {"url": f"{web.at}/red.png"},
        {"url": str(RED)},
        {"base64": coded},
        {"base64": data_url(RED)},
    ):
        document = {"role": "document", "content": [{"type": "image", **part}]}
        chat = [{"role": "query", "content": QUERY}, document]
        assert model.predict(chat, **ANYWHERE) == pytest.approx(expected, abs=1e-5), part
    refused = [{"role": "user", "content": [{"type": "image", "url": f"{web.at}/red.png"}]}]
    web.requests.clear()
    with pytest.raises(InputError, match="allow_urls is False"):
        model.predict(refused, allow_urls=False)
    assert web.requests == []


def test_a_grey_array_is_an_image_where_its_key_says_so() -> None:
    model = golden_model("vlm_llava")
    grey = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)
    ways: list[Any] = [
        grey[..., None],
        grey[None],
        {"image": grey},
        {"image": torch.tensor(grey)},
        {"image": [grey]},
        {"image": Image.fromarray(grey)},
    ]

    expected = model.predict((QUERY, Image.fromarray(grey)))

    assert model.predict([(QUERY, way) for way in ways]) == pytest.approx([expected] * len(ways), abs=1e-5)
    document = {"role": "document", "content": [{"type": "image", "image": grey}]}
    assert model.predict([{"role": "query", "content": QUERY}, document]) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(
        InputError, match="input 0, element 1 is an array of two dimensions, which counts as audio"
    ) as e:
        model.predict((QUERY, grey))
    assert "{'image': array}" in e.value.next_step


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ({"image": np.zeros(100, dtype=np.float32)}, "holds an array of shape (100,) under 'image'"),
        ({"image": [red(), np.zeros((2, 28, 28, 3))]}, "holds an array of shape (2, 28, 28, 3) under 'image'"),
        ({"image": {"array": np.zeros(100), "sampling_rate": 16000}}, "holds the dict {'array'"),
        ({"image": {"image": "red.png"}}, "holds the dict {'image'"),
        ({"audio": np.zeros((28, 28, 3))}, "is audio; this model takes"),
        ({"text": np.zeros(3)}, "holds an array of shape (3,) under 'text'"),
    ],
)
def test_what_cannot_be_what_its_key_says_is_refused(side: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        golden_model("vlm_llava").predict([(QUERY, "a"), (QUERY, side)])

    assert f"input 1, element 1 {said}" in str(caught.value)
    assert caught.value.next_step


def test_an_image_that_the_processor_refuses_is_told_with_its_place() -> None:
    model = golden_model("vlm_llava")
    of_five_channels = np.zeros((28, 28, 5), dtype=np.uint8)
    pairs = [(QUERY, red()), (QUERY, "a"), (QUERY, of_five_channels), (QUERY, Image.open(BLUE))]

    for batch_size in (1, 2, 32):
        with pytest.raises(
            InputError, match=r"^input 2: the model's tokenizer or processor fails on it: ValueError: .*channel"
        ) as caught:
            model.predict(pairs, batch_size=batch_size)
        assert caught.value.index == 2
        assert caught.value.next_step


def test_pairs_of_every_mix_in_one_call_score_as_one_by_one() -> None:
    model = golden_model("vlm_llava")
    image, other = red(), str(BLUE)
    pairs = [
        (QUERY, "a text"),
        (QUERY, image),
        (image, QUERY),
        (image, other),
        (QUERY, {"text": "a caption", "image": image}),
        (QUERY, {"image": image, "text": "a caption"}),
        ({"text": "which ?", "image": [image, other]}, {"text": ["one", "two"]}),
        ({"image": [other, image]}, "x " * 40),
    ]

    alone = [model.predict(pair) for pair in pairs]

    assert len({round(float(score), 4) for score in alone}) == len(pairs)
    for batch_size in (1, 2, 3, 32):
        assert model.predict(pairs, batch_size=batch_size) == pytest.approx(alone, abs=1e-5)


# sentence-transformers 6.2.0 opens what a text names even for models that take nothing but text.
@pytest.mark.parametrize("kind", ["bert", "chat", "audio"])
def test_a_text_that_names_an_image_stays_a_text_for_a_model_without_images(
    kind: str, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "bert":
        model = golden_model("bert_seqcls_1label")
    elif kind == "audio":
        model = golden_model("audio_qwen2_audio")
    else:
        (tmp_path / "chat_template.jinja").write_text(
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        )
        model = load(Path(save_tiny(tmp_path, "qwen3", "ForCausalLM")))
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(RED.read_bytes())
    names = [f"{web.at}/red.png", "a.png", "data:image/png;base64,AAAA"]

    for name in names:
        # the first token may take in the space before it
        own = model.tokenizer(name, add_special_tokens=False)["input_ids"][1:]
        ids = model.preprocess([("q", name)])["input_ids"][0].tolist()
        assert own in [ids[start : start + len(own)] for start in range(len(ids))]
        assert model.predict([("q", name), (name, "q")], allow_urls=False).shape == (2,)
        assert len(model.rank("q", [name, "x"])) == 2
    assert web.requests == []


def test_a_text_is_no_url_and_no_path_just_because_it_ends_like_one(web: Web) -> None:
    model = golden_model("vlm_llava")

    for text in (f"see {web.at}/red.png", f"{web.at}/red.png is red", "red.png", f"{web.at}/red", "ftp://x/red.png"):
        features = model.preprocess([(QUERY, text)])
        assert "pixel_values" not in features
    assert web.requests == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("absent.png", "cannot be fetched: HTTP Error 404"),
        ("half/red.png", "cannot be fetched: the connection ended"),
        ("page.png", "cannot be opened"),
        ("cut.png", "cannot be opened"),
    ],
)
def test_what_cannot_be_had_is_told_with_its_address_and_its_place(path: str, said: str, web: Web) -> None:
    model = golden_model("vlm_llava")
    url = f"{web.at}/{path}"
    # batches are made of inputs of about one length, so the place in a batch is not the place in the call
    pairs = [(QUERY, "a text " * n) for n in range(5)]

    with pytest.raises(InputError) as caught:
        model.predict([*pairs, (QUERY, {"image": url}), *pairs], batch_size=3, **ANYWHERE)
    with pytest.raises(InputError) as ranked:
        model.rank(QUERY, ["a text", {"text": "a", "image": url}, red()], batch_size=1, **ANYWHERE)
    with pytest.raises(InputError) as said_in_message:
        model.predict([[user([{"type": "image", "url": url}])]], **ANYWHERE)

    for error, place in ((caught, "input 5, element 1"), (ranked, "input 1, element 1"), (said_in_message, "input 0")):
        assert str(error.value).startswith(f"{place}: the ")
        assert repr(url) in str(error.value)
        assert said in str(error.value)
        assert error.value.next_step
    assert (caught.value.index, caught.value.element) == (5, 1)


def test_urls_are_left_alone_when_they_are_not_allowed(web: Web) -> None:
    model = golden_model("vlm_llava")
    url = f"{web.at}/red.png"

    for side in (url, {"image": url}, {"image": [red(), url]}, {"text": "a", "image": url}):
        for call in (
            lambda side=side: model.predict([(QUERY, side)], allow_urls=False),
            lambda side=side: model.rank(QUERY, [side], allow_urls=False),
        ):
            with pytest.raises(InputError, match="allow_urls is False") as caught:
                call()
            assert url in str(caught.value)
            assert "fetch it yourself" in caught.value.next_step
    assert web.requests == []
    assert model.predict([(QUERY, str(RED))], allow_urls=False) == pytest.approx(model.predict([(QUERY, red())]))


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("data:image/png;base64,@@@", "'data:image/png;base64,@@@' is not base64"),
        ("data:image/png;base64,AAAA", "the image 'data:image/png;base64,AAAA' cannot be opened"),
        ({"image": "/nowhere/at/all.png"}, "the image '/nowhere/at/all.png' cannot be opened"),
        ({"image": RED.as_uri()}, "cannot be opened"),
        ({"image": "http://127.0.0.1:1/\tred.png"}, "cannot be fetched"),
        ({"image": "http://[red.png"}, "cannot be fetched"),
        ({"audio": "/nowhere/at/all.wav"}, "the audio '/nowhere/at/all.wav' cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_told_with_its_name(side: Any, said: str) -> None:
    opener = Opener(("text", "image", "audio", "message"), 16000, Limits(**ANYWHERE))

    with opener, pytest.raises(InputError) as caught:
        opener.open([("a", "b"), ("a", side)])

    assert str(caught.value).startswith("input 1, element 1: ")
    assert said in str(caught.value)
    assert caught.value.next_step
