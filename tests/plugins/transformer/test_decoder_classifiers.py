"""A classifier built on a decoder scores a pair as it does alone, whatever the configuration says of padding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from tiny_models import GOLDEN, edited
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pairchain import CrossEncoder
from pairchain.errors import InputError

QUERY = "how many people live in berlin ?"
PAIRS = [
    (QUERY, "berlin"),
    (QUERY, "berlin had a population of 3520031 " * 2),
    ("x", "y"),
    (QUERY, "yes no"),
    ("a", "b " * 9),
]

_COMMON = {"vocab_size": 400, "bos_token_id": None, "eos_token_id": None, "num_labels": 1}
_SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_DECODER = {**_SIZE, "num_key_value_heads": 1, "head_dim": 8}

KINDS: dict[str, dict[str, Any]] = {
    "Llama": _DECODER,
    "Qwen2": _DECODER,
    "Qwen3": _DECODER,
    "Mistral": _DECODER,
    "Mixtral": {**_DECODER, "num_local_experts": 2},
    "Gemma2": _DECODER,
    "Phi": _SIZE,
    "GPTNeoX": _SIZE,
    "GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "GPTNeo": {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "attention_types": [[["global"], 2]]},
    "GPTJ": {"n_embd": 16, "n_layer": 2, "n_head": 2, "rotary_dim": 4},
    "OPT": {**_SIZE, "ffn_dim": 32, "word_embed_proj_dim": 16},
    "Bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "Falcon": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    "Mpt": {"d_model": 16, "n_layers": 2, "n_heads": 2},
}

# What the configuration and the tokenizer call padding: a token, or none.
CLOUDED = {
    "the tokenizer's alone": (None, "<|endoftext|>"),
    "neither's": (None, None),
    "different ones": (30, "<|im_end|>"),
    "one beyond the vocabulary": (-1, "<|endoftext|>"),
    "the configuration's alone": (30, None),
    "a token that inputs end with": (None, "o"),
}


def save(folder: Path, kind: str, padding: int | None, named: str | None, **config: Any) -> Path:
    torch.manual_seed(0)
    settings = {**_COMMON, **KINDS[kind], **config, "pad_token_id": 0}
    model = getattr(transformers, f"{kind}ForSequenceClassification")(
        getattr(transformers, f"{kind}Config")(**settings)
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3 + (1.0 if weight.ndim == 1 else 0.0))
    model.save_pretrained(folder)
    shutil.copy(GOLDEN / "gpt2_causal_no_padside" / "model" / "tokenizer.json", folder)
    told = json.loads((GOLDEN / "gpt2_causal_no_padside" / "model" / "tokenizer_config.json").read_text())
    told.pop("pad_token", None)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**told, **({} if named is None else {"pad_token": named})})
    )
    edited(folder, "config.json", pad_token_id=padding)
    return folder


def alone(folder: Path, **options: Any) -> Any:
    """Return each pair's score as the transformers library computes it alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        return np.array([float(model(**tokenizer(*pair, return_tensors="pt")).logits) for pair in PAIRS])


def load(folder: Path, **options: Any) -> CrossEncoder:
    return CrossEncoder(folder, device="cpu", activation_fn=torch.nn.Identity(), **options)


def check(model: CrossEncoder, expected: Any) -> None:
    for batch_size in ("auto", 1, 2, 5):
        np.testing.assert_allclose(model.predict(PAIRS, batch_size=batch_size), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_decoder_scores_a_pair_as_it_does_alone(kind: str, tmp_path: Path) -> None:
    folder = save(tmp_path, kind, None, "<|endoftext|>")

    # the file is GPT-2's; the library rebuilds it in another way for some of these
    check(load(folder, tokenizer="library"), alone(folder))


@pytest.mark.slow
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("clouded", CLOUDED)
def test_what_the_configuration_says_of_padding_changes_no_score(clouded: str, side: str, tmp_path: Path) -> None:
    folder = save(tmp_path, "Qwen3", *CLOUDED[clouded])

    check(load(folder, processor_kwargs={"padding_side": side}), alone(folder))


def test_a_padding_token_that_is_named_later_changes_no_score(tmp_path: Path) -> None:
    folder = save(tmp_path, "Llama", None, None)
    model, expected = load(folder), alone(folder)
    check(model, expected)

    model.tokenizer.pad_token = "<|endoftext|>"
    check(model, expected)
    model.tokenizer.padding_side = "left"
    check(model, expected)


def test_the_advice_of_an_earlier_error_leads_somewhere(tmp_path: Path) -> None:
    folder = save(tmp_path, "Llama", None, None)

    check(load(folder, processor_kwargs={"pad_token": "<|im_end|>"}), alone(folder))


def test_tokens_at_the_end_that_the_configuration_takes_for_padding_are_left_out_alone_and_in_company(
    tmp_path: Path,
) -> None:
    folder = save(tmp_path, "Qwen3", 79, "<|endoftext|>")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ending = tokenizer.convert_ids_to_tokens(79)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    pairs = [(QUERY, f"berlin {ending}{ending}"), (QUERY, "berlin"), ("x", ending)]
    with torch.no_grad():
        expected = [float(model(**tokenizer(*pair, return_tensors="pt")).logits) for pair in pairs]

    np.testing.assert_allclose(load(folder).predict(pairs), expected, atol=1e-4)


def test_the_configuration_is_saved_as_it_was(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", "Qwen3", None, "<|endoftext|>")
    model = load(folder)
    expected = model.predict(PAIRS)

    model.save_pretrained(tmp_path / "saved")

    assert json.loads((tmp_path / "saved" / "config.json").read_text()).get("pad_token_id") is None
    np.testing.assert_allclose(load(tmp_path / "saved").predict(PAIRS), expected, atol=1e-6)


def test_several_labels_and_gradients_are_as_ever(tmp_path: Path) -> None:
    folder = save(tmp_path, "Qwen3", None, None, num_labels=3)
    model = load(folder)

    scores = model(model.preprocess(PAIRS))["scores"]
    scores.sum().backward()

    assert scores.shape == (len(PAIRS), 3)
    assert all(weight.grad is not None for weight in model.parameters())


@pytest.mark.parametrize("wrap", ["adapter", "patch"])
def test_a_model_that_is_wrapped_scores_its_pairs_one_by_one(wrap: str, tmp_path: Path) -> None:
    folder = save(tmp_path, "Qwen3", None, "<|endoftext|>")
    model, expected = load(folder), alone(folder)
    if wrap == "adapter":
        model[0].model = get_peft_model(model[0].model, LoraConfig(r=2, target_modules=["q_proj"], task_type="SEQ_CLS"))
        model.eval()
    else:
        forward = model[0].model.forward
        model[0].model.forward = lambda **given: forward(**given)

    check(model, expected)


def test_an_input_that_is_refused_is_named_though_each_is_read_alone(tmp_path: Path) -> None:
    model = load(save(tmp_path, "Qwen3", None, None))

    with pytest.raises(InputError, match="input 2"):
        model.predict([*PAIRS[:2], ("", "")])


def test_a_chat_template_needs_no_padding_token_either(tmp_path: Path) -> None:
    folder = save(tmp_path, "Qwen3", None, None)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    model = load(folder)
    assert "message" in model[0].modalities

    expected = [float(model.predict(pair)) for pair in PAIRS]

    check(model, expected)
    assert len(set(np.round(expected, 3))) == len(PAIRS)
