"""What becomes of each setting of a tokenizer or processor: it passes, is left out, or reaches something else."""

from __future__ import annotations

import ntpath
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from pairchain import Setting, Source
from pairchain.authoring import check_inside, is_for_other_libraries, is_read_by_loads
from pairchain.errors import FormatError, UnsafePathError
from pairchain_transformer.settings import names
from pairchain_transformer.settings.reaching import has_rule, reached, reached_by_default

_PART = re.compile(r"(image_processor|video_processor|feature_extractor|audio_processor|tokenizer)$")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_BEGINS_PATH = re.compile(r"[/\\~.]|.:", re.DOTALL)
_MOST_SHOWN = 200
_LONGEST_PATH = 4096


@dataclass(frozen=True)
class Judgement:
    """What becomes of the settings in a file.

    Attributes:
        passed: Those that may reach the class that the file is for.
        left_out: Why each of the others does not, by its key; nothing for one that no class reads.
        reaching: Those that reach another library, a program or a repository.
        files: Local files of the model that the file names, by their keys.
    """

    passed: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    reaching: list[Setting] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


def judge(
    values: Mapping[str, Any],
    source: Source,
    file: str,
    classes: Sequence[str] = (),
    *,
    given: Collection[str] = (),
    is_own_code: bool = False,
) -> Judgement:
    """Return what becomes of the settings in a file of a tokenizer, or of a processor or a part of one.

    Args:
        values: The settings.
        source: The model.
        file: What to call the file they are in.
        classes: Names of the class that they are for and of those it is made from, as far as they are known.
        given: Keys that the caller sets instead.
        is_own_code: Whether that class is code of the model that somebody trusts, so that unknown names are its own.

    Raises:
        UnsafePathError: A setting is a path out of the model, or names a file that no lock holds.
        FormatError: A setting names a class of the wrong kind, or counts more of something than any model has.
    """
    found = Judgement()
    shown = f"{file} of {source.name}"
    for key, value in values.items():
        if key in given:
            found.passed[key] = value
        elif goes_to := reached(key, values):
            found.passed[key] = value
            found.reaching.append(Setting(file, f"{key} = {_short(value)}", goes_to, key))
        elif has_rule(key):
            refuse_paths_out({key: value}, source, shown)
            found.passed[key] = value
        elif key in names.LOADING:
            found.left_out[key] = "is not for a model's file to decide" if value else ""
        elif key in names.DEAD:
            found.left_out[key] = ""
        elif _is_part(key, value):
            shown_as = f"{file}: {key}"
            inner = judge(value, source, shown_as, _classes_in(value), given=given, is_own_code=is_own_code)
            _take_in(found, key, inner)
        elif _names_file(key, value):
            if (path := _file(source, key, value, shown)) is not None:
                found.files[key] = path
            elif is_own_code:
                found.passed[key] = value
                continue
            # what is left of the place where a tokenizer was made is no news
            found.left_out[key] = "" if value is None or path or key.endswith("_file") else "names no file of the model"
        else:
            found.reaching.extend(
                Setting(file, f"{key}: {text}", goes_to, key) for text, goes_to in _inside(key, value)
            )
            refuse_paths_out({key: value}, source, shown)
            _check_count(key, value, shown)
            if not is_own_code:
                _check_class(key, value, shown)
            if is_own_code or _may_pass(key, value):
                found.passed[key] = value
            else:
                found.left_out[key] = f"is unknown{' in this form' if key in names.PLAIN else ''}"
    defaults = {key: goes_to for key, goes_to in reached_by_default(values, classes) if key not in given}
    found.reaching.extend(Setting(file, f"{key}, by default", goes_to, key) for key, goes_to in defaults.items())
    return found


def _inside(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the settings inside ``value`` that reach something, for whatever hands them on."""
    if isinstance(value, dict) and not _is_text(key):
        for name, item in value.items():
            if goes_to := reached(name, value):
                yield f"{name} = {_short(item)}", goes_to
            else:
                yield from _inside(name, item)
    elif isinstance(value, list):
        for item in value:
            yield from _inside(key, item)


def _is_part(key: str, value: Any) -> bool:
    return isinstance(value, Mapping) and _PART.search(key) is not None


def _classes_in(values: Mapping[str, Any]) -> list[str]:
    return [str(values[key]) for key in names.CLASSES if isinstance(values.get(key), str)]


def _take_in(found: Judgement, key: str, inner: Judgement) -> None:
    found.passed[key] = {**inner.passed, **inner.files}
    found.reaching.extend(inner.reaching)
    found.left_out.update({f"{key}.{name}": why for name, why in inner.left_out.items()})


def _names_file(key: str, value: Any) -> bool:
    # a vocabulary may also stand there itself
    return (key in names.FILE or key.endswith(names.FILES)) and (value is None or isinstance(value, str))


def _may_pass(key: str, value: Any) -> bool:
    if key in names.TEXT or key.endswith(names.TOKENS) or key in names.FILE:
        return True
    if key in names.PLAIN or key in names.CLASSES:
        return all(map(_is_word, _strings(value)))
    # a number names nothing, whatever it is for; a switch may start a program
    return all(number is None or type(number) in (int, float) for number in _flat(value))


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _is_word(text: str) -> bool:
    return not re.search(r"[/\\\0]|^[.~]", text)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(item)


def _check_class(key: str, value: Any, shown: str) -> None:
    kind = names.CLASSES.get(key)
    if kind is not None and value is not None and not (isinstance(value, str) and re.fullmatch(kind, value)):
        raise FormatError(
            f"{shown}: {key!r} is {_short(value)}, which is not called as such a class is.",
            next_step="save or fetch the model again; the transformers library would look for anything of that name.",
        )


def _check_count(key: str, value: Any, shown: str) -> None:
    most = names.COUNTS.get(key)
    if key == "added_tokens_decoder" and isinstance(value, dict):
        # the library fills the places between them
        value, most = max((int(number) for number in value if str(number).isdigit()), default=0), names.MOST_TOKENS
    if most is not None and isinstance(value, int | float) and value > most:
        raise FormatError(
            f"{shown}: {key!r} is {value:,}, more than {most:,}.",
            next_step="save or fetch the model again; no model has as many.",
        )


def _file(source: Source, key: str, value: str | None, shown: str) -> str | None:
    """Return the local copy of the file that a setting names, or None if it names none of the model.

    Tokenizers were once saved with the paths that their files had where they were made. Of such a path the last part
    counts.

    Raises:
        UnsafePathError: It is a path to a file of this machine, and the model has none of that name; or a lock would
            not hold the file.
    """
    if not value or not (base := PureWindowsPath(value).name):
        return None
    inside = value if _is_inside(value) else base
    for name in dict.fromkeys((inside, base)):
        check_counts_in_lock(source, name, f"{shown}: {key!r} is {value!r}")
        if _is_inside(name) and (found := source.file(name)) is not None:
            return str(found)
    if value != base and os.path.exists(value):
        raise UnsafePathError(
            f"{shown}: {key!r} is {value!r}, a file outside the model's folder.",
            next_step="put the file beside the model if you know what it is; if not, do not load this model.",
        )
    return None


def check_counts_in_lock(source: Source, name: str, said: str) -> None:
    """Refuse the name of a file of the model that no lock holds, as it is not one that a load should read.

    Raises:
        UnsafePathError: It is one.
    """
    path = PurePosixPath(name).as_posix()
    # some file systems take no notice of case
    if not all(
        is_read_by_loads(name, ()) and not is_for_other_libraries(name, (), ()) for name in (path, path.lower())
    ):
        raise UnsafePathError(
            f"{said}, a file that no load should read: a lock does not hold it.",
            where=str(source),
            next_step="give the file another name if you made it; if not, do not load this model.",
        )


def _is_inside(path: str) -> bool:
    try:
        check_inside(path, shown_as="")
    except UnsafePathError:
        return False
    return True


def refuse_paths_out(values: Any, source: Source, shown: str, *, urls: bool = True) -> None:
    """Raise if a text at any depth of settings is a path on this machine out of the model, or the address of a file.

    Args:
        values: The settings.
        source: The model.
        shown: What to call the file they are in.
        urls: Whether addresses are refused; in a configuration they are for people.

    Raises:
        UnsafePathError: Naming it.
    """
    for key, text in _texts(values):
        if _leads_out(text, source, key) or (urls and _is_address(key, text)):
            raise UnsafePathError(
                f"{shown}: {key!r} is {_short(text)}, which is outside the model's folder.",
                next_step="put the file that it needs beside the model; if you do not know it, do not load this model.",
            )


def _texts(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text at any depth after the key that it is under; of tokens and templates only what may be a path."""
    if _is_text(key):
        # what the key of an outer object says of its text holds for all of it, and a vocabulary may have very many
        yield from ((key, text) for text in _flat_texts(values) if _BEGINS_PATH.match(text))
    elif isinstance(values, dict):
        for name, value in values.items():
            if name not in names.DEAD:
                yield from _texts(value, name)
    elif isinstance(values, list):
        for value in values:
            yield from _texts(value, key)
    elif isinstance(values, str):
        yield key, values


def _flat_texts(value: Any) -> list[str]:
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


def _is_address(key: str, text: str) -> bool:
    return _URL.match(text) is not None and not _is_text(key)


def _is_text(key: str) -> bool:
    return key in names.TEXT or key.endswith(names.TOKENS)


def _leads_out(text: str, source: Source, key: str) -> bool:
    """Return whether ``text`` is the path of a file or folder of this machine that is not the model's."""
    is_path = text.startswith(("/", "\\", "~", "../", "./")) or ntpath.splitdrive(text)[0] or "/../" in text
    if not is_path or len(text) > _LONGEST_PATH or "\0" in text or "\n" in text:
        return False
    path = os.path.expanduser(text)
    # among tokens there may be "//", which is the name of a folder too
    is_there = os.path.isfile(path) if _is_text(key) else os.path.exists(path) and not os.path.ismount(path)
    return is_there and not _is_under(path, source)


def _is_under(path: str, source: Source) -> bool:
    return source.is_local and os.path.realpath(path).startswith(os.path.realpath(source.name) + os.sep)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
