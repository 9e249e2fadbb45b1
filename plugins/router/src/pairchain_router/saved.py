"""Reads ``router_config.json``, the file of a saved Router: its modules, their routes, and its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pairchain import Source
from pairchain.authoring import ModuleEntry, check_inside, read_json_object, unknown_keys
from pairchain.errors import FormatError, InputError
from pairchain_router.routes import check_routes, mappings_from_json

# the present file first; a Router saved under its former name, Asym, has the same content in the second
CONFIG_FILES = ("router_config.json", "config.json")
_SECTIONS = ("types", "structure", "parameters", "distributions")
_PARAMETERS = ("default_route", "allow_empty_key", "route_mappings")


@dataclass(frozen=True)
class SavedRouter:
    """A Router as its file describes it.

    Attributes:
        file: The file's name.
        shown_as: The file's name in errors.
        entries: The modules, each named like its folder.
        structure: The folders of each route's modules, in order.
        parameters: Arguments of ``Router``, except the modules.
        extra: Unknown keys.
        extra_parameters: Unknown keys among the parameters.
    """

    file: str
    shown_as: str
    entries: tuple[ModuleEntry, ...]
    structure: Mapping[str, Sequence[str]]
    parameters: Mapping[str, Any]
    extra: Mapping[str, Any]
    extra_parameters: Mapping[str, Any]


def read_router(source: Source) -> SavedRouter:
    """Return the Router that the file in the folder ``source`` describes.

    Raises:
        MissingFileError: The file is missing.
        FormatError: The file is malformed; the message names the key.
        UnsafePathError: A module's folder is outside the Router's folder.
    """
    path = next((path for name in CONFIG_FILES if (path := source.file(name)) is not None), None)
    if path is None:
        path = source.require(CONFIG_FILES[0], because="It says which routes there are.")
    shown_as = f"{path.name} of {source}"
    config = read_json_object(path, shown_as=shown_as)
    types, structure, parameters = (_object(config, key, shown_as) for key in _SECTIONS[:3])
    entries = _entries(types, config.get("distributions"), shown_as)
    _check_structure(structure, types, shown_as)
    allow_empty_key = parameters.get("allow_empty_key", True)
    if not isinstance(allow_empty_key, bool):
        raise FormatError(f"{shown_as}: 'allow_empty_key' is {allow_empty_key!r}, neither true nor false.")
    mappings = {} if parameters.get("route_mappings") is None else _object(parameters, "route_mappings", shown_as)
    # Asym had no default route
    default = parameters.get("default_route")
    rules = mappings_from_json(mappings, shown_as=shown_as)
    try:
        check_routes(list(structure), default, allow_empty_key, rules)
    except InputError as error:
        raise FormatError(f"{shown_as}: {error.what}", next_step=error.next_step) from error
    return SavedRouter(
        path.name,
        shown_as,
        entries,
        structure,
        {"default_route": default, "allow_empty_key": allow_empty_key, "route_mappings": rules},
        unknown_keys(config, _SECTIONS, shown_as=shown_as),
        unknown_keys(parameters, _PARAMETERS, shown_as=shown_as),
    )


def _object(values: Mapping[str, Any], key: str, shown_as: str) -> dict[str, Any]:
    value = values.get(key)
    if not isinstance(value, dict):
        found = f"is {value!r}, not an object" if key in values else "is missing"
        raise FormatError(f"{shown_as}: {key!r} {found}.", next_step="save or fetch the model again.")
    return value


def _entries(types: Mapping[str, Any], recorded: Any, shown_as: str) -> tuple[ModuleEntry, ...]:
    seen: dict[PurePosixPath, str] = {}
    for folder, type_name in types.items():
        if not isinstance(type_name, str):
            raise FormatError(f"{shown_as}: the type of {folder!r} is {type_name!r}, not a string.")
        # the Router's own folder would contain the Router again, endlessly
        if not PurePosixPath(check_inside(folder, shown_as=f"{shown_as}: a module's folder")).parts:
            raise FormatError(f"{shown_as}: a module's folder is {folder!r}, which is the Router's own.")
        # with ten names for each folder, Routers inside Routers would multiply to a million modules
        if (other := seen.setdefault(PurePosixPath(folder), folder)) != folder:
            raise FormatError(f"{shown_as}: {other!r} and {folder!r} are one folder; a module has one name.")
    return tuple(ModuleEntry(folder, folder, name, **_recorded(recorded, folder)) for folder, name in types.items())


def _check_structure(structure: Mapping[str, Any], types: Mapping[str, Any], shown_as: str) -> None:
    for route, folders in structure.items():
        if not isinstance(folders, list) or not folders:
            raise FormatError(f"{shown_as}: the route {route!r} is {folders!r}, not a list of modules.")
        for folder in folders:
            if not isinstance(folder, str) or folder not in types:
                raise FormatError(f"{shown_as}: the route {route!r} names {folder!r}, which 'types' does not contain.")


def _recorded(recorded: Any, folder: str) -> dict[str, Any]:
    entry = recorded.get(folder) if isinstance(recorded, dict) else None
    # these are only advice on what to install or pin, so a mistake in them is not a reason to refuse the model
    keys = ("distribution", "version", "reads_saved_by", "code_revision")
    return {key: entry[key] for key in keys if isinstance(entry.get(key), str)} if isinstance(entry, dict) else {}
