"""Saves a chain to a folder: every module, or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairchain import hooks
from pairchain.chain.chain import ModuleChain
from pairchain.chain.inside import tensors_inside
from pairchain.code.admitted import noting_origin
from pairchain.code.to_save import CodeToSave, saving
from pairchain.errors import InputError
from pairchain.files.staging import staged
from pairchain.format.saved_model import ModelConfig, ModuleEntry, write_config, write_entries
from pairchain.persistence.model_card import ModelCard
from pairchain.persistence.saved_type import saved_type


def save_chain(
    chain: ModuleChain,
    path: str | os.PathLike[str],
    config: ModelConfig,
    *,
    extra_entries: Mapping[str, Mapping[str, Any]],
    card: ModelCard | None,
    safe_serialization: bool,
    copy_code: bool = False,
) -> None:
    """Write ``chain`` to the folder ``path``; if that fails, the folder stays unchanged.

    ``extra_entries`` has, by module name, the unknown keys that the module's entry had when it was loaded. The other
    arguments are those of `CrossEncoder.save_pretrained`.

    Raises:
        InputError: The path is empty.
        FormatError: A part of the chain cannot be written.
        SaveError: The disk refuses a write, or another save to the folder does not end; see `staged`.
    """
    if not os.fspath(path):
        raise InputError("the path to save to is empty.")
    modules: Mapping[str, Any] = chain._modules
    code = CodeToSave(copies_all=copy_code)
    size = sum(tensor.nbytes for tensor in tensors_inside(chain))
    with saving(code), staged(Path(path), needs=size) as folder:
        entries = tuple(_entry(chain, index, name, extra_entries.get(name, {})) for index, name in enumerate(modules))
        for entry in entries:
            home = folder / entry.path
            home.mkdir(exist_ok=True)
            module = modules[entry.name]
            with noting_origin(type(module), called=f"{type(module).__name__}.save"):
                module.save(str(home), safe_serialization=safe_serialization)
        if card is not None:
            (folder / "README.md").write_text(card.text(chain, entries, code), encoding="utf-8")
        code.write(folder)
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
        **saved.recorded,
        extra=extra,
    )
