"""Runs a model through the transformers library's own classes, and skips outputs that no module reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pairchain import Untrained
from pairchain.authoring import Prefix, note
from pairchain.backends import Execution, Request
from pairchain_transformer.checkpoint.attention import check_place_of_attention
from pairchain_transformer.checkpoint.model import save_model
from pairchain_transformer.checkpoint.random_weights import RandomWeights
from pairchain_transformer.execution import encoding, endings, forward, keeping, last_layer, linear, padding
from pairchain_transformer.execution.encoding import Row
from pairchain_transformer.execution.proofs import Proofs
from pairchain_transformer.execution.savings import Savings


class LibraryExecution(Execution):
    """Runs one model of the transformers library.

    Args:
        random_weights: The weights that its checkpoint lacks.

    Attributes:
        savings: The work that it skips.
        onednn: Whether oneDNN computes linear layers on a CPU; None to use it where it is faster.
    """

    def __init__(self, random_weights: RandomWeights) -> None:
        self.savings = Savings()
        self.onednn: bool | None = None
        self._random_weights = random_weights
        self._proofs = Proofs()

    def run(self, model: nn.Module, features: Mapping[str, Any], request: Request) -> dict[str, Any]:
        """Return the features that the model writes; see `Execution.run`."""
        check_place_of_attention(model)
        with linear.by_onednn(self.onednn, model, features):
            return self._run(model, features, request)

    def _run(self, model: Any, features: Mapping[str, Any], request: Request) -> dict[str, Any]:
        part = request.part
        cut = None
        # training changes the model at each step, so no answer about it would stay valid
        if request.may_leave_out and not request.keywords and not torch.is_grad_enabled():
            known = self._proofs.of(model)
            last = self.savings.output(known, features, request)
            if last is not None:
                note("the output at the last token of each input only, without padding")
                return {request.feature: last.unsqueeze(1)} if part is None else {part.of(request.feature): last}
            cut = self.savings.cut(known, features, request)
        with last_layer.only(cut):
            # copying the features would hide from a trace which of them the model reads
            given = {**features, **request.keywords} if request.keywords else features
            output = forward.call(model, request.method, given, request.path)
        value = forward.read_output(output, request.path)
        if cut is not None and part is not None:
            return {part.of(request.feature): last_layer.at(value, cut[1])}
        written: dict[str, Any] = {request.feature: value}
        if getattr(model.config, "output_hidden_states", False) and "hidden_states" in output:
            written["all_layer_embeddings"] = output["hidden_states"]
        return written

    def save(self, model: nn.Module, folder: str) -> None:
        """Write configuration and weights, and note in the configuration which weights are still random."""
        save_model(model, folder)
        self._random_weights.note(model, folder)

    def untrained(self, model: nn.Module) -> Untrained | None:
        """Return the weights that are still random; None if there are none."""
        return self._random_weights.of(model)

    def takes_types(self, model: Any) -> bool:
        """Return whether the model distinguishes token types."""
        return forward.takes_types(model)

    def needs_padding_token(self, model: Any) -> bool:
        """Return False for a classifier that finds the ends of inputs by padding, which are found without it here."""
        return not endings.are_found_by_padding(model)

    def batches_matter(self, model: Any, request: Request, rows: Sequence[Row] | None) -> bool:
        """Return whether scores depend on the rows that run together, as in models that count padding as positions."""
        known = self._proofs.of(model)
        if rows is None:
            return padding.is_known_to_matter(known, request.tokenizer)
        return encoding.are_many(rows) and padding.matters(known, request.tokenizer, request.path)

    def is_thread_safe(self, model: Any) -> bool:
        """Return whether the model keeps nothing when it runs, and has no hooks but pairchain's."""
        return keeping.may_run_at_once(self._proofs.of(model))

    def prefixes(self, model: Any, request: Request, rows: Sequence[Row]) -> Sequence[Prefix | None]:
        """Return for each row the prefix that it shares with others and that will be computed once, or None."""
        if not request.may_leave_out:
            return [None] * len(rows)
        return self.savings.prefixes_of(self._proofs.of(model), rows, request)
