"""Scores the same pairs with pairchain and with sentence-transformers."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from pairchain import CrossEncoder
from pairchain.authoring import (
    as_inputs,
    checked_count,
    code_of,
    installed_version,
    modules_inside,
    parameters_inside,
    refuse_named_media,
)
from pairchain.errors import InputError, PluginError

_PACKAGES = ("pairchain-core", "sentence-transformers", "transformers", "torch")
_MOST_SHOWN = 20
_SCORING = {"prompt", "prompt_name", "activation_fn", "apply_softmax"}


@dataclass(frozen=True)
class Comparison:
    """The scores of two libraries for the same pairs.

    Attributes:
        pairs: The pairs.
        ours: pairchain's scores, float32 of shape (pairs,) or (pairs, labels).
        theirs: The scores of sentence-transformers, in the same shape.
        dtypes: The dtype of the weights, by library.
        versions: The versions of the packages involved.
    """

    pairs: Sequence[Any]
    ours: np.ndarray[Any, Any]
    theirs: np.ndarray[Any, Any]
    dtypes: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def differences(self) -> np.ndarray[Any, Any]:
        """pairchain's scores minus those of sentence-transformers, in the same shape."""
        differences: np.ndarray[Any, Any] = self.ours - self.theirs
        return differences

    @property
    def largest(self) -> float:
        """The largest absolute difference; 0 without pairs."""
        return float(np.abs(self.differences).max(initial=0))

    @property
    def ranks(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        """Each pair's rank on both sides, 0 for the highest score; None if pairs get several scores."""
        return (_ranks(self.ours), _ranks(self.theirs)) if self.ours.ndim == 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON, without the pairs, which may be images."""
        ranks = self.ranks
        return {
            "ours": self.ours.tolist(),
            "theirs": self.theirs.tolist(),
            "largest_difference": self.largest,
            "ranks": None if ranks is None else {"ours": ranks[0].tolist(), "theirs": ranks[1].tolist()},
            "dtypes": self.dtypes,
            "versions": self.versions,
        }

    def __str__(self) -> str:
        ranks = self.ranks
        lines = [f"{'pair':>5} {'pairchain':>14} {'sentence-tr.':>14} {'difference':>12}"]
        if ranks is not None:
            lines[0] += f"  {'ranks':>11}"
        for index in range(min(len(self.ours), _MOST_SHOWN)):
            for ours, theirs in zip(np.atleast_1d(self.ours[index]), np.atleast_1d(self.theirs[index]), strict=True):
                line = f"{index:>5} {ours:>14.7g} {theirs:>14.7g} {ours - theirs:>12.2e}"
                lines.append(line if ranks is None else f"{line}  {ranks[0][index]:>5} {ranks[1][index]:>5}")
        if len(self.ours) > _MOST_SHOWN:
            lines.append(f"… and {len(self.ours) - _MOST_SHOWN} more")
        moved = "" if ranks is None else f", ranks that differ: {int((ranks[0] != ranks[1]).sum())}"
        lines.append(f"pairs: {len(self.ours)}, largest difference: {self.largest:.2e}{moved}")
        lines.append(", ".join(f"{name} {version}" for name, version in self.versions.items()))
        lines.append(", ".join(f"{name}: {dtype}" for name, dtype in self.dtypes.items()))
        return "\n".join(lines)


def compare(model: Any, pairs: Sequence[Any], *, batch_size: int = 32, **options: Any) -> Comparison:
    """Return the scores of both libraries for ``pairs``.

    Args:
        model: A model's name or path, which both libraries load; or a `CrossEncoder`, which is saved for
            sentence-transformers to load. A model with code from another repository is saved too, because
            sentence-transformers would take the newest version of that code.
        pairs: A list of pairs.
        batch_size: Most pairs per batch.
        **options: Options of ``predict`` for both libraries: ``prompt``, ``prompt_name``, ``activation_fn`` and
            ``apply_softmax``; and options for both to load the model with, such as ``revision``.

    Raises:
        PluginError: sentence-transformers is not installed.
        InputError: A pair names a medium by URL or path, which sentence-transformers would open by its own rules;
            ``model`` is of another type; or sentence-transformers cannot take an option.
    """
    if find_spec("sentence_transformers") is None:
        raise PluginError(
            "a comparison needs sentence-transformers, which is not installed.",
            distribution="sentence-transformers",
            next_step="pip install sentence-transformers",
        )
    scoring = {name: options.pop(name) for name in _SCORING & options.keys()}
    scoring["batch_size"] = checked_count(batch_size, "batch_size")
    items = as_inputs(pairs).items
    refuse_named_media(items, "sentence-transformers")
    if isinstance(model, str | os.PathLike):
        _check_options(options)
        ours = CrossEncoder(model, **options)
        assert ours.source is not None
        if _takes_code_from_elsewhere(ours):
            return _compared_as_saved(ours, items, scoring)
        # both libraries load the same commit, even if another one is pushed meanwhile
        known = options if ours.source.is_local else {**options, "revision": ours.source.commit}
        return _compared(ours, ours.source.name, items, scoring, known)
    if not isinstance(model, CrossEncoder):
        raise InputError(
            f"the model is a {type(model).__module__}.{type(model).__qualname__}.",
            next_step="pass a model's name or path, or a pairchain.CrossEncoder.",
        )
    if options:
        raise InputError(f"the model is already loaded, so {', '.join(options)} cannot be used.")
    return _compared_as_saved(model, items, scoring)


def _takes_code_from_elsewhere(model: CrossEncoder) -> bool:
    found = (code_of(type(module)) for module in modules_inside(model))
    return any(code.is_elsewhere for code in found if code is not None)


def _compared_as_saved(model: CrossEncoder, pairs: list[Any], scoring: Mapping[str, Any]) -> Comparison:
    """Save ``model`` with all of its code for sentence-transformers to load, and compare the two."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, copy_code=True, create_model_card=False)
        # its code already runs in this process
        known = {"trust_remote_code": True, "device": str(model.device)}
        return _compared(model, folder, pairs, scoring, known)


def _check_options(options: Mapping[str, Any]) -> None:
    import sentence_transformers

    taken = inspect.signature(sentence_transformers.CrossEncoder).parameters
    for name in options:
        if name not in taken:
            raise InputError(
                f"sentence-transformers has no option {name!r}.",
                next_step=f"load the model and compare that: compare(CrossEncoder(…, {name}=…), pairs).",
            )
    if not isinstance(options.get("trust_remote_code", False), bool):
        raise InputError(
            "sentence-transformers runs all code of a model or none, so it cannot take approvals.",
            next_step="pass trust_remote_code=True if you trust all of it.",
        )


def _compared(
    ours: CrossEncoder, path: str, pairs: list[Any], scoring: Mapping[str, Any], options: Mapping[str, Any]
) -> Comparison:
    import sentence_transformers

    found = ours.predict(pairs, **scoring)
    try:
        theirs = sentence_transformers.CrossEncoder(path, **options)
        scores = theirs.predict(pairs, **scoring)
    except Exception as error:
        error.add_note("raised by sentence-transformers; pairchain scored these pairs")
        raise
    return Comparison(
        pairs,
        found,
        # sentence-transformers gives a custom head's single score its own axis
        np.asarray(scores, dtype=np.float32).reshape(found.shape),
        {"pairchain": _dtype(ours), "sentence-transformers": _dtype(theirs)},
        {name: version for name in _PACKAGES if (version := installed_version(name))},
    )


def _dtype(model: torch.nn.Module) -> str:
    parameter = next(parameters_inside(model), None)
    return "none" if parameter is None else str(parameter.dtype).removeprefix("torch.")


def _ranks(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    ranks = np.empty(len(scores), dtype=int)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return ranks
