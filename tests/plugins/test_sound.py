"""Sound in pairs: every way to pass it, and what the model would hear otherwise than its user."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import GOLDEN, load

from pairchain import CrossEncoder
from pairchain.errors import InputError, PluginError

SOUND = np.load(GOLDEN / "audio_qwen2_audio" / "assets" / "a.npy")
QUERY = "a bee on a flower"


@cache
def listener() -> CrossEncoder:
    """Return the golden model of texts and sound at 16,000 samples a second."""
    return load(GOLDEN / "audio_qwen2_audio" / "model")


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


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ({"array": SOUND, "sampling_rate": 8000}, ["8000 samples a second", "takes 16000", "resample"]),
        ({"audio": {"array": SOUND, "sampling_rate": 44100}, "text": "a"}, ["44100 samples", "takes 16000"]),
        ((SOUND * 32767).astype(np.int16), ["of type int16", "divide", "32768"]),
        (torch.zeros(100, dtype=torch.int32), ["of type int32", "divide"]),
        (SOUND[:0], ["0 samples"]),
    ],
)
def test_sound_that_the_model_would_hear_otherwise_is_refused(side: Any, said: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        listener().predict([(QUERY, side)])

    for part in said:
        assert part in str(caught.value)


def test_a_sound_file_needs_a_package_that_the_error_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    path = tmp_path / "bee.wav"
    path.write_bytes(b"RIFF")

    with pytest.raises(PluginError, match="needs the package soundfile") as caught:
        listener().predict([(QUERY, str(path))])

    assert "bee.wav" in str(caught.value)
    assert "pip install 'pairchain-transformer[audio]'" in caught.value.next_step
