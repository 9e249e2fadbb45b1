"""A table of the parts of ``tokenizer.json`` that transformers 5 replaces, for inspection, which may not import it.

A load asks the library itself. `nox -s tokenizers` checks that the table agrees with the installed library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pairchain_transformer.published.classes import FastClass
from pairchain_transformer.published.comparison import Use, differences
from pairchain_transformer.published.rebuilding import Published
from pairchain_transformer.published.saved import Saved

TOLD = ("normalizer", "pre_tokenizer")

Values = Mapping[str, Any]
_Part = Callable[[Values, Values], Any]


def replaced(saved: Saved, fast: FastClass) -> list[str] | None:
    """Return the parts in `TOLD` that the library replaces; None for a class outside the table.

    Args:
        saved: A tokenizer with a ``tokenizer.json``, saved by a version before transformers 5.
        fast: Its class.
    """
    row = _TABLE.get(fast.name)
    if row is None:
        return None
    library = {
        part: saved.content.get(part) if make is None else make(saved.settings, saved.content)
        for part, make in zip(TOLD, row, strict=True)
    }
    return differences(Published(saved, fast).components(), library, Use(), TOLD)


def _nothing(settings: Values, content: Values) -> None:
    return None


def _bert(settings: Values, content: Values) -> dict[str, Any]:
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
        "strip_accents": settings.get("strip_accents"),
        "lowercase": settings.get("do_lower_case", True),
    }


def _bert_words(settings: Values, content: Values) -> dict[str, Any]:
    return {"type": "BertPreTokenizer"}


def _bytes(settings: Values, content: Values) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": settings.get("add_prefix_space") or False, "use_regex": True}


def _charsmap(content: Values) -> list[Any]:
    present = content.get("normalizer") or {}
    inside = present.get("normalizers") if present.get("type") == "Sequence" else [present]
    return [part for part in inside or () if part.get("type") == "Precompiled"][:1]


def _precompiled(settings: Values, content: Values) -> Any:
    return {"type": "Sequence", "normalizers": _charsmap(content)}


def _metaspace(scheme: str, *, split: bool = True) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def _scheme(settings: Values) -> str:
    return "always" if settings.get("add_prefix_space", True) else "never"


def _spaces(settings: Values, content: Values) -> Any:
    return {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, _metaspace(_scheme(settings))]}


def _spaces_always(settings: Values, content: Values) -> Any:
    return {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, _metaspace("always")]}


def _replace(pattern: str, content: str, *, is_regex: bool = False) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex" if is_regex else "String": pattern}, "content": content}


def _deberta(settings: Values, content: Values) -> Any:
    lower = [{"type": "Lowercase"}] if settings.get("do_lower_case", False) else []
    right = {"type": "Strip", "strip_left": False, "strip_right": True}
    spaces = _replace(r"\s{2,}|[\n\r\t]", " ", is_regex=True)
    return {"type": "Sequence", "normalizers": [*lower, spaces, {"type": "NFC"}, right]}


def _deberta_pieces(settings: Values, content: Values) -> Any:
    marks = [{"type": "Punctuation", "behavior": "Isolated"}] if settings.get("split_by_punct", False) else []
    scheme = "always" if settings.get("add_prefix_space", True) else "first"
    return {"type": "Sequence", "pretokenizers": [*marks, _metaspace(scheme)]}


def _albert(settings: Values, content: Values) -> Any:
    parts = [_replace("``", '"'), _replace("''", '"')]
    if not settings.get("keep_accents", False):
        parts += [{"type": "NFKD"}, {"type": "StripAccents"}]
    if settings.get("do_lower_case", True):
        parts.append({"type": "Lowercase"})
    return {"type": "Sequence", "normalizers": [*parts, *_charsmap(content)]}


def _gemma(settings: Values, content: Values) -> Any:
    return _replace(" ", "▁")


def _gemma_pieces(settings: Values, content: Values) -> Any:
    return {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}


def _composed(settings: Values, content: Values) -> Any:
    return {"type": "NFC"}


_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _qwen(settings: Values, content: Values) -> Any:
    split = {"type": "Split", "pattern": {"Regex": _WORDS}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, {**_bytes(settings, content), "use_regex": False}]}


_OF_BERT = "Bert DistilBert Electra LayoutLM LayoutLMv2 Lxmert MPNet MobileBert Splinter SqueezeBert"

# Class → functions that make its normalizer and pre-tokenizer; None where the library keeps the file's part.
_TABLE: dict[str, tuple[_Part | None, _Part | None]] = {
    "AlbertTokenizer": (_albert, _spaces),
    "CamembertTokenizer": (_precompiled, _spaces),
    "DebertaTokenizer": (_nothing, _bytes),
    "DebertaV2Tokenizer": (_deberta, _deberta_pieces),
    "GPT2Tokenizer": (_nothing, _bytes),
    "GemmaTokenizer": (_gemma, _gemma_pieces),
    "Qwen2Tokenizer": (_composed, _qwen),
    "T5Tokenizer": (_precompiled, _spaces_always),
    "XLMRobertaTokenizer": (_precompiled, _spaces),
    **dict.fromkeys(
        [f"{name}Tokenizer" for name in "Bart LED Longformer Mvp Roberta".split()],
        (_nothing, _bytes),
    ),
    **dict.fromkeys(
        [f"{name}Tokenizer" for name in _OF_BERT.split()],
        (_bert, _bert_words),
    ),
    "ConvBertTokenizer": (None, None),
    "PreTrainedTokenizer": (None, None),
}
