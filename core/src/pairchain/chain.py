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

    module_kwargs: dict[str, list[str]]

    def __init__(
        self,
        modules: Sequence[nn.Module] | Mapping[str, nn.Module],
        *,
        module_kwargs: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        named = OrderedDict(modules) if isinstance(modules, Mapping) else _numbered(modules)
        check_modules(named)
        _check_names(type(self), named)
        super().__init__(named)
        self.module_kwargs = {name: list(kwargs) for name, kwargs in (module_kwargs or {}).items()}

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
        names = _named_keywords(_preprocess_of(self.input_module)) - {"prompt"}
        return names.union(*(self._forward_names(name) for name in self._modules))

    def check_keywords(self, names: Iterable[str], *, beside: Iterable[str] = ()) -> None:
        """Refuse a keyword argument that no module of the chain takes.

        Args:
            names: Keyword arguments.
            beside: Names of what else the caller could have meant.

        Raises:
            UnknownKeywordError: Naming it, and the nearest that exists.
        """
        known = self.keyword_names()
        for name in names:
            if name not in known:
                raise UnknownKeywordError(
                    f"no module of this chain takes the keyword {name!r}{nearest(name, {*known, *beside})}.",
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
        # tokenize is older than prompts: what it takes besides the texts is no promise to read one
        if "prompt" in named or (takes_any and method.__name__ != "tokenize"):
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
            if not isinstance(features, Mapping):
                raise ChainError(
                    f"{_called(name, module)} returned {type(features).__name__}.",
                    next_step="let its forward return the features.",
                )
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
        if not isinstance(name, str) or not name or "." in name:
            raise ChainError(f"a module is named {name!r}.", next_step="name it with a text that holds no dot.")
        if isinstance(module, type):
            raise ChainError(f"module {name} is the class {module.__name__}.", next_step="pass an instance of it.")
        absent = [method for method in missing_methods(type(module)) if method != "load"]
        if not position and not absent and not isinstance(module, InputModule) and not hasattr(module, "preprocess"):
            absent = ["preprocess, which the first module needs to read the inputs"]
        if absent:
            raise ChainError(f"{_called(name, module)} is not a module: it lacks {', '.join(absent)}.")
    _check_features(modules)


def _check_names(cls: type, names: Iterable[str]) -> None:
    """Refuse a module's name that is an attribute of the chain: it would hide the one behind the other."""
    taken = {name for base in cls.__mro__ for name in (*vars(base), *inspect.get_annotations(base))}
    for name in names:
        if name in taken or name.startswith("_"):
            raise ChainError(
                f"a module is named {name!r}, which is an attribute of every chain.", next_step="give it another name."
            )


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
        if unnamed := [feature for feature in writes if not isinstance(feature, str)]:
            raise ChainError(f"{_called(name, module)} writes {unnamed[0]!r}, which is no feature's name.")
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
    cls = type(module)
    if not hasattr(module, "preprocess"):
        return module.tokenize
    inherited = getattr(cls, "preprocess", None) is InputModule.preprocess
    return module.tokenize if inherited and cls.tokenize is not InputModule.tokenize else module.preprocess


def _named_keywords(method: Any) -> set[str]:
    # the first one is the inputs, whatever it is called
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _takes_any(method: Any) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(method).parameters.values())
