"""From a chain to a folder: every module in its place, all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairchain import hooks
from pairchain.chain import ModuleChain
from pairchain.errors import InputError
from pairchain.files import staged
from pairchain.resolve import saved_type
from pairchain.saved_model import ModelConfig, ModuleEntry, write_config, write_entries


def save_chain(
    chain: ModuleChain,
    path: str | os.PathLike[str],
    config: ModelConfig,
    *,
    extra_entries: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, str],
    safe_serialization: bool,
) -> None:
    """Write ``chain`` to the folder ``path``; if that fails, the folder is as it was.

    Args:
        chain: What to save.
        path: The folder; made if it is not there.
        config: The model's settings.
        extra_entries: For each module's name, keys of its entry that nobody knew when it was loaded.
        files: Text of other files by name, such as the model card.
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
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        write_config(folder, config)
        write_entries(folder, entries)
    hooks.tell("pairchain_chain_saved", chain=chain, path=Path(path))


def _entry(chain: ModuleChain, index: int, name: str, extra: Mapping[str, Any]) -> ModuleEntry:
    cls = type(chain._modules[name])
    saved = saved_type(cls)
    in_root = index == 0 and getattr(cls, "save_in_root", False)
    return ModuleEntry(
        name=name,
        path="" if in_root else f"{index}_{cls.__name__}",
        type=saved.type,
        kwargs=tuple(chain.module_kwargs.get(name, ())),
        distribution=saved.origin.distribution,
        version=saved.origin.version,
        extra=extra,
    )
