"""Unmet requirements among installed libraries, read from their metadata without importing anything."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pairchain.registry.metadata import installed_metadata, installed_version, state_of_the_path


@dataclass(frozen=True)
class Conflict:
    """A requirement of an installed distribution that is not met.

    Attributes:
        name: The distribution that has the requirement.
        version: Its version.
        wanted: The requirement, such as ``peft>=0.22``.
        found: The installed version of the required distribution; None if it is not installed.
    """

    name: str
    version: str
    wanted: str
    found: str | None

    def __str__(self) -> str:
        required = Requirement(self.wanted).name
        found = f"{required} is not installed" if self.found is None else f"{required} {self.found} is installed"
        return f"{self.name} {self.version} needs {self.wanted}, but {found}"


def conflicts(distribution: str, metadata: Message | None = None, *, direct: bool = False) -> tuple[Conflict, ...]:
    """Return every unmet requirement of ``distribution`` and, unless ``direct``, of the libraries that it requires.

    An optional library counts if it is installed: one that an extra of ``distribution`` brings, or that a library
    names in an extra of the same name, as transformers does with ``torch>=2.6; extra == "torch"``. Such an extra does
    not count if it allows one version only, as contourpy's ``mypy==1.17.0; extra == "mypy"`` for its developers.

    Args:
        distribution: Its name.
        metadata: Its metadata; None to read it from the installed distribution of this name.
        direct: Whether to leave out the requirements of other libraries, which take longer to read.
    """
    found: dict[Conflict, None] = {}
    state = state_of_the_path()
    root = canonicalize_name(distribution)
    waiting, seen = [root], {root}
    while waiting:
        name = waiting.pop()
        known = metadata if name == root and metadata is not None else installed_metadata(name, state)
        if known is None:
            continue
        for requirement in requirements(known, every_extra=name == root, state=state):
            version = installed_version(requirement.name, state)
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                wanted = f"{requirement.name}{requirement.specifier}"
                found[Conflict(name, known.get("Version") or "", wanted, version)] = None
            if not direct and (required := canonicalize_name(requirement.name)) not in seen:
                seen.add(required)
                waiting.append(required)
    return tuple(sorted(found, key=lambda conflict: (conflict.name != root, conflict.name, conflict.wanted)))


def conflict_advice(found: Iterable[Conflict]) -> str:
    """Return the command that resolves conflicts."""
    wanted: dict[str, SpecifierSet] = {}
    for requirement in (Requirement(conflict.wanted) for conflict in found):
        wanted[requirement.name] = wanted.get(requirement.name, SpecifierSet()) & requirement.specifier
    return "pip install " + " ".join(f"'{name}{specifiers}'" for name, specifiers in sorted(wanted.items()))


def requirements(metadata: Message, *, every_extra: bool = False, state: Hashable = None) -> Iterator[Requirement]:
    """Yield the requirements that apply to this Python, and the optional ones that are installed.

    Args:
        metadata: Of the distribution that has them.
        every_extra: Whether optional ones count whatever extra names them.
        state: As for `installed_metadata`.
    """
    extras = metadata.get_all("Provides-Extra") or [] if every_extra else []
    for line in metadata.get_all("Requires-Dist") or ():
        if (requirement := _parsed(line)) is None:
            continue
        is_optional = not _applies(requirement, "")
        if is_optional and installed_version(requirement.name, state) is None:
            continue
        if not is_optional or any(_applies(requirement, extra) for extra in extras) or _is_for_itself(requirement):
            yield requirement


@lru_cache(4096)
def _parsed(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _is_for_itself(requirement: Requirement) -> bool:
    """Return whether an optional library is required by the extra of its own name, and not in one version only."""
    is_pinned = any(one.operator == "==" and not one.version.endswith(".*") for one in requirement.specifier)
    return _applies(requirement, requirement.name) and not is_pinned


@lru_cache(4096)
def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
