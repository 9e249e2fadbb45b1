"""The model card of a saved model, ``README.md``: its modules, its use, its versions."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import huggingface_hub

from pairchain.chain.chain import ModuleChain
from pairchain.code.to_save import CodeToSave
from pairchain.files.source import Source
from pairchain.format.saved_model import ModuleEntry
from pairchain.registry.metadata import installed_version
from pairchain.text.escaping import on_one_line

# A card lists the versions of these packages.
_PACKAGES = ("pairchain-core", "torch", "transformers", "safetensors")

_LONGEST_CELL = 4_000


@dataclass(frozen=True)
class ModelCard:
    """What the card of a model says beside its modules; writing it runs nothing of the model.

    Attributes:
        name: The repository or folder that readers load.
        num_labels: Scores for each pair; None if unknown.
        source: The files the model was loaded from; the card names a repository as its base.
        prompts: Prompts by name.
        metadata: Front matter, which overrides the default.
        examples: Pairs with their scores.
        sections: Markdown to add, such as how the model was trained.
    """

    name: str
    num_labels: int | None
    source: Source | None
    prompts: Mapping[str, str]
    metadata: Mapping[str, Any] | None = None
    examples: Sequence[tuple[Any, Any]] = ()
    sections: Sequence[str] = ()

    def text(self, chain: ModuleChain, entries: Sequence[ModuleEntry], code: CodeToSave) -> str:
        """Return the card of ``chain``, whose ``entries`` are in ``modules.json``, and whose types name ``code``."""
        longest, labels = chain.max_seq_length or "no limit", self.num_labels or "unknown"
        parts = [
            f"---\n{self._front_matter()}\n---",
            f"# {os.path.basename(os.path.abspath(self.name))}",
            self._description(),
            "## Modules",
            _modules(chain, entries, code),
            f"- Longest input in tokens: {longest}\n- Scores a pair: {labels}",
        ]
        if self.prompts:
            rows = "\n".join(f"| {_cell(key)} | {_code(str(text))} |" for key, text in self.prompts.items())
            parts += ["## Prompts", f"| name | text |\n|---|---|\n{rows}"]
        parts += ["## Usage", self._usage(code)]
        if self.examples:
            rows = "\n".join(f"| {_cell(pair[0])} | {_cell(pair[1])} | {score} |" for pair, score in self.examples)
            parts += ["## Examples", f"| query | document | score |\n|---|---|---|\n{rows}"]
        parts += self.sections
        versions = {package: installed_version(package) for package in _PACKAGES}
        parts += ["## Versions", "\n".join(f"- {package}: {found}" for package, found in versions.items() if found)]
        return "\n\n".join(parts) + "\n"

    def _front_matter(self) -> str:
        data: dict[str, Any] = {
            # most readers have this library, and it loads models that pairchain saves
            "library_name": "sentence-transformers",
            "tags": ["sentence-transformers", "cross-encoder", "reranker", "pairchain"],
            "pipeline_tag": "text-ranking" if self.num_labels in (None, 1) else "text-classification",
        }
        if self.source is not None and not self.source.is_local:
            data["base_model"] = self.source.name
        more = self.metadata.to_dict() if isinstance(self.metadata, huggingface_hub.CardData) else self.metadata or {}
        # the Hub library knows the format of these fields
        return huggingface_hub.ModelCardData(**{**data, **more}).to_yaml()

    def _description(self) -> str:
        scores = {None: "its scores", 1: "one score"}.get(self.num_labels, f"{self.num_labels} scores")
        base = self.source
        based = "" if base is None or base.is_local else f" It is based on `{base.name}`, commit `{base.commit}`."
        return f"A model that gives a pair, such as a query and a document, {scores}.{based}"

    def _usage(self, code: CodeToSave) -> str:
        trust = ", trust_remote_code=True" if code.places else ""
        shown = "\n".join(f"- {place}" for place in dict.fromkeys(code.places.values()))
        warning = f"It comes with its own code; read it before you let it run:\n\n{shown}\n\n" if shown else ""
        rank = 'model.rank("a query", ["a document", "another document"])\n' if self.num_labels == 1 else ""
        return (
            f"{warning}```python\nfrom pairchain import CrossEncoder\n\n"
            f'model = CrossEncoder({_quoted(self.name)}{trust})\nmodel.predict([("a query", "a document")])\n{rank}```'
        )


def renamed(card: str, name: str, new: str) -> str:
    """Return a model card that loads the model as ``new`` instead of ``name``."""
    return card.replace(f"CrossEncoder({_quoted(name)}", f"CrossEncoder({_quoted(new)}", 1)


def _modules(chain: ModuleChain, entries: Sequence[ModuleEntry], code: CodeToSave) -> str:
    rows = [
        f"| {_cell(entry.name)} | {type(chain._modules[entry.name]).__name__} | `{entry.type}` | "
        f"{code.places.get(entry.type) or chain.origins[entry.name]} |"
        for entry in entries
    ]
    return "\n".join(["| | module | type | provided by |", "|---|---|---|---|", *rows]) + f"\n\n```\n{chain}\n```"


def _cell(value: Any) -> str:
    """Return ``value`` on one line, with HTML and table separators escaped."""
    return html.escape(on_one_line(" ".join(str(value).split()), _LONGEST_CELL), quote=False).replace("|", "\\|")


def _code(text: str) -> str:
    """Return ``text`` for a table cell, quoted and between backticks, so that every character is visible."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{_quoted(text)}{fence}".replace("|", "\\|")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
