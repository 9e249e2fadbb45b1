"""Makes the transformers library's objects for a model that another backend runs, when something asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from pairchain.backends import Checkpoint
from pairchain_transformer.checkpoint.tasks import Task

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from pairchain_transformer.execution.library import LibraryExecution


@dataclass
class Deferred:
    """What it takes to make the library's configuration, processor and model of a checkpoint.

    Attributes:
        checkpoint: The checkpoint.
        task: Its task.
        hub: The result of `hub_keywords`.
        config_kwargs: The caller's.
        make_processor: Returns the processor for a configuration, limited to the positions of a model.
        longest: The longest input that the user set, or None.
    """

    checkpoint: Checkpoint
    task: Task
    hub: Mapping[str, Any]
    config_kwargs: Mapping[str, Any]
    make_processor: Callable[[PretrainedConfig, nn.Module], Any]
    longest: int | None = None
    _config: Any = field(default=None, init=False)
    _before: dict[str, Any] = field(default_factory=dict, init=False)

    @property
    def config(self) -> PretrainedConfig:
        """The library's configuration; the same object each time."""
        if self._config is None:
            from pairchain_transformer.checkpoint.configuration import load_config

            self._config = load_config(self.checkpoint.source, self.task, self.hub, self.config_kwargs)
            # the library sets it when it makes the model, and every packed model computes this attention
            asked = self.checkpoint.model_kwargs.get("attn_implementation")
            self._config._attn_implementation = self._config._attn_implementation or asked or "sdpa"
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

        made = self.make_processor(self.config, model)
        if self.longest is not None:
            tokenizer_of(made).model_max_length = self.longest
        return made

    def model(self, packed: nn.Module) -> tuple[nn.Module, LibraryExecution]:
        """Return the library's model with the weights of ``packed``, as views of them where possible."""
        from pairchain_transformer.checkpoint.model import model_with
        from pairchain_transformer.checkpoint.random_weights import RandomWeights
        from pairchain_transformer.execution.library import LibraryExecution

        attention = self.checkpoint.model_kwargs.get("attn_implementation")
        model = model_with(self.checkpoint.source, self.task, self.config, packed, attention)
        return model, LibraryExecution(RandomWeights(model, (), "", "", ""))
