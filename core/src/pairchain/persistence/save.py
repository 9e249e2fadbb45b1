"""From a chain to a folder: every module in its place, all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pairchain import hooks
from pairchain.chain.chain import ModuleChain
from pairchain.code import to_save
from pairchain.code.importing import noting_origin
from pairchain.code.to_save import CodeToSave
from pairchain.errors import InputError
from pairchain.files.staging import staged
from pairchain.format.saved_model import ModelConfig, ModuleEntry, write_config, write_entries
from pairchain.persistence.saved_type import saved_type


class CardWriter(Protocol):
    """Returns the text of a model card, given what ``modules.json`` will say and the code that goes along."""

    def __call__(self, *, entries: Sequence[ModuleEntry], code: CodeToSave) -> str: ...


def save_chain(
    chain: ModuleChain,
    path: str | os.PathLike[str],
    config: ModelConfig,
    *,
    extra_entries: Mapping[str, Mapping[str, Any]],
    card: CardWriter | None,
    safe_serialization: bool,
    copy_code: bool = False,
) -> None:
    """Write ``chain`` to the folder ``path``; if that fails, the folder is as it was.

    Args:
        chain: What to save.
        path: The folder; made if it is not there.
        config: The model's settings.
        extra_entries: For each module's name, keys of its entry that nobody knew when it was loaded.
        card: Writes the model card; None for none.
        safe_serialization: Whether weights go to safetensors; otherwise to pickles.
        copy_code: Whether code of other repositories is copied in; otherwise it is named, with its commit.

    Raises:
        InputError: The path is empty.
        FormatError: Something cannot be written.
        SaveError: The disk refuses it, or another save does not end; see `staged`.
    """
    if not os.fspath(path):
        raise InputError("the path to save to is empty.")
    modules: Mapping[str, Any] = chain._modules
    code = CodeToSave(copies_all=copy_code)
    with to_save.saving(code), staged(Path(path), needs=_size(chain)) as folder:
        entries = tuple(_entry(chain, index, name, extra_entries.get(name, {})) for index, name in enumerate(modules))
        for entry in entries:
            home = folder / entry.path
            home.mkdir(exist_ok=True)
            module = modules[entry.name]
            with noting_origin(type(module), called=f"{type(module).__name__}.save"):
                module.save(str(home), safe_serialization=safe_serialization)
        if card is not None:
            (folder / "README.md").write_text(card(entries=entries, code=code), encoding="utf-8")
        code.write(folder)
        write_config(folder, config)
        write_entries(folder, entries)
    hooks.tell("pairchain_chain_saved", chain=chain, path=Path(path))


def _size(chain: ModuleChain) -> int:
    """Return how many bytes its weights take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*chain.parameters(), *chain.buffers()))


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
