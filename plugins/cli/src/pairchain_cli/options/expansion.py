"""Lets commands share options: a dataclass in a command's signature stands for all of its fields."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from pairchain_cli.terminal import lines

_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def expand_options(command: Callable[..., Any]) -> Callable[..., None]:
    """Return ``command`` with each parameter that is a dataclass replaced by the fields of that dataclass.

    Fields and parameters are annotated as typer expects them. Arguments in a dataclass come before all others.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {
        name: hints[name]
        for name in inspect.signature(command).parameters
        if isinstance(hints[name], type) and dataclasses.is_dataclass(hints[name])
    }
    taken: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            taken += _parameters_of(groups[name])
        else:
            taken.append(parameter.replace(annotation=hints[name], kind=_KEYWORD))
    fields = {name: {field.name for field in dataclasses.fields(group)} for name, group in groups.items()}

    @wraps(command)
    def expanded(**values: Any) -> None:
        built = {name: group(**{field: values.pop(field) for field in fields[name]}) for name, group in groups.items()}
        lines.name_options(options)
        command(**built, **values)

    options = _option_names(taken)
    taken.sort(key=lambda parameter: not _is_shared_argument(parameter, fields))
    expanded.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in taken}
    # otherwise, typer reads the signature of the wrapped function
    del expanded.__wrapped__
    return expanded


def options_of(group: type) -> dict[str, str]:
    """Return the option for each field of a dataclass that is one."""
    return _option_names(_parameters_of(group))


def _option_names(parameters: Iterable[inspect.Parameter]) -> dict[str, str]:
    return {parameter.name: _option_name(parameter) for parameter in parameters if _info(parameter, OptionInfo)}


def _parameters_of(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    missing = dataclasses.MISSING
    return [
        inspect.Parameter(
            field.name,
            _KEYWORD,
            annotation=hints[field.name],
            default=inspect.Parameter.empty if field.default is missing else field.default,
        )
        for field in dataclasses.fields(group)
    ]


def _is_shared_argument(parameter: inspect.Parameter, fields: dict[str, set[str]]) -> bool:
    is_shared = any(parameter.name in names for names in fields.values())
    return is_shared and _info(parameter, ArgumentInfo) is not None


def _option_name(parameter: inspect.Parameter) -> str:
    # typer stores the first declared name of an option as its default
    name = _info(parameter, OptionInfo).default
    return name if isinstance(name, str) else f"--{parameter.name.replace('_', '-')}"


def _info(parameter: inspect.Parameter, kind: type) -> Any:
    """Return typer's annotation of this kind on a parameter, or None."""
    annotations = getattr(parameter.annotation, "__metadata__", ())
    return next((annotation for annotation in annotations if isinstance(annotation, kind)), None)
