"""The component that ranks documents. Haystack loads saved pipelines from packages of this name without asking."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.errors import SerializationError
from haystack.utils import ComponentDevice, Secret

from pairchain.authoring import TextRanker, checked_count
from pairchain.errors import InputError


@component
class PairchainRanker:
    """Ranks documents by the scores of their content for a query.

    Args:
        model: A folder or Hub repository, which ``warm_up`` loads once; or a loaded `pairchain.CrossEncoder`.
        top_k: Return at most this many documents; None for all.
        device: A device, or its name such as ``"cuda:0"``; None for the first accelerator, else the CPU.
        token: The Hub token, as a secret.
        revision, trust_remote_code, lock, backend: As for `pairchain.CrossEncoder`.
        load_kwargs: Further keyword arguments of `pairchain.CrossEncoder`.
        predict_kwargs: Keyword arguments of ``predict``, such as ``prompt`` or ``batch_size``.
        meta_fields_to_embed: Fields of the metadata that are scored before the content.
        embedding_separator: Stands between these fields and the content.
        score_threshold: Leave out documents with a lower score; None for none.

    Raises:
        InputError, UnknownKeywordError: An argument is invalid.
    """

    def __init__(
        self,
        model: Any,
        *,
        top_k: int | None = 10,
        device: ComponentDevice | str | None = None,
        token: Secret | None = None,
        revision: str | None = None,
        trust_remote_code: bool | Sequence[str] = False,
        lock: str | os.PathLike[str] | None = None,
        backend: str | None = None,
        load_kwargs: Mapping[str, Any] | None = None,
        predict_kwargs: Mapping[str, Any] | None = None,
        meta_fields_to_embed: Sequence[str] = (),
        embedding_separator: str = "\n",
        score_threshold: float | None = None,
    ) -> None:
        self.model, self.top_k, self.device, self.token = model, _checked(top_k), device, token
        self.revision, self.trust_remote_code, self.lock, self.backend = revision, trust_remote_code, lock, backend
        self.load_kwargs, self.predict_kwargs = dict(load_kwargs or {}), dict(predict_kwargs or {})
        self.meta_fields_to_embed, self.embedding_separator = list(meta_fields_to_embed), embedding_separator
        self.score_threshold = score_threshold
        given = {
            "device": device.to_torch_str() if isinstance(device, ComponentDevice) else device,
            "revision": revision,
            "trust_remote_code": trust_remote_code or None,
            "lock": lock,
            "backend": backend,
        }
        loading = {**self.load_kwargs, **{name: value for name, value in given.items() if value is not None}}
        self._ranker = TextRanker(model, loading, predict_kwargs, taker="PairchainRanker")
        # tokens are left out of what may be shown
        if self._ranker.shown_kwargs != loading or not (token is None or isinstance(token, Secret)):
            raise InputError(
                "a Hub token must be a Secret of Haystack, which is not saved with a pipeline.",
                next_step="pass token=Secret.from_env_var('HF_TOKEN').",
                argument="token",
            )

    def warm_up(self) -> None:
        """Load the model, unless that was done."""
        if not self._ranker.is_loaded and self.token is not None:
            # read now: a pipeline may be built where the secret is missing
            self._ranker.load_kwargs["token"] = self.token.resolve_value()
        _ = self._ranker.model

    async def warm_up_async(self) -> None:
        """Load the model in a thread, unless that was done."""
        await asyncio.to_thread(self.warm_up)

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None, score_threshold: float | None = None
    ) -> dict[str, list[Document]]:
        """Return copies of the best documents with their scores, from the best; equal scores keep their order.

        Of documents with the same id, the one with the highest score is ranked.

        Args:
            query: The query.
            documents: The documents, which are not changed.
            top_k, score_threshold: Instead of those of the component.

        Raises:
            InputError: The query is no text, a document has no text but other data, or the model gives several scores.
        """
        most = self.top_k if top_k is None else _checked(top_k)
        least = self.score_threshold if score_threshold is None else score_threshold
        chosen = _without_duplicates(documents)
        texts = [self._text(document) for document in chosen]
        if texts:
            self.warm_up()
        ranked = [
            replace(chosen[place], score=score, meta=dict(chosen[place].meta))
            for place, score in self._ranker.best(query, texts, most)
            if least is None or score >= least
        ]
        return {"documents": ranked}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None, score_threshold: float | None = None
    ) -> dict[str, list[Document]]:
        """Do the same as ``run`` in a thread."""
        found: dict[str, list[Document]] = await asyncio.to_thread(self.run, query, documents, top_k, score_threshold)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments for ``from_dict``, with the name of the token's environment variable.

        Raises:
            SerializationError: The model, or the lock, was given as an object.
            ValueError: The token itself was given, and not its environment variable.
        """
        if self._ranker.is_given:
            raise SerializationError("a loaded model cannot be saved with a pipeline; pass its name to the ranker.")
        if not (self.lock is None or isinstance(self.lock, str | os.PathLike)):
            raise SerializationError("a lock cannot be saved with a pipeline; pass the path of its file to the ranker.")
        trusted = self.trust_remote_code
        saved: dict[str, Any] = default_to_dict(
            self,
            model=self._ranker.name,
            top_k=self.top_k,
            device=self.device,
            token=self.token,
            revision=self.revision,
            trust_remote_code=trusted if isinstance(trusted, bool) else list(trusted),
            lock=None if self.lock is None else os.fspath(self.lock),
            backend=self.backend,
            load_kwargs=self.load_kwargs,
            predict_kwargs=self.predict_kwargs,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
            score_threshold=self.score_threshold,
        )
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PairchainRanker:
        """Return the component that ``to_dict`` described."""
        made: PairchainRanker = default_from_dict(cls, data)
        return made

    def _text(self, document: Document) -> str:
        if document.content is None and document.blob is not None:
            kind = document.blob.mime_type or "binary data"
            raise InputError(
                f"the document {document.id!r} has no text, only {kind}, which is not scored here.",
                next_step="give it content, or score such pairs with pairchain.CrossEncoder.",
            )
        values = [document.meta.get(name) for name in self.meta_fields_to_embed]
        fields = [str(value) for value in values if value is not None]
        return self.embedding_separator.join([*fields, document.content or ""])


def _checked(top_k: Any) -> int | None:
    step = "pass a number of documents, or None for all."
    return None if top_k is None else checked_count(top_k, "top_k", next_step=step)


def _without_duplicates(documents: Sequence[Document]) -> list[Document]:
    best: dict[str, Document] = {}
    for one in documents:
        known = best.get(one.id)
        if known is None or _score(one) > _score(known):
            best[one.id] = one
    return list(best.values())


def _score(document: Document) -> float:
    return float("-inf") if document.score is None else document.score
