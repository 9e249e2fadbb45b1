"""The interface of LlamaIndex for rerankers: a node postprocessor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, field_serializer
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, ImageNode, MetadataMode, NodeWithScore, QueryBundle

from pairchain.authoring import TextRanker, checked_count
from pairchain.errors import InputError

RETRIEVAL_SCORE = "retrieval_score"

_dispatcher = get_dispatcher(__name__)


class PairchainRerank(BaseNodePostprocessor):
    """Returns the nodes that suit a query best, with new scores.

    A node is scored by its content with the metadata that it shows to embedding models.

    Args:
        model: A folder or Hub repository, which the first call loads once; or a loaded `pairchain.CrossEncoder`.
        top_n: Return at most this many nodes; None for all.
        keep_retrieval_score: Whether copies of the nodes keep the score that they came with in their metadata.
        predict_kwargs: Keyword arguments of ``predict``, such as ``prompt`` or ``batch_size``.
        callback_manager: Called about each reranking.
        load_kwargs, **more: Keyword arguments of `pairchain.CrossEncoder`, such as ``revision``, ``lock``,
            ``trust_remote_code``, ``backend`` or ``device``.

    Raises:
        InputError, UnknownKeywordError: An argument is invalid.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=())

    # a change would not reach the loaded model
    model: Any = Field(frozen=True)
    top_n: int | None = 2
    keep_retrieval_score: bool = False
    predict_kwargs: dict[str, Any] = Field(default_factory=dict, frozen=True)
    load_kwargs: dict[str, Any] = Field(default_factory=dict, frozen=True)
    _ranker: TextRanker = PrivateAttr()

    def __init__(
        self,
        model: Any,
        top_n: int | None = 2,
        *,
        keep_retrieval_score: bool = False,
        predict_kwargs: Mapping[str, Any] | None = None,
        callback_manager: CallbackManager | None = None,
        load_kwargs: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        loading = {**(load_kwargs or {}), **more}
        ranker = TextRanker(model, loading, predict_kwargs, taker=type(self).__name__)
        super().__init__(
            model=model,
            top_n=_checked(top_n),
            keep_retrieval_score=keep_retrieval_score,
            predict_kwargs=dict(predict_kwargs or {}),
            callback_manager=callback_manager or CallbackManager(),
            # a token must not be printed or saved with the other arguments
            load_kwargs=ranker.shown_kwargs,
        )
        self._ranker = ranker

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which saved components name this class."""
        return "PairchainRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("there is no query to rerank for.", next_step="pass query_bundle or query_str.")
        query, top_n = query_bundle.query_str, _checked(self.top_n)
        texts = [_text(one.node) for one in nodes]
        name, most = self._ranker.name, len(nodes) if top_n is None else top_n
        _dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=most, model_name=name))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: most,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            best = self._ranker.best(query, texts, top_n)
            found = [self._scored(nodes[place], score) for place, score in best]
            event.on_end(payload={EventPayload.NODES: found})
        _dispatcher.event(ReRankEndEvent(nodes=found))
        return found

    def _scored(self, one: NodeWithScore, score: float) -> NodeWithScore:
        if not self.keep_retrieval_score:
            return one.model_copy(update={"score": score})
        node = one.node.model_copy(update={"metadata": {**one.node.metadata, RETRIEVAL_SCORE: one.score}})
        # a score is not for the texts that models read
        node.excluded_embed_metadata_keys = [*node.excluded_embed_metadata_keys, RETRIEVAL_SCORE]
        node.excluded_llm_metadata_keys = [*node.excluded_llm_metadata_keys, RETRIEVAL_SCORE]
        return one.model_copy(update={"node": node, "score": score})

    @field_serializer("model")
    def _name(self, model: Any) -> str:
        return self._ranker.name

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments, without the token, for ``from_dict``.

        Raises:
            InputError: The model was given as a loaded one.
        """
        if self._ranker.is_given:
            raise InputError(
                "a loaded model cannot be saved with its reranker.", next_step="pass the model's name to the reranker."
            )
        saved: dict[str, Any] = super().to_dict(**kwargs)
        return saved

    def __setstate__(self, state: dict[str, Any]) -> None:
        # the base class passes the fields to the constructor, and a token is in none of them
        super().__setstate__(state)
        self._ranker = (state["__pydantic_private__"] or {}).get("_ranker", self._ranker)


def _checked(top_n: Any) -> int | None:
    step = "pass a number of nodes, or None for all."
    return None if top_n is None else checked_count(top_n, "top_n", next_step=step)


def _text(node: BaseNode) -> str:
    text: str = node.get_content(metadata_mode=MetadataMode.EMBED)
    has_media = isinstance(node, ImageNode) or any(
        getattr(node, f"{kind}_resource", None) is not None for kind in ("image", "audio", "video")
    )
    if has_media and not node.get_content(metadata_mode=MetadataMode.NONE).strip():
        raise InputError(
            f"the node {node.node_id!r} has no text, only an image, sound or video, which is not scored here.",
            next_step="give the node a text, or score such pairs with pairchain.CrossEncoder.",
        )
    return text
