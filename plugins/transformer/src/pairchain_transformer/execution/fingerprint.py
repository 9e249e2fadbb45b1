"""Tells whether a model has changed since an answer about it was found.

A fingerprint covers everything that the model's forward can depend on: modules with all attributes, tensors,
configurations, hooks, and the code of classes. Comparing is cheap: Python compares the dicts that hold all this with
their copies in C, and mostly finds the identical object.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import partial
from operator import itemgetter
from typing import Any
from weakref import ReferenceType

import torch
from torch import nn
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pairchain.authoring import Float32Linear

# The classes and functions of these packages keep all their state in attributes.
_PACKAGES = frozenset({"torch", "transformers", "peft", "accelerate"})

_SCALARS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.layout, Enum)
_UNCHANGING = (type, types.ModuleType, types.BuiltinFunctionType, torch.memory_format, ReferenceType)
_TENSORS = (torch.Tensor, nn.Parameter, nn.Buffer)
_FUNCTIONS = (types.FunctionType, types.MethodType, partial)

# The library records hidden states and attentions by hooks, which do nothing unless these outputs are requested.
_CAPTURING = "transformers.utils.output_capturing"

_ONEDNN = "pairchain_transformer.execution.linear"
_AUTOCAST = tuple(kind for kind in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(kind))

_GLOBAL_HOOKS = (torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks)


class OwnHook:
    """A hook that pairchain itself registers on a part of a model; ``listen`` receives what the hook receives."""

    def __init__(self, listen: Callable[[nn.Module, Any, Any], object] | None = None) -> None:
        self._listen = listen

    def __call__(self, module: nn.Module, given: Any, output: Any) -> Any:
        """Call ``listen``, and keep the output."""
        if self._listen is not None:
            self._listen(module, given, output)


@contextmanager
def hooked(*hooks: tuple[nn.Module, OwnHook]) -> Iterator[None]:
    """Keep hooks of pairchain's own on modules during the block."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Fingerprint:
    """The state of a model at one moment.

    Attributes:
        is_understood: Whether it covers everything that the output can depend on. Classes, functions and objects of
            other libraries, or of the user, may depend on anything.
        watched: Modules whose output other code reads or changes: through a hook, a method set on the instance, or
            compilation.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.is_understood = True
        self.watched: set[nn.Module] = set()
        self._live: list[Mapping[str, Any]] = []
        self._copies: list[dict[str, Any]] = []
        self._place_of: dict[int, int] = {}
        self._tensors: list[tuple[Mapping[Any, Any], Any, torch.Tensor, tuple[Any, ...]]] = []
        self._functions: list[tuple[Callable[[Any], Any], Mapping[str, Any], Any]] = []
        self._order = [(children, list(children)) for part in model.modules() if len(children := part._modules) > 1]
        self._parts: list[nn.Module] = []
        for part in list(model.modules()):
            self._add_module(part)
        self._types = list(map(type, self._parts))
        configs = [getattr(part, "config", None) for part in model.modules()]
        attentions = {str(getattr(config, "_attn_implementation", None)) for config in configs}
        for interface in (ALL_ATTENTION_FUNCTIONS, ALL_MASK_ATTENTION_FUNCTIONS):
            for mapping in (interface._local_mapping, type(interface)._global_mapping):
                self._compare(mapping)
                self.is_understood &= all(_is_known(mapping[name]) for name in attentions if name in mapping)
        for cls in {cls for kind in set(self._types) for cls in kind.__mro__} - {object}:
            self._add_class(cls)

    def matches(self) -> bool:
        """Return whether nothing about the model has changed."""
        return self._agrees(lambda: self._live == self._copies)

    def matches_but_for_hooks(self) -> bool:
        """Return whether nothing about the model has changed except its hooks."""

        def without_hooks(attributes: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in attributes.items() if not name.startswith("_forward_")}

        return self._agrees(lambda: [*map(without_hooks, self._live)] == [*map(without_hooks, self._copies)])

    def _agrees(self, compare: Callable[[], bool]) -> bool:
        try:
            return (
                compare()
                and list(map(type, self._parts)) == self._types
                and all(
                    holder.get(key) is tensor and _state(tensor) == state
                    for holder, key, tensor, state in self._tensors
                )
                and all(list(children) == order for children, order in self._order)
                and all(chosen(names) == functions for chosen, names, functions in self._functions)
            )
        except (RuntimeError, ValueError, TypeError, KeyError):  # a tensor was replaced, or a function is gone
            return False

    def expect_hooks(self, part: nn.Module) -> None:
        """Treat the gate that was registered on ``part`` as part of the recorded state."""
        self._copies[self._place_of[id(vars(part))]]["_forward_hooks"] = dict(part._forward_hooks)

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The model's parameters, buffers, and tensors in plain attributes."""
        return [tensor for _, _, tensor, _ in self._tensors]

    def _add_module(self, part: nn.Module) -> None:
        if id(vars(part)) in self._place_of:
            return
        self._add(vars(part))
        self._parts.append(part)
        cls = type(part)
        # a parametrization makes a subclass for this one module, in its own Python module
        self.is_understood &= cls is Float32Linear or (_is_ours(cls.__module__) and _is_known(cls.forward))
        if any(map(_is_foreign, (*part._forward_hooks.values(), *part._forward_pre_hooks.values()))):
            self.watched.add(part)
        is_dispatched = _is_ours(type(vars(part).get("_hf_hook")).__module__)
        for name, value in vars(part).items():
            is_patch = name == "_compiled_call_impl" or (hasattr(cls, name) and not name.startswith("__"))
            if is_patch and callable(value) and not isinstance(value, nn.Module) and not is_dispatched:
                self.watched.add(part)

    def _add(self, holder: Mapping[str, Any]) -> None:
        if id(holder) not in self._place_of:
            self._compare(holder)
            self._look_into(holder)

    def _compare(self, holder: Mapping[str, Any]) -> None:
        self._place_of[id(holder)] = len(self._live)
        self._live.append(holder)
        self._copies.append(_copy(holder))

    def _look_into(self, holder: Any) -> None:
        # another thread may be adding or removing a hook
        for key, value in list(holder.items()):
            # backward hooks do not change the output, and `_add_module` judges forward hooks
            if not str(key).endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
                self._look_at(value, holder, key)

    def _look_at(self, value: Any, holder: Any, key: Any) -> None:
        if isinstance(value, (*_SCALARS, *_UNCHANGING)):
            return
        if isinstance(value, torch.Tensor):
            if type(value) in _TENSORS and value.layout is torch.strided:
                self._tensors.append((holder, key, value, _state(value)))
            else:
                # a quantized tensor, for example, keeps its values elsewhere
                self.is_understood = False
        elif isinstance(value, nn.Module):
            self._add_module(value)
        elif isinstance(value, dict):
            self._look_into(value)
        elif isinstance(value, (list, tuple, set, frozenset)):
            # tensors in lists are found by their place
            self._look_into(dict(enumerate(value)))
        elif isinstance(value, _FUNCTIONS):
            self.is_understood &= _is_known(value)
        elif _is_ours(type(value).__module__) and hasattr(value, "__dict__"):
            self._add(vars(value))
        else:
            self.is_understood = False

    def _add_class(self, cls: type) -> None:
        self._live.append(vars(cls))
        self._copies.append(dict(vars(cls)))
        if cls.__module__.startswith("transformers.models.") and (code := sys.modules.get(cls.__module__)) is not None:
            names = [name for name, value in vars(code).items() if isinstance(value, types.FunctionType)]
            if len(names) > 1:
                chosen = itemgetter(*names)
                self._functions.append((chosen, vars(code), chosen(vars(code))))


def is_watched_globally() -> bool:
    """Return whether a hook on all modules of the process reads or changes outputs."""
    # PyTorch's own hooks, such as those that count operations, change nothing
    return not all(_is_known(hook) for hooks in _GLOBAL_HOOKS for hook in list(hooks.values()))


def surroundings() -> tuple[Any, ...]:
    """Return the global state that a model's output depends on: precision, and modes that see every operation."""
    cuda = torch.backends.cuda
    attentions: list[Any] = [cuda.flash_sdp_enabled, cuda.mem_efficient_sdp_enabled, cuda.math_sdp_enabled]
    return (
        torch.get_default_dtype(),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        *((torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in _AUTOCAST),
        *(is_enabled() for is_enabled in attentions),
        # each batch has a new instance of the oneDNN mode, which changes only rounding
        *(mode for mode in _get_current_function_mode_stack() if type(mode).__module__ != _ONEDNN),
        *_get_current_dispatch_mode_stack(),
    )


def _is_foreign(hook: Any) -> bool:
    return not isinstance(hook, OwnHook) and getattr(hook, "__module__", None) != _CAPTURING


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in _PACKAGES


def _is_known(function: Any) -> bool:
    """Return whether a known package defines the function; its globals tell, because a wrapper may copy its name."""
    function = getattr(function, "func", function)
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType):
        return _is_ours(str(getattr(function, "__module__", None)))
    return _is_ours(str(function.__globals__.get("__name__")))


def _state(tensor: torch.Tensor) -> tuple[Any, ...]:
    version = None if tensor.is_inference() else tensor._version
    return version, tensor.data_ptr(), tensor.dtype, tensor.device, tensor.shape


def _copy(value: Any) -> Any:
    """Return a copy of nested dicts, lists, tuples and sets that contains the same objects."""
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in list(value.items())}
    if isinstance(value, list):
        return [_copy(inner) for inner in value]
    if type(value) is tuple:
        return tuple(_copy(inner) for inner in value)
    return set(value) if isinstance(value, set) else value
