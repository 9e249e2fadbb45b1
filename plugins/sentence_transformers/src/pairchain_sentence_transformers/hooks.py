"""Implements pairchain's hooks. Each imports its modules when it is called, because most loads call none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from pairchain import hookimpl
from pairchain.facts import Facts
from pairchain_sentence_transformers import offered


@hookimpl(trylast=True)
def pairchain_resolve_type(type_name: str) -> type | None:
    """Return the library's class for a type that no plugin provides."""
    if not offered.is_type(type_name):
        return None
    from pairchain_sentence_transformers.library import class_of

    return class_of(type_name)


@hookimpl
def pairchain_foresee_type(type_name: str) -> str | None:
    """Return ``"sentence-transformers"`` if the library provides a type, without importing the library.

    Raises:
        UnknownTypeError: The library is not installed.
    """
    if not offered.is_type(type_name):
        return None
    if not offered.is_installed():
        raise offered.not_installed(type_name)
    return "sentence-transformers" if offered.offers(type_name) else None


@hookimpl
def pairchain_inspect_module(type_name: str) -> Facts | None:
    """Report a type of the library that needs trust."""
    if not offered.is_type(type_name) or not offered.loads_what_files_say(type_name):
        return None
    return Facts(faults=[offered.not_trusted(type_name)])


@hookimpl(trylast=True)
def pairchain_offer_import(name: str) -> ModuleType | None:
    """Return a substitute for a module of the library, for a model's own code to import."""
    if name.partition(".")[0] != offered.LIBRARY:
        return None
    from pairchain_sentence_transformers.substitutes import substitute

    return substitute(name)


@hookimpl(trylast=True)
def pairchain_compare(model: Any, pairs: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Return the scores of the library and of pairchain for ``pairs``."""
    from pairchain_sentence_transformers.comparison import compare

    return compare(model, pairs, **options)
