"""Computes a causal model at the last position of each input, and skips work that does not change the result.

It puts padding after the last token, so that no token attends to it and no mask is needed. It computes shared
beginnings once, and skips unread rows of the head. Only some models allow this, so each model is tried on a few tokens,
once until it changes.
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

from pairchain.authoring import Layers, Prefix, PrefixStore, note, step
from pairchain_transformer.execution import last_layer
from pairchain_transformer.execution.fingerprint import OwnHook, hooked, surroundings
from pairchain_transformer.execution.padding import example, is_close
from pairchain_transformer.execution.proofs import Known, Question


@dataclass(frozen=True)
class Proven:
    """Which shortcuts give a model's own output: padding after the last token without a mask, and shared prefixes."""

    without_padding: bool = False
    after_prefix: bool = False


class ChangedEmbeddingsError(Exception):
    """A hook changes the embeddings of tokens, which may then depend on all tokens of an input."""


class LastPosition:
    """Computes a causal model at the last position of each input.

    Args:
        known: The answers about the model.
        reads_logits: Whether its logits are read; if not, its last hidden state is.
    """

    def __init__(self, known: Known, *, reads_logits: bool) -> None:
        self.known = known
        self.model = known.model
        self.reads_logits = reads_logits

    @property
    def is_known(self) -> bool:
        """Whether the answer for `proven` is already known."""
        return self.known.has(self._question)

    @property
    def width(self) -> int:
        """The number of columns of its output."""
        width: int = len(self.head.weight) if self.reads_logits else self.model.config.get_text_config().hidden_size
        return width

    @property
    def proven(self) -> Proven:
        """The shortcuts that give the model's own output; tried the first time, then remembered."""
        return self.known.find(self._question, lambda: _prove(self), Proven()) if self.can_be else Proven()

    @property
    def can_be(self) -> bool:
        """Whether shortcuts may be tried. Embeddings and head may have hooks, because they are called as usual."""
        if not self.known.is_open({self._watched_embeddings, self.head}):
            return False
        if self.model.config.is_encoder_decoder or not type(self.model).__module__.startswith("transformers."):
            return False
        # a quantizer may replace the head, and accelerate may keep the head's weights elsewhere
        return not self.reads_logits or (type(self.head) is nn.Linear and not hasattr(self.head, "_hf_hook"))

    @property
    def head(self) -> Any:
        """The layer that computes the logits; None if they are not read."""
        return self.model.get_output_embeddings() if self.reads_logits else None

    @property
    def backbone(self) -> nn.Module:
        """The model without its head."""
        return self.model.base_model if self.reads_logits else self.model

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
            note(f"continued after {skipped} tokens that were computed before")
        gate = last_layer.gate_for(self.known, ("last layer", *self._question), self._example)
        with last_layer.only(None if gate is None else (gate, places)):
            hidden = self._hidden(rest, before)
        last = last_layer.at(hidden, places)
        return self._logits(last, columns) if self.reads_logits else last

    def _hidden(self, rows: Sequence[torch.Tensor], before: Layers) -> torch.Tensor:
        """Return the hidden states of rows, padded on the right, that follow the keys and values ``before``."""
        ids = nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
        cache = _cache(before, len(rows)) if before else None
        hidden: torch.Tensor = self._output(ids, cache).last_hidden_state
        return hidden

    def _output(self, ids: torch.Tensor, cache: DynamicCache | None) -> Any:
        # a model without cache does not take the second argument
        options = {} if cache is None else {"past_key_values": cache}
        return self.backbone(**self._given(ids), use_cache=cache is not None, **options)

    def _example(self) -> tuple[Callable[[], torch.Tensor], torch.Tensor]:
        tokens = example(self.model, 14)
        rows, places = [tokens[:11], tokens], torch.tensor([10, 13])
        return lambda: last_layer.at(self._hidden(rows, []), places), places

    @property
    def _watched_embeddings(self) -> nn.Module | None:
        watched = self.known.fingerprint.watched
        found = self.model.get_input_embeddings() if watched else None
        return found if found in watched else None

    def _given(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the backbone's arguments for tokens; raise a ChangedEmbeddingsError if a hook changes embeddings."""
        embeddings: Any = self._watched_embeddings
        if embeddings is None:
            return {"input_ids": ids}
        values = embeddings(ids)
        if not torch.equal(values, type(embeddings).forward(embeddings, ids)):
            raise ChangedEmbeddingsError
        return {"inputs_embeds": values}

    def _logits(self, hidden: torch.Tensor, columns: Sequence[int] | None) -> torch.Tensor:
        head = self.head
        hidden = hidden.to(head.weight.device)
        if columns is None or head in self.known.fingerprint.watched:
            logits: torch.Tensor = head(hidden.unsqueeze(1)).squeeze(1)
            return logits if columns is None else logits[:, list(columns)]
        chosen = torch.tensor(columns, device=hidden.device)
        return F.linear(hidden, head.weight[chosen], None if head.bias is None else head.bias[chosen])

    def _layers(self, prefix: Prefix) -> Layers:
        """Return the keys and values of a prefix; compute only those that the store does not have."""
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
        cache = self._output(ids, _cache(before, 1)).past_key_values
        return [(layer.keys, layer.values) for layer in cache.layers]


def _cache(layers: Layers, count: int) -> DynamicCache:
    """Return keys and values as a cache of the library, repeated for ``count`` rows."""
    cache = DynamicCache()
    for index, (keys, values) in enumerate(layers):
        cache.update(keys.expand(count, -1, -1, -1), values.expand(count, -1, -1, -1), index)
    return cache


@step("check", "what gives the model's own output")
def _prove(computed: LastPosition) -> Proven:
    """Compare the shortcuts with the model's own output for two short inputs, padded on the left."""
    model = computed.model
    tokens = example(model, 19)
    rows = [tokens[:12], torch.cat([tokens[:7], tokens[12:]])]
    mask = torch.ones(2, 14, dtype=torch.int64, device=tokens.device)
    mask[0, :2] = 0
    padded = torch.stack([F.pad(rows[0], (2, 0)), rows[1]])
    prefix = Prefix(tuple(rows[0][:7].tolist()), PrefixStore())
    expected = _own_output(computed, padded, mask)
    if expected is None or not is_close(computed(rows), expected):
        return Proven()
    try:
        return Proven(True, _keeps_all(model) and is_close(computed(rows, prefix), expected))
    except Exception:  # a model may raise anything when it is called in an unusual way
        return Proven(True)


def _own_output(computed: LastPosition, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | None:
    """Return the output at the last position; None if the logits are more than the head applied to the hidden state."""
    seen: dict[str, torch.Tensor] = {}
    listening = [(computed.backbone, OwnHook(lambda module, given, output: seen.update(hidden=output[0])))]
    if computed.reads_logits:
        of_head = OwnHook(lambda module, given, output: seen.update(read=given[0], logits=output))
        listening.append((computed.head, of_head))
    with hooked(*listening):
        output = computed.model(input_ids=ids, attention_mask=mask, return_dict=True)
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
    settings = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    by_layer = [settings, *(value for value in settings.values() if isinstance(value, dict))]
    rotates_by_length = any(rope.get("rope_type") in ("dynamic", "longrope") for rope in by_layer)
    layers = DynamicCache(config=model.config).layers
    return not rotates_by_length and all(type(layer) is DynamicLayer for layer in layers)
