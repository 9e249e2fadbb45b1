"""Parts of features: if all readers of a feature need one part of it, its writer can skip the rest."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch.nn.modules import module as torch_module

from pairchain.errors import InputError


@dataclass(frozen=True, slots=True)
class Part:
    """One position of each input in a feature of shape (inputs, positions, size), and some of its columns.

    Attributes:
        position: The first or the last token of each input, padding ignored.
        columns: Indices on the last axis, in the wanted order; None for all of them.
    """

    position: Literal["first", "last"]
    columns: tuple[int, ...] | None = None

    def of(self, feature: str) -> str:
        """Return the name of the feature that holds this part of ``feature``, of shape (inputs, columns)."""
        return f"{feature}[{self.position}{'' if self.columns is None else f', {list(self.columns)}'}]"


def hints_for(modules: Sequence[Any], read_after: frozenset[str] | None) -> list[dict[str, Any]]:
    """Return for each module the keyword arguments that tell it which of the features it writes are read.

    A module that lists features in ``offers_parts`` gets ``parts``: the one `Part` of each such feature that all later
    readers share, if there is one. A module that holds other modules, and whose ``may_read_more`` is False, gets
    ``read_after``: the features that are read after it, so that it can pass hints to the modules inside.

    ``read_after`` names the features that are read after the last module; None if any may be read.
    """
    hints: list[dict[str, Any]] = [{} for _ in modules]
    if read_after is None:
        return hints
    for place in range(len(modules) - 1, -1, -1):
        module, readers = modules[place], modules[place + 1 :]
        if parts := _wanted_parts(getattr(module, "offers_parts", ()), readers, read_after):
            hints[place]["parts"] = parts
        if not getattr(module, "may_read_more", True):
            hints[place]["read_after"] = read_after.union(*(reader.reads for reader in readers))
        if not says_what_it_reads(module):
            break
    return hints


def _wanted_parts(offered: Iterable[str], readers: Sequence[Any], read_after: frozenset[str]) -> dict[str, Part]:
    """Map each feature in ``offered`` to the one part of it that all its readers read, if there is such a part."""
    found: dict[str, Part] = {}
    for feature in set(offered) - read_after:
        wanted = {
            module.reads_part.get(feature) if speaks_for_forward(module, "reads_part") else None
            for module in readers
            if feature in module.reads
        }
        if len(wanted) == 1 and (part := wanted.pop()) is not None:
            found[feature] = part
    return found


def checked_feature(value: Any, argument: str) -> str:
    """Return ``value`` if it can name a feature.

    Raises:
        InputError: It is not a string.
    """
    if not isinstance(value, str):
        raise InputError(f"{argument} is {value!r}, which cannot name a feature.", next_step="pass a string.")
    return value


def says_what_it_reads(module: Any) -> bool:
    """Return whether a module's ``reads`` names all features that its ``forward`` reads."""
    return getattr(module, "reads", None) is not None and speaks_for_forward(module, "reads")


def is_watched(module: Any) -> bool:
    """Return whether a hook sees what a module gets or returns, or its instance has a ``forward`` of its own."""
    for name in ("forward_hooks", "forward_pre_hooks"):
        of_all = list(getattr(torch_module, f"_global_{name}").values())
        if getattr(module, f"_{name}", None) or any(map(_is_foreign, of_all)):
            return True
    return "forward" in vars(module)


def _is_foreign(hook: Any) -> bool:
    # PyTorch's own global hooks, which count operations for example, read no features
    return not str(getattr(hook, "__module__", None)).startswith("torch.")


def _sets(cls: type, name: str) -> bool:
    """Return whether a class has an attribute ``name``, or its own ``__init__`` sets it."""
    code = getattr(inspect.unwrap(vars(cls).get("__init__", _sets)), "__code__", None)
    return name in vars(cls) or name in getattr(code, "co_names", ())


def speaks_for_forward(module: Any, name: str) -> bool:
    """Return whether the class that sets the attribute ``name`` defines or inherits the module's ``forward``."""
    classes = type(module).__mro__
    declared = next((place for place, cls in enumerate(classes) if _sets(cls, name)), len(classes))
    computed = next((place for place, cls in enumerate(classes) if "forward" in vars(cls)), len(classes))
    # a forward that was defined elsewhere is a patch
    is_own = all(vars(cls)["forward"].__module__ == cls.__module__ for cls in classes[computed : computed + 1])
    return not is_watched(module) and is_own and declared <= computed
