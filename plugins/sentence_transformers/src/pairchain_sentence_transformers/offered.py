"""Which types sentence-transformers offers, told from its text; it is not imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pairchain.errors import TrustRequiredError, UnknownTypeError

LIBRARY = "sentence_transformers"

# Where the library offers its module types. Nothing else of it is imported for a type's sake, whatever the type says.
PACKAGES = (
    "sentence_transformers.sentence_transformer.modules",
    "sentence_transformers.cross_encoder.modules",
    "sentence_transformers.base.modules",
    "sentence_transformers.sparse_encoder.modules",
    "sentence_transformers.multi_vector_encoder.modules",
    # up to 5.3
    "sentence_transformers.models",
    "sentence_transformers.sparse_encoder.models",
)

# Classes of the library that import what a model's files name, or pass on to the transformers library what they say.
LOAD_WHAT_FILES_SAY = frozenset({"Transformer", "Router", "Dense", "SparseStaticEmbedding"})


def is_type(type_name: str) -> bool:
    """Return whether ``type_name`` is in a package where the library offers its module types."""
    return type_name.startswith(tuple(f"{package}." for package in PACKAGES))


def is_installed() -> bool:
    """Return whether the library is installed."""
    return find_spec(LIBRARY) is not None


def not_installed(type_name: str) -> UnknownTypeError:
    """Return the error for a type of the library, which is not installed."""
    return UnknownTypeError(
        f"the type {type_name!r} is one of sentence-transformers for which pairchain has no plugin; it loads "
        "through that library, which is not installed.",
        next_step="pip install sentence-transformers",
    )


def not_trusted(type_name: str) -> TrustRequiredError:
    """Return the refusal of a type whose class is, or derives from, one of `LOAD_WHAT_FILES_SAY`."""
    name = type_name.rpartition(".")[2]
    return TrustRequiredError(
        f"the type {type_name!r} is loaded by sentence-transformers, whose {name} does what the model's files ask for, "
        "so that they could have anything run.",
        next_step="if you trust the model pass trust_remote_code=True; pairchain's own modules need none.",
    )


def loads_what_files_say(type_name: str) -> bool:
    """Return whether the class of a type is, or derives from, one of `LOAD_WHAT_FILES_SAY`, as its text tells."""
    name = type_name.rpartition(".")[2]
    folders = [file.parent for package in PACKAGES if (file := _file(package)) is not None]
    texts = (path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("*.py"))
    heads = (re.search(rf"^class {re.escape(name)}\((.*?)\)", text, re.MULTILINE) for text in texts)
    bases = {base.strip() for head in heads if head for base in head[1].split(",")}
    return not LOAD_WHAT_FILES_SAY.isdisjoint({name, *bases})


def offers(type_name: str) -> bool:
    """Return whether the installed library offers a class of that name to chains, as far as its text tells."""
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
