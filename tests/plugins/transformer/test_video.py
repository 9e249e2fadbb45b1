"""Videos in pairs: files fetched within limits and handed on, frames opened, what is known of them kept."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from media_web import Web, serving
from PIL import Image
from tiny_models import GOLDEN, load
from transformers import LlavaProcessor
from transformers.video_utils import load_video

from pairchain import CrossEncoder
from pairchain.errors import InputError, PluginError
from pairchain_transformer.libraries.packages import missing_package

RED = GOLDEN / "vlm_llava" / "assets" / "red.png"
QUERY = "a bee on a flower"
# the server of these tests is at a loopback address
ANYWHERE = {"allow_private_urls": True}
FILM = b"not a film, but nobody here decodes it"
FRAMES = np.zeros((4, 28, 28, 3), dtype=np.uint8)


class Cinema(LlavaProcessor):
    """Takes videos too, as processors do that need torchvision, and keeps what it was shown instead of a tensor."""

    decodes = False

    def __call__(self, images: Any = None, text: Any = None, videos: Any = None, **kwargs: Any) -> Any:
        named = [isinstance(video, str) for of_input in videos or () for video in of_input]
        self.batches.append(named)
        self.shown += [self._content(video) for of_input in videos or () for video in of_input]
        self.known += kwargs["videos_kwargs"].get("video_metadata", [])
        return super().__call__(images=images, text=text, **kwargs)

    def _content(self, video: Any) -> Any:
        if not isinstance(video, str):
            return video
        if self.decodes:
            load_video(video, backend="torchcodec")
        self.paths.append(Path(video))
        return Path(video).read_bytes()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(a_mp4=FILM, red_png=RED.read_bytes()) as running:
        yield running


@pytest.fixture
def model() -> CrossEncoder:
    """The golden model of texts and images, which takes videos and sees nothing of them."""
    loaded = load(GOLDEN / "vlm_llava" / "model")
    module = loaded[0]
    cinema = Cinema(**{part: getattr(module.processor, part) for part in ("image_processor", "tokenizer")})
    for name in ("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens", "chat_template"):
        setattr(cinema, name, getattr(module.processor, name))
    cinema.shown, cinema.known, cinema.paths, cinema.batches = [], [], [], []
    module.processor = cinema
    module.modality_config = {**module.modality_config, "video": module.modality_config["image"]}
    return loaded


def document(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a conversation whose document is a video under any of its names."""
    return [{"role": "query", "content": QUERY}, {"role": "document", "content": [{"type": "video", **part}]}]


def test_a_video_reaches_the_processor_as_a_file_however_it_is_named(
    model: CrossEncoder, web: Web, tmp_path: Path
) -> None:
    local, url = tmp_path / "a.mp4", f"{web.at}/a.mp4"
    local.write_bytes(FILM)
    coded = base64.b64encode(FILM).decode()
    sides = [str(local), url, f"{url}?t=1", {"video": url}, {"video": f"data:video/mp4;base64,{coded}"}]
    inputs: list[Any] = [(QUERY, side) for side in sides]
    inputs += map(document, ({"video": url}, {"url": url}, {"path": str(local)}, {"base64": coded}))

    scores = model.predict(inputs, **ANYWHERE)

    assert model.processor.shown == [FILM] * len(inputs)
    assert scores == pytest.approx([scores[0]] * len(inputs), abs=1e-6)
    assert {path.exists() for path in model.processor.paths if path != local} == {False}
    assert local.exists()


def test_a_video_that_a_query_names_is_fetched_once_a_batch(model: CrossEncoder, web: Web) -> None:
    model.rank({"video": f"{web.at}/a.mp4"}, ["a", "b", "c"], **ANYWHERE)

    assert model.processor.shown == [FILM] * 3
    assert web.requests == ["/a.mp4"]


def test_no_video_is_fetched_when_urls_are_not_allowed(model: CrossEncoder, web: Web) -> None:
    video, image = f"{web.at}/a.mp4", f"{web.at}/red.png"
    sides = [video, {"video": video}, {"video": [video, video]}, {"video": [image, image]}]
    inputs: list[Any] = [(QUERY, side) for side in sides]
    inputs += map(document, ({"video": video}, {"url": video}, {"video": [image]}))

    for item in inputs:
        with pytest.raises(InputError, match="allow_urls is False") as caught:
            model.predict([(QUERY, "a"), item], allow_urls=False)
        assert caught.value.index == 1
    assert web.requests == []


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ({"video": "/nowhere/at/all.mp4"}, "the video '/nowhere/at/all.mp4' cannot be opened: "),
        ({"video": "ftp://127.0.0.1/a.mp4"}, "the video 'ftp://127.0.0.1/a.mp4' cannot be opened: "),
        ({"video": "data:video/mp4;base64,@"}, "the data URL 'data:video/mp4;base64,@' is not base64"),
        ({"video": "http://127.0.0.1:1/a.mp4"}, "the URL 'http://127.0.0.1:1/a.mp4' cannot be fetched"),
    ],
)
def test_a_video_that_cannot_be_had_is_told_with_its_name_and_place(model: CrossEncoder, side: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        model.predict([(QUERY, "a"), (QUERY, side)])

    assert str(caught.value).startswith(f"input 1, element 1: {said}")


def test_frames_come_as_they_are_or_are_opened(model: CrossEncoder, web: Web) -> None:
    red, grey = Image.open(RED).convert("RGB"), np.zeros((28, 28), dtype=np.uint8)

    model.predict(
        [
            (QUERY, FRAMES),
            (QUERY, {"video": torch.tensor(FRAMES)}),
            (QUERY, {"video": [red, red]}),
            (QUERY, {"video": [str(RED), f"{web.at}/red.png"]}),
            (QUERY, {"video": [grey, grey]}),
            (QUERY, np.stack([FRAMES, FRAMES])),
            (QUERY, {"video": [FRAMES, [red]]}),
        ],
        batch_size=1,
        **ANYWHERE,
    )

    shapes = [np.shape([np.asarray(frame) for frame in video]) for video in model.processor.shown]
    two = (2, red.height, red.width, 3)
    assert sorted(shapes) == sorted([FRAMES.shape] * 5 + [two, two, (1, *two[1:]), (2, 28, 28, 3)])


# sentence-transformers 6.2.0 fails for such a dict in a pair.
def test_what_is_known_of_a_video_reaches_the_processor_in_its_place(model: CrossEncoder) -> None:
    slow, fast = ({"array": FRAMES, "video_metadata": {"fps": fps}} for fps in (1, 30))

    model.predict([(FRAMES, {"video": [slow, {"array": list(FRAMES), "video_metadata": {"fps": 2, "duration": 2.0}}]})])
    model.predict([document({"video": fast})])
    model.predict([(QUERY, FRAMES)])

    filled = {"total_num_frames": 4, "frames_indices": [0, 1, 2, 3]}
    told = [{"fps": None}, {"fps": 1}, {"fps": 2, "duration": 2.0}, {"fps": 30}]
    assert model.processor.known == [{**filled, **metadata} for metadata in told]


class VideoDecoder:
    """Stands for torchcodec's, which is told by where it is defined and needs FFmpeg."""

    class metadata:
        average_fps, num_frames, duration_seconds = 2.0, 4, 2.0

    def __len__(self) -> int:
        return 4

    def get_frames_in_range(self, start: int, stop: int) -> Any:
        return type("FrameBatch", (), {"data": torch.tensor(FRAMES)[start:stop]})


VideoDecoder.__module__ = "torchcodec.decoders._video_decoder"


def test_a_decoder_of_torchcodec_gives_its_frames_and_what_it_knows(model: CrossEncoder) -> None:
    model.predict([(QUERY, VideoDecoder())])

    assert model.processor.shown[0].shape == FRAMES.shape
    assert {**model.processor.known[0], "fps": 2.0, "duration": 2.0, "total_num_frames": 4} == model.processor.known[0]


# the transformers library looks at the first video of a batch and takes the others for the same
def test_files_and_frames_score_in_one_call_but_not_in_one_pair(model: CrossEncoder, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(FILM)
    file = str(tmp_path / "a.mp4")

    model.predict([(QUERY, FRAMES), (QUERY, file), (QUERY, FRAMES), (QUERY, "a"), ("why ?", file)])

    assert sorted(model.processor.batches) == [[False, False], [True, True]]
    with pytest.raises(InputError, match="input 1: one video is a file and another is frames") as caught:
        model.predict([(QUERY, file), (FRAMES, file)])
    assert "pass frames for both" in caught.value.next_step


def test_decoding_without_the_package_for_it_says_what_to_install(
    model: CrossEncoder, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.video_utils.is_torchcodec_available", lambda: False)
    model.processor.decodes = True

    with pytest.raises(PluginError, match="torchcodec") as caught:
        model.predict([(QUERY, f"{web.at}/a.mp4")], **ANYWHERE)

    assert "pip install 'pairchain-transformer[video]'" in caught.value.next_step


@pytest.mark.parametrize(
    ("reason", "extra"),
    [
        ("Qwen2VLVideoProcessor requires the Torchvision library but it was not found", "video"),
        ("CLIPImageProcessor requires the PIL library but it was not found in your environment", "image"),
        ("Loading audio from this source needs torchcodec>=0.3.0 with FFmpeg, which is not installed", "video"),
        ("load_audio requires the soundfile library", "audio"),
    ],
)
def test_a_package_that_the_transformers_library_misses_is_named_by_the_extra_that_brings_it(
    reason: str, extra: str
) -> None:
    error = missing_package(ImportError(reason))

    assert reason in str(error)
    assert error.next_step == f"pip install 'pairchain-transformer[{extra}]'"
