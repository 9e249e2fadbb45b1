"""The quick reader gives exactly the tokens of the transformers library, or leaves the texts to it."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import transformers
from golden_calls import GOLDEN
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairchain.opening import open_source
from pairchain_transformer.quick.reading import read
from pairchain_transformer.quick.tokenizer import QuickTokenizer
from pairchain_transformer.quick.unknown import NeedsLibraryError

FOLDERS = {
    "bert": GOLDEN / "bert_seqcls_1label" / "model",
    "roberta": GOLDEN / "roberta_seqcls" / "model",
    "modernbert": GOLDEN / "modernbert_seqcls" / "model",
    "qwen3": GOLDEN / "qwen3_causal_logitscore" / "model",
    "gpt2": GOLDEN / "gpt2_causal_no_padside" / "model",
    "chat": GOLDEN / "qwen3_seqcls_chat_template" / "model",
}
CHATS = [[{"role": "query", "content": "q [SEP] <|im_end|>"}, {"role": "document", "content": "d\n  \u00e9"}]]


def quick(folder: Path, **given: Any) -> QuickTokenizer:
    found = read(open_source(str(folder)), given, takes_types=True, positions=None)
    assert isinstance(found, QuickTokenizer), found
    return found


BOTH = {name: (quick(folder), transformers.AutoTokenizer.from_pretrained(folder)) for name, folder in FOLDERS.items()}
TEXTS = st.text(max_size=60) | st.sampled_from(
    [
        "",
        " ",
        "[CLS] [SEP]",
        "</s><s>",
        "<|endoftext|>",
        "\u5f20 \u4e09",
        "x" * 300,
        "caf\u00e9 \u0301",
        "\n\t\r",
        "\ufeff",
    ]
)
INPUTS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4) | st.lists(TEXTS, min_size=1, max_size=4)
CUTS = st.sampled_from([None, True, False, "longest_first", "only_first", "only_second", "do_not_truncate"])


@pytest.mark.parametrize("name", FOLDERS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(inputs=INPUTS, truncation=CUTS, max_length=st.sampled_from([None, 8, 40]), data=st.data())
def test_texts_become_the_same_tokens(
    name: str, inputs: list[Any], truncation: Any, max_length: int | None, data: st.DataObject
) -> None:
    ours, theirs = BOTH[name]
    pads = data.draw(st.booleans()) and ours.pad_token is not None
    options = {"truncation": truncation, "max_length": max_length, "padding": pads}
    options["add_special_tokens"] = data.draw(st.booleans())
    assert outcome(ours, inputs, options) == outcome(theirs, inputs, options)


def outcome(tokenizer: Any, inputs: list[Any], options: dict[str, Any]) -> Any:
    try:
        tokens = tokenizer(list(inputs), verbose=False, **options)
    except Exception as error:  # the tokenizers library raises a plain Exception
        return type(error).__name__, str(error)
    # the library's encodings are padded too
    sides = [
        [side for side, is_token in zip(encoding.sequence_ids, encoding.attention_mask, strict=True) if is_token]
        for encoding in tokens.encodings
    ]
    return dict(tokens), sides


@pytest.mark.parametrize("name", FOLDERS)
def test_everything_that_scoring_asks_a_tokenizer_is_the_same(name: str) -> None:
    ours, theirs = BOTH[name]
    for attribute in ("model_max_length", "truncation_side", "pad_token", "pad_token_id", "eos_token", "chat_template"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    assert sorted(ours.all_special_ids) == sorted(theirs.all_special_ids)
    assert [ours.num_special_tokens_to_add(pair) for pair in (False, True)] == [
        theirs.num_special_tokens_to_add(pair) for pair in (False, True)
    ]
    assert list(ours.model_input_names) == list(theirs.model_input_names)
    words = ["yes", "no", "a", "not a token"]
    assert [ours.convert_tokens_to_ids(word) for word in words] == [theirs.convert_tokens_to_ids(w) for w in words]


TEMPLATES = [
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n  {% endfor %}",
    "{%- for m in messages -%}{% if loop.first %}{% continue %}{% endif %}{{ m | tojson }}{% endfor %}{{ eos_token }}",
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{{ extra }}",
    "{% generation %}{{ messages[0]['content'] }}{% endgeneration %}{% if add_generation_prompt %}A:{% endif %}",
    "{{ dict(a=1) }} {{ tools is none }} {{ documents }} {{ bos_token }}",
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("options", [{}, {"add_generation_prompt": True}, {"extra": ["\u00e9", {"a": None}]}])
def test_chat_templates_render_the_same(template: str, options: dict[str, Any]) -> None:
    ours, theirs = BOTH["chat"]
    for chats in (CHATS, CHATS[0]):
        found, expected = (
            tokenizer.apply_chat_template(chats, chat_template=template, tokenize=False, **options)
            for tokenizer in (ours, theirs)
        )
        assert found == expected
    tokenizers: tuple[Any, Any] = (ours, theirs)
    found, expected = (
        tokenizer.apply_chat_template(CHATS, chat_template=template, truncation=True, max_length=9, **options)
        for tokenizer in tokenizers
    )
    assert dict(found) == dict(expected)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{% set ns = namespace(_x=1) %}",
        "{{ raise_exception('no') }}",
        "{{ (messages | first).__init__ }}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(template: str) -> None:
    ours, theirs = BOTH["chat"]
    answers = []
    for tokenizer in (ours, theirs):
        try:
            answers.append(tokenizer.apply_chat_template(CHATS[0], chat_template=template, tokenize=False))
        except Exception as error:  # jinja2's errors
            answers.append(type(error).__name__)
    assert answers[0] == answers[1]


def test_what_only_the_library_understands_is_left_to_it() -> None:
    ours, _ = BOTH["chat"]
    for call in (
        lambda: ours(["a"], stride=2),
        lambda: ours([["a", "b", "c"]]),
        lambda: ours(["a"], padding="max_length"),
        lambda: ours.apply_chat_template(CHATS, continue_final_message=True),
        lambda: ours.apply_chat_template([[{"role": "query", "content": "a", "thinking": "b"}]]),
        lambda: ours.apply_chat_template(CHATS, extra=object()),
    ):
        with pytest.raises(NeedsLibraryError):
            call()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer_config.json", {"tokenizer_class": "T5Tokenizer"}),
        ("tokenizer_config.json", {"split_special_tokens": True}),
        ("tokenizer_config.json", {"mask_token": "[NEW]"}),
        ("tokenizer_config.json", {"do_lower_case": False}),
        ("tokenizer_config.json", {"extra_special_tokens": ["[NEW]"]}),
        ("tokenizer_config.json", {"image_token": "[NEW]"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a.B", None]}}),
        ("tokenizer_config.json", {"chat_template": [{"name": "default", "template": "x"}]}),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}),
        ("tokenizer.json", {"normalizer": None}),
        ("config.json", {"model_type": "mistral"}),
        ("processor_config.json", {}),
    ],
)
def test_a_tokenizer_that_the_library_may_build_otherwise_is_left_to_it(
    file: str, change: dict[str, Any], tmp_path: Path
) -> None:
    for path in FOLDERS["bert"].glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / file
    values = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**values, **change}))
    assert isinstance(read(open_source(str(tmp_path)), {}, takes_types=True, positions=None), str)


@pytest.mark.parametrize("given_", [{"pad_token": "[CLS]"}, {"do_lower_case": False}, {"use_fast": True}])
def test_an_argument_that_changes_the_tokenizer_is_left_to_the_library(given_: dict[str, Any]) -> None:
    assert isinstance(read(open_source(str(FOLDERS["bert"])), given_, takes_types=True, positions=None), str)


def test_arguments_that_change_no_token_are_taken() -> None:
    found = quick(FOLDERS["bert"], model_max_length=9, padding_side="left", truncation_side="left")
    assert (found.model_max_length, found.padding_side, found.truncation_side) == (9, "left", "left")
    theirs = transformers.AutoTokenizer.from_pretrained(
        FOLDERS["bert"], model_max_length=9, padding_side="left", truncation_side="left"
    )
    texts = ["a b c d e f g h i j k l m", "a"]
    options: dict[str, Any] = {"padding": True, "truncation": True}
    assert dict(found(texts, **options)) == dict(theirs(texts, **options))


def test_threads_share_a_tokenizer() -> None:
    ours, _ = BOTH["bert"]
    expected = {length: dict(ours(["word " * 50], truncation=True, max_length=length)) for length in range(5, 40)}
    wrong = []

    def work() -> None:
        for length, tokens in expected.items():
            if dict(ours(["word " * 50], truncation=True, max_length=length)) != tokens:
                wrong.append(length)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_tokenizer_in_several_versions_is_left_to_the_library(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDERS["bert"], tmp_path / "model"))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}))
    assert read(open_source(str(folder)), {}, takes_types=True, positions=None) == "a setting of the tokenizer"
