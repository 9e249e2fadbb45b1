"""The rules that choose an input's route: by task, by modality, by both, or by default."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairchain.authoring import CONTENT, MESSAGE, TEXT, Modality, check_inside, modality_parts, nearest
from pairchain.errors import FormatError, InputError

# (task, modality) → route; None matches anything
Mappings = Mapping[tuple[str | None, Modality | None], str]


@dataclass(frozen=True)
class Routes:
    """The routes of one Router, and the rules that choose among them.

    Attributes:
        names: The routes in order.
        default: The route of an input that no rule matches, or None.
        mappings: Rules for a task, a modality, or both.
    """

    names: tuple[str, ...]
    default: str | None
    mappings: Mappings

    @property
    def tasks(self) -> frozenset[str]:
        """Every task in a rule, and the name of every route, which is also a task."""
        return frozenset(self.names).union(task for task, _ in self.mappings if task is not None)

    def find(self, task: str | None, modality: Modality | None, tasks: Collection[str] = ()) -> str:
        """Return the route for an input.

        The first match counts, in this order: a rule for task and modality, for the task, for the modality, for
        anything; a route named like the task, or like the modality; the default.

        Args:
            task: The task, or None.
            modality: The input's modality; None if it is unknown.
            tasks: Tasks of the model's other Routers; inputs with such a task may take the default route.

        Raises:
            InputError: No route matches, or no Router knows the task.
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
                f"no route matches the task {task!r}{nearest(task, [*self.names, *others])}.",
                next_step=f"the routes are {', '.join(self.names)}{'; other tasks are ' if others else ''}"
                f"{', '.join(others)}; pass task= with one of them.",
            )
        if self.default is None:
            wanted = "" if task is None else f"the task {task!r} and "
            raise InputError(
                f"no route matches {wanted}an input of {modality_in_words(modality)}, and there is no default route.",
                next_step=f"pass task= with one of the routes: {', '.join(self.names)}.",
            )
        return self.default

    def check_modality(self, modality: Modality | None) -> None:
        """Refuse a modality that no rule, route or input can have.

        Raises:
            InputError: The modality is unknown; the error names the nearest known one.
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


def check_routes(
    names: Sequence[str], default: str | None, allow_empty_key: bool, mappings: Mapping[Any, str] | None
) -> Routes:
    """Return the routes after checking their names, and that every rule leads to one of them.

    Args:
        names: The routes.
        default: The default route.
        allow_empty_key: Whether the first route is the default if ``default`` is None.
        mappings: The rules; the parts of a compound modality may come in any order.

    Raises:
        InputError: ``names`` is empty, a route's name is invalid, or a rule leads to an unknown route.
    """
    if not names:
        raise InputError("a Router needs at least one route.")
    for name in names:
        if not isinstance(name, str) or not name or "." in name:
            raise InputError(f"a route is named {name!r}.", next_step="choose a name without dots.")
        # folders of its modules begin with the route's name
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
    """Return the rules in a file, where each key is a tuple as Python prints it.

    Raises:
        FormatError: A key is not such a tuple.
    """
    mappings = {}
    for text, route in values.items():
        try:
            mappings[_rule(ast.literal_eval(text))] = route
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise FormatError(
                f"{shown_as}: the route mapping {text[:60]!r} is not a tuple of task and modality like (None, 'text')."
            ) from error
    return mappings


def mappings_to_json(mappings: Mappings) -> dict[str, str]:
    """Return the rules as in a file; see `mappings_from_json`."""
    return {repr(key): route for key, route in mappings.items()}


def modality_in_words(modality: Modality | None) -> str:
    """Return a modality in words, such as ``image and text``."""
    if modality is None:
        return "unknown modality"
    return " and ".join("chat messages" if part == MESSAGE else part for part in modality_parts(modality))


def _kinds(modality: Modality | None) -> Iterator[Modality]:
    """Yield the modalities that match an input: all parts together, then the part beside text, if there is only one."""
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
    """Return the task and modality of a rule, with the parts of a compound modality sorted."""
    if isinstance(key, tuple) and len(key) == 2:
        task, modality = key
        if isinstance(modality, (tuple, list)):
            modality = tuple(sorted(modality, key=str))
        wanted = modality if isinstance(modality, tuple) else (modality,) if modality is not None else ("any",)
        if (task is None or isinstance(task, str)) and wanted and all(isinstance(part, str) for part in wanted):
            return task, modality
    raise InputError(f"a route mapping has the key {key!r}.", next_step="pass (task, modality); None matches any.")
