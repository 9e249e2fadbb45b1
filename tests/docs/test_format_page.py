"""The page on the saved format names every file and key that saved models hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from pages import DOCS, keys, names, prose, sections
from torch import nn

import pairchain
from pairchain import CrossEncoder
from pairchain.format.saved_model import ModelConfig, ModuleEntry
from pairchain.modules import Dense, LayerNorm, LogitScore, Normalize, Pooling, Router, Transformer

GOLDEN = Path(__file__).parent.parent / "golden"
PAGE = sections(DOCS / "format.md")
SMALL = {"Dense": Dense, "LayerNorm": LayerNorm, "LogitScore": LogitScore, "Normalize": Normalize, "Pooling": Pooling}
FOLDER = re.compile(r".*\d_(\w+)$")


def sections_of(path: Path) -> str:
    """Return the heading under which the page has the keys of the file at ``path``, or nothing if it is not ours."""
    if path.name in ("modules.json", "config_sentence_transformers.json", "router_config.json"):
        return path.name
    if re.fullmatch(r"sentence_\w[\w-]*_config\.json", path.name):
        return "sentence_bert_config.json"
    module = FOLDER.fullmatch(path.parent.name)
    return module[1] if path.name == "config.json" and module and module[1] in SMALL else ""


def keys_in(path: Path) -> set[str]:
    """Return the keys of the JSON file at ``path``: of its entries if it is a list, of its parameters as well."""
    values: Any = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(values, list):
        return {key for entry in values for key in entry}
    return {*values, *values.get("parameters", {}), *(key for one in recorded(values) for key in one)}


def recorded(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a Router's file records of the distributions of its modules."""
    yield from values.get("distributions", {}).values()


def check(folder: Path) -> set[str]:
    """Check that the page has every key of the model saved in ``folder``, and return which files were looked at."""
    seen = set()
    for path in folder.rglob("*.json"):
        if heading := sections_of(path):
            seen.add(heading)
            told = keys(PAGE[heading]) | (set(names(PAGE[heading])) if heading == "router_config.json" else set())
            assert keys_in(path) <= told, f"{path.relative_to(folder)}: {keys_in(path) - told}"
    return seen


@pytest.mark.parametrize("case", sorted(path.name for path in GOLDEN.iterdir() if (path / "model").is_dir()))
def test_every_key_of_a_model_saved_by_sentence_transformers_is_on_the_page(case: str) -> None:
    check(GOLDEN / case / "model")


def test_every_key_that_pairchain_saves_is_on_the_page(tmp_path: Path) -> None:
    transformer = Transformer(
        str(GOLDEN / "pooling_mean" / "model"),
        transformer_task="feature-extraction",
        do_lower_case=True,
        unpad_inputs=False,
        processing_kwargs={"text": {"max_length": 16}},
    )
    size = transformer.get_embedding_dimension()
    hidden = Dense(size, size, activation_function=nn.LeakyReLU(0.5), use_residual=True)
    head = Dense(size, 1, module_output_name="scores")
    modules = [transformer, Pooling(size), Normalize(), LayerNorm(size), hidden, head]
    model = CrossEncoder(
        modules=modules, prompts={"query": "query: "}, activation_fn=nn.ELU(0.5), keep_in_fp32_modules=["4.linear"]
    )
    model.module_kwargs = {"0": ["position_ids"]}
    model.save_pretrained(tmp_path / "pooled")
    assert check(tmp_path / "pooled") >= {"modules.json", "config_sentence_transformers.json", "LayerNorm", "Dense"}
    assert "activation_arguments" in keys_in(tmp_path / "pooled" / "4_Dense" / "config.json")

    routes = {name: list(CrossEncoder(GOLDEN / "qwen3_causal_logitscore" / "model")) for name in ("fast", "careful")}
    CrossEncoder(modules=[Router(routes)]).save_pretrained(tmp_path / "routed")
    assert check(tmp_path / "routed") >= {"router_config.json", "sentence_bert_config.json", "LogitScore"}


def test_the_keys_of_modules_json_on_the_page_are_those_that_pairchain_knows() -> None:
    known = {field.name for field in fields(ModuleEntry)} - {"extra"} | {"idx"}
    assert keys(PAGE["modules.json"]) == known


def test_the_settings_on_the_page_are_those_that_pairchain_knows() -> None:
    known = {field.name for field in fields(ModelConfig)} - {"extra", "is_ours"} | {"__version__"}
    assert keys(PAGE["config_sentence_transformers.json"]) == known | {"similarity_fn_name"}


def test_every_setting_that_a_transformer_knows_is_on_the_page() -> None:
    from pairchain_transformer.checkpoint.saving import CONFIG_FILES, CONFIG_KEYS

    section = PAGE["sentence_bert_config.json"]
    assert set(CONFIG_KEYS) <= keys(section)
    assert all(re.search(rf"{name[9:-12]}\b", section) for name in CONFIG_FILES[1:])


@pytest.mark.parametrize("name", SMALL)
def test_every_setting_of_a_standard_module_is_on_the_page(name: str) -> None:
    cls = SMALL[name]
    assert {*cls.config_keys, *cls.config_key_renames} <= keys(PAGE[name])
    assert cls.module_type in names(prose(DOCS / "format.md"))


def test_every_key_of_a_lock_is_on_the_page(hub: HubServer, tmp_path: Path) -> None:
    code = GOLDEN / "custom_remote_ref" / "hub" / "models--my-user--my-model-implementation" / "snapshots"
    hub.add_repo("my-user/my-model-implementation")
    hub.commit("my-user/my-model-implementation", next(iter(sorted(code.iterdir()))))
    written = pairchain.lock(GOLDEN / "custom_remote_ref" / "model", tmp_path / "pairchain.lock.json").to_json()
    inner = {key for one in written["code"].values() for key in one}
    assert inner
    assert {*written} == keys(PAGE["pairchain.lock.json"])
    assert {*written["model"], *inner} <= set(names(PAGE["pairchain.lock.json"]))
