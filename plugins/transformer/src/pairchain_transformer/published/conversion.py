"""Builds a tokenizer from vocabulary files as transformers 4.57 did without a ``tokenizer.json``.

That version passed a Python tokenizer to a converter. The installed library still has the converters; this module gives
them the attributes that they read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tokenizers import Tokenizer

from pairchain import Source
from pairchain_transformer.published.classes import FastClass
from pairchain_transformer.published.saved import Saved
from pairchain_transformer.published.specials import named_tokens

# Files with a vocabulary, in the order of preference.
_VOCABULARIES = """
    vocab.txt vocab.json sentencepiece.bpe.model spiece.model spm.model sentencepiece.model tokenizer.model
""".split()

# Defaults of the Python tokenizers' constructors.
_DEFAULTS: dict[str, dict[str, Any]] = {
    **{
        f"{name}Tokenizer": {"add_prefix_space": False}
        for name in "Bart Blenderbot CodeGen Deberta LED Longformer MarkupLM Mvp Roberta Whisper".split()
    },
    **{f"{name}Tokenizer": {"add_prefix_space": True, "legacy": None} for name in "Llama MT5 T5".split()},
    **{f"{name}Tokenizer": {"do_lower_case": False, "keep_accents": True} for name in "FNet RemBert".split()},
    "AlbertTokenizer": {"do_lower_case": True, "keep_accents": False},
    "DebertaV2Tokenizer": {"do_lower_case": False, "split_by_punct": False},
    "GPT2Tokenizer": {"add_prefix_space": False, "add_bos_token": False},
    "LayoutLMv3Tokenizer": {"add_prefix_space": True},
    "PegasusTokenizer": {"offset": 103, "mask_token_sent": "<mask_1>"},
    "SplinterTokenizer": {"question_token": "[QUESTION]"},
    "XLNetTokenizer": {"do_lower_case": False, "keep_accents": False},
}
# Classes whose Python constructor turned ``legacy=None`` into True.
_LEGACY = frozenset({"LlamaTokenizer", "MT5Tokenizer", "T5Tokenizer"})


def converted(source: Source, fast: FastClass, saved: Saved) -> Tokenizer | None:
    """Return the tokenizer that 4.57 converted from vocabulary files, without added tokens; None without files.

    Raises:
        ImportError: Reading a SentencePiece model needs a package that is not installed.
    """
    # slow to import
    from transformers.convert_slow_tokenizer import SLOW_TO_FAST_CONVERTERS

    path = next((path for name in _VOCABULARIES if (path := source.file(name)) is not None), None)
    converter = SLOW_TO_FAST_CONVERTERS.get(fast.name) or SLOW_TO_FAST_CONVERTERS.get(f"{fast.converter}Tokenizer")
    if path is None or converter is None:
        return None
    original = _original(source, path, fast, saved)
    made = converter(original)
    if path.name.endswith(".model"):
        original.convert_ids_to_tokens = lambda index: made.proto.pieces[index].piece
        pieces = [piece for piece, _ in made.vocab(made.proto)]
        original.convert_tokens_to_ids = _ids(pieces, str(original.unk_token))
        made.SpmExtractor = partial(_Merges, fast.name == "GemmaTokenizer", made.proto)
    tokenizer: Tokenizer = made.converted()
    return tokenizer


class _Merges:
    """Gives a converter the merges of a SentencePiece model, as the library's own class no longer does."""

    def __init__(self, with_tabs: bool, proto: Any, path: str) -> None:
        self._ids: dict[str, Any] = {piece.piece: index for index, piece in enumerate(proto.pieces)}
        if with_tabs:
            self._ids.setdefault("\t", self._ids.get("<0x09>"))

    def extract(self, scores: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Return the ids of all pieces, and the merges in order."""
        from transformers.tokenization_utils_base import generate_merges

        return self._ids, generate_merges(self._ids, scores)


def _original(source: Source, path: Path, fast: FastClass, saved: Saved) -> SimpleNamespace:
    """Return an object with the attributes of a Python tokenizer that a converter reads."""
    settings = saved.settings
    named = {name: str(token) for name, token in named_tokens(fast, saved).items()}
    known = {key: settings.get(key, default) for key, default in _DEFAULTS.get(fast.name, {}).items()}
    original = SimpleNamespace(
        vocab_file=str(path), padding_side=settings.get("padding_side", "right"), **named, **known
    )
    if fast.name in _LEGACY and original.legacy is None:
        original.legacy = True
    if fast.name == "SeamlessM4TTokenizer":
        original.legacy = False
    original._extra_ids = settings.get("extra_ids", 100)
    if path.name.endswith(".model"):
        # the converters of SentencePiece models need ids, but their values do not matter
        for index, name in enumerate(("pad_token", "eos_token", "mask_token")):
            if name in named:
                setattr(original, f"{name}_id", index)
        original.unk_token_id = 1
        return original
    vocabulary = _words(path) if path.name == "vocab.txt" else json.loads(path.read_text(encoding="utf-8"))
    original.vocab = original.encoder = vocabulary
    original.bpe_ranks = _merges(source)
    original.convert_tokens_to_ids = _ids(vocabulary, named.get("unk_token", ""))
    if settings.get("do_basic_tokenize", True):
        original.basic_tokenizer = SimpleNamespace(
            do_lower_case=settings.get("do_lower_case", True),
            strip_accents=settings.get("strip_accents"),
            tokenize_chinese_chars=settings.get("tokenize_chinese_chars", True),
        )
    for name in ("question_token", *named):
        if (token := getattr(original, name, None)) is not None:
            setattr(original, f"{name}_id", original.convert_tokens_to_ids(token))
    if fast.name == "WhisperTokenizer":
        names = ("<|startoftranscript|>", "<|notimestamps|>")
        original.prefix_tokens = [original.convert_tokens_to_ids(name) for name in names]
        by_id = {index: token for token, index in vocabulary.items()}
        original.convert_ids_to_tokens = lambda ids: [by_id[index] for index in ids]
    return original


def _ids(vocabulary: Any, unknown: str) -> Callable[[str], int]:
    ids = vocabulary if isinstance(vocabulary, dict) else {piece: index for index, piece in enumerate(vocabulary)}

    def id_of(token: str) -> int:
        found = ids.get(token, ids.get(unknown))
        # a token that the vocabulary lacks is added at its end
        return len(ids) if found is None else int(found)

    return id_of


def _words(path: Path) -> dict[str, int]:
    with open(path, encoding="utf-8") as lines:
        return {line.rstrip("\n"): index for index, line in enumerate(lines)}


def _merges(source: Source) -> dict[tuple[str, ...], int]:
    path = source.file("merges.txt")
    lines = [] if path is None else path.read_text(encoding="utf-8").split("\n")[1:-1]
    return {tuple(line.split()): index for index, line in enumerate(lines)}
