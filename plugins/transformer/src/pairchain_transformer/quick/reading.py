"""Reads a saved tokenizer with the tokenizers library alone, if the transformers library would build the same one.

It answers only for files that it understands whole. For everything else it says why not, and the transformers library
builds the tokenizer, with whatever warning is due.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from pairchain import Source
from pairchain.errors import PairchainError, SourceError
from pairchain_transformer.files.names import PROCESSOR_FILES
from pairchain_transformer.libraries.messages import in_a_line, is_of_bad_file
from pairchain_transformer.published.classes import fast_class
from pairchain_transformer.published.comparison import PARTS, differences
from pairchain_transformer.published.rebuilding import Published
from pairchain_transformer.published.saved import NAMED, Saved, added_tokens, read_saved
from pairchain_transformer.quick.library_parts import CLASSES, GENERIC, parts
from pairchain_transformer.quick.tokenizer import QuickTokenizer
from pairchain_transformer.quick.unknown import NeedsLibraryError

# Arguments of a caller that are understood here.
_GIVEN = frozenset({"model_max_length", "padding_side", "truncation_side", "chat_template"})
_NO_LIMIT = int(1e30)
# Families whose tokenizers the library repairs while it loads them.
_REPAIRED = ("mistral", "ministral", "mixtral", "voxtral", "pixtral", "devstral", "magistral")
_TEMPLATE_FILE = "chat_template.jinja"
_MORE_TEMPLATES = "additional_chat_templates"

_OF_PIECES = (None, "Metaspace", "Split")

_Id = Callable[[str], int]


def read(source: Source, given: Mapping[str, Any], *, takes_types: bool, positions: int | None) -> QuickTokenizer | str:
    """Return the tokenizer in ``source``; a clause that says why it takes the transformers library, if it does.

    Args:
        source: The place of the files.
        given: The caller's arguments of ``from_pretrained``.
        takes_types: Whether the model takes token types.
        positions: The most tokens that the model has positions for; None without a limit.

    Raises:
        SourceError: A file cannot be downloaded.
    """
    try:
        return _read(source, given, takes_types, positions)
    except NeedsLibraryError as error:
        return str(error)
    except SourceError:
        # not to be downloaded once more
        raise
    except PairchainError as error:
        # the library reads the same files, and its error is the one to show
        return error.what.rstrip(".")
    except BaseException as error:
        if not is_of_bad_file(error):
            raise
        return f"reading the tokenizer raised {type(error).__name__}: {in_a_line(error)}"


def _read(source: Source, given: Mapping[str, Any], takes_types: bool, positions: int | None) -> QuickTokenizer:
    _require(given.keys() <= _GIVEN, "an argument changes the tokenizer")
    _require(all(source.file(name) is None for name in PROCESSOR_FILES), "the model reads more than text")
    saved = read_saved(source, given)
    _require(saved.path is not None, "there is no tokenizer.json")
    assert saved.path is not None
    _require(not (saved.path.parent / _MORE_TEMPLATES).is_dir(), "there are several chat templates")
    settings = saved.settings
    changing = ("auto_map", "fast_tokenizer_files", "split_special_tokens")
    _require(not any(map(settings.get, changing)), "a setting of the tokenizer")
    name = _class_name(saved)
    fast = None if saved.is_complete else fast_class(saved.class_name, saved.architecture)
    _require(saved.is_complete or fast is not None, "the class of the tokenizer is not a known one")
    published = Published(saved, fast)
    named = _named(name, settings, saved.content)
    further = _further(name, settings)
    _check_named(named, further, published, saved)
    restored = _restored(name, published, saved, named, takes_types)
    return QuickTokenizer(
        published.backend(),
        named,
        _input_names(name, settings, published, takes_types),
        _longest(settings, given, positions),
        padding_side=_padding_side(name, published, saved),
        truncation_side=_side(settings, saved.content, "truncation"),
        # the library ignores the type in the file's own padding
        pad_token_type_id=published.pad_type(0),
        chat_template=_template(source, given, settings),
        all_special_tokens=tuple(dict.fromkeys([*named.values(), *further])),
        restored=tuple(restored),
    )


def _require(is_known: bool, otherwise: str) -> None:
    if not is_known:
        raise NeedsLibraryError(otherwise)


def _class_name(saved: Saved) -> str:
    architecture = saved.architecture or ""
    _require(not any(word in architecture for word in _REPAIRED), "the library repairs tokenizers of this architecture")
    name = (saved.class_name or "").removesuffix("Fast")
    if not name:
        # without a name, the class follows from the architecture
        found = None if saved.is_complete else fast_class(None, architecture)
        name = "" if found is None else found.name
    if name in GENERIC and saved.class_name:
        return name
    row = CLASSES.get(name)
    _require(
        row is not None and architecture in row.architectures, f"the class of the tokenizer is {name or 'unknown'}"
    )
    assert row is not None
    if row.is_for_pieces:
        first, last = (saved.content.get(part) or {} for part in ("pre_tokenizer", "post_processor"))
        _require(bool(saved.class_name), "the files do not name the class of the tokenizer")
        is_usual = first.get("type") in _OF_PIECES and last.get("type") == "TemplateProcessing"
        _require(is_usual, "the library may take another class for this tokenizer")
    return name


def _named(name: str, settings: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens by name, as the library has them."""
    row = CLASSES.get(name)
    found: dict[str, Any] = dict(row.defaults) if row is not None else {}
    padding = content.get("padding") or {}
    if "pad_token" in padding and "pad_token" not in found:
        found["pad_token"] = padding["pad_token"]
    for key, value in settings.items():
        if key in NAMED:
            found[key] = value
        else:
            _require(not key.endswith("_token") or value is None or isinstance(value, bool), f"the setting {key!r}")
    kept = {key: str(found[key]) for key in NAMED if found.get(key) is not None}
    _require(all(kept.values()), "a special token is empty")
    return kept


def _further(name: str, settings: Mapping[str, Any]) -> list[str]:
    usual = CLASSES[name].further if name in CLASSES else ()
    given = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or usual
    _require(isinstance(given, (list, tuple)), "a special token has a name of its own")
    _require(not usual or tuple(map(str, given)) == usual, "the class has special tokens of its own")
    return [str(token) for token in given]


def _check_named(named: Mapping[str, str], further: list[str], published: Published, saved: Saved) -> None:
    """Require that every special token is in ``tokenizer.json`` already, so that the library adds none."""
    present = {token.content: token for token in added_tokens(saved.content).values()}
    for token in (*named.values(), *further):
        _require(token in present and present[token].special, f"the token {token!r} is added at load")
    _require(
        all(named.get(key) == str(token) for key, token in published.named.items()), "a special token has two names"
    )
    decoder, own = saved.decoder, added_tokens(saved.content)
    is_same = {index: repr(token) for index, token in decoder.items()} == {i: repr(token) for i, token in own.items()}
    _require(is_same and not published.adds_tokens, "tokens are added at load")
    if saved.class_name is not None and saved.class_name.removesuffix("Fast") == "Qwen2Tokenizer":
        plain = (AddedToken(token, special=True) for token in named.values())
        _require(all(repr(token) == repr(present[token.content]) for token in plain), "a special token has flags")


def _restored(name: str, published: Published, saved: Saved, named: Mapping[str, str], takes_types: bool) -> list[str]:
    """Return the parts of the published tokenizer that the library would replace; those are read as published."""
    content = published.content()
    _require(saved.content.get("post_processor") is not None, "tokenizer.json has no post-processor")
    if name in GENERIC:
        library = dict(saved.content)
    else:
        vocabulary = _ids(saved.content)
        _check_order(saved.content, vocabulary)
        library = parts(name, saved.content, saved.settings, named, vocabulary.__getitem__)
    # a file without names for its kind of model dates from before the kinds had settings
    names = _usual_names(name) if published.input_names() is None else published.input_names()
    found = differences(content, library, PARTS, with_types=takes_types and "token_type_ids" in (names or ()))
    # which of its own parts version 5 restores depends on the caller's arguments
    is_restored = name in CLASSES and not saved.is_complete and "added_tokens" not in found
    _require(not found or is_restored, f"the library replaces the {' and the '.join(found)} of the tokenizer")
    return found


def _padding_side(name: str, published: Published, saved: Saved) -> str:
    usual = CLASSES[name].padding_side if name in CLASSES else "right"
    library = _side(saved.settings, saved.content, "padding", usual)
    side = published.padding_side() or library
    _require(side == library, "the library pads on the other side")
    return side


def _ids(content: Mapping[str, Any]) -> dict[str, int]:
    vocabulary = content["model"]["vocab"]
    ids = dict(vocabulary) if isinstance(vocabulary, dict) else {}
    if isinstance(vocabulary, list):
        ids = {piece: index for index, (piece, _) in enumerate(vocabulary)}
    return ids | {token["content"]: token["id"] for token in content.get("added_tokens") or ()}


def _check_order(content: Mapping[str, Any], ids: Mapping[str, int]) -> None:
    """Require that added tokens outside the vocabulary have the ids that adding them in order would give."""
    vocabulary = content["model"]["vocab"]
    own = vocabulary if isinstance(vocabulary, dict) else {piece for piece, _ in vocabulary}
    added = sorted((token["id"], token["content"]) for token in content.get("added_tokens") or ())
    outside = [index for index, token in added if token not in own]
    _require(outside == list(range(len(own), len(own) + len(outside))), "added tokens have ids of their own")
    if isinstance(vocabulary, dict):
        _require(all(vocabulary.get(token, index) == index for index, token in added), "a token has two ids")


def _usual_names(name: str) -> tuple[str, ...]:
    return CLASSES[name].input_names if name in CLASSES else ("input_ids", "attention_mask")


def _input_names(name: str, settings: Mapping[str, Any], published: Published, takes_types: bool) -> tuple[str, ...]:
    names = tuple(settings.get("model_input_names") or _usual_names(name))
    wanted = published.input_names()
    _require(not takes_types or wanted is None or set(wanted) == set(names), "the library leaves out token types")
    _require({"input_ids", "attention_mask"} <= set(names), "the tokenizer writes no mask")
    return names


def _longest(settings: Mapping[str, Any], given: Mapping[str, Any], positions: int | None) -> float:
    value = settings.get("model_max_length", settings.get("max_len"))
    longest = _NO_LIMIT if value is None else value
    is_count = isinstance(longest, (int, float)) and not isinstance(longest, bool) and longest >= 1
    _require(is_count and (longest > int(1e20) or int(longest) == longest), "model_max_length is no number of tokens")
    longest = int(longest)
    return longest if positions is None or "model_max_length" in given else min(longest, positions)


def _side(settings: Mapping[str, Any], content: Mapping[str, Any], which: str, usual: str = "right") -> str:
    saved = content.get(which)
    usual = str(saved.get("direction", "right")).lower() if saved else usual
    side = settings.get(f"{which}_side", usual)
    _require(side in ("left", "right"), f"the setting '{which}_side'")
    return str(side)


def _template(source: Source, given: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    template = settings.get("chat_template")
    if "chat_template" not in given and (path := source.file(_TEMPLATE_FILE)) is not None:
        template = Path(path).read_text(encoding="utf-8")
    _require(template is None or isinstance(template, str), "there are several chat templates")
    return template
