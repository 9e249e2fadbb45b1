"""Gives each thread its own copy of a tokenizer or processor, because using one changes it.

In every call, the transformers library sets the tokenizer's truncation and padding, and some processors set their own
attributes. Copies share large constant parts such as the vocabulary, so copying is faster than tokenizing a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from tokenizers import Tokenizer
from tokenizers.implementations.base_tokenizer import BaseTokenizer
from torch import nn

from pairchain.authoring import taking_turns
from pairchain_transformer.architectures import ONE_AT_A_TIME
from pairchain_transformer.libraries.classes import is_instance
from pairchain_transformer.libraries.designs import Design

Kind = TypeVar("Kind")

# Types of attributes that cannot contain parts of a processor.
_PLAIN = frozenset({bool, dict, float, int, list, set, str, tuple, type(None)})

# Setting an attribute such as pad_token changes this value in place, and no other one.
_CHANGED_IN_PLACE = "_special_tokens_map"

# The base of the library's tokenizers and processors.
_OF_LIBRARY = ("transformers.utils.hub", "PushToHubMixin")


class Snapshot(Generic[Kind]):
    """A tokenizer or processor at one moment, to be copied for each thread.

    Args:
        processor: The tokenizer or processor; later changes do not reach the copies.
    """

    def __init__(self, processor: Kind) -> None:
        originals: list[Any] = []
        self._frozen = _mapped(processor, Design, {}, originals)
        self._exclusive = [part for part in originals if _is_exclusive(part)]
        self._free: list[Kind] = []

    @contextmanager
    def copy(self) -> Iterator[Kind]:
        """Yield a copy that only this block uses."""
        try:
            mine = self._free.pop()
        except IndexError:
            mine = _mapped(self._frozen, Design.build, {}, [])
        with taking_turns(self._exclusive):
            yield mine
        # after an error, this line is skipped and the copy dropped, because its state is unknown
        self._free.append(mine)


def _mapped(value: Any, convert: Callable[[Any], Any], done: dict[int, Any], found: list[Any]) -> Any:
    """Return a deep copy of a processor; ``convert`` turns tokenizers into designs or back.

    ``done`` contains the copies made so far, by the identity of the original; ``found`` collects the originals.
    """
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, (Tokenizer, Design)):
        done[id(value)] = convert(value)
        return done[id(value)]
    if not (isinstance(value, BaseTokenizer) or is_instance(value, *_OF_LIBRARY)) or isinstance(value, nn.Module):
        return value
    found.append(value)
    # some classes define pickling in a way that would not copy the present state
    copied = done[id(value)] = object.__new__(type(value))
    attributes = dict(vars(value))
    for name, part in attributes.items():
        if type(part) not in _PLAIN:
            attributes[name] = _mapped(part, convert, done, found)
    if _CHANGED_IN_PLACE in attributes:
        attributes[_CHANGED_IN_PLACE] = dict(attributes[_CHANGED_IN_PLACE])
    vars(copied).update(attributes)
    return copied


def _is_exclusive(part: Any) -> bool:
    """Return whether only one thread at a time may use a part of a processor, or any copy of it."""
    cls = type(part)
    # code outside these libraries may share and change anything
    return cls.__name__ in ONE_AT_A_TIME or not cls.__module__.startswith(("transformers.", "tokenizers."))
