"""What a checkpoint is loaded as: encoders without their decoders, whole models, and what is inferred of modalities."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_models import GOLDEN, save_tiny
from transformers import WhisperFeatureExtractor

from pairchain import CrossEncoder
from pairchain.errors import ChainError, FormatError, InputError
from pairchain.modules import Dense, Pooling, Transformer

PAIRS = [("how many people live in berlin ?", "berlin had a population"), ("x", "y")]
SOUND = np.linspace(-1, 1, 8000, dtype=np.float32)

_VOCABULARY = {"vocab_size": 151, "pad_token_id": 0}
_T5 = {**_VOCABULARY, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
_SIDES = {
    f"{side}_{key}": value
    for side in ("encoder", "decoder")
    for key, value in {"layers": 1, "attention_heads": 2, "ffn_dim": 32}.items()
}
_BART = {**_VOCABULARY, **_SIDES, "d_model": 16, "max_position_embeddings": 64, "eos_token_id": 3}
_GEMMA = {
    **_VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
_WHISPER = {
    **_VOCABULARY,
    **_SIDES,
    "d_model": 16,
    "num_mel_bins": 8,
    "max_source_positions": 50,
    "max_target_positions": 20,
    "decoder_start_token_id": 2,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}
# Prefix of the architecture's classes → its tiny configuration.
CONFIGS: dict[str, dict[str, Any]] = {
    "T5": _T5,
    "MT5": _T5,
    "UMT5": _T5,
    "Bart": _BART,
    "Pegasus": _BART,
    "Marian": {**_BART, "decoder_vocab_size": 151},
    "M2M100": _BART,
    "T5Gemma": {"encoder": _GEMMA, "decoder": _GEMMA, **_VOCABULARY},
    "Whisper": _WHISPER,
    "DPR": {**_VOCABULARY, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
}
GENERATES = {prefix: "MTModel" if prefix == "Marian" else "ForConditionalGeneration" for prefix in CONFIGS}


def checkpoint(folder: Path, prefix: str, head: str) -> tuple[str, Any]:
    """Return the path of a whole tiny model as the transformers library saves it, and the model."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{prefix}Config")(**CONFIGS[prefix])
    model = getattr(transformers, prefix + head)(config).eval()
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(GOLDEN / "bert_seqcls_1label" / "model" / name, folder)
    if prefix == "Whisper":
        WhisperFeatureExtractor(feature_size=8, chunk_length=1).save_pretrained(folder)
    return str(folder), model


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("prefix", [prefix for prefix in CONFIGS if prefix not in ("Bart", "Whisper", "DPR")])
def test_of_an_encoder_decoder_the_encoder_is_loaded_with_its_weights(prefix: str, whole: bool, tmp_path: Path) -> None:
    path, model = checkpoint(tmp_path / "model", prefix, GENERATES[prefix] if whole else "Model")

    module = Transformer(path)
    features = module.preprocess(PAIRS)

    assert "Encoder" in type(module.model).__name__
    assert not any("decoder" in name for name in module.model.state_dict())
    inputs = {key: features[key] for key in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected = model.get_encoder()(**inputs).last_hidden_state
        torch.testing.assert_close(module(features)["token_embeddings"], expected)
    chain = [module, Pooling(16), Dense(16, 1, module_output_name="scores")]
    scorer = CrossEncoder(modules=chain, device="cpu")
    scorer.save_pretrained(tmp_path / "again")
    assert CrossEncoder(tmp_path / "again", device="cpu").predict(PAIRS).tolist() == scorer.predict(PAIRS).tolist()


# sentence-transformers 6.2.0 loads a random encoder with transformers 5.
@pytest.mark.parametrize("head", ["Model", "ForConditionalGeneration"])
def test_the_encoder_of_whisper_is_that_of_the_checkpoint(head: str, tmp_path: Path) -> None:
    path, model = checkpoint(tmp_path / "model", "Whisper", head)

    module = Transformer(path)
    module.save(str(tmp_path))
    again = Transformer.load(str(tmp_path))

    expected = model.get_encoder().state_dict()
    for loaded in (module, again):
        found = loaded.model.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert loaded.modalities == ["audio", ("audio", "text")]
        # the length it was trained on, whatever is heard
        features = loaded.preprocess([SOUND])
        assert features["modality"] == "audio"
        with torch.no_grad():
            heard = model.get_encoder()(features["input_features"]).last_hidden_state
        torch.testing.assert_close(loaded(features)["token_embeddings"], heard)
        assert heard.shape == (1, 50, 16)
    with pytest.raises(InputError, match=r"takes audio, audio\+text, and does not take text alone"):
        module.preprocess(PAIRS)


def test_a_model_without_tokenizer_counts_no_tokens(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=8, patch_size=4)).save_pretrained(tmp_path)
    transformers.ViTImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="this model has no tokenizer"):
        Transformer(str(tmp_path)).max_seq_length = 5


def test_bart_is_loaded_whole(tmp_path: Path) -> None:
    path, model = checkpoint(tmp_path / "model", "Bart", "ForConditionalGeneration")

    module = Transformer(path)
    features = module.preprocess(PAIRS)

    assert type(module.model).__name__ == "BartModel"
    inputs = {key: features[key] for key in ("input_ids", "attention_mask")}
    with torch.no_grad():
        torch.testing.assert_close(module(features)["token_embeddings"], model.model(**inputs).last_hidden_state)


def test_a_task_that_a_checkpoint_does_not_do_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "bert", "bert")

    with pytest.raises(FormatError, match=r"AutoModelForMultimodalLM: .*BertConfig") as unloaded:
        Transformer(path, transformer_task="any-to-any")
    assert unloaded.value.next_step == "choose another transformer_task."
    with pytest.raises(ChainError, match="names no …ForRetrieval class") as caught:
        Transformer(path, transformer_task="retrieval")
    assert caught.value.next_step == "choose another transformer_task."


def test_a_model_without_an_output_for_the_task_says_so_instead_of_what_it_takes(tmp_path: Path) -> None:
    path, _ = checkpoint(tmp_path / "dpr", "DPR", "QuestionEncoder")

    module = Transformer(path, transformer_task="feature-extraction")

    with pytest.raises(InputError, match="dpr has no output that its transformer_task reads") as caught:
        module.preprocess(PAIRS)
    assert "modality_config" in caught.value.next_step
    named = {"text": {"method": "forward", "method_output_name": "pooler_output"}}
    module = Transformer(path, modality_config=named, module_output_name="sentence_embedding")
    assert module(module.preprocess(PAIRS))["sentence_embedding"].shape[0] == len(PAIRS)


# Which golden checkpoint, for which task, and what an input of it may be.
INFERRED = [
    ("bert_seqcls_1label", "sequence-classification", ["text"]),
    ("bert_seqcls_1label", "feature-extraction", ["text"]),
    ("qwen3_causal_logitscore", "text-generation", ["text", "message"]),
    ("qwen3_causal_logitscore", "feature-extraction", ["text", "message"]),
    ("clip_router_modality", "feature-extraction", ["text", "image"]),
    ("vlm_llava", "any-to-any", ["text", "image", "message"]),
    ("vlm_llava", "feature-extraction", ["text", "image", "message"]),
    ("audio_qwen2_audio", "any-to-any", ["text", "audio", "message"]),
    ("audio_qwen2_audio", "feature-extraction", ["text", "audio", "message"]),
]


@pytest.mark.parametrize(("case", "task", "modalities"), INFERRED)
def test_what_a_checkpoint_takes_is_found_out(case: str, task: str, modalities: list[str]) -> None:
    assert Transformer(str(GOLDEN / case / "model"), transformer_task=task).modalities == modalities


@pytest.mark.peer
@pytest.mark.parametrize(("case", "task", "modalities"), INFERRED)
def test_what_is_found_out_is_what_the_reference_finds(case: str, task: str, modalities: list[str]) -> None:
    from sentence_transformers.base.modules import Transformer as Theirs

    path = str(GOLDEN / case / "model")
    ours, theirs = Transformer(path, transformer_task=task), Theirs(path, transformer_task=task)

    assert list(ours.modality_config.items()) == list(theirs.modality_config.items())
    assert ours.module_output_name == theirs.module_output_name
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()
    assert ours.max_seq_length == theirs.max_seq_length
    assert type(ours.model) is type(theirs.model)


def test_a_model_of_two_towers_embeds_texts_and_images_each_on_their_own() -> None:
    module = Transformer(str(GOLDEN / "clip_router_modality" / "model"))
    image = np.zeros((28, 28, 3), dtype=np.uint8)

    texts = module(module.preprocess(["a bee", "a flower"]))["sentence_embedding"]
    images = module(module.preprocess([image, {"image": image}]))["sentence_embedding"]

    assert texts.shape == images.shape == (2, 16)
    torch.testing.assert_close(images[0], images[1])
    with pytest.raises(InputError, match="a batch of image, text; this model takes text, image"):
        module.preprocess(["a bee", image])
    with pytest.raises(InputError, match="cannot read a pair"):
        module.preprocess(PAIRS)
