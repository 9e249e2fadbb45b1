"""What a request asks for and what it gets, whichever API it came through.

A face turns a request into an `Ask`, and an `Answer` into a reply. Nothing else in the server knows an API.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SpansWanted:
    """A request for the parts of each document that raise its score.

    Attributes:
        threshold: The least a span must raise the score, on the scale of the scores.
        most: Most spans for a document; None for all.
    """

    threshold: float = 0.1
    most: int | None = None


@dataclass(frozen=True)
class Ask:
    """What one request asks for.

    Attributes:
        pairs: (query, document); each is a text or a mapping of modalities, as `CrossEncoder.predict` takes it.
        model: Name of a served model; None for the first. An unknown name means the first if there is only one.
        instruction: Text of a prompt to use instead of the model's.
        prompt_name: Name of one of the model's prompts.
        raw: Whether the scores are logits; otherwise the model's activation function is applied.
        softmax: Whether to apply softmax over several labels; ``raw`` takes precedence.
        truncate: Whether pairs above the model's limit are cut; otherwise they are refused.
        truncation_side: "left" or "right", the end that is cut; None for the model's.
        max_query_tokens: Cut each query to so many tokens.
        max_document_tokens: Cut each document to so many tokens.
        max_pair_tokens: Cut each pair to so many tokens, special tokens included, instead of the model's limit.
        spans: Whether to find the relevant spans of the documents that the reply lists.
        order: Whether the reply lists the pairs from the best to the worst; otherwise in their order.
        top_n: Most pairs that the reply lists; None for all.
    """

    pairs: tuple[tuple[Any, Any], ...]
    model: str | None = None
    instruction: str | None = None
    prompt_name: str | None = None
    raw: bool = False
    softmax: bool = False
    truncate: bool = True
    truncation_side: str | None = None
    max_query_tokens: int | None = None
    max_document_tokens: int | None = None
    max_pair_tokens: int | None = None
    spans: SpansWanted | None = None
    order: bool = True
    top_n: int | None = None


@dataclass(frozen=True)
class Served:
    """A model that is served.

    Attributes:
        name: The name by which requests choose it.
        source: The folder or repository that it was loaded from.
        revision: The commit that it was loaded at, if it has one.
        dtype: The data type of its weights, such as ``"float32"``.
        max_input_length: The most tokens in a pair; None without a limit.
        labels: The number of scores for a pair.
        label_names: Names of the labels, or an empty tuple.
        created: When it was loaded, in seconds since the epoch.
        modalities: The kinds of element that it takes, such as ``"text"``.
        prompts: Names of its prompts.
    """

    name: str
    source: str
    revision: str | None
    dtype: str
    max_input_length: int | None
    labels: int
    label_names: tuple[str, ...]
    created: int
    modalities: tuple[str, ...] = ("text",)
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Span:
    """Part of a document, ``document[start:end]`` in code points, and how much it raises the score."""

    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Timings:
    """Seconds that a request took: in total, to tokenize, waiting, and in the model."""

    total: float = 0.0
    tokenization: float = 0.0
    queue: float = 0.0
    inference: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What a request gets.

    Attributes:
        scores: float32 of shape (pairs,), or (pairs, labels) for several labels, in the order of the pairs.
        ranking: Positions of the pairs that the reply lists, in its order.
        tokens: Tokens of all pairs, special tokens included.
        model: The model that scored.
        spans: For each listed pair, in the reply's order, its relevant spans; None unless asked for.
        timings: The seconds that it took.
        id: The request's id.
        created: Seconds since the epoch.
    """

    scores: np.ndarray[Any, Any]
    ranking: tuple[int, ...]
    tokens: int
    model: Served
    spans: tuple[tuple[Span, ...], ...] | None = None
    timings: Timings = field(default_factory=Timings)
    id: str = ""
    created: int = 0


class Refusal(Exception):
    """A request that cannot be answered.

    Attributes:
        status: The HTTP status.
        kind: The type of error that TEI gives: "Empty", "Tokenizer", "Validation", "Backend", "Overloaded",
            "Unhealthy"; or "Unauthorized", "NotFound".
        message: What is wrong, and what to do next.
        index: The pair at fault, if it is one.
        argument: The field at fault, if it is one.
        retry_after: Seconds after which it may work.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        index: int | None = None,
        argument: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.index = index
        self.argument = argument
        self.retry_after = retry_after


def invalid(message: str, *, argument: str | None = None, index: int | None = None) -> Refusal:
    """Return the refusal of a field that is missing or wrong: status 422, "Validation"."""
    return Refusal(422, "Validation", message, argument=argument, index=index)


def empty(message: str, *, argument: str | None = None) -> Refusal:
    """Return the refusal of a request without anything to score: status 400, "Empty"."""
    return Refusal(400, "Empty", message, argument=argument)


@dataclass(frozen=True)
class Facts:
    """What the server knows about itself, for the routes that describe it.

    Attributes:
        models: The served models, the default first; empty while they load.
        state: "loading", "ready" or "draining".
        waiting_pairs: Pairs that wait or run.
        most_pairs: Most pairs that may wait.
        most_texts: Most documents in a request.
        most_batch_tokens: Most tokens in a batch of the first model.
        version: The version of pairchain-serve.
        tokenizing_threads: Threads that tokenize.
    """

    models: tuple[Served, ...]
    state: str
    waiting_pairs: int
    most_pairs: int
    most_texts: int
    most_batch_tokens: int
    version: str
    tokenizing_threads: int = 1
