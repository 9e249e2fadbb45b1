"""A saved model that is damaged, incomplete or hostile is refused by name; what nobody knows is kept and warned of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import (
    ChainError,
    FormatError,
    InputError,
    MissingFileError,
    UnsafePathError,
)

GOLDEN = Path(__file__).parents[1] / "golden"
PAIRS = [("what is the capital of france ?", "a monkey is playing drums ."), ("Mars", "the red planet .")]
ENTRIES = "modules.json"
CONFIG = "config_sentence_transformers.json"
ABSENT = object()


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Let ``change`` alter the JSON value in ``path``."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_key(path: Path, key: str, value: object, *, entry: int | None = None) -> None:
    """Set ``key`` in ``path``, or in one of its entries, or take it out if ``value`` is `ABSENT`."""

    def change(data: Any) -> None:
        target = data if entry is None else data[entry]
        target[key] = value
        if value is ABSENT:
            del target[key]

    edit(path, change)


def load(model: Path, **options: Any) -> CrossEncoder:
    return CrossEncoder(model, device="cpu", **options)


def refused(model: Path, error: type[Exception], *parts: str, **options: Any) -> None:
    """Check that loading ``model`` raises exactly ``error``, whose text has ``parts``."""
    with pytest.raises(error) as caught:
        load(model, **options)
    assert type(caught.value) is error
    assert [part for part in parts if part not in str(caught.value)] == []


# -- modules.json --


@pytest.mark.parametrize("key", ["name", "path", "type"])
@pytest.mark.parametrize("value", [ABSENT, None, 3, ["x"], {}])
def test_an_entry_without_what_it_needs_names_the_entry_and_the_key(pooled: Path, key: str, value: object) -> None:
    edit_key(pooled / ENTRIES, key, value, entry=1)
    found = "is missing" if value is ABSENT else f"is {value!r}, not a string"
    refused(pooled, FormatError, "modules.json of", str(pooled), f"entry 1: {key!r} {found}", "save or fetch")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("name", "a.b", "the name 'a.b' is empty or has a dot"),
        ("name", "", "the name '' is empty"),
        ("kwargs", "task", "'kwargs' is 'task', not a list"),
        ("kwargs", [1], "'kwargs' must be a list of names, got [1]"),
        ("distribution", 3, "'distribution' is 3"),
        ("version", ["1"], "'version' is ['1']"),
    ],
)
def test_an_entry_with_a_value_that_makes_no_sense_names_it(pooled: Path, key: str, value: object, said: str) -> None:
    edit_key(pooled / ENTRIES, key, value, entry=1)
    refused(pooled, FormatError, "modules.json of", "entry 1", said)


def test_two_modules_of_one_name_are_refused(pooled: Path) -> None:
    edit_key(pooled / ENTRIES, "name", "0", entry=2)
    refused(pooled, FormatError, "two modules named '0'", "give each module its own name")


@pytest.mark.parametrize("numbers", [[2, 0, 1], [0, 2, 1]])
def test_numbers_that_contradict_the_order_of_the_list_are_warned_of(pooled: Path, numbers: list[int]) -> None:
    expected = load(pooled).predict(PAIRS)
    for entry, number in enumerate(numbers):
        edit_key(pooled / ENTRIES, "idx", number, entry=entry)

    shown = ", ".join(map(str, numbers))
    with pytest.warns(PairchainWarning, match=f"numbers its modules {shown}; only their order in the list"):
        model = load(pooled)

    np.testing.assert_array_equal(model.predict(PAIRS), expected)


@pytest.mark.parametrize("number", [ABSENT, None, 0, "x"])
def test_numbers_that_say_nothing_else_are_no_matter(pooled: Path, number: object) -> None:
    for entry in range(3):
        edit_key(pooled / ENTRIES, "idx", number, entry=entry)
    # a warning would be an error here
    assert load(pooled).predict(PAIRS).shape == (2,)


@pytest.mark.parametrize("name", ["training", "forward", "device", "tokenizer", "prompts", "source", "_modules"])
def test_a_module_may_not_be_named_like_an_attribute_of_the_chain(pooled: Path, name: str) -> None:
    edit_key(pooled / ENTRIES, "name", name, entry=1)
    refused(pooled, ChainError, f"a module is named {name!r}", "give it another name")


@pytest.mark.parametrize(
    "path", ["..", "../up", "a/../../up", "/etc", "//host/x", "\\\\host\\x", "C:\\x", "c:x", "a\\..\\..", "x\0y"]
)
def test_a_path_that_leaves_the_model_is_refused_before_any_class_is_looked_for(pooled: Path, path: str) -> None:
    edit_key(pooled / ENTRIES, "path", path, entry=2)
    edit_key(pooled / ENTRIES, "type", "nobody.Provides", entry=0)
    refused(pooled, UnsafePathError, "modules.json of", f"entry 2: the path is {path!r}, which leaves", "do not load")


def test_a_path_longer_than_any_folders_is_a_folder_that_is_missing(pooled: Path) -> None:
    edit_key(pooled / ENTRIES, "path", "x" * 5000, entry=1)
    refused(pooled, MissingFileError, "Pooling needs embedding_dimension", "config.json is missing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[\n {"idx" 0}]', "is not JSON: Expecting ':' delimiter (line 2, column 9)"),
        ("[" * 100_000, "recursion"),
        ("[]", "must be a list of modules, got []"),
        ("null", "must be a list of modules, got None"),
        ('{"0": "Transformer"}', "must be a list of modules, got {'0'"),
        ('["Transformer"]', "entry 0 is 'Transformer', not an object"),
    ],
)
def test_a_modules_file_that_lists_no_modules_says_what_it_holds(pooled: Path, text: str, said: str) -> None:
    (pooled / ENTRIES).write_text(text)
    refused(pooled, FormatError, f"modules.json of {pooled}", said)


def test_a_modules_file_that_is_not_text_says_so(pooled: Path) -> None:
    (pooled / ENTRIES).write_bytes(b"\xff\xfe[\x00")
    refused(pooled, FormatError, "modules.json of", "cannot be read as JSON", "byte 0xff")


# -- config_sentence_transformers.json --


@pytest.mark.parametrize(
    ("key", "value", "error", "said"),
    [
        ("prompts", ["query: "], FormatError, "'prompts' is ['query: ']"),
        ("prompts", {"query": 3}, FormatError, "the prompt 'query' is 3, not a string"),
        ("default_prompt_name", 3, FormatError, "'default_prompt_name' is 3"),
        ("default_prompt_name", "query", InputError, "no default prompt named 'query'"),
        ("model_type", 3, FormatError, "'model_type' is 3"),
        ("activation_fn", ["Sigmoid"], FormatError, "'activation_fn' is ['Sigmoid']"),
        ("activation_arguments", {"dim": 1}, FormatError, "Identity takes no argument 'dim'"),
        ("keep_in_fp32_modules", "2.linear", FormatError, "'keep_in_fp32_modules' is '2.linear'"),
        ("keep_in_fp32_modules", [{}], FormatError, "'keep_in_fp32_modules' must be a list of paths, got [{}]"),
        ("keep_in_fp32_modules", ["9.linear"], InputError, "'9.linear' is not a layer of this chain"),
        ("requirements", ["torch"], FormatError, "'requirements' is ['torch']"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    pooled: Path, key: str, value: object, error: type[Exception], said: str
) -> None:
    edit_key(pooled / CONFIG, key, value)
    refused(pooled, error, said)


@pytest.mark.parametrize(
    ("text", "said"), [("{", "line 1, column 2"), ("[]", "a list"), ("", "line 1, column 1"), ("null", "null")]
)
@pytest.mark.parametrize("file", [CONFIG, "sentence_bert_config.json", "1_Pooling/config.json", "config.json"])
def test_a_configuration_that_is_no_json_object_is_named(pooled: Path, file: str, text: str, said: str) -> None:
    (pooled / file).write_text(text)
    refused(pooled, FormatError, file, said, str(pooled))


def test_a_model_without_settings_loads_as_it_is_saved_with_a_warning(pooled: Path) -> None:
    (pooled / CONFIG).unlink()
    with pytest.warns(PairchainWarning, match="no settings file.*without prompts and with the default activation"):
        model = load(pooled)
    expected = load(GOLDEN / "pooling_mean" / "model").predict(PAIRS, activation_fn=torch.nn.Sigmoid())
    np.testing.assert_array_equal(model.predict(PAIRS), expected)


# sentence-transformers 6.2.0 puts a new, random head on it.
@pytest.mark.parametrize("model_type", ["SentenceTransformer", "SparseEncoder", ABSENT])
def test_a_chain_that_scores_loads_as_it_is_saved_whatever_kind_it_was_saved_as(
    pooled: Path, model_type: object
) -> None:
    expected = load(pooled).predict(PAIRS)
    edit_key(pooled / CONFIG, "model_type", model_type)
    np.testing.assert_array_equal(load(pooled).predict(PAIRS), expected)


def test_an_embedding_model_is_refused_with_an_explanation(pooled: Path) -> None:
    edit_key(pooled / CONFIG, "model_type", "SentenceTransformer")
    edit(pooled / ENTRIES, lambda entries: entries.pop())
    refused(pooled, ChainError, "saved as a SentenceTransformer", "scores no pairs", "load a reranker")


# -- requirements --


def test_a_requirement_that_is_not_met_is_told_with_its_reason_before_anything_loads(pooled: Path) -> None:
    (pooled / ENTRIES).write_text("broken")
    wanted = {"numpy": ">=1", "torch": ">=99", "no-such-package": {"specifier": "<3", "reason": "it reads the images"}}
    edit_key(pooled / CONFIG, "requirements", wanted)
    refused(
        pooled,
        FormatError,
        str(pooled),
        f"torch>=99 ({torch.__version__})",
        "no-such-package<3 (not installed; it reads the images)",
        "install these packages",
    )


@pytest.mark.parametrize("wanted", ["=>1", "3", 3, [">=1"], {"specifier": "about 2"}])
def test_a_requirement_that_is_not_well_formed_is_named(pooled: Path, wanted: object) -> None:
    edit_key(pooled / CONFIG, "requirements", {"torch": wanted})
    refused(pooled, FormatError, f"the requirement 'torch': {wanted!r} is not well-formed")


def test_requirements_that_are_met_are_saved_again(pooled: Path, tmp_path: Path) -> None:
    wanted = {"torch": ">=1", "numpy": {"specifier": ">=1", "reason": "it counts"}, "packaging": None}
    edit_key(pooled / CONFIG, "requirements", wanted)
    load(pooled).save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / CONFIG).read_text())["requirements"] == wanted


# -- what nobody knows --


@pytest.mark.parametrize(
    ("file", "entry"),
    [(ENTRIES, 1), (CONFIG, None), ("1_Pooling/config.json", None), ("sentence_bert_config.json", None)],
)
def test_a_key_that_nobody_knows_is_warned_of_and_saved_again(
    pooled: Path, tmp_path: Path, file: str, entry: int | None
) -> None:
    edit_key(pooled / file, "colour", {"of": "the sea"}, entry=entry)
    with pytest.warns(PairchainWarning, match=f"{file.partition('/')[0]}.* has the key 'colour', which is not known"):
        model = load(pooled)
    model.save_pretrained(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / file).read_text())
    assert (saved if entry is None else saved[entry])["colour"] == {"of": "the sea"}


# -- files that are missing --


@pytest.mark.parametrize(
    ("missing", "parts"),
    [
        ("config.json", ["config.json is missing", "which architecture"]),
        ("model.safetensors", ["no weights", "model.safetensors"]),
        ("tokenizer.json", ["the tokenizer's vocabulary is missing", "tokenizer.json", "vocab.txt"]),
        ("1_Pooling/config.json", ["Pooling needs embedding_dimension", "config.json is missing", "1_Pooling"]),
        ("2_Dense/config.json", ["Dense needs in_features, out_features", "config.json is missing", "2_Dense"]),
        ("2_Dense/model.safetensors", ["no weights: neither model.safetensors nor pytorch_model.bin", "2_Dense"]),
        ("2_Dense", ["Dense needs in_features, out_features", "2_Dense"]),
        (".", ["no model here: neither modules.json nor config.json"]),
    ],
)
def test_a_file_that_is_missing_is_named_with_what_needs_it(pooled: Path, missing: str, parts: list[str]) -> None:
    path = pooled / missing
    if path.is_dir():
        shutil.rmtree(path)
        pooled.mkdir(exist_ok=True)
    else:
        path.unlink()
    refused(pooled, MissingFileError, str(pooled), *parts)
