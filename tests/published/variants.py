"""Changes to the files of a saved tokenizer: ways in which published files differ from the defaults of a class."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from published.families import Family

# A tokenizer's files by name, JSON as objects.
Files = dict[str, Any]

FILE, CONFIG, MAP, ADDED = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"


@dataclass(frozen=True)
class Variant:
    """One change.

    Attributes:
        name: Unique within a family.
        files: The files after it.
        given: What the user passes to ``from_pretrained``.
    """

    name: str
    files: Files
    given: dict[str, Any] = field(default_factory=dict)


def variants(family: Family, slow: Files, saved: Files | None) -> Iterator[Variant]:
    """Yield the variants of a family.

    Args:
        family: The class.
        slow: Files from which 4.57 builds the slow tokenizer, or nothing.
        saved: What 4.57 saved of that; None if it cannot.
    """
    if slow:
        yield from _slow(family, slow)
    if saved is not None:
        yield from _configured(family, saved)
        for name, change in _edits(saved[FILE]):
            yield Variant(name, _changed(saved, FILE, change))


def _slow(family: Family, slow: Files) -> Iterator[Variant]:
    yield Variant("slow", slow)
    yield Variant("slow, no config", {name: value for name, value in slow.items() if name != CONFIG})
    for key, value in family.options.items():
        yield Variant(f"slow, {key} {value} in config", _set(slow, **{key: value}))
        yield Variant(f"slow, {key} {value} given", slow, {key: value})


def _configured(family: Family, saved: Files) -> Iterator[Variant]:
    yield Variant("saved", saved)
    yield Variant("class alone", {**_without_map(saved), CONFIG: {"tokenizer_class": family.name}})
    yield Variant("fast class alone", {**_without_map(saved), CONFIG: {"tokenizer_class": f"{family.name}Fast"}})
    yield Variant("generic class", _set(saved, tokenizer_class="PreTrainedTokenizerFast"))
    yield Variant("no config", {FILE: saved[FILE], "config.json": saved["config.json"]})
    yield Variant("no class", _without(saved, "tokenizer_class"))
    yield Variant("no added_tokens_decoder", _without(saved, "added_tokens_decoder"))
    yield Variant("with slow files' names only", {**_without(saved, "added_tokens_decoder"), MAP: {}})
    for key, value in family.options.items():
        yield Variant(f"{key} {value} in config", _set(saved, **{key: value}))
        yield Variant(f"no {key} in config", _without(saved, key))
        yield Variant(f"{key} {value} given", saved, {key: value})
        yield Variant(f"{key} {value} in config, file as it was", _set(_without(saved, key), **{key: value}))
    yield Variant("padding and truncation on the left", _set(saved, padding_side="left", truncation_side="left"))
    names = ["input_ids", "token_type_ids", "attention_mask"]
    yield Variant("token types asked for", _set(saved, model_input_names=names))
    yield Variant("no token types asked for", _set(saved, model_input_names=["input_ids", "attention_mask"]))
    yield Variant("special tokens split", _set(saved, split_special_tokens=True))
    yield Variant("additional specials", _set(saved, additional_special_tokens=["<new>", "new_word"]))
    decoder = saved[CONFIG].get("added_tokens_decoder", {})
    for flag in ("lstrip", "rstrip", "normalized", "single_word"):
        flipped = {index: {**token, flag: not token[flag]} for index, token in decoder.items()}
        yield Variant(f"{flag} flipped in config", _set(saved, added_tokens_decoder=flipped))
    size = len(saved[FILE]["model"]["vocab"]) + len(saved[FILE]["added_tokens"])
    plain = {"content": "new_word", "lstrip": False, "rstrip": False, "normalized": True, "single_word": False}
    yield Variant(
        "a token added in config",
        _set(saved, added_tokens_decoder={**decoder, str(size): {**plain, "special": False}}),
    )
    yield Variant("added_tokens.json", {**_without(saved, "added_tokens_decoder"), ADDED: {"new_word": size}})
    mask = {"content": "<new>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}
    yield Variant(
        "mask in special_tokens_map.json",
        {**_without(saved, "added_tokens_decoder"), MAP: {"mask_token": mask}},
    )
    yield Variant("mask in config", _set(saved, mask_token="<new>"))
    yield Variant("mask given", saved, {"mask_token": "<new>"})
    yield Variant("another pad", _set(saved, pad_token="<new>"))


# What replaces a component of the file.
_CJK = {"type": "Split", "pattern": {"Regex": "[\u4e00-\u9fff]"}, "behavior": "Isolated", "invert": False}
_NORMALIZERS: dict[str, Any] = {
    "none": None,
    "NFKC": {"type": "NFKC"},
    "NFD without accents, lower": {
        "type": "Sequence",
        "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}],
    },
    "lower": {"type": "Lowercase"},
    "full-width spaces": {
        "type": "Sequence",
        "normalizers": [
            {"type": "Replace", "pattern": {"Regex": "[ \u3000\\s]+"}, "content": " "},
            {"type": "NFKC"},
            {"type": "Strip", "strip_left": True, "strip_right": True},
        ],
    },
    "prepend": {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        ],
    },
    "BERT in a sequence": {
        "type": "Sequence",
        "normalizers": [
            {"type": "NFKC"},
            {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": False,
                "strip_accents": False,
                "lowercase": False,
            },
        ],
    },
}


def _metaspace(scheme: str, *, split: bool = True) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split}


def _byte_level(*, prefix: bool, use_regex: bool = True) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}


def _sequence(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(parts)}


_DIGITS = {"type": "Digits", "individual_digits": True}
_PRE_TOKENIZERS: dict[str, Any] = {
    "none": None,
    "spaces": {"type": "WhitespaceSplit"},
    "words": {"type": "Whitespace"},
    "BERT": {"type": "BertPreTokenizer"},
    "metaspace always": _metaspace("always"),
    "metaspace first": _metaspace("first"),
    "metaspace never": _metaspace("never"),
    "metaspace unsplit": _metaspace("first", split=False),
    "spaces, metaspace always": _sequence({"type": "WhitespaceSplit"}, _metaspace("always")),
    "spaces, metaspace never": _sequence({"type": "WhitespaceSplit"}, _metaspace("never")),
    "bytes": _byte_level(prefix=False),
    "bytes with a space": _byte_level(prefix=True),
    "digits, bytes": _sequence(_DIGITS, _byte_level(prefix=False)),
    "digits, bytes with a space": _sequence(_DIGITS, _byte_level(prefix=True, use_regex=False)),
    "characters of Chinese": _sequence(_CJK, {"type": "Punctuation", "behavior": "Isolated"}, {"type": "Whitespace"}),
}


def _edits(file: dict[str, Any]) -> Iterator[tuple[str, Callable[[dict[str, Any]], None]]]:
    def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
        return lambda values: values.__setitem__(key, value)

    for name, value in _NORMALIZERS.items():
        yield f"normalizer: {name}", put("normalizer", value)
    own = file["normalizer"] or {}
    if own.get("type") == "BertNormalizer":
        for key in ("clean_text", "handle_chinese_chars", "lowercase"):
            yield f"normalizer: {key} flipped", put("normalizer", {**own, key: not own[key]})
        yield "normalizer: accents kept", put("normalizer", {**own, "strip_accents": False})
        yield (
            "normalizer: cased, accents stripped",
            put("normalizer", {**own, "strip_accents": True, "lowercase": False}),
        )
    for name, value in _PRE_TOKENIZERS.items():
        yield f"pre_tokenizer: {name}", put("pre_tokenizer", value)
    for name, value in _post_processors(file):
        yield f"post_processor: {name}", put("post_processor", value)
    for key, value in _model_options(file["model"]):
        yield f"model: {key} {value!r}", _in_model(key, value)
    for flag in ("lstrip", "rstrip", "normalized", "single_word", "special"):
        yield f"added tokens: {flag} flipped", _flipped(flag)
    yield "added tokens: another", _with_added
    truncation = {"direction": "Left", "max_length": 20, "strategy": "LongestFirst", "stride": 0}
    yield "truncation", put("truncation", truncation)
    padding = {"direction": "Left", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 2, "pad_token": "<unk>"}
    yield "padding", put("padding", {"strategy": "BatchLongest", **padding})


def _post_processors(file: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "none", None
    yield "bytes", {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    tokens = [(token["content"], token["id"]) for token in file["added_tokens"]]
    if len(tokens) < 2:
        return
    (first, first_id), (second, second_id) = tokens[0], tokens[-1]
    yield "BERT", {"type": "BertProcessing", "sep": [second, second_id], "cls": [first, first_id]}
    roberta = {"sep": [second, second_id], "cls": [first, first_id], "trim_offsets": False, "add_prefix_space": True}
    yield "RoBERTa", {"type": "RobertaProcessing", **roberta}
    text_a, text_b = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    around = {"SpecialToken": {"id": first, "type_id": 3}}
    special = {first: {"id": first, "ids": [first_id], "tokens": [first]}}
    template = {"single": [around, text_a], "pair": [around, text_a, text_b, around], "special_tokens": special}
    yield "template", {"type": "TemplateProcessing", **template}


def _model_options(model: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    kind = model.get("type")
    if kind == "WordPiece":
        yield "max_input_chars_per_word", 8
        yield "continuing_subword_prefix", "@@"
        yield "unk_token", next(iter(model["vocab"]))
    elif kind == "BPE":
        for key in ("fuse_unk", "byte_fallback", "ignore_merges"):
            yield key, not model[key]
        yield "unk_token", next(iter(model["vocab"]))
        yield "end_of_word_suffix", "</w>"
    elif kind == "Unigram":
        yield "unk_id", 4
        yield "byte_fallback", not model["byte_fallback"]


def _in_model(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda file: file["model"].__setitem__(key, value)


def _flipped(flag: str) -> Callable[[dict[str, Any]], None]:
    def change(file: dict[str, Any]) -> None:
        for token in file["added_tokens"]:
            token[flag] = not token[flag]

    return change


def _with_added(file: dict[str, Any]) -> None:
    index = 1 + max([len(file["model"]["vocab"]) - 1, *(token["id"] for token in file["added_tokens"])])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    file["added_tokens"].append({"id": index, "content": "new_word", **flags})


def _changed(files: Files, name: str, change: Callable[[dict[str, Any]], None]) -> Files:
    # the vocabulary is most of the file, and no edit reaches into it
    vocabulary = {key: files[name]["model"].get(key) for key in ("vocab", "merges") if key in files[name]["model"]}
    rest = {**files[name], "model": {k: v for k, v in files[name]["model"].items() if k not in vocabulary}}
    copied = copy.deepcopy(rest)
    copied["model"].update(vocabulary)
    change(copied)
    return {**files, name: copied}


def _set(files: Files, **values: Any) -> Files:
    return {**files, CONFIG: {**files.get(CONFIG, {}), **values}}


def _without(files: Files, key: str) -> Files:
    return {**files, CONFIG: {name: value for name, value in files[CONFIG].items() if name != key}}


def _without_map(files: Files) -> Files:
    return {name: value for name, value in files.items() if name != MAP}


def write(files: Files, folder: Any) -> None:
    """Write ``files`` into ``folder``."""
    for name, content in files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            (folder / name).write_text(text, encoding="utf-8")


def of_record(record: dict[str, Any]) -> tuple[Files, Files | None]:
    """Return the files of a slow tokenizer, and what 4.57 saved of it, from what `record.py` wrote."""
    slow = {
        name: base64.b64decode(content["base64"]) if isinstance(content, dict) and "base64" in content else content
        for name, content in record["slow"].items()
    }
    return slow, record["saved"]
