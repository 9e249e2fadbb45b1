"""Compares the parts of two tokenizers that affect tokens."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

# The parts of a ``tokenizer.json`` that affect tokens, in the order of reports. Components need no vocabulary.
COMPONENTS = ("normalizer", "pre_tokenizer", "post_processor")
PARTS = (*COMPONENTS, "model", "added_tokens")

_LISTS = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "post_processor": "processors"}
# Settings that affect only offsets.
_OF_OFFSETS = frozenset({"trim_offsets"})


def differences(
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    parts: Collection[str] = PARTS,
    *,
    with_types: bool = True,
    lowers: bool = False,
) -> list[str]:
    """Return the names of the parts in which two tokenizers differ.

    Args:
        one, other: The tokenizers, as the content of ``tokenizer.json``.
        parts: The parts to compare.
        with_types: Whether to compare token types.
        lowers: Whether all text is lowercased first.
    """

    def canonical(part: str, content: Mapping[str, Any]) -> Any:
        return _canonical(part, content.get(part), with_types=with_types, lowers=lowers)

    # compare the raw parts first: most are equal, and a vocabulary is large
    return [
        part for part in parts if one.get(part) != other.get(part) and canonical(part, one) != canonical(part, other)
    ]


def _canonical(part: str, value: Any, *, with_types: bool, lowers: bool) -> Any:
    if part == "model":
        return _model(value or {})
    if part == "added_tokens":
        return sorted(_token(token) for token in value or ())
    flat = [_component(part, item) for item in _flat(part, value)]
    if part == "post_processor":
        return _templates([item for item in flat if item["type"] != "ByteLevel"], with_types=with_types)
    if part == "normalizer" and lowers and not any(map(_lowers, flat)):
        return [{"type": "Lowercase"}, *flat]
    return flat


def _lowers(component: Mapping[str, Any]) -> bool:
    return component["type"] == "Lowercase" or component.get("lowercase") is True


def _flat(part: str, value: Any) -> list[dict[str, Any]]:
    """Return the components of nested sequences as one list."""
    if not isinstance(value, dict):
        return []
    if value.get("type") == "Sequence":
        return [item for inner in value.get(_LISTS[part]) or () for item in _flat(part, inner)]
    return [value]


def _component(part: str, value: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: inner for key, inner in value.items() if key not in _OF_OFFSETS}
    if value.get("type") == "BertNormalizer" and value.get("strip_accents") is None:
        kept["strip_accents"] = value.get("lowercase", True)
    if part == "pre_tokenizer" and value.get("type") == "ByteLevel":
        kept.setdefault("use_regex", True)
    return kept


def _templates(components: list[dict[str, Any]], *, with_types: bool) -> Any:
    if len(components) != 1:
        return components
    value = components[0]
    kind = value.get("type")
    if kind == "TemplateProcessing":
        ids = {name: special["ids"] for name, special in value["special_tokens"].items()}
        single, pair = ([_piece(piece, ids) for piece in value[key]] for key in ("single", "pair"))
    elif kind in ("BertProcessing", "RobertaProcessing"):
        (_, sep), (_, cls) = value["sep"], value["cls"]
        second = 1 if kind == "BertProcessing" else 0
        middle = [((sep,), 0)] if kind == "RobertaProcessing" else []
        single = [((cls,), 0), ("A", 0), ((sep,), 0)]
        pair = [*single, *middle, ("B", second), ((sep,), second)]
    else:
        return components
    pieces = [single, pair]
    return pieces if with_types else [[piece for piece, _ in half] for half in pieces]


def _piece(piece: Mapping[str, Any], ids: Mapping[str, Any]) -> tuple[Any, int]:
    if "Sequence" in piece:
        return piece["Sequence"]["id"], piece["Sequence"]["type_id"]
    special = piece["SpecialToken"]
    return tuple(ids[special["id"]]), special["type_id"]


def _token(token: Mapping[str, Any]) -> tuple[Any, ...]:
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return (token["id"], token["content"], *(bool(token.get(flag, False)) for flag in flags))


# The settings that each kind of model reads, with their defaults.
_OF_WORDS = {"vocab": None, "unk_token": None}
_MODELS: dict[str, dict[str, Any]] = {
    "WordLevel": _OF_WORDS,
    "WordPiece": {**_OF_WORDS, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
    "BPE": {
        **_OF_WORDS,
        "merges": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
    },
    "Unigram": {"vocab": None, "unk_id": None, "byte_fallback": False},
}


def _model(model: Mapping[str, Any]) -> dict[str, Any]:
    kind = model.get("type") or _kind(model)
    read = _MODELS.get(kind, dict(model))
    kept = {key: default if model.get(key) in (None, "") else model[key] for key, default in read.items()}
    if isinstance(kept.get("vocab"), list):
        kept["vocab"] = [tuple(piece) for piece in kept["vocab"]]
    if kept.get("merges") is not None:
        merges = kept["merges"]
        kept["merges"] = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    return {**kept, "type": kind}


def _kind(model: Mapping[str, Any]) -> str:
    """Return the kind of model in an older file, which does not name it."""
    if "merges" in model:
        return "BPE"
    return "Unigram" if isinstance(model.get("vocab"), list) else "WordPiece"


def content_of(backend: Any) -> dict[str, Any]:
    """Return a tokenizer of the tokenizers library as the content of ``tokenizer.json``."""
    return dict(json.loads(backend.to_str()))
