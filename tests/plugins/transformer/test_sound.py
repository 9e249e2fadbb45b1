"""Sound in pairs: every way to pass it, and what the model would hear otherwise than its user."""

from __future__ import annotations

import base64
import io
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from media_web import serving
from tiny_models import GOLDEN, load

from pairchain import CrossEncoder
from pairchain.errors import InputError, PluginError

SOUND = np.load(GOLDEN / "audio_qwen2_audio" / "assets" / "a.npy")
QUERY = "a bee on a flower"
# the server of these tests is at a loopback address
ANYWHERE = {"allow_private_urls": True}


@cache
def listener() -> CrossEncoder:
    """Return the golden model of texts and sound at 16,000 samples per second."""
    return load(GOLDEN / "audio_qwen2_audio" / "model")


def recording(samples: Any = SOUND, rate: int = 16000, **options: Any) -> bytes:
    """Return a sound file: WAV in 32-bit floats, unless ``options`` of soundfile say otherwise."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **{"format": "WAV", "subtype": "FLOAT", **options})
    return file.getvalue()


def test_sound_scores_the_same_however_it_is_passed() -> None:
    model = listener()
    tensor = torch.tensor(SOUND)
    ways: list[Any] = [
        SOUND,
        SOUND.astype(np.float64),
        tensor,
        np.stack([SOUND, SOUND]),
        np.stack([SOUND, SOUND], axis=1),
        np.stack([2 * SOUND, 0 * SOUND]),
        tensor[None],
        {"array": SOUND, "sampling_rate": 16000},
        {"array": tensor, "sampling_rate": 16000},
        {"array": SOUND.tolist(), "sampling_rate": 16000},
        {"audio": SOUND},
        {"audio": {"array": SOUND, "sampling_rate": 16000}},
    ]

    expected = model.predict((QUERY, SOUND))

    assert model.predict([(QUERY, way) for way in ways]) == pytest.approx([expected] * len(ways), abs=1e-5)
    document = {"role": "document", "content": [{"type": "audio", "audio": {"array": SOUND, "sampling_rate": 16000}}]}
    assert model.predict([{"role": "query", "content": QUERY}, document]) == pytest.approx(expected, abs=1e-5)
    assert model.predict((QUERY, SOUND[:4000])) != pytest.approx(expected, abs=1e-3)


def test_a_sound_file_scores_as_its_samples_wherever_it_is(tmp_path: Path) -> None:
    model = listener()
    path = tmp_path / "Bee.WAV"
    path.write_bytes(recording())
    stereo = recording(np.stack([SOUND, SOUND], axis=1))
    coded = base64.b64encode(recording()).decode()
    expected = model.predict((QUERY, SOUND))

    with serving(bee_wav=recording(), stereo_wav=stereo) as web:
        named = [str(path), f"{web.at}/bee.wav", f"{web.at}/stereo.wav?channels=2", f"{web.at}/to/{web.at}/bee.wav"]
        ways: list[Any] = [*named, *({"audio": name} for name in named), {"audio": f"data:audio/wav;base64,{coded}"}]
        pairs = [(QUERY, way) for way in ways]
        assert model.predict(pairs, **ANYWHERE) == pytest.approx([expected] * len(ways), abs=1e-5)
        for part in ({"audio": str(path)}, {"path": str(path)}, {"url": f"{web.at}/bee.wav"}, {"base64": coded}):
            document = {"role": "document", "content": [{"type": "audio", **part}]}
            chat = [{"role": "query", "content": QUERY}, document]
            assert model.predict(chat, **ANYWHERE) == pytest.approx(expected, abs=1e-5)
        web.requests.clear()
        with pytest.raises(
            InputError, match=r"input 1, element 1: the URL .* is not fetched, because allow_urls is False"
        ):
            model.predict([(QUERY, str(path)), (QUERY, f"{web.at}/bee.wav")], allow_urls=False)
        assert web.requests == []


@pytest.mark.parametrize("options", [{"subtype": "PCM_16"}, {"format": "FLAC", "subtype": "PCM_16"}])
def test_a_recording_in_whole_numbers_is_heard_as_loud_as_it_is(options: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "bee.flac"
    path.write_bytes(recording(**options))

    score = listener().predict((QUERY, str(path)))

    assert score == pytest.approx(listener().predict((QUERY, SOUND)), abs=1e-3)
    assert score != pytest.approx(listener().predict((QUERY, SOUND / 4)), abs=1e-3)


def test_a_sound_file_of_another_sampling_rate_is_refused_with_both_rates_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "bee.wav"
    path.write_bytes(recording(rate=44100))

    with serving(bee_wav=recording(rate=44100)) as web:
        for name in (str(path), f"{web.at}/bee.wav"):
            with pytest.raises(InputError) as caught:
                listener().predict([(QUERY, SOUND), (QUERY, "a text"), (QUERY, name)], batch_size=2, **ANYWHERE)
            said = "input 2, element 1: the audio has 44100 samples per second, and this model takes 16000"
            assert said in str(caught.value)
            assert "resample it to 16000" in caught.value.next_step


@pytest.mark.parametrize("content", [b"", b"RIFF", b"<html></html>", recording()[:40]])
def test_a_damaged_sound_file_is_told_with_its_name_and_place(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bee.wav"
    path.write_bytes(content)

    with pytest.raises(InputError) as caught:
        listener().predict([("a", "b"), (str(path), "b")])

    assert f"input 1, element 0: the audio '{path}' cannot be opened: " in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ({"array": SOUND, "sampling_rate": 8000}, ["8000 samples per second", "takes 16000", "resample"]),
        ({"audio": {"array": SOUND, "sampling_rate": 44100}, "text": "a"}, ["44100 samples", "takes 16000"]),
        ((SOUND * 32767).astype(np.int16), ["of type int16", "divide", "32768"]),
        (torch.zeros(100, dtype=torch.int32), ["of type int32", "divide"]),
        (SOUND[:0], ["0 samples"]),
    ],
)
def test_sound_that_the_model_would_hear_otherwise_is_refused(side: Any, said: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        listener().predict([(QUERY, SOUND), (QUERY, side)])

    for part in ("input 1, element 1: the audio", *said):
        assert part in str(caught.value)


def test_a_sound_file_needs_a_package_that_the_error_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    path = tmp_path / "bee.wav"
    path.write_bytes(b"RIFF")

    with pytest.raises(PluginError, match="needs the package soundfile") as caught:
        listener().predict([(QUERY, str(path))])

    assert "bee.wav" in str(caught.value)
    assert "pip install 'pairchain-transformer[audio]'" in caught.value.next_step
