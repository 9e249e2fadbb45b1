"""Keyword arguments of predict: they reach who asks for them, whatever the chain and however it is called; no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from letters import PAIRS, Letters
from route_models import Fixed, Scalable, Scaled
from torch import nn

from pairchain import CrossEncoder
from pairchain.errors import UnknownKeywordError
from pairchain.modules import Dense, Router

GOLDEN = Path(__file__).parents[1] / "golden"
TEXTS = [("how many people live in berlin ?", "berlin had a population"), ("mars", "the red planet")]
DIFFERENCES = [-3.0, 2.0, 0.0, -3.0]
TIMES_TEN = [-30.0, 20.0, 0.0, -30.0]
DOCUMENTS = [document for _, document in PAIRS]
RANKED = [("a", document) for document in DOCUMENTS]

# What ends a chain, by how the keyword scale gets to the module that reads it; each asks for it in one place.
ENDS: dict[str, Callable[[], nn.Module]] = {
    "its class asks": Scaled,
    "its entry asks": Scalable,
    "a class in a router asks": lambda: Router({"a": [Scaled()], "b": [Fixed()]}),
    "the router's entry asks": lambda: Router({"a": [Scalable()], "b": [Fixed()]}),
    "the entry of a router around a router asks": lambda: Router({"a": [Router({"c": [Scalable()]})], "b": [Fixed()]}),
}


def chain(end: str) -> CrossEncoder:
    """Return a chain of letters and an end, whose entry asks for scale if its name says so."""
    model = CrossEncoder(modules=[Letters(), ENDS[end]()], activation_fn=nn.Identity(), device="cpu")
    model.module_kwargs = {"1": ["scale"]} if "entry" in end else {}
    return model


def asking(folder: Path, entry: int, keyword: str) -> None:
    """Let an entry of the modules.json in ``folder`` ask for a keyword."""
    entries = json.loads((folder / "modules.json").read_text())
    entries[entry]["kwargs"] = [keyword]
    (folder / "modules.json").write_text(json.dumps(entries))


@pytest.mark.parametrize("end", ENDS)
def test_a_keyword_reaches_who_asks_for_it_in_predict_and_rank(end: str) -> None:
    model = chain(end)

    assert model.predict(PAIRS).tolist() == DIFFERENCES
    assert model.predict(PAIRS, scale=10.0).tolist() == TIMES_TEN
    assert model.predict(PAIRS[0], scale=10.0) == TIMES_TEN[0]
    ranking = {hit["corpus_id"]: hit["score"] for hit in model.rank("a", DOCUMENTS, scale=10.0)}
    assert ranking == dict(enumerate(model.predict(RANKED, scale=10.0).tolist()))
    if "router" in end:
        # what one route takes the others are not given
        assert model.predict(PAIRS, scale=10.0, task="b").tolist() == DIFFERENCES


@pytest.mark.slow
def test_a_keyword_reaches_who_asks_for_it_in_every_worker() -> None:
    for end in ("its entry asks", "the router's entry asks"):
        model = chain(end)
        with model.start_multi_process_pool(["cpu"]) as pool:
            scores = model.predict(PAIRS, scale=10.0, pool=pool, chunk_size=3)
            ranking = model.rank("a", DOCUMENTS, scale=10.0, pool=pool, chunk_size=3)
            with pytest.raises(UnknownKeywordError, match=r"'scael' \(did you mean 'scale'\?\)"):
                model.predict(PAIRS, scael=10.0, pool=pool)
        assert scores.tolist() == TIMES_TEN
        assert ranking == model.rank("a", DOCUMENTS, scale=10.0)


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_a_keyword_that_nobody_asks_for_is_refused_with_the_nearest(end: str) -> None:
    model = chain(end)

    for call in (
        lambda: model.predict(PAIRS, scael=10.0),
        lambda: model.predict(PAIRS[0], scael=10.0),
        lambda: model.predict([], scael=10.0),
        lambda: model.rank("a", DOCUMENTS, scael=10.0),
        lambda: model.rank("a", [], scael=10.0),
        lambda: model.predict(PAIRS, scael=10.0, device=["cpu"]),
    ):
        with pytest.raises(UnknownKeywordError, match=r"'scael' \(did you mean 'scale'\?\)") as refused:
            call()
        assert "scale" in refused.value.next_step
    if "entry" in end:
        model.module_kwargs = {}
        with pytest.raises(UnknownKeywordError, match="no module of this chain takes the keyword 'scale'"):
            model.predict(PAIRS, scale=10.0)


def test_a_keyword_of_the_models_own_forward_reaches_it_through_a_router_and_back_from_a_save(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "router_by_task" / "model", tmp_path / "model"))
    asking(folder, 0, "position_ids")
    model = CrossEncoder(folder, device="cpu")
    nowhere = torch.zeros_like(model.preprocess(TEXTS)["input_ids"])

    scores = model.predict(TEXTS, position_ids=nowhere)

    assert scores.tolist() != pytest.approx(model.predict(TEXTS).tolist(), abs=1e-3)
    model.save_pretrained(tmp_path / "again")
    again = CrossEncoder(tmp_path / "again", device="cpu")
    assert again.predict(TEXTS, position_ids=nowhere).tolist() == pytest.approx(scores.tolist(), abs=1e-6)


def test_a_keyword_of_the_models_own_forward_reaches_it_in_a_chain(pooled: Path) -> None:
    asking(pooled, 0, "position_ids")
    model = CrossEncoder(pooled, device="cpu")
    features = model.preprocess(TEXTS)
    usual = torch.arange(features["input_ids"].shape[1]).expand_as(features["input_ids"])

    plain = model.predict(TEXTS).tolist()

    assert model.predict(TEXTS, position_ids=usual).tolist() == pytest.approx(plain, abs=1e-5)
    assert model.predict(TEXTS, position_ids=usual * 0).tolist() != pytest.approx(plain, abs=1e-3)


# sentence-transformers 6.2.0 raises a TypeError: its Dense takes no keyword at all.
def test_a_standard_module_whose_entry_asks_for_a_keyword_is_given_it(pooled: Path) -> None:
    expected = CrossEncoder(pooled, device="cpu").predict(TEXTS)
    for entry in range(3):
        asking(pooled, entry, "task")

    model = CrossEncoder(pooled, device="cpu")

    assert isinstance(model[2], Dense)
    assert model.predict(TEXTS, task="query").tolist() == expected.tolist()
