"""What flows through modules in a row, in a chain or in a route inside one: inputs, features, keyword arguments."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pairchain import tracing
from pairchain.chain.device import brought_to, device_of
from pairchain.chain.module import Features, InputModule, with_prompt
from pairchain.chain.parts import told_what_is_read
from pairchain.chain.threads import is_thread_safe, taking_turns
from pairchain.code.admitted import noting_origin
from pairchain.errors import ChainError
from pairchain.inputs.named_media import opens_by_itself, refuse_named_media

SCORES = "scores"

NamedModules = Mapping[str, Any]


@dataclass(frozen=True)
class Flow:
    """Features that modules in a row take and add.

    Attributes:
        reads: Features that must be there before the first module.
        writes: Features that are there after the last, or None if a module does not say what it adds.
    """

    reads: frozenset[str]
    writes: frozenset[str] | None


def flow_of(modules: NamedModules) -> Flow:
    """Return what ``modules`` take and add, as far as they say; what follows one that does not is not guessed at.

    Raises:
        ChainError: A module says that it writes something that is no name.
    """
    needed: set[str] = set()
    written: set[str] = set()
    for name, module in modules.items():
        needed |= set(getattr(module, "reads", None) or ()) - written
        writes = getattr(module, "writes", None)
        if writes is None:
            return Flow(frozenset(needed), None)
        if unnamed := [feature for feature in writes if not isinstance(feature, str)]:
            raise ChainError(f"{module_label(name, module)} writes {unnamed[0]!r}, which is no feature's name.")
        written |= set(writes)
    return Flow(frozenset(needed), frozenset(written))


def check_features(modules: NamedModules) -> None:
    """Check that every feature is written before it is read, and that something writes the scores.

    Raises:
        ChainError: Naming the module and what is missing.
    """
    before: dict[str, Any] = {}
    for name, module in modules.items():
        written = flow_of(before).writes
        if written is None:
            return
        if absent := sorted(set(getattr(module, "reads", None) or ()) - written):
            raise ChainError(
                f"{module_label(name, module)} reads {', '.join(map(repr, absent))}, which no module before it writes; "
                f"written so far: {', '.join(sorted(written)) or 'nothing'}.",
                next_step="put a module that writes it before, or let this one read another feature.",
            )
        before[name] = module
    written = flow_of(modules).writes
    if written is not None and SCORES not in written:
        raise ChainError(
            f"nothing in this chain writes {SCORES!r}; it writes {', '.join(sorted(written))}.",
            next_step="end it with a module that does, such as Dense(…, module_output_name='scores').",
        )


def labels_of(modules: NamedModules) -> int | None:
    """Return how many scores a pair gets if the module that writes them last says so, else None."""
    for module in reversed(list(modules.values())):
        writes = getattr(module, "writes", None)
        if writes is None:
            return None
        if SCORES in writes:
            labels: int | None = getattr(module, "num_labels", None)
            return labels
    return None


def preprocess_with(module: Any, inputs: Sequence[Any], prompt: str | None, keywords: Mapping[str, Any]) -> Features:
    """Return the features that ``module`` makes of ``inputs``, given those keyword arguments that it takes.

    Args:
        module: An input module.
        inputs: Pairs, as tuples of two.
        prompt: The prompt's text; glued to the first text of each pair if the module takes no prompt.
        keywords: Keyword arguments of ``predict``.
    """
    features: Features = call_with(_preprocess_of(module), module, inputs, prompt, keywords)
    return features


def call_with(method: Any, module: Any, inputs: Sequence[Any], prompt: str | None, keywords: Mapping[str, Any]) -> Any:
    """Return what a ``method`` of an input module makes of ``inputs``; see `preprocess_with`.

    One thread at a time calls it, unless the module declares that several may.
    """
    named = _named_keywords(method)
    takes_any = _takes_any(method)
    taken = {name: value for name, value in keywords.items() if takes_any or name in named}
    # tokenize is older than prompts: what it takes besides the texts is no promise to read one
    if "prompt" in named or (takes_any and method.__name__ != "tokenize"):
        taken["prompt"] = prompt
    else:
        inputs = with_prompt(inputs, prompt)
    cls = type(module)
    if opens_by_itself(cls):
        refuse_named_media(inputs, "sentence-transformers")
    # most tokenizers hold the settings of the call that they are in
    shared = [] if is_thread_safe(module, method.__name__) else [module]
    with (
        taking_turns(shared),
        noting_origin(cls, called=f"{cls.__name__}.{method.__name__}"),
        tracing.step(method.__name__, cls.__name__),
    ):
        return method(inputs, **taken)


def forward_through(
    modules: NamedModules,
    features: Features,
    keywords: Mapping[str, Any],
    more_names: Mapping[str, Sequence[str]] | None = None,
    read_after: frozenset[str] | None = None,
) -> Features:
    """Return ``features`` after every module, each given the keyword arguments it asks for.

    Args:
        modules: The modules in order.
        features: What the first reads.
        keywords: Keyword arguments of ``predict``.
        more_names: For a module's name, keyword arguments it gets besides those its class asks for.
        read_after: Features that the caller reads; None if that may be any. A module may write others in part, if no
            module reads more of them.

    Raises:
        ChainError: A module did not return the features.
    """
    row = list(modules.values())
    for place, (name, module) in enumerate(modules.items(), 1):
        asked = forward_names(module, (more_names or {}).get(name, ()))
        given = {key: value for key, value in keywords.items() if key in asked}
        given |= told_what_is_read(module, row[place:], read_after)
        features = brought_to(features, device_of(module))
        with noting_origin(type(module), called=module_label(name, module)):
            features = tracing.watched(module, name)(features, **given)
        if not isinstance(features, Mapping):
            raise ChainError(
                f"{module_label(name, module)} returned {type(features).__name__}.",
                next_step="let its forward return the features.",
            )
    return features


def forward_names(module: Any, more: Iterable[str] = ()) -> set[str]:
    """Return the keyword arguments that reach a module's forward: those its class asks for, and ``more``."""
    return {*more, *getattr(module, "forward_kwargs", ())}


def accepted_names(modules: NamedModules, names: Iterable[str]) -> dict[str, list[str]]:
    """Return for each module those of ``names`` that its forward can be given, whether or not its class asks."""
    return {
        key: [name for name in names if _takes_any(module.forward) or name in _named_keywords(module.forward)]
        for key, module in modules.items()
    }


def keyword_names(modules: NamedModules, more_names: Mapping[str, Sequence[str]] | None = None) -> set[str]:
    """Return every keyword argument that some module takes, to preprocess (only the first does) or to forward."""
    names = {name for key, module in modules.items() for name in forward_names(module, (more_names or {}).get(key, ()))}
    first = next(iter(modules.values()))
    if isinstance(first, InputModule) or hasattr(first, "preprocess"):
        names |= _named_keywords(_preprocess_of(first)) - {"prompt"}
    return names


def parameter_names(method: Any) -> list[str]:
    """Return what a method's signature names, ``**kwargs`` left out."""
    return [parameter.name for parameter in parameters_of(method) if parameter.kind is not parameter.VAR_KEYWORD]


def parameters_of(method: Any) -> tuple[inspect.Parameter, ...]:
    """Return the parameters of a method or function, without the ``self`` of a bound one."""
    if not inspect.ismethod(method):
        return tuple(inspect.signature(method).parameters.values())
    # a bound method would keep its module in memory
    return _parameters_of_function(method.__func__)[1:]


@lru_cache(maxsize=1024)
def _parameters_of_function(function: Any) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(function).parameters.values())


def module_label(name: str, module: Any) -> str:
    """Return how an error calls a module."""
    return f"module {name}, {type(module).__name__}"


def _preprocess_of(module: Any) -> Any:
    """Return the method that reads inputs; ``tokenize`` is what older input modules implement."""
    cls = type(module)
    if not hasattr(module, "preprocess"):
        if not hasattr(module, "tokenize"):
            raise ChainError(
                f"{cls.__name__} reads no inputs: it has neither preprocess nor tokenize.",
                next_step="put an input module before it.",
            )
        return module.tokenize
    inherited = getattr(cls, "preprocess", None) is InputModule.preprocess
    return module.tokenize if inherited and cls.tokenize is not InputModule.tokenize else module.preprocess


def _takes_any(method: Any) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in parameters_of(method))


def _named_keywords(method: Any) -> set[str]:
    # the first one is the inputs, whatever it is called
    parameters = parameters_of(method)[1:]
    return {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
