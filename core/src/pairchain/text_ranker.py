"""Ranks texts for other frameworks, with a model that is loaded, or that the first use loads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pairchain.cross_encoder import CrossEncoder, as_load_kwargs
from pairchain.errors import InputError
from pairchain.inputs.arguments import checked_count
from pairchain.inputs.kinds import TEXT
from pairchain.inputs.tables import class_name

# The kind of the result, which `TextRanker` decides itself.
_OWN = {"convert_to_numpy": True, "convert_to_tensor": False}

# Names of the Hub's tokens, for pairchain and for the libraries that it passes arguments on to.
_SECRET = {"token", "use_auth_token"}


class TextRanker:
    """Ranks texts for a query; threads may share one. Adapters to other frameworks hold one.

    Copies, also deep ones, share the model. In another process, a model that was given by its name is loaded again.

    Args:
        model: A loaded `CrossEncoder`; or a folder or Hub repository, which the first use loads once.
        load_kwargs: Keyword arguments of `CrossEncoder` for a name, such as ``revision``, ``lock`` or ``backend``. A
            lock's file is read at once.
        predict_kwargs: Keyword arguments of ``predict`` for every call, such as ``prompt`` or ``batch_size``.
        taker: The name of the adapter, for errors.

    Attributes:
        name: The model's folder or repository; empty for a loaded model that has none.
        shown_kwargs: ``load_kwargs`` as given, without tokens at any depth: what may be printed and saved.

    Raises:
        InputError: An argument is invalid.
        UnknownKeywordError: `CrossEncoder` takes no such argument.
    """

    def __init__(
        self,
        model: CrossEncoder | str | os.PathLike[str],
        load_kwargs: Mapping[str, Any] | None = None,
        predict_kwargs: Mapping[str, Any] | None = None,
        *,
        taker: str = "TextRanker",
    ) -> None:
        self._model = model if isinstance(model, CrossEncoder) else None
        if self._model is None and not isinstance(model, str | os.PathLike):
            raise InputError(
                f"model must be a name, a path or a pairchain.CrossEncoder, not {class_name(model)}.",
                next_step="pass the name, such as 'cross-encoder/ms-marco-MiniLM-L6-v2'.",
                argument="model",
            )
        if self._model is not None and load_kwargs:
            raise InputError(
                f"the model is loaded already, so {', '.join(load_kwargs)} would have no effect.",
                next_step="pass the model's name, or load it with these arguments.",
                argument=next(iter(load_kwargs)),
            )
        self.shown_kwargs: dict[str, Any] = _without_tokens(load_kwargs or {})
        self.load_kwargs = as_load_kwargs(load_kwargs or {}, taker)
        self.predict_kwargs = {"show_progress_bar": False, **(predict_kwargs or {}), **_OWN}
        # of the model alone, a source is known that can load it again
        source = getattr(self._model, "source", None)
        self.name: str = os.fspath(model) if isinstance(model, str | os.PathLike) else source.name if source else ""
        self._is_given = self._model is not None
        self._loading = threading.Lock()

    @property
    def is_given(self) -> bool:
        """Whether the model was given as a loaded one."""
        return self._is_given

    @property
    def is_loaded(self) -> bool:
        """Whether the model is loaded."""
        return self._model is not None

    @property
    def model(self) -> CrossEncoder:
        """The model; the first use loads it."""
        with self._loading:
            if self._model is None:
                self._model = CrossEncoder(self.name, **self.load_kwargs)
            return self._model

    def best(self, query: str, texts: Sequence[str], top: int | None = None) -> list[tuple[int, float]]:
        """Return the positions of texts with their scores, from the best to the worst; equal scores keep their order.

        Strings are scored as texts, even by a model that would open the image that a URL names. Without texts, no model
        is loaded.

        Args:
            query: The query.
            texts: The texts.
            top: Return at most this many; None for all.

        Raises:
            InputError: The query is no text, the model gives a pair several scores, or a text cannot be scored.
        """
        if top is not None:
            top = checked_count(top, "top", next_step="pass a number of documents, or None for all.")
        if not isinstance(query, str):
            raise InputError(f"the query is {class_name(query)}, not a text.", next_step="pass a string.")
        if not texts:
            return []
        scores = self.scores((query, text) for text in texts)
        if scores.ndim > 1:
            raise InputError(
                f"ranking needs one score for each pair, but the model gives {scores.shape[1]}.",
                next_step="use a model with one label.",
            )
        # NaN, which predict_kwargs may allow, ranks last
        order = np.argsort(-scores, kind="stable")[:top].tolist()
        return [(position, float(scores[position])) for position in order]

    def scores(self, pairs: Iterable[tuple[str, str]]) -> np.ndarray[Any, Any]:
        """Return the score of each pair of texts, in their order.

        Returns:
            float32 of shape (pairs,) for one label, else (pairs, labels).

        Raises:
            InputError: As for `best`.
        """
        inputs = [({TEXT: query}, {TEXT: text}) for query, text in pairs]
        if not inputs:
            return np.empty(0, np.float32)
        found: np.ndarray[Any, Any] = self.model.predict(inputs, **self.predict_kwargs)
        return found

    def __deepcopy__(self, memo: Any) -> TextRanker:
        return self

    def __getstate__(self) -> dict[str, Any]:
        left_out = {"_loading"} if self._is_given else {"_loading", "_model"}
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"_model": None, **state}, _loading=threading.Lock())

    def __repr__(self) -> str:
        # no arguments: a token may be one of them
        return f"{type(self).__name__}({self.name!r})"


def _without_tokens(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _without_tokens(inner) for name, inner in value.items() if name not in _SECRET}
