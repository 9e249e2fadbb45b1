"""SHA-256 of the files that a model is made of: which of them count, and which need not be here to be known."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pairchain.source import Source

# What no load reads: texts for people in the root, what git and the Hub library keep of a copy, what Python compiled.
# A file that a module might read, be it an image, is none of them.
_TEXTS = (
    *("readme.md", "license", "license.txt", "license.md", "notice", "notice.txt", "notice.md"),
    *(".gitattributes", ".gitignore", "*.lock.json"),
)
_FOLDERS = (".git/", ".cache/huggingface/")
_ANYWHERE = ("__pycache__", ".DS_Store")

# The same weights for other runtimes, and what training left behind. They count where they are, but nothing here reads
# them, so they may be left out of a copy, and need not be fetched.
_FOR_OTHERS = (
    *("*.onnx", "*.onnx_data", "onnx/*", "openvino/*", "coreml/*", "*.msgpack", "*.h5", "*.ot", "*.tflite", "*.gguf"),
    *("optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state*.pth", "training_args.bin"),
)
_PICKLED_WEIGHTS = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")

_AT_ONCE = 8


def file_hashes(source: Source, homes: Collection[str], *, read: bool) -> dict[str, str]:
    """Return the SHA-256 of every file of the model in ``source`` that counts, by its path.

    Args:
        source: The model's files.
        homes: The folders of its modules.
        read: Whether what loading reads is fetched and hashed here. Otherwise the Hub is believed what it says of large
            files that are not here yet; they are hashed when they are loaded.

    Raises:
        SourceError: A file cannot be had.
        UnsafePathError: One is a link that leads out of the folder.
    """
    source = source.listed()
    files = source.files()
    paths = [path for path in sorted(files) if counts(path, homes)]

    def digest(path: str) -> str:
        known = (source.listing or {}).get(source.path_of(path), "")
        if known and source.cached(path) is None and (not read or is_for_others(path, files, homes)):
            return known
        with source.require(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {**dict(zip(paths, pool.map(digest, paths), strict=True)), **_linked_folders(source)}


def counts(path: str, homes: Collection[str]) -> bool:
    """Return whether loading may read the file at ``path``; whatever is in a module's own folder counts."""
    if _is_in(path, homes):
        return True
    *folders, name = path.split("/")
    if path.startswith(_FOLDERS) or any(part in _ANYWHERE for part in (*folders, name)):
        return False
    return bool(folders) or not _matches(name.lower(), _TEXTS)


def is_for_others(path: str, files: Collection[str], homes: Collection[str]) -> bool:
    """Return whether the file at ``path``, one of ``files``, is one that nothing here reads."""
    file = PurePosixPath(path)
    if _matches(file.name, _PICKLED_WEIGHTS):
        return any(str(file.with_name(name)) in files for name in _SAFETENSORS)
    return _matches(path, _FOR_OTHERS) and file.suffix != ".py" and not _is_in(path, homes)


def _is_in(path: str, homes: Collection[str]) -> bool:
    return any(home and path.startswith(f"{home}/") for home in homes)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _linked_folders(source: Source) -> dict[str, str]:
    """Return where links to folders lead: what is in those counts under its own path, and so does the way there."""
    if not source.is_local:
        return {}
    root = Path(source.name) / source.subfolder
    folders = [Path(parent, name) for parent, names, _ in os.walk(root) for name in names]
    ways = {
        f"{folder.relative_to(root).as_posix()}/": os.path.relpath(folder.resolve(), root.resolve())
        for folder in folders
        if folder.is_symlink()
    }
    return {path: hashlib.sha256(way.encode()).hexdigest() for path, way in ways.items()}
