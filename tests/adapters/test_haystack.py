"""The component for Haystack, run by `nox -s "adapters(haystack)"`."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.core.errors import SerializationError
from haystack.dataclasses import ByteStream
from haystack.utils import ComponentDevice, Secret
from haystack_integrations.components.rankers.pairchain import PairchainRanker
from samples import MODEL, QUERY, TEXTS, THREE_LABELS, TOKEN, expected, model

import pairchain
from pairchain.errors import InputError, PairchainError, UnknownKeywordError

DOCUMENTS = [
    Document(id=f"d{place}", content=text, meta={"place": place}, score=0.5) for place, text in enumerate(TEXTS)
]


def assert_ranked(found: dict[str, list[Document]], count: int = len(TEXTS), query: str = QUERY) -> None:
    wanted = expected(query)[:count]
    assert [one.id for one in found["documents"]] == [f"d{place}" for place, _ in wanted]
    assert [one.score for one in found["documents"]] == pytest.approx([score for _, score in wanted], abs=1e-5)
    assert all(type(one.score) is float for one in found["documents"])


def pipeline(ranker: Any) -> Pipeline:
    made = Pipeline()
    made.add_component("joiner", DocumentJoiner())
    made.add_component("ranker", ranker)
    made.connect("joiner.documents", "ranker.documents")
    return made


def inputs(query: str = QUERY) -> dict[str, Any]:
    return {"joiner": {"documents": DOCUMENTS}, "ranker": {"query": query}}


def test_documents_are_ranked_and_not_changed() -> None:
    before = copy.deepcopy(DOCUMENTS)
    found = PairchainRanker(MODEL).run(QUERY, DOCUMENTS)
    assert_ranked(found)
    assert before == DOCUMENTS
    assert [one.meta["place"] for one in found["documents"]] == [place for place, _ in expected()]
    found["documents"][0].meta["new"] = 1
    assert before == DOCUMENTS


@pytest.mark.parametrize(("top_k", "count"), [(None, 6), (1, 1), (4, 4), (100, 6)])
def test_at_most_top_k_documents_are_returned(top_k: int | None, count: int) -> None:
    assert_ranked(PairchainRanker(model(), top_k=top_k).run(QUERY, DOCUMENTS), count)
    assert_ranked(PairchainRanker(model(), top_k=5).run(QUERY, DOCUMENTS, top_k=top_k), count if top_k else 5)


@pytest.mark.parametrize("top_k", [0, -1, 1.5, "3", True])
def test_top_k_is_a_count(top_k: Any) -> None:
    with pytest.raises(InputError, match="top_k"):
        PairchainRanker(MODEL, top_k=top_k)
    with pytest.raises(InputError, match="top_k"):
        PairchainRanker(model()).run(QUERY, DOCUMENTS, top_k=top_k)


def test_documents_below_the_threshold_are_left_out() -> None:
    least = expected()[2][1]
    assert_ranked(PairchainRanker(model(), score_threshold=least - 1e-6).run(QUERY, DOCUMENTS), 3)
    assert PairchainRanker(model()).run(QUERY, DOCUMENTS, score_threshold=100.0) == {"documents": []}


def test_of_equal_ids_the_one_with_the_highest_score_is_ranked() -> None:
    twins = [Document(id="a", content="x y", score=score) for score in (None, 0.1, 0.9, 0.5)]
    twins[2].meta["chosen"] = True
    (found,) = PairchainRanker(model()).run(QUERY, twins)["documents"]
    assert found.meta == {"chosen": True}


def test_fields_of_the_metadata_are_scored() -> None:
    document = Document(content="a", meta={"city": "berlin", "empty": None})
    ranker = PairchainRanker(model(), meta_fields_to_embed=["city", "empty", "missing"], embedding_separator=" ")
    (found,) = ranker.run(QUERY, [document])["documents"]
    assert found.score == pytest.approx(float(model().predict((QUERY, "berlin a"))), abs=1e-5)


def test_nothing_is_loaded_before_it_is_needed_and_then_once() -> None:
    ranker = PairchainRanker("/no/such/model")
    assert ranker.run(QUERY, []) == {"documents": []}
    with pytest.raises(PairchainError, match="no/such/model"):
        ranker.warm_up()
    ranker = PairchainRanker(MODEL)
    ranker.warm_up()
    loaded = ranker._ranker.model
    ranker.warm_up()
    assert_ranked(ranker.run(QUERY, DOCUMENTS))
    assert ranker._ranker.model is loaded
    assert_ranked(PairchainRanker(MODEL).run(QUERY, DOCUMENTS))


async def test_calls_may_run_at_once() -> None:
    ranker = PairchainRanker(MODEL)
    queries = [QUERY, "x y", "a b c", QUERY] * 3
    many = await asyncio.gather(*(ranker.run_async(query, DOCUMENTS) for query in queries))
    for query, found in zip(queries, many, strict=True):
        assert_ranked(found, query=query)


async def test_pipelines_run_it() -> None:
    made = pipeline(PairchainRanker(MODEL, top_k=3))
    assert_ranked(made.run(inputs())["ranker"], 3)
    assert_ranked((await made.run_async(inputs()))["ranker"], 3)


def test_a_pipeline_is_saved_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "lock.json"
    pairchain.lock(MODEL, lock)
    ranker = PairchainRanker(
        MODEL,
        top_k=4,
        device=ComponentDevice.from_str("cpu"),
        token=Secret.from_env_var("RERANKER_TOKEN"),
        lock=lock,
        backend="transformers",
        trust_remote_code=("sha256:" + "0" * 64,),
        load_kwargs={"max_length": 7},
        predict_kwargs={"batch_size": 2},
        meta_fields_to_embed=("place",),
        score_threshold=-100.0,
    )
    monkeypatch.setenv("RERANKER_TOKEN", TOKEN)
    text = pipeline(ranker).dumps()
    assert TOKEN not in text
    # Haystack loads the class without a list of allowed modules
    again = Pipeline.loads(text).get_component("ranker")
    assert again.to_dict() == ranker.to_dict()
    again.warm_up()
    assert again._ranker.model.max_length == 7
    assert again._ranker.load_kwargs["token"] == TOKEN
    assert TOKEN not in repr(again) + str(again.to_dict())
    assert again.run(QUERY, DOCUMENTS) == ranker.run(QUERY, DOCUMENTS)


def test_no_secret_is_saved() -> None:
    with pytest.raises(ValueError, match=r"(?i)serializ"):
        PairchainRanker(MODEL, token=Secret.from_token(TOKEN)).to_dict()
    with pytest.raises(InputError, match="Secret"):
        PairchainRanker(MODEL, token=TOKEN)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Secret"):
        PairchainRanker(MODEL, load_kwargs={"token": TOKEN})
    with pytest.raises(InputError, match="Secret"):
        PairchainRanker(MODEL, load_kwargs={"model_kwargs": {"token": TOKEN}})
    with pytest.raises(SerializationError, match="loaded model"):
        PairchainRanker(model()).to_dict()
    with pytest.raises(SerializationError, match="path"):
        PairchainRanker(MODEL, lock=pairchain.lock(MODEL, None)).to_dict()


def test_a_document_without_text_is_refused() -> None:
    blob = ByteStream(b"...", mime_type="image/png")
    with pytest.raises(InputError, match="'a' has no text, only image/png"):
        PairchainRanker(model()).run(QUERY, [Document(id="a", blob=blob)])
    # as Haystack's own rankers do
    (found,) = PairchainRanker(model()).run(QUERY, [Document(id="a")])["documents"]
    assert found.score == pytest.approx(float(model().predict((QUERY, ""))), abs=1e-5)


def test_what_cannot_be_used_is_told() -> None:
    with pytest.raises(UnknownKeywordError, match="max_length"):
        PairchainRanker(MODEL, load_kwargs={"maxlength": 3})
    with pytest.raises(InputError, match="loaded already"):
        PairchainRanker(model(), revision="main")
    with pytest.raises(InputError, match="query"):
        PairchainRanker(model()).run(None, DOCUMENTS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="gives 3"):
        PairchainRanker(THREE_LABELS).run(QUERY, DOCUMENTS)
