"""The reranker and the cross-encoder for LangChain, run by `nox -s "adapters(langchain)"`."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError
from samples import MODEL, QUERY, TEXTS, THREE_LABELS, TOKEN, expected, model

import pairchain
from pairchain.errors import FormatError, InputError, LockError, PairchainError, UnknownKeywordError
from pairchain_langchain import PairchainCrossEncoder, PairchainRerank

DOCUMENTS = [Document(text, id=f"d{place}", metadata={"place": place}) for place, text in enumerate(TEXTS)]


def ranked(documents: Sequence[Document]) -> list[tuple[int, float]]:
    """Positions and scores."""
    return [(one.metadata["place"], one.metadata["relevance_score"]) for one in documents]


def assert_ranked(documents: Sequence[Document], count: int = len(TEXTS), query: str = QUERY) -> None:
    wanted = expected(query)[:count]
    assert [place for place, _ in ranked(documents)] == [place for place, _ in wanted]
    assert [score for _, score in ranked(documents)] == pytest.approx([score for _, score in wanted], abs=1e-5)


class Found(BaseRetriever):
    """Finds all documents for every query."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return DOCUMENTS


class Reranked(BaseRetriever):
    """Finds the ``k`` best documents."""

    k: int = 2

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return PairchainRerank(model(), top_n=k or self.k).compress_documents(Found().invoke(query), query)


class TestRetriever(RetrieversIntegrationTests):
    """LangChain's own tests, of a retriever that reranks."""

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return Reranked

    @property
    def retriever_query_example(self) -> str:
        return QUERY


def test_documents_are_ranked_and_keep_what_they_have() -> None:
    before = copy.deepcopy(DOCUMENTS)
    found = PairchainRerank(MODEL, top_n=None).compress_documents(DOCUMENTS, QUERY)
    assert_ranked(found)
    assert all(one.id == f"d{one.metadata['place']}" for one in found)
    assert before == DOCUMENTS
    assert isinstance(found[0].metadata["relevance_score"], float)


def test_a_subclass_of_document_stays_one() -> None:
    class Page(Document):
        number: int

    (found,) = PairchainRerank(model()).compress_documents([Page("a", number=3)], QUERY)
    assert isinstance(found, Page)
    assert found.number == 3


@pytest.mark.parametrize(("top_n", "count"), [(None, 6), (1, 1), (4, 4), (100, 6)])
def test_at_most_top_n_documents_are_returned(top_n: int | None, count: int) -> None:
    assert_ranked(PairchainRerank(model(), top_n=top_n).compress_documents(DOCUMENTS, QUERY), count)


def test_top_n_may_change() -> None:
    reranker = PairchainRerank(model())
    assert_ranked(reranker.compress_documents(DOCUMENTS, QUERY), 3)
    reranker.top_n = 1
    assert_ranked(reranker.compress_documents(DOCUMENTS, QUERY), 1)


@pytest.mark.parametrize("top_n", [0, -1, 1.5, "3", True])
def test_top_n_is_a_count(top_n: Any) -> None:
    with pytest.raises(InputError, match="top_n"):
        PairchainRerank(MODEL, top_n=top_n)


def test_nothing_is_loaded_before_it_is_needed_and_then_once() -> None:
    reranker = PairchainRerank("/no/such/model")
    assert reranker.compress_documents([], QUERY) == []
    with pytest.raises(PairchainError, match="no/such/model"):
        reranker.compress_documents(DOCUMENTS, QUERY)
    reranker = PairchainRerank(MODEL)
    reranker.compress_documents(DOCUMENTS, QUERY)
    loaded = reranker._ranker.model
    reranker.compress_documents(DOCUMENTS, QUERY)
    assert reranker._ranker.model is loaded
    # copies share it, and another process loads it again
    assert copy.deepcopy(reranker)._ranker.model is loaded
    assert_ranked(pickle.loads(pickle.dumps(reranker)).compress_documents(DOCUMENTS, QUERY), 3)


async def test_calls_may_run_at_once() -> None:
    reranker = PairchainRerank(MODEL, top_n=None)
    queries = [QUERY, "x y", "a b c", QUERY] * 3
    many = await asyncio.gather(*(reranker.acompress_documents(DOCUMENTS, query) for query in queries))
    for query, found in zip(queries, many, strict=True):
        assert_ranked(found, query=query)


def test_a_chain_ranks_for_a_batch_of_queries() -> None:
    reranker = PairchainRerank(MODEL, top_n=2)
    chain = RunnableParallel(documents=Found(), query=RunnablePassthrough()) | RunnableLambda(
        lambda found: reranker.compress_documents(**found)
    )
    for query, found in zip([QUERY, "x y"], chain.batch([QUERY, "x y"]), strict=True):
        assert_ranked(found, 2, query=query)


async def test_the_retriever_of_langchain_takes_the_reranker() -> None:
    retriever = ContextualCompressionRetriever(base_compressor=PairchainRerank(MODEL), base_retriever=Found())
    assert_ranked(retriever.invoke(QUERY), 3)
    assert_ranked(await retriever.ainvoke(QUERY), 3)


def test_the_reranker_of_langchain_takes_the_cross_encoder() -> None:
    reranker = CrossEncoderReranker(model=PairchainCrossEncoder(MODEL), top_n=2)
    found = reranker.compress_documents(DOCUMENTS, QUERY)
    assert [one.metadata["place"] for one in found] == [place for place, _ in expected()[:2]]


def test_the_cross_encoder_scores_pairs() -> None:
    encoder = PairchainCrossEncoder(MODEL, predict_kwargs={"batch_size": 2})
    pairs = [(QUERY, text) for text in TEXTS]
    scores = encoder.score(pairs)
    assert all(type(score) is float for score in scores)
    assert scores == pytest.approx(model().predict(pairs).tolist(), abs=1e-5)
    assert encoder.score([]) == []
    with pytest.raises(InputError, match="gives 3"):
        PairchainCrossEncoder(THREE_LABELS).score(pairs)


def test_arguments_reach_the_model(tmp_path: Any) -> None:
    reranker = PairchainRerank(MODEL, max_length=7, backend="transformers", predict_kwargs={"activation_fn": None})
    reranker.compress_documents(DOCUMENTS, QUERY)
    assert reranker._ranker.model.max_length == 7
    with pytest.raises(FormatError, match="does not exist"):
        PairchainRerank(MODEL, lock=tmp_path / "none.json")
    pairchain.lock(THREE_LABELS, tmp_path / "another.json")
    with pytest.raises(LockError):
        PairchainRerank(MODEL, lock=tmp_path / "another.json").compress_documents(DOCUMENTS, QUERY)


def test_no_token_is_shown() -> None:
    reranker = PairchainRerank(MODEL, token=TOKEN, revision=None)
    shown = [repr(reranker), str(reranker), str(reranker.model_dump()), reranker.model_dump_json()]
    assert not [text for text in shown if TOKEN in text]
    assert reranker._ranker.load_kwargs["token"] == TOKEN
    assert TOKEN not in repr(PairchainCrossEncoder(MODEL, token=TOKEN))


def test_what_cannot_be_used_is_told() -> None:
    with pytest.raises(UnknownKeywordError, match="revision"):
        PairchainRerank(MODEL, revison="main")
    with pytest.raises(InputError, match="loaded already"):
        PairchainRerank(model(), revision="main")
    with pytest.raises(InputError, match="must be a name"):
        PairchainRerank(3)
    with pytest.raises(InputError, match="query"):
        PairchainRerank(model()).compress_documents(DOCUMENTS, None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="gives 3"):
        PairchainRerank(THREE_LABELS).compress_documents(DOCUMENTS, QUERY)
    with pytest.raises(UnknownKeywordError, match="batch_size"):
        PairchainRerank(MODEL, predict_kwargs={"batchsize": 3}).compress_documents(DOCUMENTS, QUERY)
    with pytest.raises(ValidationError):
        PairchainRerank(MODEL).model = "another"
