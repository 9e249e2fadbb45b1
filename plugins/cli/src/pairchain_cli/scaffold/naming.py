"""Derives and checks the names of a new package, and of the class, command, backend or loss in it."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec

from packaging.utils import canonicalize_name

from pairchain.authoring import installed_version, standard_distribution
from pairchain.errors import InputError
from pairchain.registry import Registry, backends, commands, default, losses

_LONGEST = 64
_DISTRIBUTION = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_.][A-Za-z0-9]+)*", re.ASCII)
_TYPE = re.compile(r"[A-Z][A-Za-z0-9]*", re.ASCII)
_WORDS = re.compile(r"[-_.]")
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Windows reserves these file names, with any extension.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{kind}{number}" for kind in ("com", "lpt") for number in range(10))]
)
# Names that the new file imports.
_IMPORTED = frozenset({"Any", "Module", "InputModule", "ModuleContract"})
_IN_LOSSES = frozenset({"annotations", "labels", "logits", "margin", "mask", "torch"})


@dataclass(frozen=True)
class Names:
    """The names of a new package; a name that it does not have is empty.

    Attributes:
        type_name: The class, and also its type, such as ``AcmeHead``.
        distribution: The name to install, such as ``acme-head``.
        package: The name to import, such as ``acme_head``.
        entry: The command, backend, loss or hooks, such as ``acme-head``.
    """

    type_name: str = ""
    distribution: str = ""
    package: str = ""
    entry: str = ""

    @property
    def file(self) -> str:
        """The module that defines the class, such as ``acme_head``."""
        return _HUMPS.sub("_", self.type_name).lower()


def names_of_plugin(name: str, type_name: str | None) -> Names:
    """Return the names of a plugin; ``name`` is its distribution, and its class if ``type_name`` is None.

    Raises:
        InputError: A name is invalid or taken; also for the functions below.
    """
    distribution, package = _package_names(name)
    names = Names(type_name or class_name(distribution), distribution, package)
    _check_type(names)
    return names


def names_of_hooks(name: str) -> Names:
    """Return the names of a plugin with hooks; ``name`` is its distribution."""
    distribution, package = _package_names(name)
    return Names(distribution=distribution, package=package, entry=distribution.removeprefix("pairchain-"))


def names_of_command(name: str, registry: Registry = commands) -> Names:
    """Return the names of a command; ``name`` is its distribution, and the command without ``pairchain-``."""
    names = names_of_hooks(name)
    _refuse_claimed(names.entry, registry)
    return names


def names_of_backend(name: str) -> Names:
    """Return the names of a backend; see `names_of_command`."""
    names = names_of_command(name, backends)
    return replace(names, type_name=class_name(names.distribution))


def names_of_loss(name: str) -> Names:
    """Return the names of a loss, whose function is named as its file; see `names_of_command`."""
    names = names_of_command(name, losses)
    names = replace(names, type_name=class_name(names.distribution))
    # the function must not hide what its file uses
    if hasattr(builtins, names.file) or keyword.iskeyword(names.file) or names.file in _IN_LOSSES:
        raise InputError(f"{names.file!r} already has a meaning.", next_step="choose another name.")
    return names


def names_of_module(name: str) -> Names:
    """Return the names of a file with a module; ``name`` is its class, or similar to it."""
    names = Names(class_name(name))
    _check_type(names)
    _refuse_taken(names.file, name)
    return names


def class_name(name: str) -> str:
    """Return ``name`` as a class name, such as ``AcmeHead`` for ``acme-head``."""
    words = _WORDS.split(name.removeprefix("pairchain-"))
    return "".join(word[:1].upper() + word[1:] for word in words)


def _package_names(name: str) -> tuple[str, str]:
    """Return the canonical names of a distribution and its package; refuse invalid and taken ones."""
    if not _DISTRIBUTION.fullmatch(name) or len(name) > _LONGEST:
        raise InputError(
            f"{name!r} is not a valid name for a package.",
            next_step=f"use up to {_LONGEST} letters and digits, with dashes between them, such as acme-head.",
        )
    distribution = canonicalize_name(name)
    package = distribution.replace("-", "_")
    if standard_distribution(package) is not None or installed_version(distribution) is not None:
        raise InputError(f"a package named {distribution!r} already exists.", next_step="choose another name.")
    _refuse_taken(package, name)
    return distribution, package


def _check_type(names: Names) -> None:
    type_name = names.type_name
    if not _TYPE.fullmatch(type_name) or len(type_name) > _LONGEST:
        raise InputError(
            f"{type_name!r} is not a valid name for a type.",
            next_step=f"use up to {_LONGEST} letters and digits, starting with a capital, such as AcmeHead.",
        )
    has_meaning = keyword.iskeyword(type_name) or hasattr(builtins, type_name) or type_name in _IMPORTED
    if has_meaning or keyword.iskeyword(names.file) or names.file in _DEVICES:
        raise InputError(f"{type_name!r} already has a meaning.", next_step="choose another name for the type.")
    _refuse_claimed(type_name, default)


def _refuse_claimed(name: str, registry: Registry) -> None:
    noun = registry.group.noun
    if (owner := registry.group.owner(name)) is not None:
        raise InputError(f"the {noun} {name!r} is reserved for {owner}.", next_step="choose another name.")
    if claims := registry.claims(name):
        raise InputError(
            f"the {noun} {name!r} is provided by {claims[0].distribution} {claims[0].version}, which is installed.",
            next_step=f"choose another name: if two plugins claim one {noun}, neither gets it.",
        )


def _refuse_taken(package: str, given: str) -> None:
    """Refuse a package name that Python or the file system uses for something else."""
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package in _DEVICES:
        raise InputError(f"{given!r} already has a meaning: {package}.", next_step="choose another name.")
    if find_spec(package) is not None:
        raise InputError(
            f"{package!r} is already installed, or on the path: importing it would be ambiguous.",
            next_step="choose another name.",
        )
