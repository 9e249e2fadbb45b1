"""BackendContract: what a `Transformer` expects of a backend, as tests that an author inherits."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pairchain import CrossEncoder, inspect, registry
from pairchain.backends import LIBRARY
from pairchain.errors import PairchainError
from pairchain.testing.features import difference
from pairchain.testing.fresh_process import modules_imported_to_inspect
from pairchain.testing.registered import require_registered
from pairchain.testing.words import broken, explaining, quiet

_HEAVY = frozenset({"torch", "transformers", "onnxruntime", "openvino", "tensorflow", "jax"})
_THREADS = 4


class BackendContract:
    """Checks of a backend; subclass it in a test file, name the backend, and write `make_checkpoint`.

    .. code-block:: python

        class TestMyBackend(BackendContract):
            name = "mine"

            def make_checkpoint(self, folder):
                ...  # save a small cross-encoder in folder
                return folder

    Attributes:
        name: The name that the backend is registered by.
        is_plugin: Whether an installed plugin registers it; False for one that a test registers by hand.
        saves: Whether it can save models.
        pairs: What is scored; at least two, of different lengths.
        tolerance: How far scores may be from those of the backend ``transformers``, as a share of the largest score.
    """

    name: str = ""
    is_plugin: bool = True
    saves: bool = True
    pairs: Sequence[Any] = (
        ("how many people live in Berlin?", "Berlin has about 3.5 million inhabitants."),
        ("Mars", "Mars is the fourth planet from the Sun, and the second smallest of all the planets there are."),
        ("a", "b"),
        ("what is a pair?", "two"),
    )
    tolerance: float = 1e-4

    def make_checkpoint(self, folder: Path) -> str | PathLike[str]:
        """Save a small model that the backend supports in ``folder``, and return where it is. You must write this."""
        broken(
            f"{type(self).__name__} has no make_checkpoint.",
            expected="a contract is told which model to try the backend on.",
            next_step="write `def make_checkpoint(self, folder): …; return folder` in the class.",
        )

    def make_unsupported(self, folder: Path) -> str | PathLike[str] | None:
        """Save a model that ``transformers`` supports and this backend does not, and return where; None to skip it."""
        return None

    def test_a_plugin_registers_it(self) -> None:
        """An installed plugin registers its name."""
        if self.is_plugin:
            require_registered(registry.backends, self.name, "class")

    def test_asking_it_imports_nothing_heavy(self, tmp_path: Path) -> None:
        """A fresh process asks whether it supports a model, and imports no library that runs models."""
        model = fspath(self.make_checkpoint(tmp_path / "model"))
        cls = registry.backends.load(self.name)
        imported = modules_imported_to_inspect(tmp_path, cls.__module__, cls.__qualname__, model)
        if heavy := sorted(_HEAVY & imported):
            broken(
                f"asking {self.name!r} what it supports imported {', '.join(heavy)}.",
                expected="`inspect` asks every backend, so asking must be cheap and run nothing of a model.",
                next_step="import what runs models inside `load`.",
            )

    def test_it_says_that_it_supports_the_model(self, tmp_path: Path) -> None:
        """`inspect` tells that it can load its own model."""
        if reason := self._refusal(self.make_checkpoint(tmp_path / "model")):
            broken(
                f"{self.name!r} says that it cannot load the model of make_checkpoint: {reason}.",
                expected="supports tells the truth.",
                next_step="correct supports, or save another model.",
            )

    def test_it_refuses_a_model_with_its_reason(self, tmp_path: Path) -> None:
        """What it does not support it refuses to load, with the reason that `supports` gives."""
        if (model := self.make_unsupported(tmp_path / "model")) is None:
            return
        if not (reason := self._refusal(model)):
            broken(
                f"{self.name!r} says that it can load the model of make_unsupported.",
                expected="supports tells the truth.",
                next_step="correct supports, or save another model.",
            )
        try:
            with quiet():
                self._load(model)
        except PairchainError as error:
            if reason in error.what:
                return
        broken(
            f"a load with {self.name!r} did not raise the reason that supports gives: {reason}.",
            expected="a backend that cannot load a model says why.",
            next_step="let `supports` read what `load` needs.",
        )

    def test_it_scores_as_the_library_does(self, tmp_path: Path) -> None:
        """Pairs get the scores of ``transformers``: alone, together, in small batches and in another order."""
        model = self.make_checkpoint(tmp_path / "model")
        expected = self._scores(CrossEncoder(fspath(model), device="cpu", backend=LIBRARY))
        mine = self._load(model)
        count = len(self.pairs)
        ways = {
            "together": self._scores(mine),
            "one at a time": torch.stack([self._scores(mine, [pair])[0] for pair in self.pairs]),
            "in batches of two": self._scores(mine, batch_size=2),
            "in the opposite order": self._scores(mine, self.pairs[::-1])[torch.arange(count - 1, -1, -1)],
        }
        for way, found in ways.items():
            self._compare(found, expected, f"scored pairs {way} differently than {LIBRARY!r}", "compute what it does.")

    def test_threads_may_share_it(self, tmp_path: Path) -> None:
        """Several threads that score at once get the scores of one."""
        mine = self._load(self.make_checkpoint(tmp_path / "model"))
        expected = self._scores(mine)
        with ThreadPoolExecutor(_THREADS) as pool:
            for found in pool.map(lambda _: self._scores(mine), range(3 * _THREADS)):
                self._compare(found, expected, "scored differently in a thread", "keep no state of a call in `run`.")

    def test_copies_score_the_same(self, tmp_path: Path) -> None:
        """A copy, and one that went through pickle as a worker process gets it, score the same."""
        mine = self._load(self.make_checkpoint(tmp_path / "model"))
        expected = self._scores(mine)
        with explaining(
            f"a model of {self.name!r} could not be copied",
            expected="workers of `start_pool` get a copy through pickle.",
            next_step="give the model, and its Execution, a __getstate__ without what pickle refuses.",
        ):
            copies = [copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))]
        for other in copies:
            self._compare(self._scores(other), expected, "scored differently after a copy", "copy the weights too.")

    def test_what_it_saves_the_library_loads(self, tmp_path: Path) -> None:
        """A saved model scores the same with the backend ``transformers``; or it refuses to save."""
        mine = self._load(self.make_checkpoint(tmp_path / "model"))
        try:
            mine.save_pretrained(tmp_path / "saved", create_model_card=False)
        except PairchainError as error:
            if not self.saves:
                return
            broken(f"saving raised {error}", expected="it can save models.", next_step="say `saves = False` if not.")
        again = CrossEncoder(tmp_path / "saved", device="cpu", backend=LIBRARY)
        self._compare(
            self._scores(again), self._scores(mine), f"saved what {LIBRARY!r} scores differently", "correct `save`."
        )

    def _refusal(self, model: str | PathLike[str]) -> str:
        report = inspect(model)
        facts = report.modules[0].facts if report.modules else report.facts
        if self.name not in facts.backends:
            broken(
                f"inspect does not ask the backend {self.name!r}; it asks {', '.join(facts.backends) or 'none'}.",
                expected="every registered backend is asked about the model of a Transformer.",
                next_step="register it, and save a model with config.json.",
            )
        return facts.backends[self.name]

    def _load(self, model: str | PathLike[str]) -> CrossEncoder:
        return CrossEncoder(fspath(model), device="cpu", backend=self.name)

    def _scores(self, model: CrossEncoder, pairs: Sequence[Any] | None = None, **options: Any) -> torch.Tensor:
        pairs = list(self.pairs if pairs is None else pairs)
        return torch.as_tensor(model.predict(pairs, activation_fn=nn.Identity(), **options))

    def _compare(self, found: torch.Tensor, expected: torch.Tensor, did: str, next_step: str) -> None:
        if apart := difference(found, expected, self.tolerance):
            broken(
                f"{self.name!r} {did}: {apart}.",
                expected=f"scores are equal to {self.tolerance:g} of the largest.",
                next_step=next_step,
            )
