"""The factories of a contract that an author writes, and the module and features made from them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pairchain.chain.calling import forward_through, preprocess_with
from pairchain.chain.module import Features
from pairchain.registry.structure import missing_methods
from pairchain.testing import chains
from pairchain.testing.features import count_of, rows_of
from pairchain.testing.made_up import CannotGuessError, features_for
from pairchain.testing.subject import Subject, required_names, stirred
from pairchain.testing.words import broken, described, listed


class Author:
    """The part of a contract that its subclass writes; see `ModuleContract`."""

    is_plugin: bool = True
    keywords: Mapping[str, Any] = {}
    pairs: Sequence[Any] = (
        ("how many people live in Berlin?", "Berlin has about 3.5 million inhabitants."),
        ("Mars", "Mars is the fourth planet from the Sun, and the second smallest one of all that there are."),
        ("a", "b"),
        ("what is a pair?", "two"),
        ("which of these is the longest, and why is it?", "this one, if one counts both of its texts together"),
    )
    tolerance: float = 1e-4
    half_tolerance: float = 0.05
    dtypes: Sequence[torch.dtype] = (torch.float64, torch.bfloat16, torch.float16)
    python: Sequence[str] = (sys.executable,)

    # whether the module reads pairs, rather than the features of other modules
    _is_first = False

    def make_module(self) -> nn.Module:
        """Return a new module to check. This is the only method that you must write."""
        broken(
            f"{type(self).__name__} has no make_module.",
            expected="a contract needs a factory for the module that it checks.",
            next_step="write `def make_module(self): return MyModule(…)` in the class.",
        )

    def make_features(self) -> Mapping[str, Any] | None:
        """Return features of some pairs for ``forward``, with a row for each pair; None to generate them.

        They are generated from the names in ``reads``, in the sizes of the module's weights and configuration:
        ``…_embedding`` of shape (pairs, size), ``token_embeddings`` and ``…_logits`` of shape (pairs, tokens, size)
        with an ``attention_mask``.
        """
        return None

    def make_chain(self, module: nn.Module) -> Sequence[nn.Module] | None:
        """Return the modules of a chain that scores `pairs`, ``module`` among them; None to generate neighbours.

        ``module`` is then checked on the features of the modules before it, unless `make_features` returns some.
        """
        return None

    def _made(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = self.make_module()
        if isinstance(made, type):
            broken(
                f"make_module returned the class {made.__name__}.",
                expected="make_module returns an instance.",
                next_step=f"return {made.__name__}(…).",
            )
        if absent := missing_methods(type(made)):
            broken(
                f"make_module returned {made!r}, which is not a module: it lacks {', '.join(absent)}.",
                expected="a module is an instance of torch.nn.Module with forward, save and load.",
                next_step="subclass pairchain.Module, and return an instance of your class.",
            )
        if needed := required_names(made.forward):
            broken(
                f"{type(made).__name__}.forward cannot do without {listed(needed)}.",
                expected="predict(pairs) calls forward with the features alone.",
                next_step=f"give it a default: forward(self, features, {min(needed)}=…, **kwargs).",
            )
        return made

    def _module(self) -> Any:
        return stirred(self._made())

    def _subject(self) -> Subject:
        module = self._module()
        features = self._features(module)
        count = count_of(features)
        return Subject(module, features, count, lambda row: rows_of(features, [row], count))

    def _trial(self) -> chains.Trial:
        subject = self._subject()
        modules = self.make_chain(subject.module)
        if modules is None:
            return chains.around(subject)
        return chains.Trial(chains.of(modules), list(self.pairs), subject.module)

    def _features(self, module: nn.Module) -> Features:
        if (given := self.make_features()) is not None:
            return dict(given)
        if (modules := self.make_chain(module)) is not None:
            return self._features_before(module, list(modules))
        try:
            return features_for(module)
        except CannotGuessError as error:
            broken(
                f"no features could be made up for {type(module).__name__}, which reads {listed(error.reads)}; at last "
                f"its forward raised {described(error.last)}",
                expected="forward computes on features of the names in `reads`, of shape (pairs, size), or of "
                "(pairs, tokens, size) with an attention_mask.",
                next_step="repair forward; or write `def make_features(self)` and return features of some pairs. Of a "
                "module that reads pairs, subclass InputModuleContract.",
            )

    def _features_before(self, module: nn.Module, modules: list[nn.Module]) -> Features:
        place = next((place for place, other in enumerate(modules) if other is module), None)
        if not place:
            broken(
                f"make_chain returned {', '.join(type(other).__name__ for other in modules)}; the module that it was "
                f"given is {'none of them' if place is None else 'the first of them'}.",
                expected="the module that it is given stands in the chain, after an input module.",
                next_step="return [an input module, …, module, …]; for an input module, subclass InputModuleContract.",
            )
        before = {str(number): other.eval() for number, other in enumerate(modules[:place])}
        with torch.inference_mode():
            return forward_through(before, preprocess_with(before["0"], list(self.pairs), None, {}), {})
