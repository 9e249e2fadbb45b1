"""What executes a loaded model: the transformers library's own classes, of which no more is asked than is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pairchain import Part
from pairchain.authoring import note
from pairchain_transformer.execution import encoding, forward, last_layer, linear, padding
from pairchain_transformer.execution.encoding import Row
from pairchain_transformer.execution.prefixes import Prefix
from pairchain_transformer.execution.proofs import Known, Proofs
from pairchain_transformer.execution.savings import Savings


@dataclass(frozen=True)
class Request:
    """What is asked of a model.

    Attributes:
        method: The method of the model that is called.
        path: The field of its output that is read.
        feature: The feature that it becomes.
        part: The only part of that feature that is read; None for all of it.
        generates: Whether it is a language model's logits for the next token.
        may_leave_out: Whether what nobody reads may be left out; else somebody may read more than is known.
    """

    method: str
    path: Sequence[Any]
    feature: str
    part: Part | None = None
    generates: bool = False
    may_leave_out: bool = False


class LibraryBackend:
    """Executes a model through the transformers library.

    Attributes:
        savings: What it leaves out.
        onednn: Whether oneDNN computes linear layers on a CPU; None where it is faster than what PyTorch takes.
    """

    def __init__(self) -> None:
        self.savings = Savings()
        self.onednn: bool | None = None
        self._proofs = Proofs()

    def known(self, model: PreTrainedModel) -> Known:
        """Return what is known of ``model`` as it is now."""
        return self._proofs.of(model)

    def prefixes(self, known: Known, rows: Sequence[Row], request: Request) -> Sequence[Prefix | None]:
        """Return for each row the prefix that it shares with others, if it is to be computed once."""
        if not request.may_leave_out:
            return [None] * len(rows)
        return self.savings.prefixes_of(known, rows, request.part, generates=request.generates)

    def batches_matter(
        self, known: Known, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], request: Request
    ) -> bool:
        """Return whether scores depend on which rows run together, as for a model that counts padding as positions."""
        return encoding.are_many(rows) and padding.matters(known, tokenizer, request.path)

    def batches_are_known_to_matter(self, known: Known, tokenizer: PreTrainedTokenizerBase) -> bool:
        """Return whether that was found out before."""
        return padding.is_known_to_matter(known, tokenizer)

    def run(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None,
        features: Mapping[str, Any],
        request: Request,
        prefix: Prefix | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the features that a model writes: the one that is asked for, or its part.

        Args:
            model: The model.
            tokenizer: Its tokenizer, if it has one.
            features: What the input module made of the inputs.
            request: What is asked.
            prefix: The first tokens of all of them, if they are to be computed once.
            **kwargs: For the model, besides the features.
        """
        with linear.by_onednn(self.onednn, model, features):
            return self._run(model, tokenizer, features, request, prefix, **kwargs)

    def _run(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None,
        features: Mapping[str, Any],
        request: Request,
        prefix: Prefix | None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        part = request.part
        gate = None
        # a model that is being trained is another one at each step, and nothing could be found out that holds
        if request.may_leave_out and not kwargs and not torch.is_grad_enabled():
            known = self.known(model)
            last = self.savings.output(known, features, part, prefix, generates=request.generates)
            if last is not None:
                note("the output at the last token of each input only, without padding")
                return {request.feature: last.unsqueeze(1)} if part is None else {part.of(request.feature): last}
            if tokenizer is not None and (part is not None or request.feature == "scores"):
                gate = self.savings.gate(known, tokenizer, features, request.path, part)
        if gate is not None:
            note(f"in the last layer, after its attention, only the {gate[1]} token of each input")
        with nullcontext() if gate is None else last_layer.only(gate[0], gate[2]):
            output = forward.call(model, request.method, {**features, **kwargs} if kwargs else features, request.path)
        value = forward.read_output(output, request.path)
        if gate is not None and part is not None:
            return {part.of(request.feature): last_layer.at(value, gate[2])}
        written: dict[str, Any] = {request.feature: value}
        if getattr(model.config, "output_hidden_states", False) and "hidden_states" in output:
            written["all_layer_embeddings"] = output["hidden_states"]
        return written
