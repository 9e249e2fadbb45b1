"""Chooses between the tokenizer that a model's author published and the one that the installed library builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, pre_tokenizers

from pairchain import Source
from pairchain.authoring import nearest, read_json_object, write_json
from pairchain.errors import FormatError, InputError, PairchainError, warn
from pairchain_transformer.libraries.messages import in_a_line, is_of_bad_file
from pairchain_transformer.published.classes import fast_class
from pairchain_transformer.published.comparison import COMPONENTS, content_of, differences
from pairchain_transformer.published.conversion import converted
from pairchain_transformer.published.rebuilding import Published
from pairchain_transformer.published.saved import Saved, read_saved

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AS_PUBLISHED, LIBRARY = "as-published", "library"
CHOICES = (AS_PUBLISHED, LIBRARY)

# The features of text, in the order that tokenizers write them.
INPUT_NAMES = ("input_ids", "token_type_ids", "attention_mask")

# Arguments with which a caller changes parts of a tokenizer.
_CHANGING = frozenset(
    """
    add_bos_token add_eos_token add_prefix_space do_lower_case fix_mistral_regex keep_accents legacy legacy_behaviour
    remove_space split_by_punct src_lang strip_accents tgt_lang tokenize_chinese_chars
    """.split()
)

# The class that keeps tokenizer.json as it is, in transformers 4 and 5.
_GENERIC = "PreTrainedTokenizerFast"
# The attribute of a tokenizer that names its restored parts.
_RESTORED = "pairchain_restored"


def check_choice(choice: str | None) -> str | None:
    """Return ``choice`` if it is one of `CHOICES` or None; raise an InputError otherwise."""
    if choice is not None and choice not in CHOICES:
        raise InputError(
            f"tokenizer is {choice!r}{nearest(str(choice), CHOICES)}.",
            next_step="pass 'as-published' for the tokens that the model was trained with, or 'library' for those of "
            "sentence-transformers.",
        )
    return choice


def restore_published(
    tokenizer: PreTrainedTokenizerBase,
    source: Source,
    given: Mapping[str, Any],
    choice: str | None = None,
    *,
    lowers: bool = False,
    takes_types: bool = True,
    build: Callable[[Mapping[str, Any]], Any] | None = None,
) -> None:
    """Restore the parts of ``tokenizer`` that the installed library replaced.

    Args:
        tokenizer: The tokenizer that the installed library built.
        source: Its files.
        given: The caller's arguments of ``from_pretrained``, which override the files.
        choice: One of `CHOICES`; None for the author's tokenizer, with a warning if the two differ.
        lowers: Whether all text is lowercased first.
        takes_types: Whether the model takes token types; if not, its tokenizer need not write them.
        build: Builds the tokenizer with other arguments.

    Raises:
        FormatError: The published tokenizer cannot be restored, and ``choice`` asks for it.
    """
    if choice == LIBRARY or not _is_of_library(tokenizer):
        return
    try:
        published = _published(tokenizer, source, given, build)
        found = [] if published is None else _restore(tokenizer, published, lowers, takes_types)
    except PairchainError:
        raise  # a file may not be read, or differs from the locked one
    except BaseException as error:
        if not is_of_bad_file(error):
            raise
        _report_failure(source, error, choice)
        return
    if found and choice is None:
        warn_of_replaced(source, found)


def warn_of_replaced(source: Source, parts: Sequence[str]) -> None:
    """Warn that the library replaces ``parts`` of the tokenizer in ``source``, and that the published ones are used."""
    warn(
        f"{source}: transformers {version('transformers')} replaces {_listed(parts)} of this model's tokenizer, "
        "which changes tokens, and so scores. Pairchain uses the tokenizer as it was published. Pass "
        "tokenizer='library' for the scores of sentence-transformers, or tokenizer='as-published' to keep this one "
        "without the warning.",
        argument="tokenizer",
    )


def save_class(tokenizer: Any, folder: str) -> None:
    """Name the class that keeps ``tokenizer.json`` as it is in a saved ``tokenizer_config.json``.

    With a restored tokenizer's own class, sentence-transformers would replace its parts again.
    """
    path = Path(folder, "tokenizer_config.json")
    if not getattr(tokenizer, _RESTORED, ()) or not path.is_file():
        return
    config = read_json_object(path, shown_as="tokenizer_config.json")
    first = tokenizer.backend_tokenizer.pre_tokenizer
    if isinstance(first, pre_tokenizers.ByteLevel):
        config["add_prefix_space"] = first.add_prefix_space
    config["model_input_names"] = list(tokenizer.model_input_names)
    config["padding_side"] = tokenizer.padding_side
    config["pad_token_type_id"] = tokenizer.pad_token_type_id
    write_json(path, {**config, "tokenizer_class": _GENERIC}, indent=2)


def _listed(parts: Sequence[str]) -> str:
    """Join the names of parts as in a sentence."""
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


def _is_of_library(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the class is the library's own and has a Rust backend; a model's own class is left alone."""
    own = type(tokenizer).__module__.partition(".")[0] == "transformers"
    return own and isinstance(getattr(tokenizer, "backend_tokenizer", None), Tokenizer)


def _published(
    tokenizer: Any,
    source: Source,
    given: Mapping[str, Any],
    build: Callable[[Mapping[str, Any]], Any] | None,
) -> Published | None:
    saved = read_saved(source, given)
    if saved.is_complete:
        return None if saved.path is None else _of_five(tokenizer, saved, given, build)
    if (fast := fast_class(saved.class_name, saved.architecture)) is None:
        return None
    if saved.path is not None:
        patched = bool(saved.settings.get("fix_mistral_regex"))
        present = content_of(tokenizer.backend_tokenizer) if patched else {}
        return Published(saved, fast, changed={"pre_tokenizer": present["pre_tokenizer"]} if patched else {})
    fast = replace(fast, specials={**fast.specials, **fast.of_files})
    made = converted(source, fast, saved)
    return None if made is None else Published(saved, fast, made=made)


def _of_five(
    tokenizer: Any, saved: Saved, given: Mapping[str, Any], build: Callable[[Mapping[str, Any]], Any] | None
) -> Published:
    """Return the tokenizer that transformers 5 saved, with the caller's changes."""
    backend = tokenizer.backend_tokenizer
    changed: dict[str, Any] = {}
    if build is not None and _CHANGING & given.keys():
        now = content_of(backend)
        without = build({key: value for key, value in given.items() if key not in _CHANGING})
        for part in differences(now, content_of(without.backend_tokenizer), COMPONENTS):
            changed[part] = now[part]
    present = {token["content"] for token in saved.content.get("added_tokens") or ()}
    added = [token for _, token in sorted(backend.get_added_tokens_decoder().items()) if token.content not in present]
    return Published(saved, None, changed=changed, added=added)


def _restore(tokenizer: Any, published: Published, lowers: bool, takes_types: bool) -> list[str]:
    """Restore the parts in which ``tokenizer`` differs from ``published``, and return their names."""
    present = set(tokenizer.model_input_names)
    names = set(published.input_names() or present) if takes_types else present - {"token_type_ids"}
    present_content = content_of(tokenizer.backend_tokenizer)
    with_types = "token_type_ids" in names
    found = differences(published.content(), present_content, with_types=with_types, lowers=lowers)
    if found:
        tokenizer._tokenizer = published.backend()
        tokenizer._tokenizer.encode_special_tokens = tokenizer.split_special_tokens
    if takes_types and names != present:
        tokenizer.model_input_names = [name for name in INPUT_NAMES if name in names]
        found.append("model_input_names")
    if _restore_padding(tokenizer, published):
        found.append("padding")
    if found:
        setattr(tokenizer, _RESTORED, tuple(found))
    return found


def _restore_padding(tokenizer: Any, published: Published) -> bool:
    before = (tokenizer.pad_token, tokenizer.padding_side)
    for name, token in published.named.items():
        if getattr(tokenizer, name) != str(token):
            setattr(tokenizer, name, token)
    tokenizer._pad_token_type_id = published.pad_type(tokenizer.pad_token_type_id)
    tokenizer.padding_side = published.padding_side() or tokenizer.padding_side
    return before != (tokenizer.pad_token, tokenizer.padding_side)


def _report_failure(source: Source, error: BaseException, choice: str | None) -> None:
    reason = f"{type(error).__name__}: {in_a_line(error)}"
    if choice == AS_PUBLISHED:
        raise FormatError(
            f"the published tokenizer cannot be restored: {reason}",
            where=str(source),
            next_step="pass tokenizer='library' for the tokenizer that the installed library builds.",
            argument="tokenizer",
        ) from error
    warn(
        f"{source}: pairchain cannot tell whether the installed library tokenizes as the one that saved this model did "
        f"({reason}). It uses the installed library's tokenizer; pass tokenizer='library' to accept that.",
        argument="tokenizer",
    )
