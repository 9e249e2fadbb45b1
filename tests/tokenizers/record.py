"""Records what the tokenizers of transformers 4.57 make of the texts; run where that is installed."""

from __future__ import annotations

import argparse
import base64
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import families
import transformers
from encoding import encodings
from families import FAMILIES, Family
from transformers import AutoTokenizer
from variants import CONFIG, FILE, MAP, Files, Variant, variants, write

_EXTRA = {"MarkupLMTokenizer": {"tags_dict": {"p": 0}}}


def main() -> None:
    """Write a JSON file for each family into a folder."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--only", nargs="*")
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
