"""A table of the parts of ``tokenizer.json`` that transformers 5 replaces, for inspection, which may not import it.

A load asks the library itself. `nox -s tokenizers` checks that the table agrees with the installed library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pairchain_transformer.published.classes import FastClass
from pairchain_transformer.published.comparison import differences
from pairchain_transformer.published.rebuilding import Published
from pairchain_transformer.published.saved import Saved

TOLD = ("normalizer", "pre_tokenizer")

Values = Mapping[str, Any]
_Part = Callable[[Values, Values], Any] | Values | None


def replaced(saved: Saved, fast: FastClass) -> list[str] | None:
    """Return the parts in `TOLD` that the library replaces; None for a class outside the table.

    ``saved`` has a ``tokenizer.json`` from a version before transformers 5, and was of the class ``fast``.
    """
    if fast.name in _UNCHANGED:
        library = saved.content
    elif fast.name in _TABLE:
        library = dict(zip(TOLD, told_parts(fast.name, saved.settings, saved.content), strict=True))
    else:
        return None
    return differences(Published(saved, fast).components(), library, TOLD)


def told_parts(name: str, settings: Values, content: Values) -> tuple[Any, Any]:
    """Return the normalizer and the pre-tokenizer that the class ``name`` of the table builds.

    Args:
        name: The class, which the library takes for these files.
        settings: The values of ``tokenizer_config.json``.
        content: The content of ``tokenizer.json``.
    """
    normalizer, pre_tokenizer = (
        part(settings, content) if callable(part) else part for part in {**_TABLE, **_FOR_PIECES}[name]
    )
    return normalizer, pre_tokenizer


def _bert(settings: Values, content: Values) -> dict[str, Any]:
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
        "strip_accents": settings.get("strip_accents"),
        "lowercase": settings.get("do_lower_case", True),
    }


def _bytes(settings: Values, content: Values) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": settings.get("add_prefix_space") or False, "use_regex": True}


def _charsmap(settings: Values, content: Values) -> Any:
    present = content.get("normalizer") or {}
    inside = present.get("normalizers") if present.get("type") == "Sequence" else [present]
    charsmaps = [part for part in inside or () if part.get("type") == "Precompiled"]
    return {"type": "Sequence", "normalizers": charsmaps[:1]}


def _metaspace(scheme: str) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True}


def _words(scheme: str) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, _metaspace(scheme)]}


def _prefixed_words(settings: Values, content: Values) -> Any:
    return _words("always" if settings.get("add_prefix_space", True) else "never")


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
    return {"type": "Sequence", "normalizers": [*parts, _charsmap(settings, content)]}


_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _qwen(settings: Values, content: Values) -> Any:
    split = {"type": "Split", "pattern": {"Regex": _WORDS}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, {**_bytes(settings, content), "use_regex": False}]}


def _llama(settings: Values, content: Values) -> Any:
    prefix = settings.get("add_prefix_space")
    scheme = "always" if settings.get("legacy", False) else "first"
    return {**_metaspace("never" if prefix is False else scheme), "split": False}


_BERTS = "Bert DistilBert Electra LayoutLM LayoutLMv2 Lxmert MPNet MobileBert Splinter SqueezeBert"

# Class → the normalizer and the pre-tokenizer that the library builds, or functions that make them from the settings
# and the file.
_TABLE: dict[str, tuple[_Part, _Part]] = {
    "AlbertTokenizer": (_albert, _prefixed_words),
    "CamembertTokenizer": (_charsmap, _prefixed_words),
    "DebertaV2Tokenizer": (_deberta, _deberta_pieces),
    "GemmaTokenizer": (
        _replace(" ", "▁"),
        {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
    ),
    "Qwen2Tokenizer": ({"type": "NFC"}, _qwen),
    "T5Tokenizer": (_charsmap, _words("always")),
    "XLMRobertaTokenizer": (_charsmap, _prefixed_words),
    **{f"{name}Tokenizer": (None, _bytes) for name in "Bart Deberta GPT2 LED Longformer Mvp Roberta".split()},
    **{f"{name}Tokenizer": (_bert, {"type": "BertPreTokenizer"}) for name in _BERTS.split()},
}
# Classes that the library replaces by another one for some files, so that a file's class alone does not tell.
_FOR_PIECES: dict[str, tuple[_Part, _Part]] = {"LlamaTokenizer": (None, _llama)}
# Classes with which the library keeps both parts of the file.
_UNCHANGED = frozenset({"ConvBertTokenizer", "PreTrainedTokenizer"})
