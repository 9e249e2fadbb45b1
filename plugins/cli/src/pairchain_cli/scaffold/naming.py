"""What a new plugin and its module are called, checked before anything is written."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from packaging.utils import canonicalize_name

from pairchain.authoring import installed_version, standard_distribution
from pairchain.errors import InputError
from pairchain.registry import Registry, default

_LONGEST = 64
_DISTRIBUTION = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_.][A-Za-z0-9]+)*", re.ASCII)
_TYPE = re.compile(r"[A-Z][A-Za-z0-9]*", re.ASCII)
_WORDS = re.compile(r"[-_.]")
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Windows gives no file such a name, with whatever ending.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{kind}{number}" for kind in ("com", "lpt") for number in range(10))]
)
# What the new file itself imports.
_TAKEN = frozenset({"Any", "Module", "InputModule", "ModuleContract"})


@dataclass(frozen=True)
class Names:
    """What belongs together is called.

    Attributes:
        type_name: The class, which is also its type, such as ``AcmeHead``.
        distribution: What is installed, such as ``acme-head``; empty for a file beside a model.
        package: What is imported, such as ``acme_head``; likewise.
    """

    type_name: str
    distribution: str = ""
    package: str = ""

    @property
    def file(self) -> str:
        """The module that defines the class, such as ``acme_head``."""
        return _HUMPS.sub("_", self.type_name).lower()


def names_of_plugin(name: str, type_name: str | None, registry: Registry = default) -> Names:
    """Return the names for a new plugin.

    Args:
        name: What to call the distribution.
        type_name: What to call the class; None for what follows from ``name``.
        registry: What is installed.

    Raises:
        InputError: One of them can be no name, or belongs to something else.
    """
    if not _DISTRIBUTION.fullmatch(name) or len(name) > _LONGEST:
        raise InputError(
            f"{name!r} can be no plugin's name.",
            next_step=f"use letters and digits, with dashes between them, up to {_LONGEST}, such as acme-head.",
        )
    distribution = canonicalize_name(name)
    package = distribution.replace("-", "_")
    if standard_distribution(package) is not None or installed_version(distribution) is not None:
        raise InputError(f"there is a package called {distribution!r} already.", next_step="choose another name.")
    _refuse_taken(package, name)
    names = Names(type_name or class_name(distribution), distribution, package)
    _refuse_type(names, registry)
    return names


def names_of_module(name: str, registry: Registry = default) -> Names:
    """Return the names for a new file with a module.

    Args:
        name: What to call the class, or what it should be called after.
        registry: What is installed.

    Raises:
        InputError: It can be no name, or belongs to something else.
    """
    names = Names(class_name(name))
    _refuse_type(names, registry)
    _refuse_taken(names.file, name)
    return names


def _refuse_type(names: Names, registry: Registry) -> None:
    type_name = names.type_name
    if not _TYPE.fullmatch(type_name) or len(type_name) > _LONGEST:
        raise InputError(
            f"{type_name!r} can be no type's name.",
            next_step=f"use letters and digits, and begin with a capital, up to {_LONGEST}, such as AcmeHead.",
        )
    has_meaning = keyword.iskeyword(type_name) or hasattr(builtins, type_name) or type_name in _TAKEN
    if has_meaning or keyword.iskeyword(names.file) or names.file in _DEVICES:
        raise InputError(f"{type_name!r} has a meaning already.", next_step="choose another name for the type.")
    if (owner := standard_distribution(type_name)) is not None:
        raise InputError(f"the type {type_name!r} is reserved for {owner}.", next_step="choose another name.")
    if claims := registry.claims(type_name):
        raise InputError(
            f"the type {type_name!r} is provided by {claims[0].distribution} {claims[0].version}, which is installed.",
            next_step="choose another name; of two plugins with one type, neither gets it.",
        )


def class_name(name: str) -> str:
    """Return what a class is called after ``name``, in whatever spelling, such as ``AcmeHead`` for ``acme-head``."""
    words = _WORDS.split(name.removeprefix("pairchain-"))
    return "".join(word[:1].upper() + word[1:] for word in words)


def _refuse_taken(package: str, given: str) -> None:
    """Refuse what Python, or the file system, has another use for."""
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package in _DEVICES:
        raise InputError(f"{given!r} has a meaning already: {package}.", next_step="choose another name.")
    if find_spec(package) is not None:
        raise InputError(
            f"{package!r} is installed already, or lies on the path: an import would get either of the two.",
            next_step="choose another name.",
        )
