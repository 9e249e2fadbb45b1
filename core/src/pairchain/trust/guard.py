"""While a model loads, keeps other libraries from running its code or pickles unless the policy allows it.

A model's files can make the libraries behind a module run code in more ways than a list could name. So the few
functions through which those libraries reach code are patched during a load, and obey its policy.

This is in the core, although it names other libraries: the guard must work whichever plugins are installed or disabled,
because code that you allowed may import those libraries too.
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
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import torch

from pairchain.code import importing
from pairchain.code.admitted import PACKAGE
from pairchain.code.bundle import Code, Reference
from pairchain.code.patches import undoing_patches
from pairchain.errors import FormatError, PickleRefusedError
from pairchain.files.hub_names import is_path
from pairchain.files.source import Source
from pairchain.format.activation_table import PATHS, is_known
from pairchain.opening import open_source
from pairchain.text.escaping import readable
from pairchain.trust import policies
from pairchain.trust.checkpoint import code_in, code_missing
from pairchain.trust.repositories import repository_of_code
from pairchain.trust.resolve import Resolver

_LIBRARY = "sentence_transformers"

# Colours in the log messages of other libraries.
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


@dataclass(frozen=True)
class _Load:
    """The load in progress: the model, and the folder of the module that is loading."""

    model: Source
    place: Source


_load: ContextVar[_Load | None] = ContextVar("pairchain_guarded_load", default=None)
_changing = threading.Lock()
_blocks = 0
_replaced: list[tuple[Any, str, Any]] = []
# names of modules that were looked at; those of the library; and those of modules that were there before the patches
_looked_at: set[str] = set()
_of_library: list[str] = []
_before: set[str] = set()


@contextmanager
def guarding(place: Source, model: Source | None = None) -> Iterator[None]:
    """Hold other libraries to the current policy inside the block.

    Other threads, and code that runs after the block, are not affected.

    Args:
        place: The folder of the module that loads.
        model: The model; None for the one that is loading already, or that is in ``place``.
    """
    outer = _load.get()
    token = _load.set(_Load(outer.model if outer else model or place, place))
    try:
        with undoing_patches():
            _enter()
            try:
                yield
            finally:
                _leave()
    finally:
        _load.reset(token)


def model_of_load(place: Source) -> Source:
    """Return the model that is loading; ``place`` if none is."""
    load = _load.get()
    return place if load is None else load.model


def _enter() -> None:
    global _blocks
    with _changing:
        _blocks += 1
    _hold()


def _hold() -> None:
    """Patch the entry points of every library imported so far."""
    if "transformers" in sys.modules:
        # transformers imports its parts lazily; a part that fails to import cannot reach code
        with suppress(ImportError):
            importlib.import_module("transformers.dynamic_module_utils")
    with _changing:
        if not _blocks:
            return
        libraries = _libraries()
        if not _replaced:
            _before.clear()
            _before.update(libraries)
        _patch(torch, "load", _guarded_torch_load)
        _patch(logging, "_logRecordFactory", _escaped_log_records)
        for module in libraries.values():
            for name in _WRAPPERS.keys() & vars(module).keys():
                _patch(module, name, _WRAPPERS[name])


def _leave() -> None:
    global _blocks
    with _changing:
        _blocks -= 1
        if _blocks:
            return
        while _replaced:
            module, name, original = _replaced.pop()
            setattr(module, name, original)
        for imported, module in _libraries().items():
            values = vars(module)
            # one module imported the patch from another inside the block; a new one may call it otherwise
            for name in _WRAPPERS.keys() & values.keys() if imported in _before else list(values):
                if getattr(value := values.get(name), "__module__", None) == __name__:
                    setattr(module, name, value.__wrapped__)


def _libraries() -> dict[str, Any]:
    """Return the imported modules that can reach a model's code, by name."""
    # which modules of sentence-transformers import classes by path differs from version to version
    new = set(sys.modules) - _looked_at
    _looked_at.update(new)
    _of_library.extend(name for name in new if name.partition(".")[0] == _LIBRARY)
    names = ("transformers.dynamic_module_utils", "transformers.generation.utils", *_of_library)
    return {name: sys.modules[name] for name in names if name in sys.modules}


def _patch(module: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    # a module that is still being imported may not have it yet
    original = vars(module).get(name)
    if original is None or any(module is known and name == other for known, other, _ in _replaced):
        return
    if getattr(original, "__module__", None) != __name__:
        _replaced.append((module, name, original))
        replacement = wrap(original)
        if callable(replacement):
            replacement.__module__ = __name__  # `_leave` recognizes it by that
        setattr(module, name, replacement)


def _guarded_torch_load(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def torch_load(f: Any, *args: Any, **kwargs: Any) -> Any:
        if (load := _load.get()) is not None:
            if not policies.current_policy().allow_pickle:
                raise PickleRefusedError(
                    f"loading the model reads the pickle {f}, which can run code.",
                    where=str(load.place),
                    next_step=policies.HOW_TO_ALLOW_PICKLES,
                )
            if not _is_called_by_allowed_code():
                kwargs["weights_only"] = True
        return original(f, *args, **kwargs)

    return torch_load


def _escaped_log_records(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the log record factory, to escape texts of the model's files that a library logs."""

    @functools.wraps(original)
    def make_record(*args: Any, **kwargs: Any) -> Any:
        record = original(*args, **kwargs)
        if _load.get() is not None:
            with suppress(Exception):  # logging itself reports a message that cannot be formatted
                record.msg, record.args = readable(_COLOURS.sub("", record.getMessage()).expandtabs()), ()
        return record

    return make_record


def _guarded_lookup_of_code(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the function that copies code into the folder from which the transformers library imports it."""

    @functools.wraps(original)
    def get_cached_module_file(
        pretrained_model_name_or_path: Any, module_file: str, *args: Any, revision: str | None = None, **kwargs: Any
    ) -> Any:
        if (load := _load.get()) is None:
            return original(pretrained_model_name_or_path, module_file, *args, revision=revision, **kwargs)
        return _allowed_code(load, str(pretrained_model_name_or_path), module_file, revision)

    return get_cached_module_file


def _guarded_import_of_code(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the function that imports such code, so that it runs the bytes that the policy allowed."""

    @functools.wraps(original)
    def get_class_in_module(class_name: str, module_path: Any, **kwargs: Any) -> Any:
        if not isinstance(module_path, Code):
            return original(class_name, module_path, **kwargs)
        return importing.load_class(module_path, class_name)

    return get_class_in_module


def _guarded_import_by_path(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function that imports a class by a path from a model's files."""

    @functools.wraps(original)
    def import_named(path: Any, *args: Any, **kwargs: Any) -> Any:
        load = _load.get()
        if load is None or _is_called_by_allowed_code() or not isinstance(path, str):
            return original(path, *args, **kwargs)
        if is_known(path):
            return getattr(torch.nn, PATHS[path])
        if path.startswith(f"{_LIBRARY}."):
            outside = copy_context()
            outside.run(_load.set, None)
            found = outside.run(original, path, *args, **kwargs)
        else:
            found = Resolver(load.model).class_of(path, beside=(load.place, load.model))
        # WordEmbeddings imports a tokenizer by its path; everything else imports a module
        wanted = sys._getframe(1).f_globals.get("WordTokenizer", torch.nn.Module)
        if isinstance(found, type) and issubclass(found, wanted):
            return found
        raise FormatError(
            f"the model's files name {path!r}, which is not a {wanted.__name__}.",
            where=str(load.place),
            next_step="save or fetch the model again; a load imports no other classes by their paths.",
        )

    return import_named


_WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "get_cached_module_file": _guarded_lookup_of_code,
    "get_class_in_module": _guarded_import_of_code,
    # without this the library would ask for trust at the terminal
    "TIME_OUT_REMOTE_CODE": lambda _: 0,
    "import_module_class": _guarded_import_by_path,
    "import_from_string": _guarded_import_by_path,
}


def _is_called_by_allowed_code() -> bool:
    """Return whether code that the policy allowed called the patched function; such code may call what it likes."""
    caller = sys._getframe(2).f_globals.get("__name__")
    return str(caller).startswith(f"{PACKAGE}.")


def _allowed_code(load: _Load, name: str, file: str, revision: str | None) -> Code:
    """Return the code that the library asks for, if the policy and the lock allow it."""
    if file.startswith("custom_generate/"):
        # it would replace a method that scoring never calls; the library continues without it
        raise FileNotFoundError(f"{file} is not for scoring")
    place = load.place
    is_elsewhere = name != place.name
    # a name that could be a repository's never means a local folder
    if is_elsewhere and is_path(name):
        place = open_source(name, cache_folder=place.cache_folder, local_files_only=place.local_files_only)
    elif is_elsewhere:
        # the library passes an object that holds the commit it resolved a branch to
        place = repository_of_code(name, getattr(revision, "resolved", revision) or "", place)
    module = ".".join(PurePosixPath(file).with_suffix("").parts)
    code = code_in(place, Reference(name if is_elsewhere else "", module, ""))
    if code is None:
        raise code_missing(place, file)
    policies.require_trust({f"the checkpoint's {file}": code})
    if (lock := policies.current_policy().lock) is not None:
        lock.check(code, load.model)
    return code


importing.after_import.append(_hold)
