"""Loads types of sentence-transformers that no plugin provides, through that library."""

from __future__ import annotations

import importlib

from torch import nn

from pairchain.authoring import current_policy, is_loading
from pairchain.errors import PluginError
from pairchain_sentence_transformers.offered import (
    LOAD_WHAT_FILES_SAY,
    PACKAGES,
    is_installed,
    not_installed,
    not_trusted,
)


def class_of(type_name: str) -> type | None:
    """Return the library's class for a type in one of its packages, or None if it has none.

    Raises:
        UnknownTypeError: The library, which may have the type, is not installed.
        PluginError: The library cannot be imported.
        TrustRequiredError: The class obeys the model's files, and you did not trust the model.
    """
    if not is_installed():
        raise not_installed(type_name)
    name = type_name.rpartition(".")[2]
    for package in PACKAGES:
        found = getattr(_imported(package), name, None)
        if isinstance(found, type) and issubclass(found, nn.Module) and _is_own(found):
            _check_trusted(found, type_name)
            return found
    return None


def _check_trusted(cls: type, type_name: str) -> None:
    """Refuse a class whose ``load`` obeys the model's files, unless the load in progress trusts the model."""
    if not is_loading() or current_policy().trust_remote_code is True:
        return
    if any(base.__name__ in LOAD_WHAT_FILES_SAY and _is_own(base) for base in cls.__mro__):
        raise not_trusted(type_name)


def _imported(package: str) -> object:
    try:
        return importlib.import_module(package)
    except Exception as error:  # the library is broken, or does not fit another one
        if isinstance(error, ModuleNotFoundError) and str(error.name).startswith("sentence_transformers."):
            return None  # this version has no such package
        raise PluginError(
            f"sentence-transformers is installed but cannot be imported: {type(error).__name__}: {error}",
            distribution="sentence-transformers",
            next_step="repair it: pip install --force-reinstall sentence-transformers",
        ) from error


def _is_own(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "sentence_transformers"
