"""Computes a causal model at the last position of each input, and skips what does not change the result.

It skips padding, which stands after the last token so that no token attends to it; shared beginnings, which it computes
once; and unread rows of the head. Only some models allow that, so each is tried on a few tokens, once until it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from pairchain.authoring import note, step
from pairchain_transformer.execution import last_layer
from pairchain_transformer.execution.fingerprint import OwnHook, surroundings
from pairchain_transformer.execution.padding import example, is_close
from pairchain_transformer.execution.prefixes import Layers, Prefix, PrefixStore
from pairchain_transformer.execution.proofs import Known, Question


@dataclass(frozen=True)
class Proven:
    """Which shortcuts give a model's own output.

    Attributes:
        without_padding: Padding after the last token, without a mask.
        after_prefix: Going on after the keys and values of a prefix.
    """

    without_padding: bool
    after_prefix: bool


NOTHING = Proven(without_padding=False, after_prefix=False)


class ChangedEmbeddingsError(Exception):
    """A hook changes the embeddings of tokens, so they may depend on all tokens of an input."""


class LastPosition:
    """Computes a causal model at the last position of each input.

    Args:
        known: What was found out about the model.
        reads_logits: Whether its logits are read; otherwise its last hidden state.
    """

    def __init__(self, known: Known, *, reads_logits: bool) -> None:
        self.known = known
        self.model = known.model
        self.reads_logits = reads_logits

    @property
    def is_known(self) -> bool:
        """Whether `proven` has its answer already."""
        return self.known.has(self._question)

    @property
    def width(self) -> int:
        """The number of columns of its output."""
        head: Any = self.model.get_output_embeddings() if self.reads_logits else None
        width: int = self.model.config.get_text_config().hidden_size if head is None else head.weight.shape[0]
        return width

    @property
    def proven(self) -> Proven:
        """The shortcuts that give the model's own output, found out the first time."""
        if not self.can_be:
            return NOTHING
        return self.known.find(self._question, lambda: _prove(self), NOTHING)

    @property
    def can_be(self) -> bool:
        """Whether shortcuts are worth trying; embeddings and head are called as usual, so these may have hooks."""
        head = self.model.get_output_embeddings() if self.reads_logits else None
        if not self.known.is_open_but_for({self._watched_embeddings, head}):
            return False
        if self.model.config.is_encoder_decoder or not type(self.model).__module__.startswith("transformers."):
            return False
        # a quantizer, for example, replaces the head, and accelerate may keep its weights elsewhere
        return not self.reads_logits or (type(head) is nn.Linear and not hasattr(head, "_hf_hook"))

    @property
    def _question(self) -> Question:
        return "last position", self.reads_logits

    def __call__(
        self, rows: Sequence[torch.Tensor], prefix: Prefix | None = None, columns: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Return the output at the last position of each row, shape (rows, columns).

        Args:
            rows: Token ids of each input, not padded.
            prefix: The first tokens that all of them share, if any.
            columns: Which columns to return; None for all.

        Raises:
            ChangedEmbeddingsError: A hook changes the embeddings of the rows.
        """
        skipped = 0 if prefix is None else len(prefix.tokens)
        rest = [row[skipped:] for row in rows]
        places = torch.tensor([len(row) - 1 for row in rest], device=rows[0].device)
        before = [] if prefix is None else self._layers(prefix)
        if prefix is not None:
            note(f"went on after {skipped} tokens that were computed before")
        with last_layer.only(self._gate, places):
            hidden = self._hidden(rest, before)
        last = last_layer.at(hidden, places)
        return self._logits(last, columns) if self.reads_logits else last

    def _hidden(self, rows: Sequence[torch.Tensor], before: Layers) -> torch.Tensor:
        """Return the hidden states of rows, padded on the right, after the keys and values that come before them."""
        ids = nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
        options: dict[str, Any] = {"use_cache": False}
        if before:
            options = {"use_cache": True, "past_key_values": _cache(before, len(rows))}
        hidden: torch.Tensor = self._backbone(**self._given(ids), **options).last_hidden_state
        return hidden

    @property
    def _gate(self) -> last_layer.Gate | None:
        return last_layer.gate(self.known, self._question, self._example)

    def _example(self) -> tuple[Callable[[], torch.Tensor], torch.Tensor]:
        tokens = example(self.model, 14)
        rows, places = [tokens[:11], tokens], torch.tensor([10, 13])
        return lambda: last_layer.at(self._hidden(rows, []), places), places

    @property
    def _backbone(self) -> nn.Module:
        return self.model.base_model if self.reads_logits else self.model

    @property
    def _watched_embeddings(self) -> nn.Module | None:
        watched = self.known.fingerprint.watched
        found = self.model.get_input_embeddings() if watched else None
        return found if found in watched else None

    def _given(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return tokens as the backbone takes them, or raise a ChangedEmbeddingsError if a hook changes them."""
        embeddings: Any = self._watched_embeddings
        if embeddings is None:
            return {"input_ids": ids}
        values = embeddings(ids)
        if not torch.equal(values, type(embeddings).forward(embeddings, ids)):
            raise ChangedEmbeddingsError
        return {"inputs_embeds": values}

    def _logits(self, hidden: torch.Tensor, columns: Sequence[int] | None) -> torch.Tensor:
        head = self.model.get_output_embeddings()
        hidden = hidden.to(head.weight.device)
        if columns is None or head in self.known.fingerprint.watched:
            logits: torch.Tensor = head(hidden.unsqueeze(1)).squeeze(1)
            return logits if columns is None else logits[:, list(columns)]
        chosen = torch.tensor(columns, device=hidden.device)
        return F.linear(hidden, head.weight[chosen], None if head.bias is None else head.bias[chosen])

    def _layers(self, prefix: Prefix) -> Layers:
        """Return the keys and values of a prefix, of which the store may have the beginning."""
        layers = prefix.store.longest(prefix.tokens, (self.known, surroundings()))
        known = layers[0][0].shape[2] if layers else 0
        if known < len(prefix.tokens):
            note(f"computed {len(prefix.tokens) - known} tokens once, with which all of its inputs begin")
            layers = self._compute(prefix.tokens[known:], layers)
            prefix.store.keep(prefix.tokens, layers)
        return layers

    def _compute(self, tokens: Sequence[int], before: Layers) -> Layers:
        embeddings: Any = self.model.get_input_embeddings()
        ids = torch.tensor([tokens], device=embeddings.weight.device)
        options: dict[str, Any] = {"use_cache": True, "past_key_values": _cache(before, 1)}
        cache = self._backbone(**self._given(ids), **options).past_key_values
        return [(layer.keys, layer.values) for layer in cache.layers]


def _cache(layers: Layers, count: int) -> DynamicCache:
    """Return keys and values as the library's cache, for ``count`` rows."""
    cache = DynamicCache()
    for index, (keys, values) in enumerate(layers):
        cache.update(keys.expand(count, -1, -1, -1), values.expand(count, -1, -1, -1), index)
    return cache


@step("check", "what gives the model's own output")
def _prove(computed: LastPosition) -> Proven:
    """Compare with the model's own output for two short inputs of different lengths, padded on the left."""
    model = computed.model
    tokens = example(model, 19)
    rows = [tokens[:12], torch.cat([tokens[:7], tokens[12:]])]
    mask = torch.ones(2, 14, dtype=torch.int64, device=tokens.device)
    mask[0, :2] = 0
    padded = torch.stack([F.pad(rows[0], (2, 0)), rows[1]])
    prefix = Prefix(tuple(rows[0][:7].tolist()), PrefixStore())
    expected = _own_output(computed, padded, mask)
    if expected is None or not is_close(computed(rows), expected):
        return NOTHING
    return Proven(True, _keeps_all(model) and _is_exact_after(prefix, computed, rows, expected))


def _is_exact_after(
    prefix: Prefix, computed: LastPosition, rows: Sequence[torch.Tensor], expected: torch.Tensor
) -> bool:
    try:
        return is_close(computed(rows, prefix), expected)
    except Exception:  # a model may raise anything when it is called in an unusual way
        return False


def _own_output(computed: LastPosition, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | None:
    """Return the model's output at the last position, or None if it is not just the head of the hidden state."""
    seen: dict[str, torch.Tensor] = {}
    head = computed.model.get_output_embeddings()
    listening = [OwnHook(lambda module, given, output: seen.update(hidden=output[0]))]
    watching = [computed._backbone.register_forward_hook(listening[0])]
    if computed.reads_logits:
        listening.append(OwnHook(lambda module, given, output: seen.update(read=given[0], logits=output)))
        watching.append(head.register_forward_hook(listening[1]))
    try:
        output = computed.model(input_ids=ids, attention_mask=mask, return_dict=True)
    finally:
        for hook in watching:
            hook.remove()
    if not computed.reads_logits:
        last: torch.Tensor = output.last_hidden_state[:, -1]
        return last
    # some models scale the hidden state before the head, or the logits after it
    as_computed = torch.equal(seen["read"], seen["hidden"]) and torch.equal(
        seen["logits"].float(), output.logits.float()
    )
    logits: torch.Tensor = output.logits[:, -1]
    return logits if as_computed else None


def _keeps_all(model: PreTrainedModel) -> bool:
    """Return whether every layer keeps all keys and values, and they do not depend on the tokens that follow."""
    keeps = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    return keeps and not _rotates_by_length(model)


def _rotates_by_length(model: PreTrainedModel) -> bool:
    """Return whether rotary angles depend on the length of the input."""
    settings = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    kinds = [settings, *(value for value in settings.values() if isinstance(value, dict))]
    return any(kind.get("rope_type") in ("dynamic", "longrope") for kind in kinds)
