"""Which tokenizer a model gets: that of its author, or the one that the installed library builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from pairchain.errors import FormatError, InputError, nearest, warn
from pairchain.source import Source
from pairchain_transformer.published.classes import fast_class
from pairchain_transformer.published.comparison import content_of, differences
from pairchain_transformer.published.conversion import converted
from pairchain_transformer.published.rebuilding import Published
from pairchain_transformer.published.saved import read_saved

AS_PUBLISHED, LIBRARY = "as-published", "library"
CHOICES = (AS_PUBLISHED, LIBRARY)

# The features of text, in the order in which tokenizers write them.
INPUT_NAMES = ("input_ids", "token_type_ids", "attention_mask")


def check_choice(choice: str | None) -> str | None:
    """Return ``choice``, which says whose tokenizer is meant; None for the default.

    Raises:
        InputError: It is neither.
    """
    if choice is not None and choice not in CHOICES:
        raise InputError(
            f"tokenizer is {choice!r}{nearest(str(choice), CHOICES)}.",
            next_step="pass 'as-published', for the tokens that the model was trained with, or 'library', for those of "
            "sentence-transformers.",
        )
    return choice


def hold_to_published(
    tokenizer: PreTrainedTokenizerBase, source: Source, given: Mapping[str, Any], choice: str | None
) -> None:
    """Give ``tokenizer`` the parts that its author's library gave it, where the installed one put others.

    Args:
        tokenizer: What the installed library made of the files.
        source: Where they are.
        given: What the caller passed to ``from_pretrained``; it wins over the files.
        choice: One of `CHOICES`; None for the author's, with a warning if that makes a difference.

    Raises:
        FormatError: The files tell no tokenizer, and ``choice`` asks for it.
    """
    if choice == LIBRARY or not _is_of_library(tokenizer):
        return
    try:
        published = _published(source, given)
        found = [] if published is None else _restore(tokenizer, published)
    # a panic of the tokenizers library is no Exception
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        _tell_failure(source, error, choice)
        return
    if found and choice is None:
        warn(
            f"{source}: transformers {version('transformers')} would tokenize otherwise than the library that saved "
            f"this model; it replaces {_listed(found)}. The published tokenizer is used, for the scores of the "
            "model's author. Pass tokenizer='library' for those of sentence-transformers, or tokenizer='as-published' "
            "to keep this without the warning."
        )


def _is_of_library(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether it has a backend in Rust, and its class is the library's own; code of a model is left alone."""
    own = type(tokenizer).__module__.partition(".")[0] == "transformers"
    return own and isinstance(getattr(tokenizer, "backend_tokenizer", None), Tokenizer)


def _published(source: Source, given: Mapping[str, Any]) -> Published | None:
    saved = read_saved(source, given)
    if saved.by_five:
        return None if saved.path is None else Published(saved, None)
    if (fast := fast_class(saved.class_name, saved.architecture)) is None:
        return None
    if saved.path is not None:
        return Published(saved, fast)
    fast = replace(fast, specials={**fast.specials, **fast.of_files})
    made = converted(source, fast, saved)
    return None if made is None else Published(saved, fast, made)


def _restore(tokenizer: Any, published: Published) -> list[str]:
    """Give ``tokenizer`` what it lacks of ``published``, and return the names of that."""
    names = set(published.input_names() or tokenizer.model_input_names)
    found = differences(
        published.content(), content_of(tokenizer.backend_tokenizer), with_types="token_type_ids" in names
    )
    if found:
        tokenizer._tokenizer = published.backend()
        tokenizer._tokenizer.encode_special_tokens = tokenizer.split_special_tokens
    if names != set(tokenizer.model_input_names):
        tokenizer.model_input_names = [name for name in INPUT_NAMES if name in names]
        found.append("model_input_names")
    if published.fast is not None and _restore_padding(tokenizer, published):
        found.append("padding")
    return found


def _restore_padding(tokenizer: Any, published: Published) -> bool:
    before = (tokenizer.pad_token, tokenizer.pad_token_type_id, tokenizer.padding_side)
    for name, token in published.named.items():
        if getattr(tokenizer, name) != str(token):
            setattr(tokenizer, name, token)
    tokenizer._pad_token_type_id = published.fast.pad_type
    tokenizer.padding_side = published.padding_side()
    return before != (tokenizer.pad_token, tokenizer.pad_token_type_id, tokenizer.padding_side)


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


def _tell_failure(source: Source, error: BaseException, choice: str | None) -> None:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if choice == AS_PUBLISHED:
        raise FormatError(
            f"the tokenizer cannot be had as it was published: {reason}",
            where=str(source),
            next_step="pass tokenizer='library' for what the installed library makes of its files.",
        ) from error
    warn(
        f"{source}: whether the installed library tokenizes as the one that saved this model cannot be told ({reason}). "
        "Its tokenizer is used as it is; pass tokenizer='library' to accept that."
    )
