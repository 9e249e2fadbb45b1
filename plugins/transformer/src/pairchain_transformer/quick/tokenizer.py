"""A tokenizer that only reads texts: the part of the transformers library's interface that scoring needs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from tokenizers import Encoding, Tokenizer

from pairchain_transformer.libraries.designs import Design
from pairchain_transformer.quick import chats
from pairchain_transformer.quick.unknown import NeedsLibraryError

# From this length on, the library takes a tokenizer's limit for none.
_NO_LIMIT = int(1e20)

_STRATEGIES = ("longest_first", "only_first", "only_second")
# Options that change nothing in what is returned here.
_WITHOUT_EFFECT = frozenset({"verbose"})


class Tokens(dict[str, Any]):
    """Features, and the encodings that they come from."""

    def __init__(self, features: Mapping[str, Any], encodings: Sequence[Encoding]) -> None:
        super().__init__(features)
        self.is_fast = True
        self.encodings = encodings


@dataclass(eq=False)
class QuickTokenizer:
    """Reads texts as the transformers library's tokenizer would; it never changes, so threads may share it.

    Attributes:
        state: The tokenizer, as the content of ``tokenizer.json`` in one string or as a path.
        named: The special tokens by name, such as ``"pad_token"``.
        model_input_names: The features that it writes.
        model_max_length: Longest input in tokens.
        padding_side, truncation_side: ``"left"`` or ``"right"``.
        pad_token_type_id: The token type of padding.
        chat_template: The source of the chat template; None without one.
        all_special_tokens: All special tokens.
        restored: The parts that the library would replace.
    """

    backend: Tokenizer
    named: Mapping[str, str]
    model_input_names: tuple[str, ...]
    model_max_length: float
    padding_side: str = "right"
    truncation_side: str = "right"
    pad_token_type_id: int = 0
    chat_template: str | None = None
    all_special_tokens: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    is_fast: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        self._cutting: dict[tuple[str, int, str], Tokenizer] = {}
        self._making = threading.Lock()
        self.pad_token = self.named.get("pad_token")
        self.eos_token = self.named.get("eos_token")
        self.unk_token = self.named.get("unk_token")
        self.pad_token_id = self._id("pad_token")
        self.unk_token_id = self._id("unk_token")
        found = (self.convert_tokens_to_ids(token) for token in self.all_special_tokens)
        self.all_special_ids = [index for index in found if index is not None]

    def padding_left(self) -> QuickTokenizer:
        """Return the same tokenizer, which pads on the left."""
        return replace(self, padding_side="left")

    def limited_to(self, longest: float) -> QuickTokenizer:
        """Return the same tokenizer with another longest input."""
        return replace(self, model_max_length=longest)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        del state["_making"], state["_cutting"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _making=threading.Lock(), _cutting={})

    def _id(self, name: str) -> int | None:
        token = self.named.get(name)
        return None if token is None else self.convert_tokens_to_ids(token)

    def convert_tokens_to_ids(self, token: str) -> int | None:
        """Return the id of a token; that of the unknown token for an unknown one."""
        found: int | None = self.backend.token_to_id(token)
        return self._id("unk_token") if found is None and token != self.unk_token else found

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens are put around a text, or around a pair of texts."""
        return int(self.backend.num_special_tokens_to_add(pair))

    def __call__(
        self,
        texts: Any,
        padding: Any = False,
        truncation: Any = None,
        max_length: int | None = None,
        return_tensors: str | None = None,
        add_special_tokens: bool = True,
        return_offsets_mapping: bool = False,
        **kwargs: Any,
    ) -> Tokens:
        """Return the features of a text, or of a list of texts and pairs of texts.

        Args:
            texts: A text, or texts and pairs.
            padding: Whether to pad to the longest input.
            truncation: How to cut inputs; see `Transformer.preprocess`.
            max_length: Longest input in tokens; None for ``model_max_length``.
            return_tensors: ``"pt"`` for tensors, None for lists.
            add_special_tokens: Whether to put special tokens around each input.
            return_offsets_mapping: Whether to return the characters of each token.
            **kwargs: Options that have no effect here.

        Raises:
            NeedsLibraryError: An option is one that only the library understands.
        """
        if unknown := kwargs.keys() - _WITHOUT_EFFECT:
            raise NeedsLibraryError(f"the setting {sorted(unknown)[0]!r}")
        is_list = isinstance(texts, list)
        inputs = [tuple(item) if isinstance(item, list) else item for item in (texts if is_list else [texts])]
        if not inputs or not all(map(_is_readable, inputs)) or return_tensors not in (None, "pt"):
            raise NeedsLibraryError("an input")
        if max_length is not None and padding is False and truncation is None:
            truncation = "longest_first"
        backend = self._cutting_to(truncation, max_length)
        encode = backend.encode_batch if return_offsets_mapping else backend.encode_batch_fast
        encodings = encode(inputs, add_special_tokens=add_special_tokens)
        columns = self._columns(encodings)
        if return_offsets_mapping:
            columns["offset_mapping"] = [encoding.offsets for encoding in encodings]
        if _pads(padding):
            columns = self._padded(columns)
        if return_tensors is not None:
            return Tokens({name: torch.tensor(values) for name, values in columns.items()}, encodings)
        return Tokens(columns if is_list else {name: values[0] for name, values in columns.items()}, encodings)

    def _cutting_to(self, truncation: Any, max_length: int | None) -> Tokenizer:
        strategy = "longest_first" if truncation is True else getattr(truncation, "value", truncation)
        if strategy in (None, False, "do_not_truncate"):
            return self.backend
        limit = self.model_max_length if max_length is None else max_length
        if max_length is None and limit > _NO_LIMIT:
            return self.backend
        if strategy not in _STRATEGIES or not isinstance(limit, int):
            raise NeedsLibraryError("truncation")
        key = (strategy, limit, self.truncation_side)
        with self._making:
            if key not in self._cutting:
                if len(self._cutting) >= _MOST_KEPT:
                    self._cutting.clear()
                self._cutting[key] = _cutting(self.backend, *key)
            return self._cutting[key]

    def _columns(self, encodings: Sequence[Encoding]) -> dict[str, Any]:
        columns: dict[str, Any] = {"input_ids": [encoding.ids for encoding in encodings]}
        if "token_type_ids" in self.model_input_names:
            columns["token_type_ids"] = [encoding.type_ids for encoding in encodings]
        if "attention_mask" in self.model_input_names:
            columns["attention_mask"] = [encoding.attention_mask for encoding in encodings]
        return columns

    def _padded(self, columns: Mapping[str, list[list[Any]]]) -> dict[str, list[list[Any]]]:
        if self.pad_token_id is None:
            raise NeedsLibraryError("padding without a token for it")
        fill = {"input_ids": self.pad_token_id, "token_type_ids": self.pad_token_type_id, "attention_mask": 0}
        longest = max(map(len, columns["input_ids"]))

        def padded(values: list[Any], filler: Any) -> list[Any]:
            rest = [filler] * (longest - len(values))
            return rest + values if self.padding_side == "left" else values + rest

        return {name: [padded(row, fill.get(name, (0, 0))) for row in rows] for name, rows in columns.items()}

    def apply_chat_template(
        self,
        conversation: Any,
        *,
        chat_template: str | None = None,
        tokenize: bool = True,
        return_dict: bool = True,
        padding: Any = False,
        truncation: Any = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Return the text or the features of a conversation or of a list of them.

        Args:
            conversation: Messages with ``role`` and ``content``, or a list of conversations.
            chat_template: The source of a template; None for its own.
            tokenize: Whether to return features.
            return_dict: True if ``tokenize``.
            padding, truncation, max_length, return_tensors: As for a call.
            tokenizer_kwargs: More options for a call.
            **options: Variables for the template.

        Raises:
            NeedsLibraryError: An option is one that only the library understands.
            jinja2.TemplateError: The template is invalid, or raises an error of its own.
        """
        template = chat_template or self.chat_template
        if template is None or not conversation or not isinstance(conversation, list) or not return_dict:
            raise NeedsLibraryError("a chat template")
        is_many = isinstance(conversation[0], list)
        rendered = chats.render(template, conversation if is_many else [conversation], self.named, options)
        texts: Any = rendered if is_many else rendered[0]
        if not tokenize:
            return texts
        sizes = {"padding": padding, "truncation": truncation, "max_length": max_length}
        more = {**sizes, "return_tensors": return_tensors, "add_special_tokens": False, **(tokenizer_kwargs or {})}
        return self(texts, **more)


_MOST_KEPT = 16


def _is_readable(item: Any) -> bool:
    return isinstance(item, str) or (len(item) == 2 and all(isinstance(side, str) for side in item))


def _pads(padding: Any) -> bool:
    value = getattr(padding, "value", padding)
    if value in (True, "longest"):
        return True
    if value in (False, "do_not_pad"):
        return False
    raise NeedsLibraryError("padding")


def _cutting(backend: Tokenizer, strategy: str, limit: int, side: str) -> Tokenizer:
    """Return a copy that cuts; the original is shared by threads, and setting this changes a tokenizer."""
    own = Design(backend).build()
    own.enable_truncation(limit, strategy=strategy, direction=side)
    return own
