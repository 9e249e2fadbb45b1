"""Inputs encoded once, before it is known which run together: what makes batches of one true length possible."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pairchain import tracing
from pairchain.chain.chain import ModuleChain
from pairchain.chain.flow import SCORES, call_with, module_label, parameter_names
from pairchain.chain.module import Features
from pairchain.chain.parts import told_what_is_read
from pairchain.code.admitted import noting_origin
from pairchain.errors import ChainError, InputError
from pairchain.inputs.batch import input_size
from pairchain.inputs.modality import shown


@dataclass(frozen=True, slots=True)
class Encoded:
    """One input, encoded and not padded.

    Attributes:
        values: Whatever the module's ``collate`` makes features of.
        length: How much there is to compute, in tokens.
        key: What inputs must share to be in one batch.
        is_counted: Whether ``length`` is that number, and not a rough size, by which inputs of about one run together.
    """

    values: Any
    length: int
    key: Hashable = None
    is_counted: bool = True


@dataclass(frozen=True)
class Encoder:
    """How the input module of a chain makes features of inputs: in two steps if it offers them, else batch by batch.

    An input module that offers ``encode(inputs, prompt, **kwargs)`` returns an `Encoded` for each input, or None for
    inputs that it only takes batch by batch; its ``collate(items)`` makes features of some of them, as ``preprocess``
    would of their inputs. See `encode_with`.

    Attributes:
        chain: The chain.
        prompt: The prompt's text.
        keywords: Keyword arguments of ``predict``.
    """

    chain: ModuleChain
    prompt: str | None
    keywords: Mapping[str, Any]

    def encode(self, inputs: Sequence[Any]) -> tuple[list[Encoded], bool]:
        """Return each input, encoded unless the input module only takes inputs batch by batch, and whether it is.

        Raises:
            InputError: An input cannot be scored; its index is that in ``inputs``.
        """
        module, *readers = self.chain
        # a chain with a preprocess of its own is asked for nothing else
        if type(self.chain).preprocess is ModuleChain.preprocess:
            read_after = None if self.chain.may_read_more else frozenset({SCORES})
            encoded = encode_with(module, inputs, self.prompt, self.keywords, readers, read_after)
            if encoded is not None:
                return encoded, True
        return not_encoded(module, inputs, self.keywords), False

    def collate(self, items: Sequence[Encoded], *, are_encoded: bool) -> Features:
        """Return the features of some inputs that `encode` returned."""
        if are_encoded:
            return collate_with(self.chain.input_module, items)
        return self.chain.preprocess([item.values for item in items], prompt=self.prompt, **self.keywords)


def encode_with(
    module: Any,
    inputs: Sequence[Any],
    prompt: str | None,
    keywords: Mapping[str, Any],
    readers: Sequence[Any],
    read_after: frozenset[str] | None,
) -> list[Encoded] | None:
    """Return what an input module encodes of ``inputs``, or None if it only takes them batch by batch.

    If its ``encode`` names ``parts`` or ``read_after``, it is told what is read of what it will write.

    Args:
        module: The input module.
        inputs: Pairs, as tuples of two.
        prompt: The prompt's text.
        keywords: Keyword arguments of ``predict``.
        readers: The modules after it.
        read_after: Features that are read after the last of them; None if that may be any.

    Raises:
        InputError: An input cannot be scored; its index is that in ``inputs``.
        ChainError: The module did not return as many encoded inputs.
    """
    if not hasattr(module, "encode") or not hasattr(module, "collate"):
        return None
    names = parameter_names(module.encode)
    told = {name: what for name, what in told_what_is_read(module, readers, read_after).items() if name in names}
    encoded: list[Encoded] | None = call_with(module.encode, module, inputs, prompt, {**keywords, **told})
    if encoded is not None:
        _check_one_each(encoded, inputs, module_label("0", module))
    return encoded


def collate_with(module: Any, items: Sequence[Encoded]) -> Features:
    """Return the features that an input module makes of inputs that it encoded."""
    cls = type(module)
    with noting_origin(cls, called=f"{cls.__name__}.collate"), tracing.step("collate", cls.__name__):
        features: Features = module.collate(items)
    return features


def not_encoded(module: Any, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> list[Encoded]:
    """Return inputs as they are, for a module that preprocesses them batch by batch; their lengths are rough sizes.

    Raises:
        InputError: An input fits into no batch; its index is that in ``inputs``.
    """
    return [
        Encoded(item, input_size(item), _key(module, item, position, keywords), is_counted=False)
        for position, item in enumerate(inputs)
    ]


def _key(module: Any, item: Any, position: int, keywords: Mapping[str, Any]) -> Hashable:
    key_of = getattr(module, "batch_key", None)
    if key_of is None:
        return None
    try:
        with noting_origin(type(module), called=f"{type(module).__name__}.batch_key"):
            key: Hashable = key_of(item, **keywords)
    except InputError as error:
        error.place(position)
        raise
    return key


def _check_one_each(encoded: Any, inputs: Sequence[Any], name: str) -> None:
    if len(encoded) != len(inputs) or not all(isinstance(item, Encoded) for item in encoded):
        raise ChainError(
            f"{name}: encode returned {shown(encoded)} for {len(inputs)} inputs.",
            next_step="return an Encoded for each input, or None.",
        )


@contextmanager
def placing_errors(places: Sequence[int]) -> Iterator[None]:
    """Let an error about an input, raised by what knows only some inputs, say where that is among all.

    Args:
        places: Where each of those inputs is.
    """
    try:
        yield
    except InputError as error:
        if error.index is not None and error.index < len(places):
            error.place(places[error.index])
        raise
