"""The node postprocessor for LlamaIndex, run by `nox -s "adapters(llama_index)"`."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import (
    ImageNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)
from pydantic import ValidationError
from samples import MODEL, QUERY, TEXTS, THREE_LABELS, TOKEN, expected, model

from pairchain.errors import InputError, PairchainError, UnknownKeywordError
from pairchain_llama_index import PairchainRerank


def nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text, id_=str(place)), score=0.5) for place, text in enumerate(TEXTS)]


def assert_ranked(found: list[NodeWithScore], count: int = len(TEXTS), query: str = QUERY) -> None:
    wanted = expected(query)[:count]
    assert [int(one.node_id) for one in found] == [place for place, _ in wanted]
    assert [one.score for one in found] == pytest.approx([score for _, score in wanted], abs=1e-5)
    assert all(type(one.score) is float for one in found)


class Found(BaseRetriever):
    """Finds all nodes for every query."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return nodes()


def test_it_is_a_postprocessor() -> None:
    assert "BaseNodePostprocessor" in [cls.__name__ for cls in PairchainRerank.__mro__]
    assert issubclass(PairchainRerank, BaseNodePostprocessor)


def test_nodes_are_ranked_and_not_changed() -> None:
    given = nodes()
    before = copy.deepcopy(given)
    found = PairchainRerank(MODEL, top_n=None).postprocess_nodes(given, query_str=QUERY)
    assert_ranked(found)
    assert given == before
    # the nodes themselves, with their relations and embeddings
    assert found[0].node is given[int(found[0].node_id)].node


@pytest.mark.parametrize(("top_n", "count"), [(None, 6), (1, 1), (4, 4), (100, 6)])
def test_at_most_top_n_nodes_are_returned(top_n: int | None, count: int) -> None:
    assert_ranked(PairchainRerank(model(), top_n).postprocess_nodes(nodes(), QueryBundle(QUERY)), count)


@pytest.mark.parametrize("top_n", [0, -1, 1.5, "3", True])
def test_top_n_is_a_count(top_n: Any) -> None:
    with pytest.raises(InputError, match="top_n"):
        PairchainRerank(MODEL, top_n=top_n)


def test_the_score_of_the_retriever_is_kept_on_request() -> None:
    given = nodes()
    found = PairchainRerank(model(), keep_retrieval_score=True).postprocess_nodes(given, query_str=QUERY)
    assert_ranked(found, 2)
    assert [one.metadata["retrieval_score"] for one in found] == [0.5, 0.5]
    assert all("retrieval_score" not in one.metadata for one in given)
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert "retrieval_score" not in found[0].node.get_content(metadata_mode=mode)


def test_metadata_for_embeddings_is_scored() -> None:
    node = TextNode(text="a", metadata={"city": "berlin", "hidden": "x"}, excluded_embed_metadata_keys=["hidden"])
    (found,) = PairchainRerank(model()).postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)
    text = node.get_content(metadata_mode=MetadataMode.EMBED)
    assert "berlin" in text
    assert "hidden" not in text
    assert found.score == pytest.approx(float(model().predict((QUERY, text))), abs=1e-5)


def test_nothing_is_loaded_before_it_is_needed_and_then_once() -> None:
    reranker = PairchainRerank("/no/such/model")
    assert reranker.postprocess_nodes([], query_str=QUERY) == []
    with pytest.raises(PairchainError, match="no/such/model"):
        reranker.postprocess_nodes(nodes(), query_str=QUERY)
    reranker = PairchainRerank(MODEL)
    reranker.postprocess_nodes(nodes(), query_str=QUERY)
    loaded = reranker._ranker.model
    reranker.postprocess_nodes(nodes(), query_str=QUERY)
    assert reranker._ranker.model is loaded
    assert copy.deepcopy(reranker)._ranker.model is loaded
    assert_ranked(pickle.loads(pickle.dumps(reranker)).postprocess_nodes(nodes(), query_str=QUERY), 2)


async def test_calls_may_run_at_once() -> None:
    reranker = PairchainRerank(MODEL, top_n=None)
    queries = [QUERY, "x y", "a b c", QUERY] * 3
    many = await asyncio.gather(*(reranker.apostprocess_nodes(nodes(), query_str=query) for query in queries))
    for query, found in zip(queries, many, strict=True):
        assert_ranked(found, query=query)


async def test_a_query_engine_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # the default is a service
    monkeypatch.setattr(Settings, "_llm", MockLLM())
    synthesizer = get_response_synthesizer(response_mode=ResponseMode.NO_TEXT)
    engine = RetrieverQueryEngine(Found(), synthesizer, node_postprocessors=[PairchainRerank(MODEL, top_n=3)])
    assert_ranked(engine.query(QUERY).source_nodes, 3)
    assert_ranked((await engine.aquery(QUERY)).source_nodes, 3)


def test_handlers_are_told() -> None:
    seen: list[Any] = []

    class Seeing(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            seen.append(event)

    debug = LlamaDebugHandler(print_trace_on_end=False)
    dispatcher = get_dispatcher()
    handler = Seeing()
    dispatcher.add_event_handler(handler)
    try:
        reranker = PairchainRerank(MODEL, callback_manager=CallbackManager([debug]))
        reranker.postprocess_nodes(nodes(), query_str=QUERY)
    finally:
        dispatcher.event_handlers.remove(handler)
    names = [event.class_name() for event in seen]
    assert names == ["ReRankStartEvent", "ReRankEndEvent"]
    assert (seen[0].top_n, seen[0].model_name, len(seen[0].nodes), len(seen[1].nodes)) == (2, MODEL, 6, 2)
    assert len(debug.get_event_pairs(CBEventType.RERANKING)) == 1


def test_it_is_saved_without_the_token() -> None:
    reranker = PairchainRerank(MODEL, top_n=4, token=TOKEN, max_length=7, predict_kwargs={"batch_size": 2})
    # another process of the same user may need it
    assert pickle.loads(pickle.dumps(reranker))._ranker.load_kwargs["token"] == TOKEN
    saved = reranker.to_json()
    assert TOKEN not in saved + repr(reranker) + str(reranker.model_dump())
    again = PairchainRerank.from_json(saved)
    assert (again.model, again.top_n, again.load_kwargs, again.predict_kwargs) == (
        MODEL, 4, {"max_length": 7}, {"batch_size": 2},
    )  # fmt: skip
    again.postprocess_nodes(nodes(), query_str=QUERY)
    assert again._ranker.model.max_length == 7
    with pytest.raises(InputError, match="loaded model"):
        PairchainRerank(model()).to_dict()


@pytest.mark.parametrize(
    "node",
    [
        ImageNode(image_path="a.png", id_="n1"),
        Node(image_resource=MediaResource(data=b"aGVsbG8=", mimetype="image/png"), id_="n1"),
        Node(audio_resource=MediaResource(data=b"aGVsbG8=", mimetype="audio/wav"), id_="n1"),
        Node(video_resource=MediaResource(url="https://example.org/a.mp4"), id_="n1"),
    ],
)
def test_a_node_without_text_is_refused(node: Any) -> None:
    with pytest.raises(InputError, match="'n1' has no text"):
        PairchainRerank(model()).postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)


def test_a_picture_with_text_is_scored_by_its_text() -> None:
    node = ImageNode(image_path="a.png", text=TEXTS[1])
    (found,) = PairchainRerank(model()).postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)
    assert found.score == pytest.approx(float(model().predict((QUERY, TEXTS[1]))), abs=1e-5)


def test_what_cannot_be_used_is_told() -> None:
    with pytest.raises(UnknownKeywordError, match="revision"):
        PairchainRerank(MODEL, revison="main")
    with pytest.raises(InputError, match="loaded already"):
        PairchainRerank(model(), revision="main")
    with pytest.raises(InputError, match="query_str"):
        PairchainRerank(model()).postprocess_nodes(nodes())
    with pytest.raises(InputError, match="gives 3"):
        PairchainRerank(THREE_LABELS).postprocess_nodes(nodes(), query_str=QUERY)
    with pytest.raises(ValidationError):
        PairchainRerank(MODEL).model = "another"
