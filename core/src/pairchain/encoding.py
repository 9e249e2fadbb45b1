"""Inputs encoded once, before it is known which run together: what makes batches of one true length possible."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pairchain.chain import ModuleChain
from pairchain.custom_import import noting_origin
from pairchain.errors import ChainError, InputError
from pairchain.flow import call_with, called, parameter_names
from pairchain.inputs import size
from pairchain.modality import shown
from pairchain.module import Features


@dataclass(frozen=True, slots=True)
class Encoded:
    """One input, encoded and not padded.

    Attributes:
        values: Whatever the module's ``collate`` makes features of.
        length: How much there is to compute, in tokens.
        key: What inputs must share to be in one batch.
    """

    values: Any
    length: int
    key: Hashable = None


@dataclass(frozen=True)
class Encoder:
    """How the input module of a chain makes features of inputs: in two steps if it offers them, else batch by batch.

    An input module that offers ``encode(inputs, prompt, **kwargs)`` returns an `Encoded` for each input, or None for
    inputs that it only takes batch by batch; its ``collate(items)`` makes features of some of them, as ``preprocess``
    would of their inputs. One that names the keyword ``parts`` is told which features nobody reads in whole.

    Attributes:
        chain: The chain.
        prompt: The prompt's text.
        keywords: Keyword arguments of ``predict``.
    """

    chain: ModuleChain
    prompt: str | None
    keywords: Mapping[str, Any]

    def encode(self, inputs: Sequence[Any]) -> tuple[list[Encoded], bool]:
        """Return each input encoded, and whether their lengths are true numbers of tokens.

        Raises:
            InputError: An input cannot be scored; its index is that in ``inputs``.
        """
        module = self.chain.input_module
        # a chain with a preprocess of its own is asked for nothing else
        is_plain = type(self.chain).preprocess is ModuleChain.preprocess
        if is_plain and hasattr(module, "encode") and hasattr(module, "collate"):
            told = {**self.keywords}
            if "parts" in parameter_names(module.encode):
                told["parts"] = self.chain.parts_read
            encoded: list[Encoded] | None = call_with(module.encode, module, inputs, self.prompt, told)
            if encoded is not None:
                _check_one_each(encoded, inputs, called("0", module))
                return encoded, True
        return [Encoded(item, size(item), self._key(item, position)) for position, item in enumerate(inputs)], False

    def collate(self, items: Sequence[Encoded], *, are_tokens: bool) -> Features:
        """Return the features of some inputs that `encode` returned."""
        if are_tokens:
            module = self.chain.input_module
            with noting_origin(type(module), called=f"{type(module).__name__}.collate"):
                features: Features = module.collate(items)
            return features
        return self.chain.preprocess([item.values for item in items], prompt=self.prompt, **self.keywords)

    def _key(self, item: Any, position: int) -> Hashable:
        module = self.chain.input_module
        key_of = getattr(module, "batch_key", None)
        if key_of is None:
            return None
        try:
            with noting_origin(type(module), called=f"{type(module).__name__}.batch_key"):
                key: Hashable = key_of(item, **self.keywords)
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
