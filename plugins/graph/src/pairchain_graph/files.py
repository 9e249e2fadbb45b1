"""Chooses the file of a graph among a model's files, as sentence-transformers does; imports neither torch nor runtimes.

A file's name is looked up in the model's folder first, and then in the runtime's folder in it, such as ``onnx/``.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from pairchain import Source
from pairchain.authoring import check_inside
from pairchain.errors import InputError
from pairchain_graph.settings import INT8, Settings


@dataclass(frozen=True)
class Layout:
    """Where a runtime's files are in a model's folder, and how they are named.

    Attributes:
        folder: The runtime's folder, ``"onnx"`` or ``"openvino"``.
        plain: The file with the weights as they were trained.
        pattern: What the names of its files look like.
        int8: The files with int8 weights, best first, each with the processor's feature that it needs; an empty
            feature for any processor.
    """

    folder: str
    plain: str
    pattern: str
    int8: Sequence[tuple[str, str]]

    def best_int8(self) -> list[str]:
        """Return the names of files with int8 weights that this processor runs, best first."""
        features = processor_features()
        return [name for name, feature in self.int8 if not feature or feature in features]


def choose(source: Source, settings: Settings, layout: Layout) -> str | None:
    """Return the path of the file to load, relative to ``source``; None if the model is to be exported.

    Raises:
        InputError: The file that the caller named does not exist, or there is none and none may be exported.
        UnsafePathError: The name leads out of the model's folder.
    """
    if settings.export:
        return None
    names = [layout.plain] if settings.file_name is None else [settings.file_name]
    if settings.file_name == INT8:
        names = layout.best_int8()
    for name in names:
        for folder in ("", layout.folder):
            path = "/".join(part for part in (settings.subfolder.strip("/"), folder, name) if part)
            if source.has(check_inside(path, shown_as="file_name")):
                return path
    if settings.file_name is not None or settings.export is False:
        raise _absent(source, settings, layout, names)
    return None


def _absent(source: Source, settings: Settings, layout: Layout, names: Sequence[str]) -> InputError:
    found = shipped(source.files(), layout)
    missing = f"none of {', '.join(names)}" if len(names) > 1 else f"no {names[0]}"
    how = "and export=False forbids to export it" if settings.file_name is None else "which model_kwargs ask for"
    files = f"; it has {', '.join(found)}" if found else ""
    return InputError(f"the model has {missing}, {how}{files}.", where=str(source), argument="model_kwargs")


def shipped(files: Iterable[str], layout: Layout) -> list[str]:
    """Return those of a model's ``files`` that look like graphs of the runtime, sorted."""
    return sorted(path for path in files if fnmatchcase(path.rpartition("/")[2], layout.pattern))


@cache
def processor_features() -> frozenset[str]:
    """Return the features of this processor that names of published files mention."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return frozenset({"arm64"})
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        # elsewhere, no x86 processor that runs Python 3.11 is known to lack it, and more cannot be found out
        flags = ["avx2"] if os.name == "nt" or platform.machine() == "x86_64" else []
    return frozenset(flag for flag in ("avx2", "avx512_vnni") if flag in flags) | (
        {"avx512"} if "avx512f" in flags else frozenset()
    )
