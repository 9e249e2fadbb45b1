"""The model that a Transformer holds: another backend's, until something needs the transformers library's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from pairchain import InputModule
from pairchain.authoring import BYTES, PrefixStore, checked_count, modules_inside
from pairchain.backends import Execution, Request
from pairchain.errors import InputError
from pairchain_transformer.build import Built
from pairchain_transformer.checkpoint import positions
from pairchain_transformer.checkpoint.processors import pad_left, tokenizer_of
from pairchain_transformer.checkpoint.tasks import Task
from pairchain_transformer.inputs.preprocessing import Preprocessor
from pairchain_transformer.libraries import pickling
from pairchain_transformer.libraries.classes import is_configuration
from pairchain_transformer.quick.tokenizer import QuickTokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from pairchain_transformer.execution.savings import Savings

_log = logging.getLogger(__name__)
# One thread at a time gives a model over to the library, and no thread sees half of that.
_giving_over = threading.RLock()
_SKIPPING = ("pairchain", "torch.", "transformers.")


class HoldsModel(InputModule):
    """Holds a model with its execution and its processor, and gives it over to the transformers library once.

    Attributes:
        task: The model's task.
        backend: The name of the backend that loaded it.
        execution: What runs it.
    """

    task: Task
    _preprocessor: Preprocessor

    def _hold(self, built: Built) -> None:
        """Hold the model of ``built``."""
        self.backend, self._backend_reasons = built.choice.name, dict(built.choice.reasons)
        # the property `model` would give it over to the library
        self._modules["model"], self.execution = built.model, built.execution
        self._deferred = built.deferred
        # nor is there a way back from a model whose weights another library holds
        self._is_given_over = not built.gives_over
        self._padding_is_skipped = False

    @property
    def backend_reasons(self) -> Mapping[str, str]:
        """For each faster backend, or for one that gave the model over to the library, why it does not run it."""
        return self._backend_reasons

    @property
    def savings(self) -> Savings:
        """The work that the backend ``transformers`` skips; you can change its settings.

        A backend that reads ``config.json`` itself gives the model over for it.

        Raises:
            InputError: Another backend runs the model.
        """
        self._give_over("its savings are read")
        found: Savings | None = getattr(self.execution, "savings", None)
        if found is None:
            raise InputError(f"the backend {self.backend!r} has no settings for savings and prefixes.")
        return found

    @property
    def prefix_cache(self) -> int:
        """Bytes in which to keep results on the beginnings of inputs for later calls; can be set."""
        store = getattr(self._keeps_prefixes, "store", None)
        return 0 if store is None else store.most_bytes or 0

    @prefix_cache.setter
    def prefix_cache(self, value: int) -> None:
        most_bytes = checked_count(value, "prefix_cache", least=0, next_step=BYTES)
        keeper = self._keeps_prefixes
        if keeper is not None:
            keeper.store = PrefixStore(most_bytes=most_bytes) if most_bytes else None
        elif most_bytes:
            raise InputError(f"the backend {self.backend!r} has no settings for savings and prefixes.")

    @property
    def _keeps_prefixes(self) -> Any:
        """The object with an attribute ``store`` for prefixes; None if this execution keeps none."""
        own = self.execution
        return own if hasattr(own, "store") else getattr(own, "savings", None)

    @property
    def config(self) -> PretrainedConfig:
        """The model's configuration in the transformers library."""
        config: PretrainedConfig = self._runs.config
        if self._deferred is not None and not is_configuration(config):
            return self._deferred.config
        return config

    @property
    def processor(self) -> Any:
        """The tokenizer, or the processor of a model that reads more than text; can be set."""
        with _giving_over:
            own = self._preprocessor
            if isinstance(own.processor, QuickTokenizer):
                assert self._deferred is not None
                self._preprocessor = own.with_own(self._deferred.processor(self._runs))
            return self._preprocessor.processor

    @processor.setter
    def processor(self, value: Any) -> None:
        if self.task.generates:
            pad_left(value)
        positions.limit_to_positions(tokenizer_of(value), self._runs)
        own = self._preprocessor
        self._preprocessor = Preprocessor(value, own.modality_config, own.model)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, on its own or inside the processor; None if there is none. Can be set."""
        return tokenizer_of(self.processor)

    @tokenizer.setter
    def tokenizer(self, value: Any) -> None:
        if self.processor is self.tokenizer:
            self.processor = value
        else:
            self.processor.tokenizer = value
            self.processor = self.processor

    @property
    def auto_model(self) -> nn.Module:
        """The model, under the name that older code uses."""
        return self.model

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy, which may be in another process."""
        state = dict(vars(self))
        modules = state["_modules"]
        if self._is_given_over:
            state["_modules"] = type(modules)({**modules, "model": pickling.sendable(self._runs)})
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self._is_given_over:
            pickling.received(self._runs)

    @property
    def model(self) -> nn.Module:
        """The model of the transformers library, which runs from now on; can be set.

        Another backend runs its own model until something asks for the library's: this property, training, gradients,
        or what only the library computes. Its weights are then the library's, and it is not loaded again.
        """
        self._give_over("its model is read")
        model: nn.Module = self._runs
        return model

    @property
    def _runs(self) -> Any:
        """The model that runs, which may be another backend's."""
        return self._modules["model"]

    @property
    def reader(self) -> Any:
        """What reads inputs: the library's tokenizer or processor, or one that reads texts in the same way."""
        return self._preprocessor.processor

    @property
    def _reads(self) -> Any:
        """The tokenizer that reads texts, which need not be the library's; None without one."""
        return tokenizer_of(self._preprocessor.processor)

    def _running(self) -> tuple[Any, Execution]:
        with _giving_over:
            return self._runs, self.execution

    def _running_for(self, features: Mapping[str, Any], request: Request) -> tuple[Any, Execution]:
        """Return what runs a request: the library's model from now on, if only that can compute it."""
        if not self._is_given_over and (why := self._why_library(features, request)):
            self._give_over(why)
        return self._running()

    def _give_over(self, why: str) -> None:
        """Let the transformers library run the model from now on, if it does not yet."""
        if self._is_given_over or self._deferred is None:
            return
        with _giving_over:
            if self._is_given_over:
                return
            kept = self.prefix_cache
            # in inference mode its weights could never be trained
            with torch.inference_mode(False):
                self._modules["model"], self.execution = self._deferred.model(self._runs)
            self._is_given_over = True
            self.prefix_cache = kept
        self._backend_reasons = {self.backend: why}
        _log.info("the transformers library runs %s from now on: %s", self._preprocessor.model, why)

    def _why_library(self, features: Mapping[str, Any], request: Request) -> str:
        """Return, as a clause, why only the library can compute a request; empty if its backend can."""
        if torch.is_grad_enabled():
            return "gradients may be computed"
        if request.keywords:
            return f"forward got {sorted(request.keywords)[0]!r}"
        if self._deferred is not None and self._deferred.has_changed_config:
            return "its configuration has changed"
        if not self._padding_is_skipped and self._writes_padding(features, request):
            return "another module may read its output at padding, which only the library computes"
        return self.execution.declines(self._runs, features, request)

    def _writes_padding(self, features: Mapping[str, Any], request: Request) -> bool:
        """Return whether the output has positions for padding."""
        if request.part is not None or request.feature in ("scores", "sentence_embedding"):
            return False
        if request.generates and features.get("logits_to_keep") == 1:
            return False
        mask = features.get("attention_mask")
        return isinstance(mask, torch.Tensor) and not bool(mask.all())

    def on_model_ready(self, model: nn.Module) -> None:
        """Learn whether every module of the chain skips padding, as those of pairchain do."""
        self._padding_is_skipped = skips_padding(model)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "model" and not self.__dict__.get("_is_given_over", True):
            from pairchain_transformer.checkpoint.random_weights import RandomWeights
            from pairchain_transformer.execution.library import LibraryExecution

            # a model that the user set
            self._is_given_over = True
            self.execution = LibraryExecution(RandomWeights(value, (), "", "", ""))

    def train(self, mode: bool = True) -> Self:
        """Set the module to training or evaluation; see `torch.nn.Module.train`."""
        if mode:
            self._give_over("it is trained")
        return super().train(mode)

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Yield the modules inside; an optimizer or a hook needs those of the library's model."""
        self._give_over("its modules or parameters are listed")
        yield from super().named_modules(memo, prefix, remove_duplicate)


def skips_padding(chain: nn.Module) -> bool:
    """Return whether no module in a chain reads outputs at padding: a stranger's module may."""
    return all(type(module).__module__.startswith(_SKIPPING) for module in modules_inside(chain))
