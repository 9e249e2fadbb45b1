"""The clients: each ranks documents in the way that its documentation shows, with only the address and the key changed.

A caller returns (position of the document, score), in the client's order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from texts import QUERY

Ranked = list[tuple[int, float]]


@dataclass(frozen=True)
class Call:
    """What a caller gets: the server's address, the documents, the key, and how often to try again by itself."""

    url: str
    documents: list[str]
    key: str
    retries: int = 0

    @property
    def count(self) -> int:
        return len(self.documents)


def cohere_sdk(call: Call) -> Ranked:
    import cohere

    client = cohere.ClientV2(api_key=call.key, base_url=call.url)
    found = client.rerank(model="m", query=QUERY, documents=call.documents, top_n=call.count)
    return [(one.index, one.relevance_score) for one in found.results]


def cohere_sdk_v1(call: Call) -> Ranked:
    import cohere

    client = cohere.Client(api_key=call.key, base_url=call.url)
    asked = {"query": QUERY, "documents": call.documents, "top_n": call.count}
    found = client.rerank(model="m", return_documents=True, **asked)
    assert all(one.document.text == call.documents[one.index] for one in found.results)
    return [(one.index, one.relevance_score) for one in found.results]


def langchain_cohere(call: Call) -> Ranked:
    from langchain_cohere import CohereRerank
    from langchain_core.documents import Document

    reranker = CohereRerank(model="m", base_url=call.url, cohere_api_key=call.key, top_n=None)
    documents = [Document(text, metadata={"place": place}) for place, text in enumerate(call.documents)]
    found = reranker.compress_documents(documents, QUERY)
    return [(one.metadata["place"], one.metadata["relevance_score"]) for one in found]


def llama_index_tei(call: Call) -> Ranked:
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    # it sends the token as it is
    return _llama_index(
        TextEmbeddingInference(base_url=call.url, auth_token=f"Bearer {call.key}", top_n=call.count), call
    )


def llama_index_jina(call: Call) -> Ranked:
    from llama_index.postprocessor.jinaai_rerank import JinaRerank

    return _llama_index(JinaRerank(base_url=f"{call.url}/v1", api_key=call.key, model="m", top_n=call.count), call)


def llama_index_cohere(call: Call) -> Ranked:
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    return _llama_index(CohereRerank(base_url=call.url, api_key=call.key, model="m", top_n=call.count), call)


def _llama_index(reranker: Any, call: Call) -> Ranked:
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(place))) for place, text in enumerate(call.documents)]
    found = reranker.postprocess_nodes(nodes, QueryBundle(QUERY))
    return [(int(one.node.node_id), one.score) for one in found]


def haystack_tei(call: Call) -> Ranked:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker

    token = Secret.from_token(call.key)
    return _haystack(HuggingFaceTEIRanker(url=call.url, top_k=call.count, token=token), call)


def haystack_cohere(call: Call) -> Ranked:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.cohere import CohereRanker

    key = Secret.from_token(call.key)
    return _haystack(CohereRanker(model="m", api_base_url=call.url, top_k=call.count, api_key=key), call)


def haystack_jina(call: Call) -> Ranked:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.jina import JinaRanker

    key = Secret.from_token(call.key)
    # the address is that of the route
    return _haystack(JinaRanker(model="m", base_url=f"{call.url}/v1/rerank", top_k=call.count, api_key=key), call)


def _haystack(ranker: Any, call: Call) -> Ranked:
    from haystack import Document

    documents = [Document(content=text, meta={"place": place}) for place, text in enumerate(call.documents)]
    found = ranker.run(query=QUERY, documents=documents)["documents"]
    return [(one.meta["place"], one.score) for one in found]


def litellm_of(provider: str) -> Callable[[Call], Ranked]:
    """Return a caller that uses litellm's provider."""

    def rank(call: Call) -> Ranked:
        import litellm

        litellm.suppress_debug_info = True
        settings = {"model": f"{provider}/m", "api_base": call.url, "api_key": call.key}
        asked = {"query": QUERY, "documents": call.documents, "top_n": call.count}
        if call.retries:
            # litellm tries again in its router only
            router = litellm.Router([{"model_name": "m", "litellm_params": settings}], num_retries=call.retries)
            found = asyncio.run(router.arerank(model="m", **asked))
        else:
            found = litellm.rerank(**settings, **asked)
        assert found.results is not None
        assert all(one.get("document", {}).get("text") in (None, call.documents[one["index"]]) for one in found.results)
        return [(one["index"], one["relevance_score"]) for one in found.results]

    return rank


@dataclass(frozen=True)
class Client:
    """A client under test.

    Attributes:
        rank: Ranks documents with it.
        waits: Whether it tries again by itself where the server is full, or on request.
        reads: Whether its errors show the server's message.
        logits: Whether it shows logits.
    """

    rank: Callable[[Call], Ranked]
    waits: bool = True
    reads: bool = True
    logits: bool = False


CLIENTS = {
    "cohere": Client(cohere_sdk),
    "cohere-v1": Client(cohere_sdk_v1),
    "langchain-cohere": Client(langchain_cohere),
    # reads no status: a reply that is no list of scores fails in its code
    "llama-index-tei": Client(llama_index_tei, waits=False, reads=False),
    "llama-index-jina": Client(llama_index_jina, waits=False),
    "llama-index-cohere": Client(llama_index_cohere),
    "haystack-tei": Client(haystack_tei),
    "haystack-cohere": Client(haystack_cohere),
    "haystack-jina": Client(haystack_jina, waits=False),
    **{
        f"litellm-{provider}": Client(litellm_of(provider))
        for provider in ("cohere", "jina_ai", "hosted_vllm", "infinity", "huggingface")
    },
    "litellm-nvidia_nim": Client(litellm_of("nvidia_nim/ranking"), logits=True),
}
