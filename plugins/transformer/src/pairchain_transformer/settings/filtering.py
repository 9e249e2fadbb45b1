"""Sorts the settings of a tokenizer or processor: each passes, is left out, or reaches beyond the library."""

from __future__ import annotations

import ntpath
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from pairchain import Setting, Source
from pairchain.authoring import check_inside, is_for_other_libraries, is_read_by_loads, shortened
from pairchain.errors import FormatError, UnsafePathError
from pairchain_transformer.settings import names
from pairchain_transformer.settings.reaching import reached, reached_by_default

_PART = re.compile(r"(image_processor|video_processor|feature_extractor|audio_processor|tokenizer)$")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_BEGINS_PATH = re.compile(r"[/\\~.]|.:", re.DOTALL)
_MOST_SHOWN = 200
_LONGEST_PATH = 4096


@dataclass(frozen=True)
class Filtered:
    """The settings in a file, sorted.

    Attributes:
        passed: Settings that may reach the file's class.
        left_out: The reason why another setting may not, by key; empty if no class reads it.
        reaching: Settings that reach another library, a program or a repository.
        files: Local paths of the model's files that settings name, by key.
    """

    passed: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    reaching: list[Setting] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


def filter_settings(
    values: Mapping[str, Any],
    source: Source,
    file: str,
    classes: Sequence[str] = (),
    *,
    given: Collection[str] = (),
    is_own_code: bool = False,
) -> Filtered:
    """Sort the settings in a file of a tokenizer, a processor or a part of a processor.

    Args:
        values: The settings.
        source: The model.
        file: The file's name in errors.
        classes: Names of the class that reads them and of its base classes, as far as known.
        given: Keys that the caller sets instead.
        is_own_code: Whether that class is trusted code of the model, which may have settings of its own.

    Raises:
        UnsafePathError: A setting is a path out of the model, or names a file that locks do not cover.
        FormatError: A setting names a class of the wrong kind, or is a larger count than any model has.
    """
    found = Filtered()
    shown = f"{file} of {source.name}"
    for key, value in values.items():
        if key in given:
            found.passed[key] = value
        elif (goes_to := reached(key, values)) is not None:
            found.passed[key] = value
            if goes_to:
                found.reaching.append(reaching_setting(file, key, value, goes_to))
            else:
                refuse_paths_out({key: value}, source, shown)
        elif key in names.LOADING:
            found.left_out[key] = "a model's file may not decide" if value else ""
        elif key in names.DEAD:
            found.left_out[key] = ""
        elif isinstance(value, Mapping) and _PART.search(key):
            named = [str(value[name]) for name in names.CLASSES if isinstance(value.get(name), str)]
            inner = filter_settings(value, source, f"{file}: {key}", named, given=given, is_own_code=is_own_code)
            found.passed[key] = {**inner.passed, **inner.files}
            found.reaching.extend(inner.reaching)
            found.left_out.update({f"{key}.{name}": why for name, why in inner.left_out.items()})
        elif _names_file(key, value):
            if (path := _file(source, key, value, shown)) is not None:
                found.files[key] = path
            elif is_own_code:
                found.passed[key] = value
                continue
            # former paths of a tokenizer's files are harmless
            found.left_out[key] = "" if value is None or path or key.endswith("_file") else "names no file of the model"
        else:
            found.reaching.extend(
                Setting(file, f"{key}: {inside.text}", inside.goes_to, key) for inside in _reaching_inside(key, value)
            )
            refuse_paths_out({key: value}, source, shown)
            _check_count(key, value, shown)
            if not is_own_code:
                _check_class(key, value, shown)
            if is_own_code or _may_pass(key, value):
                found.passed[key] = value
            else:
                found.left_out[key] = f"is unknown{' in this form' if key in names.PLAIN else ''}"
    for key, goes_to in reached_by_default(values, classes):
        if key not in given:
            found.reaching.append(Setting(file, f"{key}, by default", goes_to, key))
    return found


def reaching_setting(file: str, key: str, value: Any, goes_to: str) -> Setting:
    """Return the report on a setting that reaches ``goes_to``."""
    return Setting(file, f"{key} = {_short(value)}", goes_to, key)


def _reaching_inside(key: str, value: Any) -> Iterator[Setting]:
    """Yield the settings inside ``value`` that reach something."""
    if isinstance(value, dict) and not _is_text(key):
        for name, item in value.items():
            if goes_to := reached(name, value):
                yield reaching_setting("", name, item, goes_to)
            else:
                yield from _reaching_inside(name, item)
    elif isinstance(value, list):
        for item in value:
            yield from _reaching_inside(key, item)


def _names_file(key: str, value: Any) -> bool:
    # a value that is not a string may be the vocabulary itself
    return (key in names.FILE or key.endswith(names.FILES)) and (value is None or isinstance(value, str))


def _may_pass(key: str, value: Any) -> bool:
    if _is_text(key) or key in names.FILE:
        return True
    if key in names.PLAIN or key in names.CLASSES:
        return all(map(_is_word, _texts_inside(value)))
    return _is_number(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_number, value))
    # a number names nothing; a boolean may switch on a program
    return value is None or type(value) in (int, float)


def _is_word(text: str) -> bool:
    return not re.search(r"[/\\\0]|^[.~]", text)


def _check_class(key: str, value: Any, shown: str) -> None:
    kind = names.CLASSES.get(key)
    if kind is not None and value is not None and not (isinstance(value, str) and re.fullmatch(kind, value)):
        raise FormatError(
            f"{shown}: {key!r} is {_short(value)}, which is not the name of such a class.",
            next_step="save or fetch the model again; the transformers library would import anything of that name.",
        )


def _check_count(key: str, value: Any, shown: str) -> None:
    most = names.COUNTS.get(key)
    if key == "added_tokens_decoder" and isinstance(value, dict):
        # the library fills the gaps between ids
        value, most = max((int(number) for number in value if str(number).isdigit()), default=0), names.MOST_TOKENS
    if most is not None and isinstance(value, int | float) and value > most:
        raise FormatError(
            f"{shown}: {key!r} is {value:,}, more than {most:,}.",
            next_step="save or fetch the model again; no model has that many.",
        )


def _file(source: Source, key: str, value: str | None, shown: str) -> str | None:
    """Return the local path of the model's file that a setting names; None if it names none.

    Older tokenizers were saved with the former paths of their files; only the last part of such a path counts. A path
    to another file on this machine, and a file that locks do not cover, raise an UnsafePathError.
    """
    if not value or not (base := PureWindowsPath(value).name):
        return None
    inside = value if _is_inside(value) else base
    for name in dict.fromkeys((inside, base)):
        check_covered_by_locks(source, name, f"{shown}: {key!r} is {value!r}")
        if _is_inside(name) and (found := source.file(name)) is not None:
            return str(found)
    if value != base and os.path.exists(value):
        raise UnsafePathError(
            f"{shown}: {key!r} is {value!r}, a file outside the model's folder.",
            next_step="put the file beside the model if you know what it is; if not, do not load this model.",
        )
    return None


def check_covered_by_locks(source: Source, name: str, said: str) -> None:
    """Raise an UnsafePathError for a file that locks do not cover, because no load should read it."""
    path = PurePosixPath(name).as_posix()
    # some file systems ignore case
    if not all(
        is_read_by_loads(name, ()) and not is_for_other_libraries(name, (), ()) for name in (path, path.lower())
    ):
        raise UnsafePathError(
            f"{said}, a file that no load should read: locks do not cover it.",
            where=str(source),
            next_step="rename the file if you made it; if not, do not load this model.",
        )


def _is_inside(path: str) -> bool:
    try:
        check_inside(path, shown_as="")
    except UnsafePathError:
        return False
    return True


def refuse_paths_out(values: Any, source: Source, shown: str, *, urls: bool = True) -> None:
    """Refuse settings with a local path out of the model, or a URL, at any depth.

    Args:
        values: The settings.
        source: The model.
        shown: The file's name in errors.
        urls: Whether to refuse URLs; in a configuration, they are for people.

    Raises:
        UnsafePathError: A setting is such a path or URL.
    """
    for key, text in _texts(values):
        if _leads_out(text, source, key) or (urls and _URL.match(text) and not _is_text(key)):
            raise UnsafePathError(
                f"{shown}: {key!r} is {_short(text)}, which is outside the model's folder.",
                next_step="put the file that it needs beside the model; if you do not know it, do not load this model.",
            )


def _texts(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text with its key, at any depth; skip texts of tokens and templates that cannot be paths."""
    if _is_text(key):
        # the key applies to everything inside, and a vocabulary may be very large
        yield from ((key, text) for text in _texts_inside(values) if _BEGINS_PATH.match(text))
    elif isinstance(values, dict):
        for name, value in values.items():
            if name not in names.DEAD:
                yield from _texts(value, name)
    elif isinstance(values, list):
        for value in values:
            yield from _texts(value, key)
    elif isinstance(values, str):
        yield key, values


def _texts_inside(value: Any) -> list[str]:
    found: list[str] = []
    waiting = [value]
    while waiting:
        inside = waiting.pop()
        if isinstance(inside, str):
            found.append(inside)
        elif isinstance(inside, dict):
            waiting.extend(inside.values())
        elif isinstance(inside, list):
            waiting.extend(inside)
    return found


def _is_text(key: str) -> bool:
    return key in names.TEXT or key.endswith(names.TOKENS)


def _leads_out(text: str, source: Source, key: str) -> bool:
    """Return whether ``text`` is the path of a local file or folder outside the model."""
    is_path = text.startswith(("/", "\\", "~", "../", "./")) or ntpath.splitdrive(text)[0] or "/../" in text
    if not is_path or len(text) > _LONGEST_PATH or "\0" in text or "\n" in text:
        return False
    path = os.path.expanduser(text)
    # a token may be "//", which is also the name of a folder
    is_there = os.path.isfile(path) if _is_text(key) else os.path.exists(path) and not os.path.ismount(path)
    return is_there and not _is_under(path, source)


def _is_under(path: str, source: Source) -> bool:
    return source.is_local and os.path.realpath(path).startswith(os.path.realpath(source.name) + os.sep)


def _short(value: Any) -> str:
    return shortened(repr(value), _MOST_SHOWN)
