"""Golden models, each broken in one way, or changed in one way that does not break it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

GOLDEN = Path(__file__).parents[1] / "golden"

Change = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One changed model.

    Attributes:
        name: What was done to it, as a sentence.
        base: The golden model.
        change: What does it, in a copy of its folder.
        about: What a report on it says the problem is about; empty if it still loads.
        says: Parts of what the report says of that.
    """

    name: str
    base: str
    change: Change
    about: str = ""
    says: tuple[str, ...] = ()

    def make(self, folder: Path) -> Path:
        """Return ``folder``, in which the changed model is now."""
        shutil.copytree(GOLDEN / self.base / "model", folder, symlinks=True)
        self.change(folder)
        return folder


def text(file: str, content: str) -> Change:
    """Return what writes ``content`` to ``file``."""

    def change(folder: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content)

    return change


def without(*files: str) -> Change:
    """Return what takes ``files`` away."""

    def change(folder: Path) -> None:
        for file in files:
            (folder / file).unlink()

    return change


def keys(file: str, **changes: Any) -> Change:
    """Return what changes keys of a JSON file; None takes a key out."""

    def change(folder: Path) -> None:
        values = {**json.loads((folder / file).read_text()), **changes}
        (folder / file).write_text(json.dumps({key: value for key, value in values.items() if value is not None}))

    return change


def entry(index: int, **changes: Any) -> Change:
    """Return what changes an entry of ``modules.json``."""

    def change(folder: Path) -> None:
        entries = json.loads((folder / "modules.json").read_text())
        entries[index] |= changes
        (folder / "modules.json").write_text(json.dumps(entries))

    return change


def both(*changes: Change) -> Change:
    """Return what makes several changes."""

    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def flipped(file: str) -> Change:
    """Return what changes the last byte of ``file``."""

    def change(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    return change


def cut_weights(folder: Path) -> None:
    """Cut off the end of the weights, as a broken download does."""
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])


def pickled(file: str) -> Change:
    """Return what turns the weights into a pickle called ``file``."""

    def change(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save(weights, folder / file)

    return change


def sharded(*lost: str) -> Change:
    """Return what splits the weights into two files with an index, and loses ``lost``."""

    def change(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        files = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(sorted(weights))}
        for file in set(files.values()):
            part = {name: weights[name] for name, home in files.items() if home == file}
            save_file(part, folder / file, metadata={"format": "pt"})
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
        without(*lost)(folder)

    return change


def renamed_word(word: str) -> Change:
    """Return what gives ``word`` another name in the tokenizer's vocabulary."""

    def change(folder: Path) -> None:
        values = json.loads((folder / "tokenizer.json").read_text())
        vocabulary = values["model"]["vocab"]
        values["model"]["vocab"] = {f"not-{name}" if name == word else name: id_ for name, id_ in vocabulary.items()}
        (folder / "tokenizer.json").write_text(json.dumps(values))

    return change


def linked_out(folder: Path) -> None:
    """Make a file of the model a link to one outside."""
    (folder / "config.json").rename(folder.parent / "config.json")
    (folder / "config.json").symlink_to(folder.parent / "config.json")


def emptied(folder: Path) -> None:
    """Leave an empty folder."""
    shutil.rmtree(folder)
    folder.mkdir()
