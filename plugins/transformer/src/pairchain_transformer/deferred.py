"""Makes the transformers library's objects for a model that another backend runs, when something asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn

from pairchain import Source
from pairchain.backends import Checkpoint
from pairchain_transformer.checkpoint.kept_files import KeptFiles
from pairchain_transformer.checkpoint.support import usual_attention
from pairchain_transformer.checkpoint.tasks import Task

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from pairchain_transformer.execution.library import LibraryExecution

T = TypeVar("T")


@dataclass
class Deferred:
    """What it takes to make the library's configuration, processor and model of a checkpoint.

    Attributes:
        checkpoint: The checkpoint.
        task: Its task.
        hub: The result of `hub_keywords`.
        make_processor: Returns the processor for a configuration, limited to the positions of a model; the last
            argument is the place of its files if that is not the usual one.
        longest: The longest input that the user set, or None.
        files: The checkpoint's files, except its weights, which may change or disappear after the load.
    """

    checkpoint: Checkpoint
    task: Task
    hub: Mapping[str, Any]
    make_processor: Callable[[PretrainedConfig, nn.Module, Source], Any]
    longest: int | None = None
    files: KeptFiles | None = None
    _config: Any = field(default=None, init=False)
    _before: dict[str, Any] = field(default_factory=dict, init=False)

    @property
    def config(self) -> PretrainedConfig:
        """The library's configuration; the same object each time."""
        if self._config is None:
            from pairchain_transformer.checkpoint.configuration import load_config

            given = self.checkpoint.config_kwargs
            self._config = self._read(lambda place: load_config(place, self.task, self.hub, given))
            self._config.name_or_path = self.checkpoint.source.name
            if self._config._attn_implementation is None:
                # the library sets it when it makes the model; other backends compute the same function
                self._config._attn_implementation = self._assumed_attention
            self._before = dict(vars(self._config))
        found: PretrainedConfig = self._config
        return found

    @property
    def has_changed_config(self) -> bool:
        """Whether the user has changed the configuration."""
        return self._config is not None and self._before != vars(self._config)

    def processor(self, model: nn.Module) -> Any:
        """Return the library's tokenizer or processor for ``model``."""
        from pairchain_transformer.checkpoint.processors import tokenizer_of

        made = self._read(lambda place: self.make_processor(self.config, model, place))
        if (tokenizer := tokenizer_of(made)) is not None:
            tokenizer.name_or_path = self.checkpoint.source.name
        if self.longest is not None:
            tokenizer.model_max_length = self.longest
        return made

    def model(self, packed: nn.Module) -> tuple[nn.Module, LibraryExecution]:
        """Return the library's model with the weights of ``packed``, as views of them where possible."""
        from pairchain_transformer.checkpoint.model import model_with
        from pairchain_transformer.checkpoint.random_weights import RandomWeights
        from pairchain_transformer.execution.library import LibraryExecution

        attention = self.checkpoint.model_kwargs.get("attn_implementation")
        if self.config._attn_implementation == self._assumed_attention:
            # the library knows what the architecture can compute
            self.config._attn_implementation = None
        model = model_with(self.checkpoint.source, self.task, self.config, packed, attention)
        return model, LibraryExecution(RandomWeights(model, (), "", "", ""))

    @property
    def _assumed_attention(self) -> str:
        asked = self.checkpoint.model_kwargs.get("attn_implementation")
        return str(asked or usual_attention(str(self.checkpoint.config.get("model_type"))))

    def save(self, packed: nn.Module, output_path: str) -> None:
        """Write the files of the library's model, with the weights of ``packed``."""
        was_changed = self.has_changed_config
        model, execution = self.model(packed)
        execution.save(model, output_path)
        if not was_changed:
            # making and saving a model fill in what computes nothing, such as its dtype
            self._before = dict(vars(self._config))

    def _read(self, how: Callable[[Source], T]) -> T:
        return how(self.checkpoint.source) if self.files is None else self.files.read(how)
