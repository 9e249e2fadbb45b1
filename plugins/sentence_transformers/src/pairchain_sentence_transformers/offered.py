"""Reads the types of sentence-transformers from its source files, without importing it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pairchain.errors import TrustRequiredError, UnknownTypeError

LIBRARY = "sentence_transformers"

_BASE = ("Module", "InputModule", "Transformer", "Dense", "Router", "Asym")

# The packages with the library's module types, and their classes that pairchain has too. A type string can make
# pairchain import only these packages.
PACKAGES: dict[str, tuple[str, ...]] = {
    "sentence_transformers.sentence_transformer.modules": (*_BASE, "Pooling", "Normalize", "LayerNorm"),
    "sentence_transformers.cross_encoder.modules": (*_BASE, "LogitScore"),
    "sentence_transformers.base.modules": (*_BASE, "Normalize"),
    "sentence_transformers.sparse_encoder.modules": _BASE,
    "sentence_transformers.multi_vector_encoder.modules": (),
    # up to 5.3
    "sentence_transformers.models": (*_BASE, "Pooling", "Normalize", "LayerNorm"),
    "sentence_transformers.sparse_encoder.models": _BASE,
}

# Classes of the library that import classes named in a model's files, or pass settings on to the transformers library.
LOAD_WHAT_FILES_SAY = frozenset({"Transformer", "Router", "Dense", "SparseStaticEmbedding"})


def is_type(type_name: str) -> bool:
    """Return whether ``type_name`` is in one of `PACKAGES`."""
    return type_name.startswith(tuple(f"{package}." for package in PACKAGES))


def is_installed() -> bool:
    """Return whether the library is installed."""
    return find_spec(LIBRARY) is not None


def not_installed(type_name: str) -> UnknownTypeError:
    """Return the error for a type of the library if the library is not installed."""
    return UnknownTypeError(
        f"the type {type_name!r} belongs to sentence-transformers, which is not installed; pairchain has no plugin "
        "for it and loads it through that library.",
        next_step="pip install sentence-transformers",
    )


def not_trusted(type_name: str) -> TrustRequiredError:
    """Return the error for a type whose class is in `LOAD_WHAT_FILES_SAY` or derives from one of these."""
    name = type_name.rpartition(".")[2]
    return TrustRequiredError(
        f"sentence-transformers loads the type {type_name!r}, and its {name} obeys the model's files, which could make "
        "it run anything.",
        next_step="if you trust the model, pass trust_remote_code=True; pairchain's own modules do not need it.",
    )


def loads_what_files_say(type_name: str) -> bool:
    """Return whether a type's class is in `LOAD_WHAT_FILES_SAY` or derives from one of these, judging by its source."""
    name = type_name.rpartition(".")[2]
    folders = [file.parent for package in PACKAGES if (file := _file(package)) is not None]
    texts = (path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("*.py"))
    heads = (re.search(rf"^class {re.escape(name)}\((.*?)\)", text, re.MULTILINE) for text in texts)
    bases = {base.strip() for head in heads if head for base in head[1].split(",")}
    return not LOAD_WHAT_FILES_SAY.isdisjoint({name, *bases})


def offers(type_name: str) -> bool:
    """Return whether the installed library has the module class that ``type_name`` names, judging by its source."""
    name = type_name.rpartition(".")[2]
    return any(name in _imported_names(file) for package in PACKAGES if (file := _file(package)) is not None)


def _file(package: str) -> Path | None:
    spec = find_spec(LIBRARY)
    folders = spec.submodule_search_locations if spec else None
    file = Path(folders[0], *package.split(".")[1:], "__init__.py") if folders else None
    return file if file is not None and file.is_file() else None


def _imported_names(file: Path) -> Iterator[str]:
    for statement in ast.parse(file.read_bytes()).body:
        if isinstance(statement, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in statement.names)
