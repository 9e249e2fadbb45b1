"""What is put in the place of a loaded model's part is what is used: tokenizer, template, processor, modalities."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import GOLDEN, load, save_tiny
from torch import nn
from transformers import AutoTokenizer

from pairchain import CrossEncoder
from pairchain.errors import ChainError, InputError

PAIRS = [
    ("how many people live in berlin ?", "berlin had a population of 3520031 registered inhabitants ."),
    ("x", "y"),
]
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


def tokens(model: CrossEncoder, **options: int) -> list[list[int]]:
    """Return the tokens of each of `PAIRS`, without padding."""
    features = model.preprocess(PAIRS, **options)
    rows = zip(features["input_ids"], features["attention_mask"].bool(), strict=True)
    return [ids[mask].tolist() for ids, mask in rows]


@pytest.mark.parametrize("part", ["tokenizer", "processor"])
def test_another_tokenizer_reads_the_inputs_and_is_saved(part: str, classifier: Path, tmp_path: Path) -> None:
    model = load(classifier)
    other = AutoTokenizer.from_pretrained(classifier, model_max_length=9)

    setattr(model[0], part, other)

    assert model.tokenizer is model.processor is other
    assert model.max_seq_length == 9
    assert [len(row) for row in tokens(model)] == [9, 5]
    assert model.predict(PAIRS).tolist() == load(classifier, max_length=9).predict(PAIRS).tolist()
    model.save_pretrained(tmp_path / "again")
    assert load(tmp_path / "again").max_seq_length == 9


def test_the_tokenizer_can_be_set_on_the_model_and_inside_a_processor(classifier: Path) -> None:
    model = load(classifier)
    model.tokenizer = AutoTokenizer.from_pretrained(classifier, model_max_length=9)
    assert [len(row) for row in tokens(model)] == [9, 5]

    sees = load(GOLDEN / "vlm_llava" / "model")
    processor, lengths = sees.processor, [len(row) for row in tokens(sees)]
    assert lengths[0] > 60 > lengths[1]
    sees.tokenizer = AutoTokenizer.from_pretrained(
        GOLDEN / "vlm_llava" / "model", model_max_length=60, padding_side="right"
    )
    assert sees.processor is processor
    # the score is read at the last position, so the padding stays where it belongs
    assert sees.preprocess(PAIRS)["attention_mask"][:, -1].tolist() == [1, 1]
    assert [len(row) for row in tokens(sees)] == [60, lengths[1]]


# A template's tail is kept from the first time it was cut.
def test_another_template_is_used_with_its_own_tail_and_checked_again(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE + "<first>")
    path = Path(save_tiny(tmp_path, "qwen3", "ForCausalLM"))
    model = load(path)
    before = tokens(model, max_length=40)
    assert model.tokenizer.decode(before[0]).endswith("<first>")

    model.processor.chat_template = TEMPLATE + "<second>"

    fresh = load(path, processor_kwargs={"chat_template": TEMPLATE + "<second>"})
    assert tokens(model, max_length=40) == tokens(fresh, max_length=40) != before
    assert model.tokenizer.decode(tokens(model, max_length=40)[0]).endswith("<second>")
    model.processor.chat_template = "{{ messages[0].content }}"
    with pytest.raises(ChainError, match="cannot carry a pair: the document does not appear"):
        model.predict(PAIRS)


def test_other_modalities_decide_what_is_taken_and_how(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    model = load(Path(save_tiny(tmp_path, "qwen3", "ForCausalLM")))
    assert model[0].modalities == ["text", "message"]

    model[0].modality_config = {"text": model[0].modality_config["text"]}

    assert model[0].modalities == ["text"]
    assert tokens(model) == [model.tokenizer(*pair)["input_ids"] for pair in PAIRS]
    with pytest.raises(InputError, match="input 0 is a conversation; this model takes text"):
        model.predict([[{"role": "user", "content": "x"}]])
    with pytest.raises(ChainError, match="it needs method and method_output_name"):
        model[0].modality_config = {"text": {}}


def test_a_module_assigned_where_the_chain_has_a_property_makes_no_link_of_it(classifier: Path) -> None:
    model = load(classifier)
    expected = model.predict(PAIRS).tolist()

    for name, value in (("model", nn.Identity()), ("config", nn.Identity()), ("device", nn.Identity())):
        with pytest.raises(AttributeError, match=f"property '{name}' of 'CrossEncoder' object has no setter"):
            setattr(model, name, value)
    model.activation_fn = nn.Sigmoid()

    assert len(model) == 1
    assert model.predict(PAIRS).tolist() == expected
