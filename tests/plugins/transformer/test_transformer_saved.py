"""Transformer from files: every form it was saved in, what a file may not decide, and what is saved again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer
from tiny_models import GOLDEN, PAIRS, edited, load, save_tiny, scores
from transformers import AutoModelForSequenceClassification

from pairchain import PairchainWarning
from pairchain.errors import SourceNotFoundError

LOGITS = {"method": "forward", "method_output_name": "logits"}
CONFIG = "sentence_bert_config.json"


@pytest.fixture
def expected() -> list[float]:
    """The scores of the classifier as it was saved."""
    return scores(GOLDEN / "bert_seqcls_1label" / "model")


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"])
def test_the_configuration_may_be_named_after_the_architecture(
    name: str, classifier: Path, expected: list[float]
) -> None:
    (classifier / CONFIG).rename(classifier / f"sentence_{name}_config.json")
    if name != "bert":
        (classifier / CONFIG).write_text("{}")

    assert scores(classifier) == expected


def test_a_save_from_before_modalities_takes_plain_text(classifier: Path, expected: list[float]) -> None:
    edited(classifier, modality_config=None, module_output_name=None)
    (classifier / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")

    model = load(classifier)

    assert model[0].modality_config == {"text": LOGITS}
    assert model.predict(PAIRS).tolist() == expected


def test_older_names_in_the_file_are_read(classifier: Path) -> None:
    edited(
        classifier,
        model_args={"dtype": "bfloat16"},
        tokenizer_args={"model_max_length": 9},
        config_args={"classifier_dropout": 0.3},
    )

    model = load(classifier)

    assert (model.dtype, model.max_seq_length, model.config.classifier_dropout) == (torch.bfloat16, 9, 0.3)


def test_what_the_caller_passes_comes_before_the_file(classifier: Path) -> None:
    edited(classifier, model_kwargs={"dtype": "bfloat16"}, processor_kwargs={"model_max_length": 9})

    model = load(classifier, model_kwargs={"dtype": "float32"}, max_length=11)

    assert (model.dtype, model.max_seq_length) == (torch.float32, 11)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("model_kwargs", "trust_remote_code", True),
        ("config_kwargs", "trust_remote_code", True),
        ("processor_kwargs", "trust_remote_code", True),
        ("model_kwargs", "revision", "other"),
        ("model_kwargs", "code_revision", "other"),
        ("model_kwargs", "use_kernels", True),
        ("model_kwargs", "allow_all_kernels", True),
        ("model_kwargs", "attn_implementation", "someone/kernels"),
        ("model_kwargs", "weights_only", False),
        ("processor_kwargs", "subfolder", ".."),
        ("processor_kwargs", "tokenizer_file", "/etc/hostname"),
        ("model_args", "trust_remote_code", True),
    ],
)
def test_a_file_decides_neither_trust_nor_revision_nor_kernels(
    group: str, key: str, value: Any, classifier: Path, expected: list[float]
) -> None:
    edited(classifier, **{group: {key: value}})

    with pytest.warns(PairchainWarning, match=rf"sets '{key}'.*may not decide") as caught:
        model = load(classifier)

    assert CONFIG in str(caught[0].message)
    assert model.predict(PAIRS).tolist() == expected
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_config_json_names_no_kernels_either(key: str, classifier: Path, expected: list[float]) -> None:
    edited(classifier, "config.json", **{key: "someone/kernels"})

    with pytest.warns(PairchainWarning, match=r"config\.json of .* sets attn_implementation to 'someone/kernels'"):
        assert scores(classifier) == expected


def test_a_key_that_nobody_knows_is_warned_about_and_kept(classifier: Path, tmp_path: Path) -> None:
    edited(classifier, max_seq_len=12, trust_remote_code=True)

    with pytest.warns(PairchainWarning) as caught:
        model = load(classifier)
    model.save_pretrained(tmp_path / "again")

    said = " ".join(str(warning.message) for warning in caught)
    assert "'max_seq_len', which is not known (did you mean 'max_seq_length'?)" in said
    assert "'trust_remote_code', which is not known" in said
    assert json.loads((tmp_path / "again" / CONFIG).read_text())["max_seq_len"] == 12


def test_an_unknown_modality_is_warned_about_and_a_compound_one_is_kept(
    classifier: Path, tmp_path: Path, expected: list[float]
) -> None:
    edited(classifier, modality_config={"text": LOGITS, "text+image": LOGITS, "smell": LOGITS, "image+smell": LOGITS})

    with pytest.warns(PairchainWarning) as caught:
        model = load(classifier)
    model.save_pretrained(tmp_path / "again")

    assert [str(warning.message).partition("names ")[2] for warning in caught] == [
        "'smell', which is not a modality.",
        "'image+smell', which is not a modality.",
    ]
    assert model[0].modalities == ["text", ("text", "image")]
    assert model.predict(PAIRS).tolist() == expected
    assert json.loads((tmp_path / "again" / CONFIG).read_text())["modality_config"] == {
        "text": LOGITS,
        "text+image": LOGITS,
    }


def test_weights_in_several_files_load_and_are_saved_as_one(classifier: Path, expected: list[float]) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier)
    (classifier / "model.safetensors").unlink()
    model.save_pretrained(classifier, max_shard_size="20KB")
    shards = sorted(path.name for path in classifier.glob("model-*.safetensors"))

    assert len(shards) > 1
    assert scores(classifier) == expected
    load(classifier).save_pretrained(classifier)
    assert [path.name for path in classifier.glob("model*")] == ["model.safetensors"]
    assert scores(classifier) == expected


def test_a_head_that_was_never_trained_is_warned_about(tmp_path: Path) -> None:
    with pytest.warns(PairchainWarning, match=r"no weights for classifier\.bias, classifier\.weight: they are random"):
        model = load(Path(save_tiny(tmp_path, "bert")), num_labels=3)

    assert model.predict(PAIRS, allow_random_head=True).shape == (2, 3)


def test_the_tokenizer_may_be_in_another_repository_and_is_saved_with_the_model(
    classifier: Path, tmp_path: Path, expected: list[float], hub: HubServer
) -> None:
    hub.add_repo("somebody/words")
    hub.commit("somebody/words", GOLDEN / "bert_seqcls_1label" / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (classifier / name).unlink()
    edited(classifier, tokenizer_name_or_path="somebody/words")

    load(classifier).save_pretrained(tmp_path / "again")

    assert scores(classifier) == scores(tmp_path / "again") == expected
    assert "tokenizer_name_or_path" not in json.loads((tmp_path / "again" / CONFIG).read_text())
    with pytest.raises(SourceNotFoundError, match="'nobody/words'"):
        load(edited(classifier, tokenizer_name_or_path="nobody/words"))


@pytest.mark.parametrize("style", ["flat", "structured"])
def test_a_model_with_a_chat_template_renders_each_pair_with_it_and_is_saved_as_it_was(
    style: str, tmp_path: Path
) -> None:
    part = "{{ m.content }}" if style == "flat" else "{% for c in m.content %}{{ c.text }}{% endfor %}"
    template = f"{{% for m in messages %}}{{{{ m.role }}}}: {part} |{{% endfor %}}"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "chat_template.jinja").write_text(template)
    model = load(Path(save_tiny(tmp_path / "model", "qwen3", "ForCausalLM")))

    rendered = [f"query: {query} |document: {document} |" for query, document in PAIRS]
    by_hand = model.tokenizer(rendered, padding=True, return_tensors="pt")
    assert torch.equal(model.preprocess(PAIRS)["input_ids"], by_hand["input_ids"])
    logits = model.model(**by_hand).logits[:, -1]
    yes, no = (model.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
    expected = torch.sigmoid(logits[:, yes] - logits[:, no]).tolist()
    assert model.predict(PAIRS) == pytest.approx(expected, abs=1e-6)

    model.save_pretrained(tmp_path / "once")
    load(tmp_path / "once").save_pretrained(tmp_path / "twice")
    saved = json.loads((tmp_path / "twice" / CONFIG).read_text())
    assert saved["modality_config"] == {"text": LOGITS, "message": {**LOGITS, "format": style}}
    assert (tmp_path / "once" / CONFIG).read_text() == (tmp_path / "twice" / CONFIG).read_text()
    assert (tmp_path / "twice" / "chat_template.jinja").read_text() == template
