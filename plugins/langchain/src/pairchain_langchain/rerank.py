"""The interfaces of LangChain for rerankers: a document compressor, and a cross-encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, Field, PrivateAttr, field_serializer

from pairchain.authoring import TextRanker, checked_count
from pairchain.errors import InputError

RELEVANCE_SCORE = "relevance_score"


class PairchainRerank(BaseDocumentCompressor):
    """Returns the documents that suit a query best, as copies with ``relevance_score`` in their metadata.

    Args:
        model: A folder or Hub repository, which the first call loads once; or a loaded `pairchain.CrossEncoder`.
        top_n: Return at most this many documents; None for all.
        predict_kwargs: Keyword arguments of ``predict``, such as ``prompt`` or ``batch_size``.
        load_kwargs, **more: Keyword arguments of `pairchain.CrossEncoder`, such as ``revision``, ``lock``,
            ``trust_remote_code``, ``backend`` or ``device``.

    Raises:
        InputError, UnknownKeywordError: An argument is invalid.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=())

    # a change would not reach the loaded model
    model: Any = Field(frozen=True)
    top_n: int | None = 3
    predict_kwargs: dict[str, Any] = Field(default_factory=dict, frozen=True)
    load_kwargs: dict[str, Any] = Field(default_factory=dict, frozen=True)
    _ranker: TextRanker = PrivateAttr()

    def __init__(
        self,
        model: Any,
        *,
        top_n: int | None = 3,
        predict_kwargs: Mapping[str, Any] | None = None,
        load_kwargs: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        loading = {**(load_kwargs or {}), **more}
        ranker = TextRanker(model, loading, predict_kwargs, taker=type(self).__name__)
        super().__init__(
            model=model,
            top_n=_checked(top_n),
            predict_kwargs=dict(predict_kwargs or {}),
            # a token must not be printed or dumped with the other arguments
            load_kwargs=ranker.shown_kwargs,
        )
        self._ranker = ranker

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return copies of the best documents with their scores, from the best; equal scores keep their order.

        Args:
            documents: The documents, which are not changed.
            query: The query.
            callbacks: Not called.

        Raises:
            InputError: The query is no text, ``top_n`` is no count, or the model gives several scores.
        """
        documents = list(documents)
        best = self._ranker.best(query, [one.page_content for one in documents], _checked(self.top_n))
        return [_scored(documents[place], score) for place, score in best]

    @field_serializer("model")
    def _name(self, model: Any) -> str:
        return self._ranker.name


class PairchainCrossEncoder(BaseCrossEncoder):
    """Scores pairs for whatever takes a cross-encoder of LangChain, such as its ``CrossEncoderReranker``.

    Args:
        model: As for `PairchainRerank`.
        predict_kwargs: As for `PairchainRerank`.
        **load_kwargs: As for `PairchainRerank`.

    Raises:
        InputError, UnknownKeywordError: An argument is invalid.
    """

    def __init__(self, model: Any, *, predict_kwargs: Mapping[str, Any] | None = None, **load_kwargs: Any) -> None:
        self._ranker = TextRanker(model, load_kwargs, predict_kwargs, taker=type(self).__name__)

    def score(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the score of each pair of texts, in their order.

        Raises:
            InputError: An element of a pair is no text, or the model gives several scores.
        """
        scores = self._ranker.scores(text_pairs)
        if scores.ndim > 1:
            raise InputError(
                f"a pair has one score here, but the model gives {scores.shape[1]}.",
                next_step="use a model with one label.",
            )
        return [float(score) for score in scores]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._ranker.name!r})"


def _checked(top_n: Any) -> int | None:
    step = "pass a number of documents, or None for all."
    return None if top_n is None else checked_count(top_n, "top_n", next_step=step)


def _scored(document: Document, score: float) -> Document:
    # keeps the id, and the class of a subclass
    metadata = {**document.metadata, RELEVANCE_SCORE: score}
    return document.model_copy(update={"metadata": metadata})
