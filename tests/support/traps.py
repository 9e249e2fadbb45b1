"""Models that would run code or read files of the machine if they were let, and canaries that tell whether they did."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

GOLDEN = Path(__file__).parents[1] / "golden"
PAIRS = [("how many people live in berlin ?", "berlin had a population"), ("x", "y yes no")]

HEAD = """
import torch
from pairchain import Module

class Head(Module):
    factor = {factor}

    def forward(self, features, **kwargs):
        features["scores"] = features["scores"] * self.factor
        return features

    def save(self, output_path, *args, **kwargs):
        self.save_config(output_path)
"""


@dataclass(frozen=True)
class Canary:
    """A file that code writes when it runs."""

    path: Path

    @property
    def code(self) -> str:
        """A line of Python that lets it sing."""
        return f"open({str(self.path)!r}, 'a').close()\n"

    @property
    def sang(self) -> bool:
        """Whether the code ran."""
        return self.path.exists()

    def head(self, factor: float = 2.0) -> str:
        """Return the text of a file with the class ``Head``, which multiplies the scores; importing it is heard."""
        return self.code + HEAD.format(factor=factor)

    def pickle(self) -> bytes:
        """Return a pickle that lets it sing when it is read without care."""
        return pickle.dumps(_Trap(self.path))

    def state_dict(self, weights: Mapping[str, torch.Tensor] | None = None) -> bytes:
        """Return what `torch.save` writes, with weights and a trap."""
        file = self.path.with_suffix(".saving")
        torch.save({**(weights or {}), "trap": _Trap(self.path)}, file)
        content = file.read_bytes()
        file.unlink()
        return content


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.path), "a")


def with_module(folder: Path, type_name: str, files: Mapping[str, str] | None = None, **entry: Any) -> Path:
    """Return ``folder``, a saved model, after adding a last module of that type, and files."""
    path = entry.pop("path", f"9_{type_name.rpartition('.')[2]}")
    entries = json.loads((folder / "modules.json").read_text())
    entries.append({"idx": len(entries), "name": "9", "path": path, "type": type_name, **entry})
    write(folder, {"modules.json": json.dumps(entries), **(files or {})})
    return folder


def with_types(folder: Path, *type_names: str) -> Path:
    """Return ``folder``, a saved model, after changing the types of its modules."""
    entries = json.loads((folder / "modules.json").read_text())
    for entry, type_name in zip(entries, type_names, strict=False):
        entry["type"] = type_name
    return write(folder, {"modules.json": json.dumps(entries)})


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Return ``folder`` after writing files into it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def router(folder: Path, types: Mapping[str, str], **parameters: Any) -> Path:
    """Return ``folder`` after making it a Router whose routes ``query`` and ``document`` hold what ``types`` says."""
    values = {
        "types": dict(types),
        "structure": {route: list(types) for route in ("query", "document")},
        "parameters": {"default_route": "document", "allow_empty_key": True, **parameters},
    }
    entry = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.router.Router"}
    return write(folder, {"modules.json": json.dumps([entry]), "router_config.json": json.dumps(values)})


def with_auto_map(folder: Path, canary: Canary, *, module: str = "modeling_tiny", code: str | None = None) -> Path:
    """Return ``folder``, a BERT classifier, made one whose classes are code that the transformers library runs.

    Args:
        folder: The classifier.
        canary: Sings when the code runs.
        module: What the settings name, as ``owner/name--module`` for code elsewhere.
        code: What the file beside the checkpoint holds; None for the classes, empty for no file.
    """
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "tinything"
    config["auto_map"] = {
        "AutoConfig": f"{module}.TinyConfig",
        "AutoModelForSequenceClassification": f"{module}.TinyModel",
    }
    write(folder, {"config.json": json.dumps(config)})
    text = canary.code + CHECKPOINT if code is None else code
    return write(folder, {f"{module}.py": text}) if text else folder


CHECKPOINT = """
from transformers import BertConfig, BertForSequenceClassification

class TinyConfig(BertConfig):
    model_type = "tinything"

class TinyModel(BertForSequenceClassification):
    config_class = TinyConfig
"""


def safetensors(header: bytes, length: int | None = None) -> bytes:
    """Return a safetensors file with just a header, which may say another length than it has."""
    return struct.pack("<Q", len(header) if length is None else length) + header


def edit(folder: Path, file: str, **values: Any) -> None:
    """Set keys of a JSON file, which is made if it is not there."""
    path = folder / file
    before = json.loads(path.read_text()) if path.exists() else {}
    write(folder, {file: json.dumps({**before, **values})})
