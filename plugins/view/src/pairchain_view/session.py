"""Answers the page's requests about one model; every answer is JSON."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from pairchain import CrossEncoder, inspect
from pairchain.authoring import IMAGE, TEXT, modality_of, modality_parts
from pairchain.errors import InputError, PairchainError
from pairchain_cli.authoring import ModelOptions, load_model
from pairchain_view import attribution, model_summary, requests
from pairchain_view.images import Images
from pairchain_view.requests import Options, Side

JSON = dict[str, Any]


class Session:
    """A loaded model and its page. Several threads may call it; the model scores for one at a time.

    Args:
        model: The model.
        summary: The page's description of the model.
    """

    def __init__(self, model: CrossEncoder, summary: JSON) -> None:
        self._model = model
        self._images = Images()
        self._scoring = threading.Lock()
        self._summary = {**summary, "form": self._form()}

    @classmethod
    def load(cls, wanted: ModelOptions) -> Session:
        """Return a session with the model that the options describe.

        Raises:
            PairchainError: The model cannot be loaded.
        """
        return cls.of(load_model(wanted), wanted)

    @classmethod
    def of(cls, model: CrossEncoder, wanted: ModelOptions) -> Session:
        """Return a session with a model that was loaded with these options."""
        try:
            report = inspect(
                wanted.model,
                revision=None if model.source is None else model.source.commit,
                subfolder=wanted.subfolder,
                code_revision=wanted.code_revisions,
            )
        except PairchainError:  # the files are gone, but the page can describe the loaded model without them
            report = None
        return cls(model, model_summary.of_model(model, report, wanted))

    def about(self) -> JSON:
        """Return the description of the model, and the choices of the page's form."""
        return self._summary

    def add_image(self, body: bytes) -> JSON:
        """Keep an image, and return its key.

        Raises:
            InputError: The body is not an image that can be opened.
        """
        return {"key": self._images.add(body)}

    def score(self, body: bytes) -> JSON:
        """Return a list of scores for each document, and the seconds that scoring took.

        NaN and infinite scores are strings such as ``"nan"``.

        Raises:
            InputError: The request is invalid, or the model cannot score it.
        """
        request = requests.parse(body)
        query = self._value(request.query)
        pairs = [(query, self._value(document)) for document in request.documents]
        start = time.perf_counter()
        scores = self._scores(pairs, request.options)
        return {"scores": [list(map(_number, row)) for row in scores], "seconds": time.perf_counter() - start}

    def explain(self, body: bytes) -> Iterator[JSON]:
        """Yield the score and the pieces of the pair, then some at a time the scores without each piece.

        Raises:
            InputError: The request is invalid, the pair is too long, or the model cannot score it.
        """
        request = requests.parse(body)
        sides = (request.query, request.documents[0])
        plan = attribution.plan((sides[0].text, sides[1].text), request.unit, self._model.tokenizer)
        images = [self._image(side) for side in sides]

        def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
            inputs = [tuple(map(self._joined, texts, images)) for texts in pairs]
            rows = self._scores(inputs, request.options)
            if not 0 <= request.label < len(rows[0]):
                raise InputError(f"there is no score {request.label}; this model gives {len(rows[0])} per pair.")
            return [row[request.label] for row in rows]

        (complete,) = score([plan.texts])
        if not math.isfinite(complete):
            raise InputError(f"the score of this pair is {complete}, so no word can change it.")
        yield {"score": complete, "unit": request.unit, "count": plan.size, "sides": plan.pieces()}
        for scores in attribution.occluded(plan, score):
            yield {"without": list(map(_number, scores))}

    def close(self, *, within: float) -> bool:
        """Block further scoring, and return whether scoring in progress ended within ``within`` seconds."""
        return self._scoring.acquire(timeout=within)

    def _form(self) -> JSON:
        model = self._model
        locates_tokens = attribution.locates_tokens(model.tokenizer)
        return {
            "takes_images": IMAGE in self._taken(),
            "prompts": dict(model.prompts),
            "default_prompt": model.default_prompt_name,
            "tasks": sorted(getattr(model.input_module, "tasks", ())),
            "units": [unit for unit in attribution.UNITS if unit != "tokens" or locates_tokens],
            "most_documents": requests.MOST_DOCUMENTS,
        }

    def _taken(self) -> set[str]:
        modalities = getattr(self._model.input_module, "modalities", [TEXT])
        return {part for modality in modalities for part in modality_parts(modality)}

    def _image(self, side: Side) -> Any:
        return self._images.get(side.image) if side.image else None

    def _value(self, side: Side) -> Any:
        return self._joined(side.text, self._image(side))

    def _joined(self, text: str, image: Any) -> Any:
        """Return one side of a pair: a text, an image, or both."""
        # text from the page must not open a file or an address
        if (found := modality_of(text, self._taken())) != TEXT:
            raise InputError(
                f"the text names a file or an address of {found}, and this page opens neither.",
                next_step="choose the file with the button beside the text, or enter more than its name.",
            )
        if image is None:
            return text
        return {"text": text, "image": image} if text.strip() else image

    def _scores(self, pairs: Sequence[Any], options: Options) -> list[list[float]]:
        keywords: JSON = {} if options.task is None else {"task": options.task}
        if options.is_raw:
            keywords["activation_fn"] = torch.nn.Identity()
        with self._scoring:
            scores = self._model.predict(
                list(pairs),
                prompt_name=options.prompt_name,
                prompt=options.prompt,
                show_progress_bar=False,
                allow_non_finite=True,
                **keywords,
            )
        rows: list[list[float]] = scores.reshape(len(pairs), -1).tolist()
        return rows


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
