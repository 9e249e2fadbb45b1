"""The model card of a saved model, ``README.md``: its modules, its use, its versions."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import huggingface_hub

from pairchain.chain.chain import ModuleChain
from pairchain.code.to_save import CodeToSave
from pairchain.files.source import Source
from pairchain.format.saved_model import ModuleEntry
from pairchain.registry.discovery import installed_version
from pairchain.text.escaping import on_one_line

# A card lists the versions of these packages.
_PACKAGES = ("pairchain-core", "torch", "transformers", "safetensors")

_LONGEST_CELL = 4_000


def model_card(
    chain: ModuleChain,
    *,
    entries: Sequence[ModuleEntry],
    code: CodeToSave,
    name: str,
    num_labels: int | None,
    source: Source | None,
    prompts: Mapping[str, str],
    metadata: Mapping[str, Any] | None = None,
    examples: Sequence[tuple[Any, Any]] = (),
) -> str:
    """Return the text of a model card; nothing of the model runs.

    Args:
        chain, entries: The model's modules, and their entries in ``modules.json``.
        code: The code that is saved with them, or that their types name.
        name: The repository or folder that readers load.
        num_labels: Scores for each pair; None if unknown.
        source: The files the model was loaded from; the card names a repository as its base.
        prompts: Prompts by name.
        metadata: Front matter, which overrides the default.
        examples: Pairs with their scores.
    """
    parts = [
        f"---\n{_front_matter(num_labels, source, metadata)}\n---",
        f"# {os.path.basename(os.path.abspath(name))}",
        _description(num_labels, source),
        "## Modules",
        _modules(chain, entries, code),
        f"- Longest input in tokens: {chain.max_seq_length or 'no limit'}\n- Scores a pair: {num_labels or 'unknown'}",
    ]
    if prompts:
        rows = "\n".join(f"| {_cell(key)} | {_code(str(text))} |" for key, text in prompts.items())
        parts += ["## Prompts", f"| name | text |\n|---|---|\n{rows}"]
    parts += ["## Usage", _usage(name, num_labels, code)]
    if examples:
        rows = "\n".join(f"| {_cell(pair[0])} | {_cell(pair[1])} | {score} |" for pair, score in examples)
        parts += ["## Examples", f"| query | document | score |\n|---|---|---|\n{rows}"]
    parts += ["## Versions", _versions()]
    return "\n\n".join(parts) + "\n"


def renamed(card: str, name: str, new: str) -> str:
    """Return a model card that loads the model as ``new`` instead of ``name``."""
    return card.replace(f"CrossEncoder({_quoted(name)}", f"CrossEncoder({_quoted(new)}", 1)


def _front_matter(num_labels: int | None, source: Source | None, metadata: Mapping[str, Any] | None) -> str:
    data: dict[str, Any] = {
        # most readers have this library, and it loads models that pairchain saves
        "library_name": "sentence-transformers",
        "tags": ["sentence-transformers", "cross-encoder", "reranker", "pairchain"],
        "pipeline_tag": "text-ranking" if num_labels in (None, 1) else "text-classification",
    }
    if source is not None and not source.is_local:
        data["base_model"] = source.name
    more = metadata.to_dict() if isinstance(metadata, huggingface_hub.CardData) else metadata or {}
    # the Hub library knows the format of these fields
    return huggingface_hub.ModelCardData(**{**data, **more}).to_yaml()


def _description(num_labels: int | None, source: Source | None) -> str:
    scores = {None: "its scores", 1: "one score"}.get(num_labels, f"{num_labels} scores")
    base = "" if source is None or source.is_local else f" It is based on `{source.name}`, commit `{source.commit}`."
    return f"A model that gives a pair, such as a query and a document, {scores}.{base}"


def _modules(chain: ModuleChain, entries: Sequence[ModuleEntry], code: CodeToSave) -> str:
    rows = [
        f"| {_cell(entry.name)} | {type(chain._modules[entry.name]).__name__} | `{entry.type}` | "
        f"{code.places.get(entry.type) or chain.origins[entry.name]} |"
        for entry in entries
    ]
    return "\n".join(["| | module | type | provided by |", "|---|---|---|---|", *rows]) + f"\n\n```\n{chain}\n```"


def _usage(name: str, num_labels: int | None, code: CodeToSave) -> str:
    trust = ", trust_remote_code=True" if code.places else ""
    shown = "\n".join(f"- {place}" for place in dict.fromkeys(code.places.values()))
    warning = f"It comes with its own code; read it before you let it run:\n\n{shown}\n\n" if shown else ""
    rank = 'model.rank("a query", ["a document", "another document"])\n' if num_labels == 1 else ""
    return (
        f"{warning}```python\nfrom pairchain import CrossEncoder\n\nmodel = CrossEncoder({_quoted(name)}{trust})\n"
        f'model.predict([("a query", "a document")])\n{rank}```'
    )


def _cell(value: Any) -> str:
    """Return ``value`` on one line, with HTML and table separators escaped."""
    return html.escape(on_one_line(" ".join(str(value).split()), _LONGEST_CELL), quote=False).replace("|", "\\|")


def _code(text: str) -> str:
    """Return ``text`` for a table cell, quoted and between backticks, so that every character is visible."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{_quoted(text)}{fence}".replace("|", "\\|")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _versions() -> str:
    found = {package: installed_version(package) for package in _PACKAGES}
    return "\n".join(f"- {package}: {version}" for package, version in found.items() if version)
