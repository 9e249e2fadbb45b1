"""Inspects a saved module of the common form: ``config.json`` with required keys, and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pairchain.errors import PairchainError
from pairchain.files.json_files import read_json_object
from pairchain.files.names import PICKLE_FILE, SAFETENSORS_FILE
from pairchain.files.source import Source
from pairchain.format.incomplete import keys_missing, weights_missing
from pairchain.trust.policies import pickle_refused


def read_form(
    source: Source,
    name: str,
    *,
    needs: Sequence[str] = (),
    renames: Mapping[str, str] | None = None,
    has_weights: bool = False,
) -> tuple[dict[str, Any], list[PairchainError]]:
    """Return the configuration of a saved module, with today's keys, and the errors that loading it would raise.

    For plugins that answer the hook ``pairchain_inspect_module``; it imports neither torch nor the module's class.

    Args:
        source: The module's folder.
        name: The class's name, for errors.
        needs: Keys that ``config.json`` must hold.
        renames: Old key to today's key, as in `Module.config_key_renames`.
        has_weights: Whether the module saves weights.
    """
    config: dict[str, Any] = {}
    faults: list[PairchainError] = []
    try:
        if (path := source.file("config.json")) is not None:
            config = read_json_object(path, shown_as=f"config.json of {source}")
    except PairchainError as error:
        return {}, [error]
    for old, new in (renames or {}).items():
        if old in config:
            config.setdefault(new, config.pop(old))
    if absent := [key for key in needs if key not in config]:
        shown = "/".join(filter(None, (source.name, source.subfolder, "config.json")))
        faults.append(keys_missing(name, absent, shown_as=shown, is_empty=not config))
    if has_weights and not source.has(SAFETENSORS_FILE):
        missing = weights_missing(source, SAFETENSORS_FILE, PICKLE_FILE)
        faults.append(pickle_refused(source, PICKLE_FILE) if source.has(PICKLE_FILE) else missing)
    return config, faults


def feature_named(config: Mapping[str, Any], key: str, default: str) -> str:
    """Return the feature that a configuration names under ``key``, or ``default`` if it names none."""
    value = config.get(key)
    return value if isinstance(value, str) and value else default
