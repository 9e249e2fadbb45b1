"""What a file of settings may hold: values that stay with the model, classes of their kind, and no path out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from traps import PAIRS, edit, write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import FormatError, PairchainWarning, UnsafePathError

pytestmark = pytest.mark.slow

HARMLESS: list[tuple[str, dict[str, Any]]] = [
    ("tokenizer_config.json", {"mecab_kwargs": {"mecab_dic": "unidic_lite"}, "word_tokenizer_type": "mecab"}),
    ("tokenizer_config.json", {"sudachi_kwargs": None, "jumanpp_kwargs": {}, "mecab_kwargs": None}),
    ("tokenizer_config.json", {"sp_model_kwargs": {}}),
    ("tokenizer_config.json", {"sp_model_kwargs": {"enable_sampling": True, "nbest_size": -1, "alpha": 0.1}}),
    (
        "tokenizer_config.json",
        {"name_or_path": "/home/me/models/bert", "tokenizer_file": "/root/.cache/tokenizer.json"},
    ),
    ("tokenizer_config.json", {"special_tokens_map_file": "/root/.cache/special_tokens_map.json", "init_inputs": []}),
    (
        "tokenizer_config.json",
        {"max_length": 512, "stride": 0, "truncation_strategy": "longest_first", "padding": True},
    ),
    ("tokenizer_config.json", {"chat_template": "{{ 'https://example.org/a' }}", "extra_special_tokens": ["/", "a/b"]}),
    ("tokenizer_config.json", {"from_slow": True, "device_map": "auto", "use_fast": True, "a_count_of_tomorrow": 3}),
    ("tokenizer_config.json", {"added_tokens_decoder": {"0": {"content": "[PAD]", "special": True}}}),
    ("special_tokens_map.json", {"unk_token": "[UNK]", "pad_token": {"content": "[PAD]", "lstrip": False}}),
    ("config.json", {"_name_or_path": "/home/me/models/bert", "backbone": None, "use_pretrained_backbone": False}),
]


@pytest.mark.parametrize(("file", "values"), HARMLESS)
def test_what_published_files_hold_loads_without_a_word(
    file: str, values: dict[str, Any], classifier: Path, recwarn: pytest.WarningsRecorder
) -> None:
    expected = CrossEncoder(classifier, device="cpu").predict(PAIRS).tolist()
    edit(classifier, file, **values)

    assert CrossEncoder(classifier, device="cpu").predict(PAIRS).tolist() == expected
    assert not [warning for warning in recwarn if issubclass(warning.category, PairchainWarning)]


@pytest.mark.parametrize(
    "values",
    [
        {"a_switch_of_tomorrow": True},
        {"a_name_of_tomorrow": "evil"},
        {"some_kwargs": {"threads": 3}},
        {"do_lower_case": {"path": "../x"}},
        {"gguf_file": "../model.gguf"},
        {"trust_remote_code": True},
        {"cache_dir": "/tmp"},
    ],
)
@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
def test_a_setting_that_nobody_knows_is_left_out_with_a_warning(
    file: str, values: dict[str, Any], classifier: Path
) -> None:
    expected = CrossEncoder(classifier, device="cpu").predict(PAIRS).tolist()
    edit(classifier, file, **values)

    with pytest.warns(PairchainWarning, match=f"{file} of .* sets '{next(iter(values))}'") as caught:
        model = CrossEncoder(classifier, device="cpu")
    assert len([warning for warning in caught if issubclass(warning.category, PairchainWarning)]) == 1
    assert model.predict(PAIRS).tolist() == expected
    assert not values.keys() - {"do_lower_case"} & model[0].tokenizer.init_kwargs.keys()
    assert next(iter(values)) in str(pairchain.inspect(classifier))


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("tokenizer_config.json", {"some_path": "{secret}"}),
        ("tokenizer_config.json", {"vocabulary_of_tomorrow": "{secret}"}),
        ("tokenizer_config.json", {"deep": {"in": [{"it": "{secret}"}]}}),
        ("tokenizer_config.json", {"language": "{secret}"}),
        ("tokenizer_config.json", {"bos_token": "{secret}"}),
        ("tokenizer_config.json", {"something": "https://evil.example/x.json"}),
        ("tokenizer_config.json", {"something": "file:///etc/passwd"}),
        ("special_tokens_map.json", {"vocab_file": "{secret}"}),
        ("special_tokens_map.json", {"emoji_file": "{secret}"}),
        ("preprocessor_config.json", {"font": "{secret}"}),
        ("preprocessor_config.json", {"size": {"height": "{secret}"}}),
        ("processor_config.json", {"image_processor": {"something": "{secret}"}}),
        ("config.json", {"something": {"deep": ["{secret}"]}}),
        ("generation_config.json", {"something": "{secret}"}),
    ],
)
def test_no_setting_is_a_path_out_of_the_model(
    file: str, values: dict[str, Any], classifier: Path, tmp_path: Path
) -> None:
    write(tmp_path, {"secret.txt": "secret"})
    edit(classifier, file, **json.loads(json.dumps(values).replace("{secret}", str(tmp_path / "secret.txt"))))

    with pytest.raises(UnsafePathError, match="outside the model's folder"):
        CrossEncoder(classifier, device="cpu")
    assert "outside the model's folder" in " ".join(str(pairchain.inspect(classifier)).split())


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("preprocessor_config.json", {"image_processor_type": "pipeline"}),
        ("processor_config.json", {"left_image_processor": {"image_processor_type": "pipeline", "task": "x"}}),
        ("processor_config.json", {"processor_class": "AutoModel"}),
        ("tokenizer_config.json", {"tokenizer_class": "RagRetriever"}),
        ("tokenizer_config.json", {"tokenizer_class": ["BertTokenizer"]}),
    ],
)
def test_a_file_chooses_no_class_of_another_kind(file: str, values: dict[str, Any], classifier: Path) -> None:
    edit(classifier, file, **values)

    with pytest.raises(FormatError, match="not the name of such a class"):
        CrossEncoder(classifier, device="cpu")


UNREAD = [
    "words.onnx",
    "training_args.bin",
    "README.md",
    "LICENSE",
    "notice.txt",
    "other.lock.json",
    ".gitattributes",
    ".git/words",
    "__pycache__/words",
]


@pytest.mark.parametrize("name", UNREAD)
@pytest.mark.parametrize("key", ["vocab_file", "spm_file"])
@pytest.mark.parametrize("prefix", ["", "/nowhere/at/all/", "./"])
def test_a_setting_names_no_file_that_a_lock_leaves_out(key: str, name: str, prefix: str, classifier: Path) -> None:
    if prefix and "/" in name:
        pytest.skip("only the last part of such a path counts, so it names nothing in the folder")
    write(classifier, {name: "[PAD]\n"})
    edit(classifier, "tokenizer_config.json", **{key: f"{prefix}{name}"})

    with pytest.raises(UnsafePathError, match="locks do not cover it"):
        CrossEncoder(classifier, device="cpu")
    assert "locks do not cover it" in " ".join(str(pairchain.inspect(classifier)).split())


def test_an_index_of_weights_names_no_file_that_a_lock_leaves_out(classifier: Path) -> None:
    (classifier / "__pycache__").mkdir()
    (classifier / "model.safetensors").rename(classifier / "__pycache__" / "model.safetensors")
    index = {"metadata": {}, "weight_map": {"classifier.weight": "__pycache__/model.safetensors"}}
    write(classifier, {"model.safetensors.index.json": json.dumps(index)})

    with pytest.raises(UnsafePathError, match="locks do not cover it"):
        CrossEncoder(classifier, device="cpu")


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("tokenizer_config.json", {"extra_ids": 10**9}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"999999999": {"content": "x"}}}),
        ("preprocessor_config.json", {"n_fft": 10**9, "feature_extractor_type": "WhisperFeatureExtractor"}),
        ("processor_config.json", {"feature_extractor": {"feature_size": 10**9}}),
    ],
)
def test_a_setting_counts_no_more_than_a_model_can_have(file: str, values: dict[str, Any], classifier: Path) -> None:
    edit(classifier, file, **values)

    with pytest.raises(FormatError, match="more than"):
        CrossEncoder(classifier, device="cpu")
