"""Which route an input takes: by task, by modality, by both, or by default."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairchain.authoring import CONTENT, MESSAGE, TEXT, Modality, check_inside, modality_parts
from pairchain.errors import FormatError, InputError, nearest

# (task, modality) → route; None stands for any
Mappings = Mapping[tuple[str | None, Modality | None], str]


@dataclass(frozen=True)
class Routes:
    """The routes of one Router and the rules by which an input finds its own.

    Attributes:
        names: The routes, in order.
        default: The route of an input that no rule names, if there is one.
        mappings: Rules for a task, a modality, or both.
    """

    names: tuple[str, ...]
    default: str | None
    mappings: Mappings

    @property
    def tasks(self) -> frozenset[str]:
        """Every task that a rule is for, and the name of every route, which is one too."""
        return frozenset(self.names).union(task for task, _ in self.mappings if task is not None)

    def find(self, task: str | None, modality: Modality | None, tasks: Collection[str] = ()) -> str:
        """Return the route for an input.

        Asked in this order: rules for task and modality, for the task, for the modality, for anything; a route named
        like the task, or like the modality; the default.

        Args:
            task: The task, if there is one.
            modality: What the input is, if that is known.
            tasks: Tasks that mean something elsewhere in the model, and so may mean nothing here.

        Raises:
            InputError: None of them fits; a task that means nothing anywhere is not sent to the default.
        """
        kinds = list(_kinds(modality))
        keys = [(task, kind) for kind in kinds] + [(task, None)] + [(None, kind) for kind in kinds] + [(None, None)]
        for key in keys:
            if key in self.mappings:
                return self.mappings[key]
        for name in (task, *kinds):
            if name in self.names:
                return str(name)
        if task is not None and task not in tasks:
            others = sorted(self.tasks.union(tasks).difference(self.names))
            raise InputError(
                f"no route is for the task {task!r}{nearest(task, [*self.names, *others])}.",
                next_step=f"the routes are {', '.join(self.names)}{'; other tasks are ' if others else ''}"
                f"{', '.join(others)}; pass task= with one of them.",
            )
        if self.default is None:
            wanted = "" if task is None else f"the task {task!r} and "
            raise InputError(
                f"no route is for {wanted}an input of {shown(modality)}, and there is no default route.",
                next_step=f"pass task= with one of the routes: {', '.join(self.names)}.",
            )
        return self.default

    def check_modality(self, modality: Modality | None) -> None:
        """Refuse a modality that a caller names and that neither a rule, a route nor any input has.

        Raises:
            InputError: Naming it, and the nearest that exists.
        """
        if modality is None:
            return
        ruled = (part for _, kind in self.mappings if kind is not None for part in modality_parts(kind))
        known = {*CONTENT, MESSAGE, *self.names, *ruled}
        for part in modality_parts(modality):
            if part not in known:
                raise InputError(
                    f"there is no modality {part!r}{nearest(str(part), known)}.",
                    next_step=f"pass modality= with one of {', '.join((*CONTENT, MESSAGE))}, or a tuple of several.",
                )


def checked(
    names: Sequence[str], default: str | None, allow_empty_key: bool, mappings: Mapping[Any, str] | None
) -> Routes:
    """Return the routes, once it is clear that every rule leads to one of them.

    Args:
        names: The routes.
        default: The default route.
        allow_empty_key: Whether the first route is the default where none is given.
        mappings: The rules; the parts of a compound modality may come in any order.

    Raises:
        InputError: There are no routes, or a name is not one.
    """
    if not names:
        raise InputError("a Router needs at least one route.")
    for name in names:
        if not isinstance(name, str) or not name or "." in name:
            raise InputError(f"a route is named {name!r}.", next_step="choose a name without dots.")
        # its modules are saved in folders that begin with it
        check_inside(name, shown_as="a route's name")
    ordered = {_rule(key): route for key, route in (mappings or {}).items()}
    for route in (*([] if default is None else [default]), *ordered.values()):
        if route not in names:
            raise InputError(
                f"{route!r} is not one of the routes{nearest(str(route), names)}.",
                next_step=f"the routes are {', '.join(names)}.",
            )
    if default is None and allow_empty_key:
        default = names[0]
    return Routes(tuple(names), default, ordered)


def mappings_from_json(values: Mapping[str, str], *, shown_as: str) -> dict[Any, str]:
    """Return rules as a file holds them: its keys are tuples as Python prints them.

    Raises:
        FormatError: A key is no such tuple.
    """
    mappings = {}
    for text, route in values.items():
        try:
            mappings[_rule(ast.literal_eval(text))] = route
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise FormatError(
                f"{shown_as}: the route mapping {text[:60]!r} is no tuple of task and modality, such as (None, 'text')."
            ) from error
    return mappings


def mappings_to_json(mappings: Mappings) -> dict[str, str]:
    """Return rules as a file holds them."""
    return {repr(key): route for key, route in mappings.items()}


def shown(modality: Modality | None) -> str:
    """Return a modality for people, such as ``image and text``."""
    if modality is None:
        return "unknown modality"
    return " and ".join("chat messages" if part == MESSAGE else part for part in modality_parts(modality))


def _kinds(modality: Modality | None) -> Iterator[Modality]:
    """Yield what an input can be called: all it holds together, then the one part that is not text."""
    if modality is None:
        return
    if isinstance(modality, str):
        yield modality
        return
    yield tuple(sorted(modality))
    others = [part for part in modality if part != TEXT]
    if len(others) == 1:
        yield others[0]


def _rule(key: Any) -> tuple[str | None, Modality | None]:
    """Return what a rule asks for, with the parts of a compound modality in order."""
    if isinstance(key, tuple) and len(key) == 2:
        task, modality = key
        if isinstance(modality, (tuple, list)):
            modality = tuple(sorted(modality, key=str))
        wanted = modality if isinstance(modality, tuple) else (modality,) if modality is not None else ("any",)
        if (task is None or isinstance(task, str)) and wanted and all(isinstance(part, str) for part in wanted):
            return task, modality
    raise InputError(f"a route mapping has the key {key!r}.", next_step="pass (task, modality); None stands for any.")
