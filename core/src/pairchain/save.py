"""From a chain to a folder: every module in its place, all of it or nothing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairchain import hooks
from pairchain.chain import ModuleChain
from pairchain.errors import InputError, PairchainWarning
from pairchain.files import staged
from pairchain.resolve import import_path, type_of
from pairchain.saved_model import ModelConfig, ModuleEntry, write_config, write_entries


def save_chain(
    chain: ModuleChain,
    path: str | os.PathLike[str],
    config: ModelConfig,
    *,
    extra_entries: Mapping[str, Mapping[str, Any]],
    safe_serialization: bool,
) -> None:
    """Write ``chain`` to the folder ``path``; if that fails, the folder is as it was.

    Args:
        chain: What to save.
        path: The folder; made if it is not there.
        config: The model's settings.
        extra_entries: For each module's name, keys of its entry that nobody knew when it was loaded.
        safe_serialization: Whether weights go to safetensors; otherwise to pickles.

    Raises:
        InputError: The path is empty.
        FormatError: Something cannot be written.
    """
    if not os.fspath(path):
        raise InputError("the path to save to is empty.")
    modules: Mapping[str, Any] = chain._modules
    entries = tuple(_entry(chain, index, name, extra_entries.get(name, {})) for index, name in enumerate(modules))
    with staged(Path(path)) as folder:
        for entry in entries:
            home = folder / entry.path
            home.mkdir(exist_ok=True)
            modules[entry.name].save(str(home), safe_serialization=safe_serialization)
        write_config(folder, config)
        write_entries(folder, entries)
    hooks.tell("pairchain_chain_saved", chain=chain, path=Path(path))


def _entry(chain: ModuleChain, index: int, name: str, extra: Mapping[str, Any]) -> ModuleEntry:
    cls = type(chain._modules[name])
    origin = chain.origins[name]
    type_name = type_of(cls)
    if not origin.distribution and type_name == import_path(cls):
        warnings.warn(
            f"{type_name} belongs to no installed plugin, so its code is not saved with the model; whoever loads it "
            f"must pass module_classes={{{type_name!r}: {cls.__name__}}}.",
            PairchainWarning,
            stacklevel=2,
        )
    in_root = index == 0 and getattr(cls, "save_in_root", False)
    return ModuleEntry(
        name=name,
        path="" if in_root else f"{index}_{cls.__name__}",
        type=type_name,
        kwargs=tuple(chain.module_kwargs.get(name, ())),
        distribution=origin.distribution,
        version=origin.version,
        extra=extra,
    )
