"""Every fast tokenizer class of transformers 4.57, on files with every part changed: `nox -s tokenizers`.

What 4.57 makes of the files is in ``PAIRCHAIN_TOKENIZER_RECORDS``, a folder that `record.py` wrote in an environment of
its own. A small part of it is recorded beside the plugin's tests, and runs with them.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from published.encoding import encodings, unequal
from published.families import FAMILIES, Family
from published.unmatched import reason
from published.variants import Variant, of_record, variants, write
from transformers import AutoConfig

from pairchain.opening import open_source
from pairchain_transformer.checkpoint.keywords import hub_keywords
from pairchain_transformer.checkpoint.processors import load_processor
from pairchain_transformer.published.classes import fast_class
from pairchain_transformer.published.library import TOLD, replaced
from pairchain_transformer.published.saved import read_saved

FOLDER = os.environ.get("PAIRCHAIN_TOKENIZER_RECORDS")
# 4.57 adds a token twice where its flags changed, and which of the two is found is chance
TIMES = 8

pytestmark = pytest.mark.skipif(FOLDER is None, reason="needs records of transformers 4.57: nox -s tokenizers")


def recorded(family: Family) -> tuple[list[Variant], dict[str, Any]]:
    assert FOLDER is not None
    record = json.loads(Path(FOLDER, f"{family.name}.json").read_text(encoding="utf-8"))
    slow, saved = of_record(record)
    return list(variants(family, slow, saved)), record["results"]


def loaded(folder: str, variant: Variant, choice: str | None = "as-published") -> Any:
    source = open_source(folder)
    hub = hub_keywords(source, trust_remote_code=False)
    config = AutoConfig.from_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_processor(source, config, hub, variant.given, tokenizer_choice=choice)


def outcome(variant: Variant, wanted: dict[str, Any]) -> str:
    """Return in what the tokenizer differs from 4.57's; nothing if it does not."""
    with tempfile.TemporaryDirectory() as folder:
        write(variant.files, Path(folder))
        found = ""
        for _ in range(TIMES):
            try:
                found = ", ".join(unequal(encodings(loaded(folder, variant)), wanted))
            except Exception as error:
                return f"{type(error).__name__}: {str(error)[:200]}"
            if not found:
                break
        return found


def test_all_classes_are_recorded() -> None:
    assert FOLDER is not None
    assert {f"{family.name}.json" for family in FAMILIES} == {path.name for path in Path(FOLDER).glob("*.json")}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_as_published_gives_the_tokens_of_the_library_that_saved_the_model(family: Family) -> None:
    every, results = recorded(family)
    compared = [variant for variant in every if "error" not in results[variant.name]]
    found = {variant.name: outcome(variant, results[variant.name]) for variant in compared}
    wrong = {name: text for name, text in found.items() if text and reason(family.name, name) is None}
    assert not wrong
    assert not [name for name, text in found.items() if not text and reason(family.name, name)], "they work by now"
    assert len(compared) > 40 or reason(family.name, "saved") or family.name == "CpmTokenizer"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_is_told_of_a_model_before_is_what_loading_it_finds(family: Family) -> None:
    for variant in _saved_by_four(family):
        with tempfile.TemporaryDirectory() as folder:
            write(variant.files, Path(folder))
            saved = read_saved(open_source(folder), variant.given)
            fast = fast_class(saved.class_name, saved.architecture)
            if fast is None or (told := replaced(saved, fast)) is None:
                continue
            restored = getattr(loaded(folder, variant), "pairchain_restored", ())
            assert told == [part for part in restored if part in TOLD], variant.name


def _saved_by_four(family: Family) -> Iterator[Variant]:
    every, results = recorded(family)
    for variant in every:
        if "error" not in results[variant.name] and "tokenizer.json" in variant.files:
            yield variant
