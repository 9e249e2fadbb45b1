"""Rebuilds a tokenizer from its files, as the library that saved it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tokenizers import AddedToken, Tokenizer

from pairchain_transformer.published import overrides
from pairchain_transformer.published.classes import FastClass
from pairchain_transformer.published.comparison import COMPONENTS, content_of
from pairchain_transformer.published.saved import Saved, added_tokens
from pairchain_transformer.published.specials import explicit, named_tokens, to_add


class Published:
    """A tokenizer as its author published it.

    Args:
        saved: Its files.
        fast: Its class in transformers 4.57; None if transformers 5 saved it, because ``tokenizer.json`` is then
            complete.
        made: The tokenizer built from vocabulary files, if there is no ``tokenizer.json``.
        changed: Parts that the caller changed, as in ``tokenizer.json``.
        added: Tokens to add if ``fast`` is None.
    """

    def __init__(
        self,
        saved: Saved,
        fast: FastClass | None,
        *,
        made: Tokenizer | None = None,
        changed: Mapping[str, Any] | None = None,
        added: Sequence[AddedToken] = (),
    ) -> None:
        self.saved = saved
        self.fast = fast
        self._made = made
        self._changed = changed or {}
        self._added = added
        self.named = {} if fast is None else named_tokens(fast, saved)
        if made is not None:
            # Python tokenizers kept copies of tokens with explicit flags
            self.named = {name: explicit(token) for name, token in self.named.items()}

    def content(self) -> Mapping[str, Any]:
        """Return the content of its ``tokenizer.json``; build the tokenizer only if tokens are added."""
        if self._made is not None or self._to_add():
            return content_of(self.backend())
        skeleton = overrides.skeleton(self.saved.content)
        self._override(skeleton, partial(_id_in, self.saved.content))
        parts = content_of(skeleton)
        return {**self.saved.content, **{part: parts[part] for part in COMPONENTS}}

    def components(self) -> Mapping[str, Any]:
        """Return a ``tokenizer.json`` with only its normalizer and pre-tokenizer, which need no vocabulary."""
        skeleton = overrides.skeleton({**self.saved.content, "post_processor": None})
        if self.fast is not None:
            only = tuple(name for name in self.fast.overrides if name not in overrides.OF_TOKENS)
            fast = replace(self.fast, overrides=only)
            overrides.apply(skeleton, fast, self.saved.settings, {}, partial(_id_in, self.saved.content))
        return content_of(skeleton)

    def backend(self) -> Tokenizer:
        """Build the complete tokenizer."""
        made = self._made
        backend = Tokenizer.from_file(str(self.saved.path)) if made is None else Tokenizer.from_str(made.to_str())
        if tokens := self._to_add():
            backend.add_tokens(tokens)
        self._override(backend, partial(_id_of, backend))
        backend.no_truncation()
        backend.no_padding()
        return backend

    @property
    def adds_tokens(self) -> bool:
        """Whether tokens are added to those in ``tokenizer.json``."""
        return bool(self._to_add())

    def input_names(self) -> Sequence[str] | None:
        """Return the features that it writes; None to keep those of the installed class."""
        return self.saved.settings.get("model_input_names") or (self.fast.input_names if self.fast else None)

    def padding_side(self) -> str | None:
        """Return the side that it pads on; None to keep that of the installed class."""
        if self.fast is None:
            return None
        if (side := self.saved.settings.get("padding_side")) is not None:
            return str(side)
        padding = self.saved.content.get("padding")
        return str(padding["direction"]).lower() if padding else self.fast.padding_side

    def pad_type(self, present: int) -> int:
        """Return the token type of padding; ``present`` if the files do not set it."""
        if self.fast is not None:
            return self.fast.pad_type
        value = self.saved.settings.get("pad_token_type_id", present)
        return value if isinstance(value, int) else present

    def _to_add(self) -> list[AddedToken]:
        if self.fast is None:
            return list(self._added)
        present = added_tokens(self.saved.content) if self._made is None else self._made.get_added_tokens_decoder()
        return to_add(present.values(), self.fast, self.saved, self.named)

    def _override(self, backend: Tokenizer, id_of: Callable[[str], int]) -> None:
        if self.fast is not None:
            tokens = {name: str(token) for name, token in self.named.items()}
            overrides.apply(backend, self.fast, self.saved.settings, tokens, id_of)
        for part, value in self._changed.items():
            setattr(backend, part, overrides.component_from(part, value))


def _id_of(backend: Tokenizer, token: str) -> int:
    if (found := backend.token_to_id(token)) is None:
        raise KeyError(token)
    return int(found)


def _id_in(content: Mapping[str, Any], token: str) -> int:
    vocabulary = content["model"]["vocab"]
    ids = vocabulary if isinstance(vocabulary, dict) else {piece: index for index, (piece, _) in enumerate(vocabulary)}
    added = {entry["content"]: entry["id"] for entry in content.get("added_tokens") or ()}
    return int(added[token] if token in added else ids[token])
