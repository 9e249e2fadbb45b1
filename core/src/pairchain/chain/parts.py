"""Parts of features: what a module reads of one, so that the module that writes it can leave the rest uncomputed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch.nn.modules import module as torch_module

from pairchain.errors import InputError


@dataclass(frozen=True, slots=True)
class Part:
    """One position of each input in a feature of shape (inputs, positions, size), and some of its columns.

    Attributes:
        position: The first or the last token of an input; padding does not count.
        columns: Indices on the last axis, in the order they are wanted; None for all of it.
    """

    position: Literal["first", "last"]
    columns: tuple[int, ...] | None = None

    def of(self, feature: str) -> str:
        """Return the name under which this part of ``feature`` is among the features, shape (inputs, columns)."""
        return f"{feature}[{self.position}{'' if self.columns is None else f', {list(self.columns)}'}]"


def wanted_parts(offered: Iterable[str], readers: Sequence[Any], read_after: frozenset[str] | None) -> dict[str, Part]:
    """Return, for each feature of which nobody reads more than one part, that part.

    Args:
        offered: Features that a module can write in part.
        readers: The modules after it. One that does not say what it reads may read everything; so may one with a
            ``forward`` of its own that only inherits what another class says of another ``forward``, or with a hook.
        read_after: Features that are read after the last of them; None if that may be any.
    """
    found: dict[str, Part] = {}
    if read_after is None or not all(map(says_what_it_reads, readers)):
        return found
    for feature in set(offered) - read_after:
        wanted = {
            module.reads_part.get(feature) if _speaks_for_forward(module, "reads_part") else None
            for module in readers
            if feature in module.reads
        }
        if len(wanted) == 1 and (part := wanted.pop()) is not None:
            found[feature] = part
    return found


def told_what_is_read(module: Any, readers: Sequence[Any], read_after: frozenset[str] | None) -> dict[str, Any]:
    """Return the keyword arguments that tell a module what is read of what it writes, as far as it wants to know.

    One that offers parts gets ``parts``. One that holds modules of its own, and says by ``may_read_more`` that nothing
    else in it reads features, gets ``read_after``: features that are read after it, so that those inside can be told.

    Args:
        module: The module.
        readers: The modules after it.
        read_after: Features that are read after the last of them; None if that may be any.
    """
    told: dict[str, Any] = {}
    if parts := wanted_parts(getattr(module, "offers_parts", ()), readers, read_after):
        told["parts"] = parts
    if read_after is not None and not getattr(module, "may_read_more", True) and all(map(says_what_it_reads, readers)):
        told["read_after"] = read_after.union(*(reader.reads for reader in readers))
    return told


def checked_feature(value: Any, argument: str) -> str:
    """Return ``value`` if it can be a feature's name.

    Raises:
        InputError: It is no text.
    """
    if not isinstance(value, str):
        raise InputError(f"{argument} is {value!r}, which is no feature's name.", next_step="pass a text.")
    return value


def says_what_it_reads(module: Any) -> bool:
    """Return whether the features that a module says it reads are all that its ``forward`` reads."""
    return getattr(module, "reads", None) is not None and _speaks_for_forward(module, "reads")


def is_watched(module: Any) -> bool:
    """Return whether somebody else sees what a module is given or returns, or computes it: by a hook, or a patch."""
    hooks = [getattr(module, name, None) for name in ("_forward_hooks", "_forward_pre_hooks")]
    return any(hooks) or _is_every_module_watched() or "forward" in vars(module)


def _is_every_module_watched() -> bool:
    # PyTorch's own hooks, such as those that count operations, read no features
    return any(
        not str(getattr(hook, "__module__", None)).startswith("torch.")
        for hooks in (torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks)
        for hook in list(hooks.values())
    )


def _speaks_for_forward(module: Any, name: str) -> bool:
    """Return whether the class that says ``name`` is that of the module's ``forward``, or derived from it."""
    classes = type(module).__mro__
    said, computed = (
        next((place for place, cls in enumerate(classes) if attribute in vars(cls)), len(classes))
        for attribute in (name, "forward")
    )
    # a function of another module was put into the class by somebody else
    is_own = all(vars(cls)["forward"].__module__ == cls.__module__ for cls in classes[computed : computed + 1])
    return not is_watched(module) and is_own and said <= computed
