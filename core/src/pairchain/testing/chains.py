"""Chains with the module to check, and pairs that they score."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pairchain import CrossEncoder
from pairchain.chain.keywords import keyword_names
from pairchain.facts import SCORES
from pairchain.testing.features import difference
from pairchain.testing.fresh_process import ProcessFailedError, scores_of_saved
from pairchain.testing.neighbours import GivenFeatures, ScoreOf, registered
from pairchain.testing.subject import Subject
from pairchain.testing.words import broken, explaining

# The features to make a score of, if a module writes several and none of them is the scores.
_LIKELY = ("sentence_embedding", "token_embeddings", "causal_logits")


@dataclass(frozen=True)
class Trial:
    """A chain, pairs that it scores, and the module in it to check."""

    model: CrossEncoder
    pairs: list[Any]
    module: Any

    @property
    def name(self) -> str:
        """The chain's name in messages."""
        return " → ".join(type(module).__name__ for module in self.model)

    def scores(self, pairs: Any, **options: Any) -> torch.Tensor:
        """Return the scores of ``pairs``; the check fails if the chain cannot score them."""
        with explaining(
            f"the chain {self.name} could not score {len(pairs)} pairs",
            expected="a chain with the module in it scores pairs.",
            next_step="repair what the error names; if the neighbours are wrong, return better ones from make_chain.",
        ):
            return torch.as_tensor(np.asarray(self.model.predict(pairs, **options)))


def of(modules: Sequence[nn.Module]) -> CrossEncoder:
    """Return a chain of ``modules`` that ends in raw scores; the check fails if they do not fit."""
    with explaining(
        f"{', '.join(type(module).__name__ for module in modules)} do not make a chain",
        expected="the modules before write the features that a module reads, and the ones after read what it writes.",
        next_step="correct what it declares; if the neighbours are wrong, return better ones from make_chain.",
    ):
        return CrossEncoder(modules=list(modules), activation_fn=nn.Identity(), device="cpu")


def around(subject: Subject) -> Trial:
    """Return a chain with generated neighbours around a module, and pairs for it."""
    first = GivenFeatures(subject.features, subject.count)
    return Trial(of([first, subject.module, *after(subject)]), first.pairs, subject.module)


def after(subject: Subject) -> list[nn.Module]:
    """Return modules that turn a module's features into scores; an empty list if it writes scores."""
    written = subject.run(subject.features)
    if SCORES in subject.written:
        return []
    numbers = [name for name in sorted(subject.written) if _is_numbers(written[name], subject.count)]
    likely = [name for name in _LIKELY if name in numbers]
    if not numbers:
        broken(
            f"{subject.name} wrote no numbers, with a row for each of {subject.count} pairs.",
            expected="a module writes features, tensors with a row for each pair.",
            next_step="if that is intended, return a chain that contains it from make_chain.",
        )
    return [ScoreOf([*likely, *numbers][0])]


def check_scores(trial: Trial, tolerance: float) -> None:
    """Fail unless each pair gets the same score alone, in small batches, in one batch, and in another order."""
    together = trial.scores(trial.pairs)
    ways = {
        "one pair at a time": torch.stack([trial.scores(trial.pairs[place]) for place in range(len(trial.pairs))]),
        "in batches of two": trial.scores(trial.pairs, batch_size=2),
        "in the opposite order": trial.scores(trial.pairs[::-1]).flip(0),
    }
    for way, scores in ways.items():
        if found := difference(scores, together, tolerance):
            broken(
                f"the chain {trial.name} scored pairs differently together and {way}: {found}.",
                expected="a pair's score does not depend on the pairs beside it.",
                next_step="see test_a_pair_is_computed_alone_as_beside_others, which names the feature.",
            )
    labels = 1 if together.ndim == 1 else together.shape[1]
    declared = trial.model.declared_num_labels()
    if declared is not None and declared != labels:
        broken(
            f"the chain {trial.name} says that a pair gets {declared} scores, and gave {labels}.",
            expected="num_labels says how many scores a pair gets.",
            next_step=f"set num_labels of the module that writes them to {labels}.",
        )


def check_keywords(trial: Trial, values: Mapping[str, Any]) -> None:
    """Fail unless the chain takes every keyword argument of its module, with the given or default values."""
    names = keyword_names({"0": trial.module})
    for name in sorted(names | values.keys()):
        value = values.get(name, _default(trial.module, name))
        if value is inspect.Parameter.empty:
            continue
        with explaining(
            f"predict(…, {name}={value!r}) raised an error",
            expected="predict passes keyword arguments on to the modules that ask for them.",
            next_step="name it in forward_kwargs, if forward takes it, or in the signature of preprocess; set "
            "values to try in `keywords`.",
        ):
            trial.model.predict(trial.pairs, **{name: value})


def check_fresh_process(trial: Trial, folder: Path, *, is_plugin: bool, python: Sequence[str]) -> None:
    """Fail unless the saved chain scores the same in a process that knows nothing of this one."""
    name = type(trial.module).__name__
    expected = trial.scores(trial.pairs)
    with (
        explaining(
            f"the chain {trial.name} could not be saved",
            expected="save_pretrained writes every module into a folder of its own.",
            next_step="repair save.",
        ),
        registered(),
    ):
        trial.model.save_pretrained(folder / "model")
    options = {} if is_plugin else {"trust_remote_code": True}
    try:
        scores = scores_of_saved(folder, trial.pairs, python, **options)
    except ProcessFailedError as error:
        broken(
            f"a chain with {name} was saved, and a fresh process could not load it:\n{error}",
            expected="a saved chain loads wherever the plugin is installed, or the module's file is beside the model.",
            next_step="save everything that load needs; import what it needs in the module's file; install the plugin.",
        )
    found = difference(torch.tensor(scores, dtype=torch.float64), expected.double(), 1e-5)
    if found:
        broken(
            f"a chain with {name} scores differently in a fresh process: {found}.",
            expected="a saved model gives the same scores everywhere.",
            next_step="do not depend on globals, the environment or random numbers that save does not write.",
        )


def _is_numbers(value: Any, count: int) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 0 and len(value) == count and value.numel() > 0


def _default(module: Any, name: str) -> Any:
    for method in ("forward", "preprocess", "tokenize"):
        if (found := getattr(module, method, None)) is not None:
            parameter = inspect.signature(found).parameters.get(name)
            if parameter is not None:
                return parameter.default
    return inspect.Parameter.empty
