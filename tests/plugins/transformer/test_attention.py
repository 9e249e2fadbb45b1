"""An attention that a caller asks for and that cannot run is refused with what to do, not by the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import GOLDEN, PAIRS, load, save_tiny

from pairchain.errors import InputError

BERT = GOLDEN / "bert_seqcls_1label" / "model"

without_a_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="flash attention may run on this machine")


@without_a_gpu
@pytest.mark.parametrize("group", ["model_kwargs", "config_kwargs"])
@pytest.mark.parametrize("asked", ["flash_attention_2", "flash_attention_3", {"": "flash_attention_2"}], ids=str)
def test_flash_attention_without_a_gpu_is_refused_before_anything_is_loaded(group: str, asked: Any) -> None:
    options: dict[str, Any] = {group: {"attn_implementation": asked}}
    with pytest.raises(InputError, match=r"attn_implementation='flash_attention_\d' needs a GPU") as caught:
        load(BERT, **options)
    assert caught.value.argument == "attn_implementation"
    assert "leave it out" in caught.value.next_step


def test_an_attention_that_does_not_exist_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"no attn_implementation 'sdpaa' \(did you mean 'sdpa'\?\)") as caught:
        load(BERT, model_kwargs={"attn_implementation": "sdpaa"})
    assert "eager" in caught.value.next_step


def test_a_model_with_flash_attention_that_was_moved_to_the_cpu_says_so() -> None:
    model = load(BERT)
    model[0].config._attn_implementation = "flash_attention_2"

    with pytest.raises(InputError, match="'flash_attention_2', which needs a GPU, and it is on the CPU") as caught:
        model.predict(PAIRS)
    assert "model.to('cuda')" in caught.value.next_step


@pytest.mark.parametrize("asked", ["eager", "sdpa"])
def test_an_attention_of_the_cpu_gives_the_same_scores(asked: str) -> None:
    model = load(BERT, model_kwargs={"attn_implementation": asked})
    assert model.predict(PAIRS).tolist() == pytest.approx(load(BERT).predict(PAIRS).tolist(), abs=1e-6)


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "qwen3", "gemma2"])
def test_a_configuration_names_the_attention_that_the_library_chooses(kind: str, tmp_path: Path) -> None:
    folder = Path(save_tiny(tmp_path, kind, "ForSequenceClassification", num_labels=1))

    packed, library = (load(folder, backend=backend)[0] for backend in ("packed", "transformers"))

    assert packed.config._attn_implementation == library.config._attn_implementation
    # the library has the same choice when it gets the model
    assert packed.model.config._attn_implementation == library.model.config._attn_implementation
