"""Calls modules in a row, in a chain or in a route: reads inputs, makes features, and runs every ``forward``."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairchain.chain.device import brought_to, device_of
from pairchain.chain.keywords import forward_names, named_keywords, parameter_names, reading_method, takes_any
from pairchain.chain.module import Features, NamedModules, module_label, with_prompt
from pairchain.chain.observing import step, watched
from pairchain.chain.parts import hints_for
from pairchain.chain.threads import is_thread_safe, kept_for_the_call, taking_turns
from pairchain.code.admitted import noting_origin
from pairchain.errors import ChainError, InputError
from pairchain.inputs.modality import description_of
from pairchain.inputs.named_media import opens_by_itself, refuse_named_media
from pairchain.inputs.pairs import input_size, name_inputs


@dataclass(frozen=True, slots=True)
class Encoded:
    """One input, encoded and not padded.

    Attributes:
        values: The values from which the module's ``collate`` makes features.
        length: The length in tokens.
        key: Inputs run together only if their keys are equal.
        is_counted: Whether ``length`` counts tokens. Otherwise it is a rough size, to sort inputs by.
    """

    values: Any
    length: int
    key: Hashable = None
    is_counted: bool = True


def preprocess_with(module: Any, inputs: Sequence[Any], prompt: str | None, keywords: Mapping[str, Any]) -> Features:
    """Return the features that an input module makes of ``inputs``.

    Args:
        module: The input module.
        inputs: Pairs, as tuples of two.
        prompt: The prompt's text. If the module takes no prompt, the first text of each pair begins with it.
        keywords: Keyword arguments of ``predict``; the module gets the ones it takes.
    """
    features: Features = _read(reading_method(module), module, inputs, prompt, keywords)
    return features


def encode_with(
    modules: NamedModules,
    inputs: Sequence[Any],
    prompt: str | None,
    keywords: Mapping[str, Any],
    read_after: frozenset[str] | None,
) -> list[Encoded] | None:
    """Return ``inputs`` as the first of ``modules`` encodes them, or None if it only takes them batch by batch.

    An ``encode`` that names ``parts`` or ``read_after`` gets them, as ``forward`` does: see `parts.hints_for`.

    Args:
        modules: The modules of a chain or route.
        inputs: Pairs, as tuples of two.
        prompt: The prompt's text.
        keywords: Keyword arguments of ``predict``.
        read_after: Features that are read after the last module; None if any may be read.

    Raises:
        InputError: An input cannot be scored; its index counts in ``inputs``.
        ChainError: The module did not return an `Encoded` for each input.
    """
    name, module = next(iter(modules.items()))
    if not hasattr(module, "encode") or not hasattr(module, "collate"):
        return None
    names = parameter_names(module.encode)
    hints = {key: value for key, value in _hints(modules, read_after)[0].items() if key in names}
    encoded: list[Encoded] | None = _read(module.encode, module, inputs, prompt, {**keywords, **hints})
    if encoded is None:
        return None
    if len(encoded) != len(inputs) or not all(isinstance(item, Encoded) for item in encoded):
        raise ChainError(
            f"{module_label(name, module)}: encode returned {description_of(encoded)} for {len(inputs)} inputs.",
            next_step="return an Encoded for each input, or None.",
        )
    return encoded


def not_encoded(module: Any, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> list[Encoded]:
    """Return unchanged inputs, for a module that preprocesses them batch by batch; their lengths are rough sizes.

    Raises:
        InputError: The module's ``batch_key`` refuses an input; its index counts in ``inputs``.
    """
    return [
        Encoded(item, input_size(item), _batch_key(module, item, index, keywords), is_counted=False)
        for index, item in enumerate(inputs)
    ]


def collate_with(module: Any, items: Sequence[Encoded]) -> Features:
    """Return the features that an input module makes of inputs that it encoded."""
    cls = type(module)
    with noting_origin(cls, called=f"{cls.__name__}.collate"), step("collate", cls.__name__):
        features: Features = module.collate(items)
    return features


def forward_through(
    modules: NamedModules,
    features: Features,
    keywords: Mapping[str, Any],
    more_names: Mapping[str, Sequence[str]] | None = None,
    read_after: frozenset[str] | None = None,
) -> Features:
    """Return ``features`` after every module.

    Args:
        modules: The modules in order.
        features: The features that the first module reads.
        keywords: Keyword arguments of ``predict``; each module gets the ones its class asks for.
        more_names: Further keyword arguments by the name of the module that gets them.
        read_after: Features that the caller reads; None if it may read any. A module may skip other features that no
            later module reads.

    Raises:
        ChainError: A module did not return the features.
    """
    for (name, module), hints in zip(modules.items(), _hints(modules, read_after), strict=True):
        asked = forward_names(module, (more_names or {}).get(name, ()))
        given = {key: value for key, value in keywords.items() if key in asked}
        features = brought_to(features, device_of(module))
        with noting_origin(type(module), called=module_label(name, module)):
            features = watched(module, name)(features, **given, **hints)
        if not isinstance(features, Mapping):
            raise ChainError(
                f"{module_label(name, module)} returned {type(features).__name__}.",
                next_step="let its forward return the features.",
            )
    return features


def _read(method: Any, module: Any, inputs: Sequence[Any], prompt: str | None, keywords: Mapping[str, Any]) -> Any:
    """Call a method that reads inputs, in one thread at a time unless the module declares it thread-safe."""
    named, any_name = named_keywords(method), takes_any(method)
    taken = {name: value for name, value in keywords.items() if any_name or name in named}
    # tokenize is older than prompts: its **kwargs do not mean that it reads one
    if "prompt" in named or (any_name and method.__name__ != "tokenize"):
        taken["prompt"] = prompt
    else:
        inputs = with_prompt(inputs, prompt)
    cls = type(module)
    if opens_by_itself(cls):
        refuse_named_media(inputs, "sentence-transformers")
    # most tokenizers keep the settings of the current call in themselves
    shared = [] if is_thread_safe(module, method.__name__) else [module]
    with (
        taking_turns(shared),
        noting_origin(cls, called=f"{cls.__name__}.{method.__name__}"),
        step(method.__name__, cls.__name__),
    ):
        return method(inputs, **taken)


def _hints(modules: NamedModules, read_after: frozenset[str] | None) -> list[dict[str, Any]]:
    return kept_for_the_call(modules, lambda: hints_for(list(modules.values()), read_after), read_after)


def _batch_key(module: Any, item: Any, index: int, keywords: Mapping[str, Any]) -> Hashable:
    key_of = getattr(module, "batch_key", None)
    if key_of is None:
        return None
    try:
        with noting_origin(type(module), called=f"{type(module).__name__}.batch_key"):
            key: Hashable = key_of(item, **keywords)
    except InputError as error:
        error.place(index)
        raise
    except Exception as error:
        name_inputs(error, [index])
        raise
    return key
