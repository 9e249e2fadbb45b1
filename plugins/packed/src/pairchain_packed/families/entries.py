"""Reads the entries of a ``config.json``; an entry that no table knows is a reason not to take a model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pairchain.authoring import short_repr
from pairchain_packed.architecture import ACTIVATIONS

# Entries that change no output of a model that is not trained.
_WITHOUT_EFFECT = re.compile(
    r"""
    _name_or_path | architectures | model_type | transformers_version | torch_dtype | dtype | tokenizer_class
    | .*dropout.* | .*_dropout_prob | initializer_.* | gradient_checkpointing | use_cache | return_dict
    | keys_to_ignore.* | id2label | label2id | num_labels | problem_type | finetuning_task | sentence_transformers
    | (bos|eos|sep|cls|mask|unk|decoder_start)_token_id | tie_word_embeddings | pretraining_tp | cache_implementation
    | chunk_size_feed_forward | task_specific_params | torchscript | use_bfloat16 | prefix | output_past
    | sbert_ce_default_activation_function
    """,
    re.VERBOSE,
)

# Entries with an effect, and the values that mean none.
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "cross_attention_hidden_size": (None,),
    "pruned_heads": ({}, None),
    "output_hidden_states": (False,),
    "output_attentions": (False,),
    "position_embedding_type": ("absolute",),
    "use_bidirectional_attention": (False, None),
    "attn_implementation": (None, "eager", "sdpa"),
    "_attn_implementation": (None, "eager", "sdpa"),
}

# The library refuses configurations with larger counts, or makes lists of that length.
_MOST = 2**24
_MOST_LAYERS = 2**10


class NotTakenError(ValueError):
    """What a model has that this package does not know; the message is a clause without a full stop."""


class Entries:
    """The entries of a ``config.json``.

    Args:
        config: The entries.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._read: set[str] = {"pad_token_id"}

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of an entry; ``default`` if it is missing.

        Raises:
            NotTakenError: It is null, and the default is not.
        """
        self._read.add(name)
        value = self._config.get(name, default)
        if value is None and default is not None:
            raise _unknown(name, value)
        return value

    def count(self, name: str, default: int) -> int:
        """Return a whole number, at least 1."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
            raise _unknown(name, value)
        return value

    def layers(self, name: str, default: int) -> int:
        """Return the number of layers."""
        if (count := self.count(name, default)) > _MOST_LAYERS:
            raise _unknown(name, count)
        return count

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
            raise _unknown(name, value)
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return True or False."""
        return bool(self.choice(name, default, (True, False)))

    def choice(self, name: str, default: Any, known: Collection[Any]) -> Any:
        """Return one of the values that are known."""
        value = self.get(name, default)
        if value not in known:
            raise _unknown(name, value)
        return value

    def activation(self, name: str, default: str) -> str:
        """Return the name of an activation."""
        return str(self.choice(name, default, ACTIVATIONS))

    def cap(self, name: str, default: float | None) -> float | None:
        """Return a bound of logits; None if the entry is null, or missing without a default."""
        self._read.add(name)
        value = self._config.get(name, default)
        return None if value is None else self.number(name, default or 1.0)

    def padding(self, default: int | None) -> int | None:
        """Return the id of the padding token; ``default`` if the entry is missing, and None if it is null."""
        value = self._config.get("pad_token_id", default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise _unknown("pad_token_id", value)
        return value

    @property
    def labels(self) -> int:
        """The number of labels of a classifier."""
        names, count = self._config.get("id2label"), self._config.get("num_labels")
        is_count = count is None or (type(count) is int and count > 0)
        if not is_count or not (names is None or isinstance(names, Mapping)):
            raise NotTakenError("id2label or num_labels is damaged")
        if names and count and len(names) != count:
            raise NotTakenError(f"id2label names {len(names)} labels, and num_labels is {count}")
        found = len(names) if names else count or 2
        if found == 1 and self._config.get("problem_type") == "single_label_classification":
            raise _unknown("problem_type", "single_label_classification")
        return found

    def check_all_read(self) -> None:
        """Raise an `NotTakenError` for an entry that has an effect and that no table has read."""
        for name, value in self._config.items():
            if name in self._read or _WITHOUT_EFFECT.fullmatch(name):
                continue
            if name not in _ONLY or value not in _ONLY[name]:
                raise _unknown(name, value)


def _unknown(name: str, value: Any) -> NotTakenError:
    return NotTakenError(f"it does not know {short_repr(value)} as {name} in config.json")
