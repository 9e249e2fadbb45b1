"""The models that are served: what is told of each, and how the pairs of a request are prepared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pairchain.authoring import Prepared, Together, may_name_medium, modality_parts, read_json_object
from pairchain.errors import InputError
from pairchain_serve.ask import Ask, Refusal, Served, invalid
from pairchain_serve.cutting import Cutter
from pairchain_serve.images import opened

if TYPE_CHECKING:
    from pairchain import CrossEncoder

Pair = tuple[Any, Any]

# Keyword arguments that let a chain open what its inputs name.
_OPENING = {"allow_urls", "allow_private_urls", "allow_paths"}


class Model:
    """A loaded model under its name.

    Args:
        name: The name by which requests choose it.
        source: The folder or repository that it was loaded from.
        chain: The model.
        allow_urls: Whether images are fetched that requests name by URL, from public addresses.
        pool: Workers that score, for several devices.
    """

    def __init__(
        self, name: str, source: str, chain: CrossEncoder, *, allow_urls: bool = False, pool: Any = None
    ) -> None:
        self.chain = chain
        self.together = Together(chain, pool)
        self.pool = pool
        self.served = served_of(name, source, chain)
        taken = chain.keyword_names()
        self._allow_urls = allow_urls
        # the chain itself opens nothing that a request names
        self._keywords: dict[str, Any] = dict.fromkeys(_OPENING & taken, False)
        self._takes_max_length = "max_length" in taken
        self._cutter = Cutter(lambda: chain.tokenizer)

    def renamed(self, name: str) -> Served:
        """Return its facts under another name."""
        return replace(self.served, name=name)

    def warm_up(self) -> None:
        """Score a pair, so that the first request need not wait for what is done once."""
        if "text" in self.served.modalities:
            self.together.score([(self.together.prepare([("query", "document")], **self._keywords), 0)])

    def prepare(self, pairs: Sequence[Pair], ask: Ask, first: int = 0) -> Prepared:
        """Return some pairs of a request, encoded.

        Args:
            pairs: The pairs.
            ask: The request.
            first: The position of the first pair in the request.

        Raises:
            Refusal: A pair is longer than the model's limit and may not be cut; or there is no tokenizer to cut it.
            InputError: The model does not take a pair; its index counts in ``pairs``.
        """
        keywords = dict(self._keywords)
        if ask.max_pair_tokens is not None and self._takes_max_length:
            keywords["max_length"] = min(ask.max_pair_tokens, self.served.max_input_length or ask.max_pair_tokens)
        options = {"prompt": ask.instruction, "prompt_name": ask.prompt_name, **keywords}
        cut = [self._cut(self._opened(pair, index), ask) for index, pair in enumerate(pairs)]
        limit = keywords.get("max_length", self.served.max_input_length)
        if limit is not None and (not ask.truncate or ask.truncation_side == "left"):
            cut = self._fitted(cut, ask, limit, options, first)
        return self.together.prepare([(self._marked(query), self._marked(text)) for query, text in cut], **options)

    def _opened(self, pair: Pair, index: int) -> Pair:
        modalities = self.served.modalities
        try:
            query, document = (opened(side, modalities, allow_urls=self._allow_urls) for side in pair)
        except InputError as error:
            error.place(index)
            raise
        return query, document

    def _cut(self, pair: Pair, ask: Ask) -> Pair:
        query, document = pair
        longest = self.served.max_input_length
        # the model's own limit cuts what is longer
        if ask.max_query_tokens is not None and (longest is None or ask.max_query_tokens < longest):
            query = self._with_text(query, lambda text: self._first(text, ask.max_query_tokens or 0))
        if ask.max_document_tokens is not None and (longest is None or ask.max_document_tokens < longest):
            keep = self._last if ask.truncation_side == "left" else self._first
            document = self._with_text(document, lambda text: keep(text, ask.max_document_tokens or 0))
        return query, document

    def _fitted(
        self, pairs: Sequence[Pair], ask: Ask, limit: int, options: Mapping[str, Any], first: int
    ) -> list[Pair]:
        """Return pairs that fit into the limit, cut at the document's beginning; or refuse one that does not fit."""
        self._require_tokenizer()
        # what a pair has besides its document: the query, special tokens, a template
        beside: dict[str, int] = {}
        fitted: list[Pair] = []
        for index, (query, document) in enumerate(pairs, first):
            if not isinstance(query, str) or not isinstance(document, str):
                fitted.append((query, document))
                continue
            if query not in beside:
                beside[query] = self.together.prepare([(self._marked(query), "")], **options).tokens
            tokens = self._cutter.count(document)
            given = beside[query] + tokens
            if given > limit and not ask.truncate:
                raise Refusal(
                    422,
                    "Validation",
                    f"`inputs` must have at most {limit} tokens. Given: {given}. Allow it to be cut, or shorten it.",
                    index=index,
                )
            fitted.append((query, self._cutter.last(document, max(0, limit - beside[query]))))
        return fitted

    def _first(self, text: str, most: int) -> str:
        self._require_tokenizer()
        return self._cutter.first(text, most)

    def _last(self, text: str, most: int) -> str:
        self._require_tokenizer()
        return self._cutter.last(text, most)

    def _require_tokenizer(self) -> None:
        if not self._cutter.is_known:
            raise invalid("this model has no tokenizer by which texts could be counted and cut.")

    @staticmethod
    def _with_text(side: Any, change: Any) -> Any:
        if isinstance(side, str):
            return change(side)
        if isinstance(side, Mapping) and isinstance(side.get("text"), str):
            return {**side, "text": change(side["text"])}
        return side

    def _marked(self, side: Any) -> Any:
        """Mark a text that looks like the name of a medium as text, so that it opens nothing."""
        if isinstance(side, str) and may_name_medium(side, self.served.modalities):
            return {"text": side}
        return side


def served_of(name: str, source: str, chain: CrossEncoder) -> Served:
    """Return what is told of a model."""
    labels = chain.num_labels
    modalities = {part for one in getattr(chain.input_module, "modalities", ["text"]) for part in modality_parts(one)}
    return Served(
        name=name,
        source=source,
        revision=None if chain.source is None else chain.source.commit,
        dtype=str(chain.dtype or "float32").removeprefix("torch."),
        max_input_length=None if chain.max_seq_length is None else int(chain.max_seq_length),
        labels=labels,
        label_names=_label_names(chain, labels),
        created=int(time.time()),
        modalities=tuple(sorted(modalities)),
        prompts=tuple(chain.prompts),
    )


def _label_names(chain: CrossEncoder, labels: int) -> tuple[str, ...]:
    named: Any = None
    if chain.source is not None and (path := chain.source.file("config.json")) is not None:
        named = read_json_object(path, shown_as="config.json").get("id2label")
    if isinstance(named, dict) and len(named) == labels:
        texts = [named.get(str(number)) for number in range(labels)]
        if all(isinstance(text, str) for text in texts):
            return tuple(map(str, texts))
    return tuple(f"LABEL_{number}" for number in range(labels))
