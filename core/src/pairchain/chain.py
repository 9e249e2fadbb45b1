"""ModuleChain: modules in a row, checked when built, each given only the keyword arguments it asks for."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn

from pairchain.errors import ChainError, UnknownKeywordError, nearest
from pairchain.module import Features, InputModule, missing_methods, with_prompt
from pairchain.registry import Origin, default

SCORES = "scores"


class ModuleChain(nn.Sequential):
    """An `nn.Sequential` of modules that turns pairs into scores.

    Args:
        modules: The modules in order, or by name; the first one reads the inputs.
        module_kwargs: For each module's name, keyword arguments of ``predict`` that reach its ``forward``, besides
            those its class names in ``forward_kwargs``.

    Raises:
        ChainError: There are no modules, one is not a module, a feature is read before it is written, or nothing
            writes the scores.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module] | Mapping[str, nn.Module],
        *,
        module_kwargs: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        named = OrderedDict(modules) if isinstance(modules, Mapping) else _numbered(modules)
        check_modules(named)
        super().__init__(named)
        self.module_kwargs: dict[str, list[str]] = {
            name: list(kwargs) for name, kwargs in (module_kwargs or {}).items()
        }

    @property
    def input_module(self) -> Any:
        """The first module, which reads the inputs."""
        return self[0]

    @property
    def device(self) -> torch.device:
        """Where the chain's parameters are, or where its first buffer is, or the CPU if it has neither."""
        tensor = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype of the chain's first parameter, or None if it has none."""
        parameter = next(self.parameters(), None)
        return None if parameter is None else parameter.dtype

    @property
    def origins(self) -> dict[str, Origin]:
        """Who provides each module's class, by the module's name in the chain."""
        return {name: default.origin(type(module)) for name, module in self._modules.items()}

    def keyword_names(self) -> set[str]:
        """Return every keyword argument that some module of the chain takes, to preprocess or to forward."""
        names = _named_keywords(_preprocess_of(self.input_module)) - {"inputs", "prompt", "texts"}
        return names.union(*(self._forward_names(name) for name in self._modules))

    def check_keywords(self, names: Iterable[str]) -> None:
        """Refuse a keyword argument that no module of the chain takes.

        Raises:
            UnknownKeywordError: Naming it, and the nearest that exists.
        """
        known = self.keyword_names()
        for name in names:
            if name not in known:
                raise UnknownKeywordError(
                    f"no module of this chain takes the keyword {name!r}{nearest(name, known)}.",
                    next_step=f"these are taken: {', '.join(sorted(known)) or 'none'}.",
                )

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> Features:
        """Return the features of a batch of inputs, made by the input module.

        Args:
            inputs: Pairs, as tuples of two.
            prompt: Text for the input module to put before each; glued to the first text of each pair if the module
                takes no prompt.
            **kwargs: Keyword arguments of ``predict``; the module gets those that its signature takes.
        """
        method = _preprocess_of(self.input_module)
        named = _named_keywords(method)
        takes_any = _takes_any(method)
        taken = {name: value for name, value in kwargs.items() if takes_any or name in named}
        if "prompt" in named or takes_any:
            taken["prompt"] = prompt
        else:
            inputs = with_prompt(inputs, prompt)
        features: Features = method(inputs, **taken)
        return features

    def forward(self, features: Features, **kwargs: Any) -> Features:  # type: ignore[override]
        """Return ``features`` after every module, each given the keyword arguments it asks for."""
        for name, module in self._modules.items():
            assert module is not None
            asked = self._forward_names(name)
            features = module(features, **{key: value for key, value in kwargs.items() if key in asked})
        return features

    def declared_num_labels(self) -> int | None:
        """Return how many scores a pair gets if the module that writes them last says so, else None."""
        for module in reversed(self._modules.values()):
            writes = getattr(module, "writes", None)
            if writes is None:
                return None
            if SCORES in writes:
                return getattr(module, "num_labels", None)
        return None

    def __getitem__(self, index: Any) -> Any:
        # nn.Sequential would call the subclass's constructor, and a slice need not make a chain
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def _forward_names(self, name: str) -> set[str]:
        return {*self.module_kwargs.get(name, ()), *getattr(self._modules[name], "forward_kwargs", ())}


def check_modules(modules: Mapping[str, Any]) -> None:
    """Check that ``modules`` make a chain.

    A module that declares what it reads is checked against what those before it declare to write; one that declares
    nothing is not guessed at, and neither is what comes after it.

    Raises:
        ChainError: They do not; the message names the module and what is missing.
    """
    if not modules:
        raise ChainError("there are no modules.", next_step="pass at least an input module that writes 'scores'.")
    for position, (name, module) in enumerate(modules.items()):
        if isinstance(module, type):
            raise ChainError(f"module {name} is the class {module.__name__}.", next_step="pass an instance of it.")
        absent = [method for method in missing_methods(type(module)) if method != "load"]
        if not position and not absent and not isinstance(module, InputModule) and not hasattr(module, "preprocess"):
            absent = ["preprocess, which the first module needs to read the inputs"]
        if absent:
            raise ChainError(f"{_called(name, module)} is not a module: it lacks {', '.join(absent)}.")
    _check_features(modules)


def _check_features(modules: Mapping[str, nn.Module]) -> None:
    written: set[str] = set()
    for name, module in modules.items():
        reads = getattr(module, "reads", None)
        if reads is not None and (absent := sorted(set(reads) - written)):
            raise ChainError(
                f"{_called(name, module)} reads {', '.join(map(repr, absent))}, which no module before it writes; "
                f"written so far: {', '.join(sorted(written)) or 'nothing'}.",
                next_step="put a module that writes it before, or let this one read another feature.",
            )
        writes = getattr(module, "writes", None)
        if writes is None:
            return
        written |= set(writes)
    if SCORES not in written:
        raise ChainError(
            f"nothing in this chain writes {SCORES!r}; it writes {', '.join(sorted(written))}.",
            next_step="end it with a module that does, such as Dense(…, module_output_name='scores').",
        )


def _called(name: str, module: Any) -> str:
    return f"module {name}, {type(module).__name__}"


def _numbered(modules: Any) -> OrderedDict[str, nn.Module]:
    if isinstance(modules, nn.Module) or not isinstance(modules, Iterable):
        raise ChainError(f"modules is {type(modules).__name__}.", next_step="pass a list of modules.")
    return OrderedDict((str(position), module) for position, module in enumerate(modules))


def _preprocess_of(module: Any) -> Any:
    """Return the method that reads inputs; ``tokenize`` is what older input modules implement."""
    return module.preprocess if hasattr(module, "preprocess") else module.tokenize


def _named_keywords(method: Any) -> set[str]:
    parameters = inspect.signature(method).parameters.values()
    return {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _takes_any(method: Any) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(method).parameters.values())
