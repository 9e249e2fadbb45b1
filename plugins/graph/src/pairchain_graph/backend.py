"""The part of a backend that all runtimes of exported graphs share; imports neither torch nor a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pairchain.backends import LIBRARY, Backend, Checkpoint, Support, load_backend
from pairchain.errors import InputError, PairchainError
from pairchain_graph.config import first_position, output_size, says_enough
from pairchain_graph.files import Layout, choose
from pairchain_graph.settings import Settings

if TYPE_CHECKING:
    from torch import nn

    from pairchain.backends import Execution
    from pairchain_graph.runtime import Runtime

# The field of the model's output that each task reads.
FIELDS = {
    "sequence-classification": "logits",
    "feature-extraction": "last_hidden_state",
    "text-generation": "logits",
}

# Files of weights that the library loads.
_WEIGHTS = (
    *("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)


class GraphBackend(Backend):
    """Loads the graph that a model ships, or else exports one from the library's model.

    Attributes:
        name: The name that it is registered by.
        package: The package of the runtime.
        layout: Where the graphs of a model are.
        options: The entries of ``model_kwargs`` that the runtime takes.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    layout: ClassVar[Layout]
    options: ClassVar[Sequence[str]]

    def runtime(self) -> Runtime:
        """Return the runtime; imports it."""
        raise NotImplementedError

    def supports(self, checkpoint: Checkpoint) -> Support:
        """Return whether the model has a graph, or could be exported."""
        if find_spec(self.package) is None:
            return Support(f"the package {self.package} is not installed")
        if checkpoint.task not in FIELDS:
            return Support(f"it runs no models for the task {checkpoint.task!r}")
        if not checkpoint.config:
            return Support("it cannot load an adapter; merge the adapter into its model first")
        try:
            settings = Settings.of(checkpoint.model_kwargs, self.name, self.options)
            path = choose(checkpoint.source, settings, self.layout)
        except InputError as error:
            return Support(error.what.rstrip("."))
        if path is not None:
            return Support(loads=checkpoint.source.path_of(path))
        reason = load_backend(LIBRARY).supports(checkpoint).reason
        if not reason and not any(map(checkpoint.source.has, _WEIGHTS)):
            reason = "it has no weights"
        if not reason:
            return Support(loads="an export, made at the first load")
        plain = f"{self.layout.folder}/{self.layout.plain}"
        return Support(f"there is no {plain}, and it cannot be exported: {reason}")

    def does_without_config(self, checkpoint: Checkpoint) -> bool:
        """Return whether there is a graph already, and ``config.json`` says itself what the library would say."""
        if not says_enough(checkpoint.config):
            return False
        settings = Settings.of(checkpoint.model_kwargs, self.name, self.options)
        if choose(checkpoint.source, settings, self.layout) is not None:
            return True
        from pairchain_graph.exporting import exported_before

        content = exported_before(checkpoint, self.layout, self.runtime())
        checkpoint.kept[self.name] = content
        return content is not None

    def load(self, checkpoint: Checkpoint, config: Any) -> tuple[nn.Module, Execution]:
        """Return the model and its execution; see `Backend.load`."""
        from pairchain_graph.execution import GraphExecution
        from pairchain_graph.exporting import exported
        from pairchain_graph.model import GraphModel

        settings = Settings.of(checkpoint.model_kwargs, self.name, self.options)
        runtime, field = self.runtime(), FIELDS[checkpoint.task]
        path = choose(checkpoint.source, settings, self.layout)
        random = None
        if (kept := checkpoint.kept.pop(self.name, None)) is not None:
            content = kept
        elif path is None:
            content, random = exported(checkpoint, config, field, self.layout, runtime)
        else:
            content = runtime.content(checkpoint.source, path)
        # four bytes a weight, which is near enough to size batches
        weights = content.size // 4
        opened = partial(runtime.open, settings=dict(settings.runtime))
        execution = GraphExecution(content, opened, random, first_position=first_position(checkpoint.config))
        execution.check(field, output_size(checkpoint.task, config, checkpoint.config))
        return GraphModel(config, weights), execution

    def export(self, execution: Any, folder: Path, *, int8: bool = False) -> Path:
        """Write the graph of ``execution`` in ``folder``, in the layout that publishers use, and return its path.

        Args:
            execution: What `load` returned.
            folder: An existing folder.
            int8: Whether to convert its weights to int8.

        Raises:
            InputError: The runtime cannot convert weights.
            MissingPackageError: A package that it needs for it is not installed.
        """
        from pairchain_graph.execution import GraphExecution
        from pairchain_graph.exporting import write_files

        if not isinstance(execution, GraphExecution):
            raise InputError(f"the model was not loaded by the backend {self.name!r}.", argument="execution")
        content = execution.content.again()
        path = folder / self.layout.folder / (self.int8_name() if int8 else self.layout.plain)
        path.parent.mkdir(parents=True, exist_ok=True)
        if int8:
            self.write_int8(content, path)
        else:
            write_files(content, path)
        return path

    def int8_name(self) -> str:
        """Return the published name of a graph with int8 weights for this processor."""
        return self.layout.best_int8()[0]

    def write_int8(self, content: Any, path: Path) -> None:
        """Write the graph of ``content`` with int8 weights to ``path``.

        Raises:
            PairchainError: The runtime cannot convert weights.
        """
        raise PairchainError(f"the backend {self.name!r} cannot convert weights to int8.")
