"""Tiny vocabularies of each kind, made of `texts.CORPUS`: the files from which slow tokenizers are built."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache

from published.texts import CORPUS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

_SIZE = 600


@cache
def wordpiece(specials: Sequence[str]) -> str:
    """Return a ``vocab.txt`` with pieces of both cases, with and without accents."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=specials[1]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    lines = [*CORPUS, *(line.lower() for line in CORPUS), *map(_plain, CORPUS)]
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=list(specials), show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    return "".join(f"{token}\n" for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))


@cache
def bytes_bpe(specials: Sequence[str]) -> tuple[str, str]:
    """Return ``vocab.json`` and ``merges.txt`` of a byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_SIZE,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _files(tokenizer)


@cache
def suffix_bpe(specials: Sequence[str], *, byte_level: bool) -> tuple[str, str]:
    """Return ``vocab.json`` and ``merges.txt`` of a BPE that marks the ends of words, over bytes or characters."""
    tokenizer = Tokenizer(models.BPE(unk_token=specials[0], end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase() if byte_level else None
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        if byte_level
        else pre_tokenizers.BertPreTokenizer()
    )
    trainer = trainers.BpeTrainer(
        vocab_size=_SIZE,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if byte_level else [],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([*CORPUS, *(line.lower() for line in CORPUS)], trainer)
    return _files(tokenizer)


@cache
def sentencepiece(kind: str, **options: object) -> bytes:
    """Return a SentencePiece model, ``unigram`` or ``bpe``; ``options`` are those of its trainer."""
    import sentencepiece as library

    written = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 3),
        model_writer=written,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **{"vocab_size": _SIZE, "character_coverage": 0.999, **options},
    )
    return written.getvalue()


def _plain(line: str) -> str:
    return normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]).normalize_str(line)


def _files(tokenizer: Tokenizer) -> tuple[str, str]:
    model = json.loads(tokenizer.to_str())["model"]
    merges = (merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
    return json.dumps(model["vocab"], ensure_ascii=False), "#version: 0.2\n" + "\n".join(merges) + "\n"
