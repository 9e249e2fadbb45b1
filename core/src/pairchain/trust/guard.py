"""What other libraries may do while a model loads: they run no code of a model, and no pickle, that nobody allowed.

A model's files choose much of what the libraries behind a module do, by more ways than can be listed. So the few
functions through which any of them gets to code are stood in for while a load goes on, and hold to its policy.

It is the core that does so, though it names another library here, and no plugin: it must hold whichever
plugins are installed or left out, for code that somebody allowed may import that library too.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import torch

from pairchain.code import importing
from pairchain.code.admitted import PACKAGE
from pairchain.code.bundle import Code, Reference
from pairchain.errors import FormatError, MissingFileError, PickleRefusedError
from pairchain.files.hub_names import is_path
from pairchain.files.source import Source
from pairchain.format.activation_table import PATHS, is_known
from pairchain.opening import open_source
from pairchain.text.escaping import readable
from pairchain.trust import policies
from pairchain.trust.checkpoint import code_in
from pairchain.trust.resolve import Resolver, repository_of_code

_LIBRARY = "sentence_transformers"

# With which other libraries colour their own words.
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


@dataclass(frozen=True)
class _Load:
    """What is being loaded.

    Attributes:
        model: The model.
        place: The folder in it, or around it, whose module is loaded.
    """

    model: Source
    place: Source


_load: ContextVar[_Load | None] = ContextVar("pairchain_guarded_load", default=None)
_changing = threading.Lock()
_blocks = 0
_replaced: list[tuple[Any, str, Any]] = []


@contextmanager
def guarding(place: Source, model: Source | None = None) -> Iterator[None]:
    """Hold everything inside the block to the current policy.

    Other threads, and what runs after the block, find everything as it was.

    Args:
        place: The folder whose module is loaded.
        model: The model; None for the one that is being loaded already, or is in that folder.
    """
    outer = _load.get()
    token = _load.set(_Load(outer.model if outer else model or place, place))
    try:
        _enter()
        yield
    finally:
        _leave()
        _load.reset(token)


def _enter() -> None:
    global _blocks
    with _changing:
        _blocks += 1
    _hold()


def _hold() -> None:
    """Stand in for what is not stood in for yet; a library that nobody imported so far has nothing to stand in for."""
    if "transformers" in sys.modules:
        # of which it imports each part when that is first asked for; what is broken in it gets to no code
        with suppress(ImportError):
            importlib.import_module("transformers.dynamic_module_utils")
    with _changing:
        if not _blocks:
            return
        _stand_in(torch, "load", _reading_no_pickle)
        _stand_in(logging, "_logRecordFactory", _recording)
        for module in _libraries():
            _stand_in(module, "get_cached_module_file", _gathering)
            _stand_in(module, "get_class_in_module", _running)
            # so that it asks nobody at the terminal
            _stand_in(module, "TIME_OUT_REMOTE_CODE", lambda _: 0)
            _stand_in(module, "import_module_class", _naming)
            _stand_in(module, "import_from_string", _naming)


def _leave() -> None:
    global _blocks
    with _changing:
        _blocks -= 1
        if _blocks:
            return
        while _replaced:
            module, name, original = _replaced.pop()
            setattr(module, name, original)
        for module in _libraries():
            for name, value in list(vars(module).items()):
                # imported inside a block from the other one
                if getattr(value, "__module__", None) == __name__:
                    setattr(module, name, value.__wrapped__)


def _libraries() -> list[Any]:
    """Return the modules that get to a model's code, as far as somebody imported them."""
    names = ("transformers.dynamic_module_utils", "transformers.generation.utils")
    # of sentence-transformers any that imports classes by their paths: which do differs from version to version
    theirs = [name for name in list(sys.modules) if name.partition(".")[0] == _LIBRARY]
    return [sys.modules[name] for name in (*names, *theirs) if name in sys.modules]


def _stand_in(module: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    # one that is being imported may not have it yet
    original = vars(module).get(name)
    if original is None or any(module is known and name == other for known, other, _ in _replaced):
        return
    if getattr(original, "__module__", None) != __name__:
        _replaced.append((module, name, original))
        setattr(module, name, wrap(original))


def _reading_no_pickle(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def load(f: Any, *args: Any, **kwargs: Any) -> Any:
        if (going_on := _load.get()) is not None:
            if not policies.current_policy().allow_pickle:
                raise PickleRefusedError(
                    f"loading the model reads the pickle {f}, which can run code.",
                    where=str(going_on.place),
                    next_step="ask for safetensors, or pass allow_pickle=True to read it through torch's restricted "
                    "loader.",
                )
            if not _is_asked_by_code():
                kwargs["weights_only"] = True
        return original(f, *args, **kwargs)

    load.__module__ = __name__
    return load


def _recording(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stands in for the maker of log records: what libraries repeat of a model's files is harmless."""

    @functools.wraps(original)
    def make_record(*args: Any, **kwargs: Any) -> Any:
        record = original(*args, **kwargs)
        if _load.get() is not None:
            with suppress(Exception):  # whoever logs what cannot be formatted is told so by logging itself
                record.msg, record.args = readable(_COLOURS.sub("", record.getMessage()).expandtabs()), ()
        return record

    make_record.__module__ = __name__
    return make_record


def _gathering(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stands in for the function that copies code into the folder the transformers library imports from."""

    @functools.wraps(original)
    def get_cached_module_file(
        pretrained_model_name_or_path: Any, module_file: str, *args: Any, revision: str | None = None, **kwargs: Any
    ) -> Any:
        if (load := _load.get()) is None:
            return original(pretrained_model_name_or_path, module_file, *args, revision=revision, **kwargs)
        return _allowed_code(load, str(pretrained_model_name_or_path), module_file, revision)

    get_cached_module_file.__module__ = __name__
    return get_cached_module_file


def _running(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stands in for the function that imports such code: it runs the bytes that were looked at."""

    @functools.wraps(original)
    def get_class_in_module(class_name: str, module_path: Any, **kwargs: Any) -> Any:
        if not isinstance(module_path, Code):
            return original(class_name, module_path, **kwargs)
        return importing.load_class(module_path, class_name)

    get_class_in_module.__module__ = __name__
    return get_class_in_module


def _naming(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stands in for the functions that import the class whose path stands in a model's files."""

    @functools.wraps(original)
    def import_named(path: Any, *args: Any, **kwargs: Any) -> Any:
        load = _load.get()
        if load is None or _is_asked_by_code() or not isinstance(path, str):
            return original(path, *args, **kwargs)
        if is_known(path):
            return getattr(torch.nn, PATHS[path])
        if path.startswith(f"{_LIBRARY}."):
            found = copy_context().run(_outside_a_load, original, path, *args, **kwargs)
        else:
            found = Resolver(load.model).class_of(path, beside=(load.place, load.model))
        # its WordEmbeddings asks for a tokenizer, and everything else for a module
        wanted = sys._getframe(1).f_globals.get("WordTokenizer", torch.nn.Module)
        if isinstance(found, type) and issubclass(found, wanted):
            return found
        raise FormatError(
            f"the model's files name {path!r}, which is no {wanted.__name__}.",
            where=str(load.place),
            next_step="save or fetch the model again; nothing else is imported for being named there.",
        )

    import_named.__module__ = __name__
    return import_named


def _outside_a_load(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    _load.set(None)
    return function(*args, **kwargs)


def _is_asked_by_code() -> bool:
    """Return whether code that was allowed to run called what stands in: what it asks for, it asks for by itself."""
    caller = sys._getframe(2).f_globals.get("__name__")
    return str(caller).startswith(f"{PACKAGE}.")


def _allowed_code(load: _Load, name: str, file: str, revision: str | None) -> Code:
    """Return the code that the library asks for.

    Raises:
        TrustRequiredError: Nobody allowed it.
        LockError: It is not what was locked.
        MissingFileError: It is not there.
    """
    if file.startswith("custom_generate/"):
        # it would replace a method that scoring never calls; the library goes on without
        raise FileNotFoundError(f"{file} is not for scoring")
    reference = Reference("", ".".join(PurePosixPath(file).with_suffix("").parts), "")
    place = load.place
    if name != place.name:
        reference = replace(reference, repository=name)
        place = _elsewhere(name, revision, load.place)
    code = code_in(place, reference)
    if code is None:
        raise MissingFileError(
            f"the checkpoint takes code from {file}, which is missing.",
            where=str(place),
            next_step="save or fetch the model again; it is incomplete.",
        )
    policies.require_trust({f"the checkpoint's {file}": code})
    if (lock := policies.current_policy().lock) is not None:
        lock.check(code, load.model)
    return code


def _elsewhere(name: str, revision: str | None, place: Source) -> Source:
    # a name that could be that of a repository never stands for a folder here
    if is_path(name):
        return open_source(name, cache_folder=place.cache_folder, local_files_only=place.local_files_only)
    # the library's own object says where a branch was when it looked
    commit = getattr(revision, "resolved", revision)
    return repository_of_code(name, commit or "", place)


importing.after_import.append(_hold)
