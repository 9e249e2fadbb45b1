"""A tokenizer or processor that many threads use: each has a copy of its own, for using one changes it.

A tokenizer of the tokenizers library holds how it cuts and pads, and the transformers library sets that in every call;
some processors set attributes of their own while they run. Copies share what is large and does not change, such as the
vocabulary, so making one takes less time than tokenizing a text does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TypeVar

from tokenizers import AddedToken, Tokenizer
from tokenizers.implementations.base_tokenizer import BaseTokenizer
from torch import nn
from transformers.utils.hub import PushToHubMixin

from pairchain.authoring import taking_turns
from pairchain_transformer.architectures import ONE_AT_A_TIME

Kind = TypeVar("Kind")

# Types of attributes that hold no parts of a processor.
_PLAIN = frozenset({bool, dict, float, int, list, set, str, tuple, type(None)})

# The only value that setting an attribute of a tokenizer, such as pad_token, changes in place.
_CHANGED_IN_PLACE = "_special_tokens_map"

_COMPONENTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")


@dataclass(frozen=True, eq=False)
class _Design:
    """What a tokenizer of the tokenizers library is made of; its parts are those of the original.

    Attributes:
        model: Its vocabulary, with how words are split.
        components: What it does before and after, by name; those that it has.
        added: Added tokens by id.
        attributes: What Python code has set on it.
        truncation, padding, encode_special_tokens: How it is switched.
    """

    model: Any
    components: dict[str, Any]
    added: dict[int, AddedToken]
    attributes: dict[str, Any]
    truncation: dict[str, Any] | None
    padding: dict[str, Any] | None
    encode_special_tokens: bool

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> _Design:
        """Return that of a tokenizer, as it is now."""
        found = {name: getattr(tokenizer, name) for name in _COMPONENTS}
        return cls(
            model=tokenizer.model,
            components={name: component for name, component in found.items() if component is not None},
            added=tokenizer.get_added_tokens_decoder(),
            attributes=dict(vars(tokenizer)),
            truncation=tokenizer.truncation,
            padding=tokenizer.padding,
            encode_special_tokens=tokenizer.encode_special_tokens,
        )

    def build(self) -> Tokenizer:
        """Return a tokenizer that is made of it."""
        made = Tokenizer(self.model)
        for name, component in self.components.items():
            setattr(made, name, component)
        # their ids are given in the order in which they are added
        in_order = [token for _, token in sorted(self.added.items(), key=lambda item: item[0])]
        for is_special, tokens in groupby(in_order, key=lambda token: bool(token.special)):
            (made.add_special_tokens if is_special else made.add_tokens)(list(tokens))
        vars(made).update(self.attributes)
        if self.truncation is not None:
            made.enable_truncation(**self.truncation)
        if self.padding is not None:
            made.enable_padding(**self.padding)
        made.encode_special_tokens = self.encode_special_tokens
        return made


class Snapshot(Generic[Kind]):
    """A tokenizer or processor as it is at one moment, of which each thread can have a copy.

    Args:
        processor: The tokenizer or processor. What is done to it later does not reach the copies.
    """

    def __init__(self, processor: Kind) -> None:
        originals: list[Any] = []
        self._frozen = _mapped(processor, _Design.of, {}, originals)
        self._strangers = [part for part in originals if _wants_no_company(part)]
        self._free: list[Kind] = []

    @contextmanager
    def copy(self) -> Iterator[Kind]:
        """Yield a copy that nobody else uses until the block ends."""
        try:
            mine = self._free.pop()
        except IndexError:
            mine = _mapped(self._frozen, _Design.build, {}, [])
        with taking_turns(self._strangers):
            yield mine
        # one that was left in the middle of something is not used again
        self._free.append(mine)


def _mapped(value: Any, convert: Callable[[Any], Any], done: dict[int, Any], found: list[Any]) -> Any:
    """Return a copy of a processor and of what it consists of, with its tokenizers or their designs converted.

    Args:
        value: The processor, or a part of it; what is no part that a call may change is returned as it is.
        convert: What makes a `_Design` of a tokenizer of the tokenizers library, or the other way round.
        done: Copies by the identity of what they are of; one part may be in two places.
        found: Gets every part that was copied.
    """
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, (Tokenizer, _Design)):
        done[id(value)] = convert(value)
        return done[id(value)]
    if not isinstance(value, (PushToHubMixin, BaseTokenizer)) or isinstance(value, nn.Module):
        return value
    found.append(value)
    # its class may say how it is pickled, which for some is not how they are
    copied = done[id(value)] = object.__new__(type(value))
    attributes = dict(vars(value))
    for name, part in attributes.items():
        if type(part) not in _PLAIN:
            attributes[name] = _mapped(part, convert, done, found)
    if _CHANGED_IN_PLACE in attributes:
        attributes[_CHANGED_IN_PLACE] = dict(attributes[_CHANGED_IN_PLACE])
    vars(copied).update(attributes)
    return copied


def _wants_no_company(part: Any) -> bool:
    """Return whether only one thread may use a part of a processor, or any copy of it."""
    cls = type(part)
    # of code that is not the library's it is not known what it shares and changes
    return cls.__name__ in ONE_AT_A_TIME or not cls.__module__.startswith(("transformers.", "tokenizers."))
