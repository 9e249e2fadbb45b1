"""ModuleChain: modules in a row, checked when built, each given only the keyword arguments it asks for."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import nn

from pairchain import facts
from pairchain.chain.calling import forward_through, preprocess_with
from pairchain.chain.device import checked_device, device_of, is_dispatched, settle
from pairchain.chain.inside import modules_inside, parameters_inside
from pairchain.chain.keywords import keyword_names
from pairchain.chain.module import Features, InputModule, NamedModules, module_label
from pairchain.chain.parts import is_watched
from pairchain.chain.tree import tree_of
from pairchain.code.admitted import code_of, noting_origin
from pairchain.errors import ChainError, InputError, UnknownKeywordError, warn
from pairchain.facts import SCORES, Flow
from pairchain.inputs.arguments import BYTES, checked_count
from pairchain.inputs.table_pairs import pairs_of_table
from pairchain.inputs.tables import table_of
from pairchain.registry import Origin, default
from pairchain.registry.structure import missing_methods
from pairchain.text.nearest import nearest


class ModuleChain(nn.Sequential):
    """An `nn.Sequential` of modules that turns pairs into scores.

    Args:
        modules: The modules in order, or by name; the first one reads the inputs.
        module_kwargs: By module name, keyword arguments of ``predict`` that reach the module's ``forward``, in addition
            to its class's ``forward_kwargs``.

    Raises:
        ChainError: The list is empty, an element is not a module, a feature is read before it is written, or no module
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
    def model(self) -> Any:
        """The input module's model, or None if it has none."""
        return getattr(self.input_module, "model", None)

    @property
    def config(self) -> Any:
        """The input module's model configuration, or None if it has none."""
        return getattr(self.input_module, "config", None)

    @property
    def tokenizer(self) -> Any:
        """The input module's tokenizer, or None if it has none; can be set if the input module allows it."""
        return getattr(self.input_module, "tokenizer", None)

    @tokenizer.setter
    def tokenizer(self, value: Any) -> None:
        self.input_module.tokenizer = value

    @property
    def processor(self) -> Any:
        """The input module's processor, or None if it has none."""
        return getattr(self.input_module, "processor", None)

    @property
    def max_seq_length(self) -> int | None:
        """The longest input in tokens, or None without a limit; can be set if the input module allows it."""
        length: int | None = getattr(self.input_module, "max_seq_length", None)
        return length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        module = self.input_module
        own = inspect.getattr_static(module, "max_seq_length", None)
        is_default = own is None and "max_seq_length" not in vars(module)
        if is_default or (isinstance(own, property) and own.fset is None):
            raise InputError(
                f"the input module {type(module).__name__} has no max_seq_length that can be set.",
                next_step="leave out max_length, or give the class a max_seq_length that its preprocess respects.",
            )
        module.max_seq_length = value

    @property
    def max_length(self) -> int | None:
        """Another name of `max_seq_length`: that of the argument of calls."""
        return self.max_seq_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        self.max_seq_length = value

    @property
    def prefix_cache(self) -> int:
        """Bytes that the input module may keep, for later calls, of its results for the beginnings of inputs."""
        size: int = getattr(self.input_module, "prefix_cache", 0)
        return size

    @prefix_cache.setter
    def prefix_cache(self, value: int) -> None:
        if not hasattr(self.input_module, "prefix_cache"):
            raise InputError(f"{type(self.input_module).__name__} has no prefix_cache.", next_step="omit it.")
        self.input_module.prefix_cache = checked_count(value, "prefix_cache", least=0, next_step=BYTES)

    @property
    def device(self) -> torch.device:
        """The device of the chain's first tensor, where inputs and scores are too; the CPU without tensors."""
        return device_of(self) or torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype of the chain's first parameter, or None if it has none."""
        parameter = next(parameters_inside(self), None)
        return None if parameter is None else parameter.dtype

    @property
    def origins(self) -> dict[str, Origin]:
        """The provider of each module's class, by the module's name in the chain."""
        return {name: _origin(type(module)) for name, module in self._modules.items()}

    def keyword_names(self) -> set[str]:
        """Return every keyword argument that a module of the chain takes, in ``preprocess`` or ``forward``."""
        return keyword_names(self._modules, self.module_kwargs)

    def check_keywords(self, names: Iterable[str], *, beside: Iterable[str] = ()) -> None:
        """Refuse a keyword argument that no module of the chain takes.

        Args:
            names: Keyword arguments.
            beside: Other names that the caller may have meant.

        Raises:
            UnknownKeywordError: It names the keyword and the nearest known name.
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
            inputs: Pairs, as tuples of two; or a table, as for ``predict``.
            prompt: The prompt's text. If the input module takes no prompt, the first text of each pair begins with it.
            **kwargs: Keyword arguments of ``predict``; the input module gets the ones in its signature.
        """
        if (table := table_of(inputs)) is not None:
            inputs = list(pairs_of_table(table))
        return preprocess_with(self.input_module, inputs, prompt, kwargs)

    def forward(  # type: ignore[override]
        self, features: Features, *, read_after: frozenset[str] | None = None, **kwargs: Any
    ) -> Features:
        """Return ``features`` after every module.

        Args:
            features: The features that `preprocess` returned.
            read_after: Features that the caller reads; None if it may read any. A module may skip other features that
                no later module reads.
            **kwargs: Keyword arguments for the modules; each gets the ones it asks for.
        """
        return forward_through(self._modules, features, kwargs, self.module_kwargs, read_after)

    @property
    def may_read_more(self) -> bool:
        """Whether a ``forward`` of its own, or a hook, may read features besides its modules."""
        return type(self).forward is not _FORWARD or is_watched(self)

    def tell_ready(self) -> None:
        """Call ``on_model_ready`` of every module that has it, once each."""
        for module in self.children():
            ready: Any = getattr(module, "on_model_ready", None)
            if ready is not None:
                with noting_origin(type(module), called=f"{type(module).__name__}.on_model_ready"):
                    ready(self)

    def declared_num_labels(self) -> int | None:
        """Return the number of scores for a pair if the last module that writes scores declares it, else None."""
        return labels_of(self._modules)

    def __setattr__(self, name: str, value: Any) -> None:
        # torch adds every assigned module to the chain, even if the class has a property of that name
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or cast the chain; modules that accelerate spread over several devices stay where they are."""
        wanted = kwargs.get("device", args[0] if args else None)
        if isinstance(wanted, str | int | torch.device):
            checked_device(wanted)
        staying = {module for module in modules_inside(self) if is_dispatched(module)}
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs) if staying else (None, None)
        if device is None:
            return super().to(*args, **kwargs)
        if dtype is not None:
            super().to(dtype)
        warn(f"modules that a device_map spread over several devices stay there; only the rest moves to {device}.")
        settle(self, device, staying)
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the models inside, as `torch.nn.Module.compile` does; the code around them gains nothing by it."""
        readers = (module for module in modules_inside(self) if isinstance(module, InputModule))
        models = [model for reader in readers if isinstance(model := getattr(reader, "model", None), nn.Module)]
        for compiled in dict.fromkeys(models or self.children()):
            compiled.compile(*args, **kwargs)

    def __getitem__(self, index: Any) -> Any:
        # nn.Sequential would call this class, and a slice need not be a chain
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def __repr__(self) -> str:
        return tree_of(self)


# the class's own method, in case it gets patched
_FORWARD = ModuleChain.forward


def check_modules(modules: Mapping[str, Any]) -> None:
    """Raise a `ChainError` unless ``modules`` make a chain, by their methods and by the features that they declare."""
    if not modules:
        raise ChainError("a chain needs modules.", next_step="pass at least an input module that writes 'scores'.")
    for position, (name, module) in enumerate(modules.items()):
        if not isinstance(name, str) or not name or "." in name:
            raise ChainError(f"a module is named {name!r}.", next_step="give it a name without dots.")
        if isinstance(module, type):
            raise ChainError(f"module {name} is the class {module.__name__}.", next_step="pass an instance of it.")
        absent = [method for method in missing_methods(type(module)) if method != "load"]
        if not position and not absent and not isinstance(module, InputModule) and not hasattr(module, "preprocess"):
            absent = ["preprocess, which the first module needs to read the inputs"]
        if absent:
            raise ChainError(f"{module_label(name, module)} is not a module: it lacks {', '.join(absent)}.")
    if faults := flow_of(modules).faults:
        raise faults[0]


def flow_of(modules: NamedModules) -> Flow:
    """Return the features that ``modules`` take and add.

    Raises:
        ChainError: A module declares that it writes something that cannot name a feature.
    """
    return facts.flow_of(
        (module_label(name, module), getattr(module, "reads", None), getattr(module, "writes", None))
        for name, module in modules.items()
    )


def labels_of(modules: NamedModules) -> int | None:
    """Return the number of scores for a pair if the last module that writes scores declares it, else None."""
    for module in reversed(list(modules.values())):
        if (writes := getattr(module, "writes", None)) is None:
            return None
        if SCORES in writes:
            labels: int | None = getattr(module, "num_labels", None)
            return labels
    return None


def _check_names(cls: type, names: Iterable[str]) -> None:
    """Refuse a module's name that is an attribute of the chain: one would hide the other."""
    taken = {name for base in cls.__mro__ for name in (*vars(base), *inspect.get_annotations(base))}
    for name in names:
        if name in taken or name.startswith("_"):
            raise ChainError(
                f"a module is named {name!r}, which is an attribute of every chain.", next_step="give it another name."
            )


def _origin(cls: type) -> Origin:
    if (code := code_of(cls)) is None:
        return default.origin(cls)
    # a model card publishes the origin, and a local path is private
    return Origin(f"{code.entry.path} beside the model" if code.source.is_local else str(code))


def _numbered(modules: Any) -> OrderedDict[str, nn.Module]:
    if isinstance(modules, nn.Module) or not isinstance(modules, Iterable):
        raise ChainError(f"modules is {type(modules).__name__}.", next_step="pass a list of modules.")
    return OrderedDict((str(position), module) for position, module in enumerate(modules))
