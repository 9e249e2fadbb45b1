"""Reads the entries of a ``config.json``: what no table reads, or a table does not know, is a reason not to take a model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pairchain_packed.blocks.activation import ACTIVATIONS

# Entries that change no output of a model that is not trained.
_WITHOUT_EFFECT = re.compile(
    r"""
    _name_or_path | architectures | model_type | transformers_version | torch_dtype | dtype | tokenizer_class
    | .*dropout.* | .*_dropout_prob | initializer_.* | gradient_checkpointing | use_cache | return_dict | keys_to_ignore.*
    | id2label | label2id | num_labels | problem_type | finetuning_task | sentence_transformers | _attn_implementation.*
    | (bos|eos|sep|cls|mask|unk|decoder_start)_token_id | tie_word_embeddings | pretraining_tp | cache_implementation
    | chunk_size_feed_forward | attn_implementation | task_specific_params | torchscript | use_bfloat16 | prefix
    """,
    re.VERBOSE,
)

# Entries with an effect, and the values that mean none.
_ONLY = {
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "cross_attention_hidden_size": (None,),
    "pruned_heads": ({}, None),
    "output_hidden_states": (False,),
    "output_attentions": (False,),
    "position_embedding_type": ("absolute",),
    "use_bidirectional_attention": (False, None),
}


class UnknownEntryError(ValueError):
    """An entry, or its value, that a table does not know; the message is a clause without a full stop."""


class Entries:
    """The entries of a ``config.json``.

    Args:
        config: The entries.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._read: set[str] = {"pad_token_id"}

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of an entry; ``default`` if it is missing or null."""
        self._read.add(name)
        value = self._config.get(name)
        return default if value is None else value

    def count(self, name: str, default: int) -> int:
        """Return a whole number, at least 1."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UnknownEntryError(f"{name} is {value!r}")
        return value

    def count_or_null(self, name: str, default: int | None) -> int | None:
        """Return a whole number; None if the entry is null, or missing without a default."""
        self._read.add(name)
        if self._config.get(name, default) is None:
            return None
        return self.count(name, default or 1)

    def skip(self, *names: str) -> None:
        """Take entries as read: they change nothing for this family."""
        self._read.update(names)

    def number(self, name: str, default: float) -> float:
        """Return a positive number."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise UnknownEntryError(f"{name} is {value!r}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return True or False."""
        return bool(self.choice(name, default, (True, False)))

    def choice(self, name: str, default: Any, known: Collection[Any]) -> Any:
        """Return one of the values that are known."""
        value = self.get(name, default)
        if value not in known:
            raise UnknownEntryError(f"{name} is {value!r}")
        return value

    def activation(self, name: str, default: str) -> str:
        """Return the name of an activation."""
        return str(self.choice(name, default, ACTIVATIONS))

    def cap(self, name: str, default: float | None) -> float | None:
        """Return a bound of logits; None if the entry is null, or missing without a default."""
        self._read.add(name)
        value = self._config.get(name, default)
        return None if value is None else self.number(name, default or 1.0)

    @property
    def padding(self) -> int | None:
        """The id of the padding token."""
        value = self._config.get("pad_token_id")
        return value if isinstance(value, int) else None

    @property
    def labels(self) -> int:
        """The number of labels of a classifier."""
        if names := self._config.get("id2label"):
            return len(names)
        return int(self._config.get("num_labels") or 2)

    def check_all_read(self) -> None:
        """Raise an `UnknownEntryError` for an entry that has an effect and that no table has read."""
        for name, value in self._config.items():
            if name in self._read or _WITHOUT_EFFECT.fullmatch(name):
                continue
            if name not in _ONLY or value not in _ONLY[name]:
                raise UnknownEntryError(f"config.json has {name}={value!r}")
