"""Records what the tokenizers of transformers 4.57 make of the texts; run where that is installed."""

from __future__ import annotations

import argparse
import base64
import json
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers
from published import families
from published.encoding import digest, encodings
from published.families import FAMILIES, Family
from published.variants import CONFIG, FILE, MAP, Files, Variant, variants, write
from transformers import AutoTokenizer

# Those of which a part runs with the suite.
_PART = frozenset(f"{name}Tokenizer" for name in "Bert DebertaV2 Llama MPNet PreTrained Roberta XLMRoberta".split())
_EXTRA = {"MarkupLMTokenizer": {"tags_dict": {"p": 0}}}


def main() -> None:
    """Write a JSON file for each family into a folder."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--only", nargs="*")
    arguments.add_argument("--part", type=Path, help="write the part that runs with the suite to this file too")
    options = arguments.parse_args()
    logging.disable(logging.CRITICAL)
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    options.folder.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        if not options.only or family.name in options.only:
            record = recorded(family)
            failed = sum("error" in result for result in record["results"].values())
            print(f"{family.name}: {len(record['results'])} variants, {failed} that 4.57 cannot load")
            (options.folder / f"{family.name}.json").write_text(json.dumps(record), encoding="utf-8")
    if options.part:
        options.part.write_text(json.dumps(part(), ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def part() -> dict[str, Any]:
    """Return small records of some families: of results digests alone, and no model of SentencePiece."""
    records = {}
    for family in FAMILIES:
        if family.name in _PART:
            small = replace(family, trainer={**family.trainer, "normalization_rule_name": "identity"})
            record = recorded(small)
            slow = record["slow"]
            if any(isinstance(content, dict) and "base64" in content for content in slow.values()):
                record["slow"] = slow = {}
            results = {
                name: digest(result)
                for name, result in list(record["results"].items())[::2]
                # which of two equal tokens with other flags is found is chance
                if "error" not in result and "flipped in config" not in name and (slow or "slow," not in name)
            }
            records[family.name] = {**record, "results": results}
            if not slow:
                results.pop("slow", None)
    return records


def recorded(family: Family) -> dict[str, Any]:
    """Return the files of a family and what 4.57 makes of each of their variants."""
    slow: Files = dict(family.slow_files())
    config = {"tokenizer_class": family.name, **_EXTRA.get(family.name, {}), **family.config}
    base: Files = {**slow, "config.json": {"model_type": family.model_type}, CONFIG: config}
    saved = families.written_by_hand(family) if not slow else _saved(base)
    if saved is not None:
        # what 4.57 saves of a SplinterTokenizer it cannot load again: it names its question token twice
        if family.name == "SplinterTokenizer":
            saved[CONFIG].pop("additional_special_tokens", None)
        saved = {**saved, "config.json": base["config.json"], CONFIG: {**config, **saved.get(CONFIG, {})}}
    results = {variant.name: _result(variant) for variant in variants(family, base if slow else {}, saved)}
    return {
        "transformers": transformers.__version__,
        "slow": {name: _encoded(content) for name, content in base.items()} if slow else {},
        "saved": saved,
        "results": results,
    }


def _saved(files: Files) -> Files | None:
    with tempfile.TemporaryDirectory() as place:
        before, after = Path(place, "before"), Path(place, "after")
        before.mkdir()
        write(files, before)
        try:
            AutoTokenizer.from_pretrained(before).save_pretrained(after)
        except Exception:
            return None
        read = {name: (after / name) for name in (FILE, CONFIG, MAP)}
        return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in read.items() if path.exists()}


def _result(variant: Variant) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        write(variant.files, Path(place))
        try:
            tokenizer = AutoTokenizer.from_pretrained(place, **variant.given)
            return {"class": type(tokenizer).__name__, **encodings(tokenizer)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {str(error)[:200]}"}


def _encoded(content: Any) -> Any:
    return {"base64": base64.b64encode(content).decode()} if isinstance(content, bytes) else content


if __name__ == "__main__":
    main()
