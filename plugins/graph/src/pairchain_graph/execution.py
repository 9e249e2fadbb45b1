"""Runs a graph on a batch of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pairchain import Untrained
from pairchain.backends import LIBRARY, Execution, Request
from pairchain.errors import ChainError, FormatError
from pairchain_graph.content import Content
from pairchain_graph.runtime import Graph

_IDS, _MASK, _TYPES, _POSITIONS = "input_ids", "attention_mask", "token_type_ids", "position_ids"
# The beginnings of the names of inputs of graphs that go on from an earlier call, as generating text does.
_OF_A_CACHE = ("past_key_values", "past_", "cache_", "beam_idx", "use_cache")

# What graphs call the output that a task reads; sentence-transformers' exports say token_embeddings.
_OUTPUTS = {"last_hidden_state": ("last_hidden_state", "token_embeddings"), "logits": ("logits",)}

_NOT_COMPUTED = "which a Transformer does not compute"

# Two runs of one row, alone and padded, differ by less in any graph for which padding does not matter.
_ROUNDING = 1e-3


class GraphExecution(Execution):
    """Runs one graph.

    Args:
        content: The graph's files.
        open_graph: Opens them; copies in other processes call it too, so pickle must be able to handle it.
        untrained: The weights that are still random, if the graph was exported from a model with such weights.
        first_position: The position of an input's first token, for graphs that take positions.

    Attributes:
        content: The files, without their bytes if they can be read again.
    """

    def __init__(
        self,
        content: Content,
        open_graph: Callable[[Content], Graph],
        untrained: Untrained | None = None,
        *,
        first_position: int = 0,
    ) -> None:
        self._first_position = first_position
        self._open, self._untrained = open_graph, untrained
        self._graph: Graph | None = open_graph(content)
        self._matters: dict[tuple[str, str], bool] = {}
        self.content = content.forgotten()
        self._check_inputs(self._graph)

    @property
    def graph(self) -> Graph:
        """The graph; a copy opens it on first use."""
        if self._graph is None:
            self._graph = self._open(self.content.again())
        return self._graph

    def run(self, model: nn.Module, features: Mapping[str, Any], request: Request) -> dict[str, Any]:
        """Return the output of the graph that ``request`` reads, in the model's dtype; see `Execution.run`."""
        self._refuse(model, request)
        graph = self.graph
        output = output_named(graph, request.path)
        given = {
            name: self._input(features, name).astype(port.dtype, copy=False) for name, port in graph.inputs.items()
        }
        # torch takes only arrays that can be written
        found = torch.from_numpy(np.require(graph.run(given, output), requirements=["C", "W"]))
        like: Any = getattr(model, "anchor", torch.empty(0))
        return {request.feature: found.to(device=features[_IDS].device, dtype=like.dtype)}

    def takes_types(self, model: nn.Module) -> bool:
        """Return whether the graph reads token types."""
        return _TYPES in self.graph.inputs

    def untrained(self, model: nn.Module) -> Untrained | None:
        """Return the weights of the exported model that are still random, or None."""
        return self._untrained

    def batches_matter(self, model: nn.Module, request: Request, rows: Sequence[Any] | None) -> bool:
        """Return whether padding changes a row's output, as in models that count padding as positions."""
        if self.graph.is_quantized:
            # its activations depend on the batch in any order of batches
            return False
        side = getattr(request.tokenizer, "padding_side", "right")
        field = str(request.path[-1]) if request.path else ""
        if not field:
            return any(found for (known, _), found in self._matters.items() if known == side)
        if (side, field) not in self._matters:
            pad = getattr(request.tokenizer, "pad_token_id", None) or 0
            self._matters[side, field] = self._padding_matters(side, output_named(self.graph, request.path), pad)
        return self._matters[side, field]

    def export(self, write: Callable[[Content, Path], None], path: Path) -> None:
        """Let ``write`` write the graph's files to ``path``."""
        write(self.content.again(), path)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the runtime's objects; a copy opens the files again."""
        return {**vars(self), "_graph": None}

    def _padding_matters(self, side: str, output: str, pad: int) -> bool:
        row = np.arange(4, dtype=np.int64) % 3 + pad + 1
        filler = np.full(3, pad, dtype=np.int64)
        is_left = side == "left"
        padded = np.concatenate([filler, row] if is_left else [row, filler])
        mask = np.concatenate([filler * 0, row * 0 + 1] if is_left else [row * 0 + 1, filler * 0])
        alone = self._probe(row[None], np.ones((1, 4), dtype=np.int64), output)
        among = self._probe(padded[None], mask[None], output)
        if among.ndim == 3 and among.shape[1] > alone.shape[1]:
            among = among[:, -4:] if is_left else among[:, :4]
        return bool(np.abs(alone - among).max() > _ROUNDING * max(1.0, np.abs(alone).max()))

    def _probe(self, ids: np.ndarray, mask: np.ndarray, output: str) -> np.ndarray:
        values = {_IDS: ids, _MASK: mask, _TYPES: np.zeros_like(ids), _POSITIONS: self._positions(mask)}
        graph = self.graph
        return graph.run({name: values[name].astype(port.dtype) for name, port in graph.inputs.items()}, output)

    def check(self, field: str, size: int | None) -> None:
        """Run the graph once, and check the shape of the output for ``field``.

        Args:
            field: The field of the model's output that the graph computes.
            size: The size of the output's last axis according to the configuration; None if it does not say.

        Raises:
            FormatError: It cannot run, or gives another shape.
        """
        output = output_named(self.graph, [field])
        ids = np.zeros((2, 3), dtype=np.int64)
        try:
            found = self._probe(ids, np.ones_like(ids), output).shape
        except Exception as error:
            raise FormatError(
                f"the graph cannot run: {type(error).__name__}: {str(error).splitlines()[0][:300]}",
                where=self.content.name,
                next_step="export it again, or choose another file by file_name.",
            ) from error
        if found[0] != 2 or len(found) not in (2, 3) or (size is not None and found[-1] != size):
            raise FormatError(
                f"the graph's output {output!r} has the shape {tuple(found)} for two inputs of three tokens; according "
                f"to config.json its last axis is {size}.",
                where=self.content.name,
                next_step="the graph is not one of this model; export it again, or choose another file by file_name.",
            )

    def _check_inputs(self, graph: Graph) -> None:
        if unknown := sorted(graph.inputs.keys() - {_IDS, _MASK, _TYPES, _POSITIONS}):
            named = f"{', '.join(unknown[:3])}{f' and {len(unknown) - 3} more inputs' if len(unknown) > 3 else ''}"
            is_cache = all(name.startswith(_OF_A_CACHE) for name in unknown)
            why = "so it continues a text from an earlier call, and a score has none" if is_cache else _NOT_COMPUTED
            raise FormatError(
                f"the graph takes {named}, {why}.",
                where=self.content.name,
                next_step="choose another file by file_name, or pass model_kwargs={'export': True}.",
            )
        if _IDS not in graph.inputs:
            raise FormatError(f"the graph takes no {_IDS}.", where=self.content.name)

    def _input(self, features: Mapping[str, Any], name: str) -> np.ndarray:
        value = features.get(name)
        if value is None:
            if name == _IDS:
                raise ChainError("the features have no input_ids, and a graph reads tokens only.")
            if name == _POSITIONS:
                return self._positions(self._input(features, _MASK))
            ids = features[_IDS]
            value = torch.ones_like(ids) if name == _MASK else torch.zeros_like(ids)
        array: np.ndarray = value.detach().cpu().numpy()
        return np.ascontiguousarray(array)

    def _positions(self, mask: np.ndarray) -> np.ndarray:
        """Return the position of each token, counted without padding, as for the input on its own."""
        counted = np.cumsum(mask, axis=1) - 1 + self._first_position
        return np.where(mask == 0, max(self._first_position - 1, 0), counted)

    def _refuse(self, model: nn.Module, request: Request) -> None:
        """Refuse what a graph cannot compute."""
        advice = f"load the model with backend={LIBRARY!r}."
        if request.method != "forward":
            raise ChainError(f"a graph has no method {request.method!r}.", next_step=advice)
        if request.keywords:
            named = ", ".join(sorted(request.keywords))
            raise ChainError(f"a graph takes no further arguments, and is passed {named}.", next_step=advice)
        if model.training and torch.is_grad_enabled():
            raise ChainError("a graph cannot be trained.", next_step=advice)


def output_named(graph: Graph, path: Sequence[Any]) -> str:
    """Return the name of the output of ``graph`` that holds the field at ``path`` of the library's output.

    Raises:
        ChainError: There is none.
    """
    field = str(path[-1]) if len(path) == 1 else ".".join(map(str, path))
    for name in _OUTPUTS.get(field, ()):
        if name in graph.outputs:
            return name
    if len(graph.outputs) == 1 and field in _OUTPUTS and not any(map(_is_known, graph.outputs)):
        return next(iter(graph.outputs))
    raise ChainError(
        f"the graph writes {', '.join(graph.outputs)}, and the Transformer reads {field!r}.",
        next_step=f"choose another file by file_name, or load the model with backend={LIBRARY!r}.",
    )


def _is_known(output: str) -> bool:
    return output in ("logits", "last_hidden_state", "token_embeddings", "sentence_embedding", "pooler_output")
