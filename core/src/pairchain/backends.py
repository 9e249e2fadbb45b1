"""Backends load and run the models of a `Transformer`; ``CrossEncoder(backend="name")`` chooses one.

A plugin registers a class with the methods of `Backend` in the entry-point group ``pairchain.backends``. Only the
caller of a load chooses a backend; a model's files never do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pairchain import registry
from pairchain.errors import ChainError, InputError, PairchainError, SourceError

if TYPE_CHECKING:
    from torch import nn

    from pairchain.chain.parts import Part
    from pairchain.chain.untrained import Untrained
    from pairchain.files.source import Source

# Takes the first backend that supports a checkpoint, in the order of `Backend.auto_rank`.
AUTO = "auto"
LIBRARY = "transformers"
# sentence-transformers' name for the library's own classes; custom modules get this value and may check it.
TORCH = "torch"
DEFAULT = AUTO


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, and how the caller wants it loaded.

    Attributes:
        source: Its files.
        task: A ``transformer_task``, such as ``"sequence-classification"``.
        config: ``config.json``, with ``config_kwargs`` over it; empty for an adapter.
        model_kwargs: The caller's ``model_kwargs``, such as ``dtype``.
        trust_remote_code: Whether code that comes with the checkpoint may run.
        config_kwargs: The caller's entries in ``config``.
        kept: What a backend read to answer `Backend.supports`, under its name, so that it need not read it again to
            load the checkpoint.
    """

    source: Source
    task: str
    config: Mapping[str, Any] = field(default_factory=dict)
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False
    config_kwargs: Mapping[str, Any] = field(default_factory=dict)
    # not an argument, because what was read is true of this checkpoint only
    kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)


@dataclass(frozen=True)
class Support:
    """Whether a backend can load a checkpoint; true if it can.

    Attributes:
        reason: Why it cannot, as a clause: ``"there is no onnx/model.onnx"``. Empty if it can.
        loads: What it would load: the path of a file in the model, or a few words. Empty if it does not say.
    """

    reason: str = ""
    loads: str = ""

    def __bool__(self) -> bool:
        return not self.reason


@dataclass(frozen=True)
class Request:
    """The computation that a `Transformer` requests for one batch.

    Attributes:
        method: The method of the model to call: ``"forward"``, or one such as ``"get_image_features"``.
        path: The path to one tensor in the output, such as ``("logits",)``.
        feature: The feature that this tensor becomes.
        part: The only part of that feature that is read; None for all of it. Write it under ``part.of(feature)``.
        generates: Whether the tensor holds a language model's logits for the next token.
        may_leave_out: Whether only ``feature`` (or its ``part``) is read, so that everything else may be skipped.
        tokenizer: The model's tokenizer, or None.
        prefix: The prefix that `Execution.prefixes` returned for these inputs, or None.
        keywords: Keyword arguments for the model besides its features.
    """

    method: str
    path: Sequence[Any]
    feature: str
    part: Part | None = None
    generates: bool = False
    may_leave_out: bool = False
    tokenizer: Any = None
    prefix: Any = None
    keywords: Mapping[str, Any] = field(default_factory=dict)


class Backend(Protocol):
    """The class that a plugin registers; it is instantiated without arguments.

    Its module must import neither torch nor the library that runs the models, because `inspect` asks every backend.

    Attributes:
        reads_config: Whether it reads ``config.json`` itself. Then `load` gets None for ``config``, and a `Transformer`
            imports the transformers library only for what asks for it. The ``state_dict`` of its models has the
            library's names, so that a `Transformer` can give them over to the library.
        auto_rank: Its place in the order in which ``"auto"`` asks backends, lowest first; None if ``"auto"`` may not
            choose it. Its scores must equal those of the backend `LIBRARY` up to rounding: to 1e-5 in float32.
    """

    reads_config: bool = False
    auto_rank: int | None = None

    def supports(self, checkpoint: Checkpoint) -> Support:
        """Return whether this backend can load ``checkpoint``, judging by the files of the checkpoint alone."""

    def does_without_config(self, checkpoint: Checkpoint) -> bool:
        """Return whether `load` can do without the library's configuration of a checkpoint that it supports.

        It then gets None for ``config``, and the library is imported only for what asks for it. Unlike with
        ``reads_config``, this may differ from checkpoint to checkpoint, and the model is never given over.
        """
        return False

    def load(self, checkpoint: Checkpoint, config: Any) -> tuple[nn.Module, Execution]:
        """Return the loaded model and its `Execution`.

        The model has ``config`` as an attribute. It becomes a part of the `Transformer`, so that the chain's device,
        dtype, state and training reach it; a model without parameters needs a buffer to follow the device.
        If another library holds the weights, the model gives their number as ``weight_count``, which sizes batches.

        Args:
            checkpoint: The checkpoint. Open its files through ``checkpoint.source``, so that they match the lock and
                the commit of the load.
            config: The transformers library's configuration object, read and checked; None if ``reads_config``, or if
                `does_without_config` said so.

        Raises:
            PairchainError: The files are damaged or incomplete, or an entry of ``model_kwargs`` is not understood.
        """


class Execution(Protocol):
    """Runs a loaded model. Subclass it to inherit the methods that you need not write.

    Several threads call `run` at once, and pickle copies it into other processes. Whatever it remembers about a model
    must hold for that model only: users change weights, modules and hooks between calls, and may set another model.
    """

    def run(self, model: nn.Module, features: Mapping[str, Any], request: Request) -> dict[str, Any]:
        """Return the features that ``model`` writes: the one that ``request`` asks for, or its part.

        Args:
            model: What `Backend.load` returned, unless the user set another one.
            features: Tensors of shape (inputs, positions), padded to the longest input, and the features of media.
            request: What to compute.

        Returns:
            A feature of shape (inputs, labels) or (inputs, positions, size); a part of shape (inputs, columns).
        """

    def save(self, model: nn.Module, folder: str) -> None:
        """Write configuration and weights into ``folder``, so that the backend `LIBRARY` loads them again.

        Raises:
            ChainError: This backend cannot save models.
        """
        raise ChainError(
            f"{type(self).__name__} cannot save models.",
            next_step=f"load the model with backend={LIBRARY!r} to save it.",
        )

    def untrained(self, model: nn.Module) -> Untrained | None:
        """Return a description of the weights that the checkpoint lacks and that are still random, or None."""
        return None

    def declines(self, model: nn.Module, features: Mapping[str, Any], request: Request) -> str:
        """Return, as a clause, why it cannot compute a request; empty if it can.

        A `Transformer` then gives the model over to the backend `LIBRARY`, if this one ``reads_config``.

        Args:
            model: As for `run`.
            features: As for `run`.
            request: As for `run`.
        """
        return ""

    def takes_types(self, model: nn.Module) -> bool:
        """Return whether the model reads ``token_type_ids``; if not, differences in them do not matter."""
        return True

    def needs_padding_token(self, model: nn.Module) -> bool:
        """Return whether the tokenizer must have a padding token for inputs of several lengths to run together."""
        return True

    def batches_matter(self, model: nn.Module, request: Request, rows: Sequence[Any] | None) -> bool:
        """Return whether an input's output depends on the rest of its batch; if so, batches ignore token counts.

        Args:
            model: As for `run`.
            request: As for `run`.
            rows: The features of each input without padding; None to ask only what is already known.
        """
        return False

    def is_thread_safe(self, model: nn.Module) -> bool:
        """Return whether several threads may `run` the model on batches of one call at once.

        If not, for example because the model changes when it runs or has hooks, batches run one after the other.
        """
        return True

    def prefixes(self, model: nn.Module, request: Request, rows: Sequence[Any]) -> Sequence[Any]:
        """Return for each row the prefix that it shares with other rows and that is computed once, or None."""
        return [None] * len(rows)


def check_backend(name: str) -> None:
    """Refuse a backend that no installed plugin registers; import nothing.

    Raises:
        InputError: The name is no string.
        UnknownNameError: It names the nearest backend, and all that are registered.
    """
    if not isinstance(name, str):
        raise InputError(f"backend must be the name of an installed backend, not {name!r}.", argument="backend")
    # a chain whose modules use no backend needs no plugin for these
    if (
        name not in (AUTO, TORCH)
        and registry.backends.registered(name) is None
        and registry.backends.lookup(name) is None
    ):
        error = registry.backends.unknown(name)
        error.argument = "backend"
        raise error


def load_backend(name: str) -> Backend:
    """Return the backend ``name``, importing the plugin that registers it.

    Raises:
        InputError: The name is no string.
        UnknownNameError: No installed plugin registers it.
        PluginError: It cannot be imported, or lacks a method.
    """
    check_backend(name)
    backend: Backend = registry.backends.load(name)()
    return backend


def supports_of(checkpoint: Checkpoint) -> dict[str, Support]:
    """Return whether each installed backend, by name, can load ``checkpoint``."""
    return {name: _support_of(name, checkpoint) for name in registry.backends.names() if name != TORCH}


@dataclass(frozen=True)
class Choice:
    """The backend that ``"auto"`` chose.

    Attributes:
        name: Its name.
        reasons: For each backend that would have come before it, why it cannot load the checkpoint.
    """

    name: str
    reasons: Mapping[str, str] = field(default_factory=dict)


def choose_backend(checkpoint: Checkpoint, needs_library: str = "") -> Choice:
    """Return the first backend in the order of ``auto_rank`` that can load ``checkpoint``, or `LIBRARY`.

    Args:
        checkpoint: The checkpoint.
        needs_library: Why the library must read the configuration, as a clause; empty if it need not.

    Raises:
        SourceError: A file cannot be downloaded, so that no backend could tell.
    """
    ranks: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for name in registry.backends.names():
        if name in (TORCH, LIBRARY):
            continue
        try:
            backend = load_backend(name)
        except PairchainError as error:  # a broken plugin is no reason not to load
            reasons[name] = error.what.rstrip(".")
            continue
        rank = getattr(backend, "auto_rank", None)
        if rank is not None and needs_library and getattr(backend, "reads_config", False):
            reasons[name] = needs_library
        elif rank is not None:
            ranks[name] = rank
    for name in sorted(ranks, key=lambda name: (ranks[name], name)):
        if support := _support_of(name, checkpoint, (SourceError,)):
            return Choice(name, reasons)
        reasons[name] = support.reason
    return Choice(LIBRARY, reasons)


def _support_of(name: str, checkpoint: Checkpoint, raised: tuple[type[PairchainError], ...] = ()) -> Support:
    """Return what a backend answers; errors other than those of the types ``raised`` become reasons."""
    try:
        return load_backend(name).supports(checkpoint)
    except raised:
        raise
    except PairchainError as error:
        return Support(error.what)
    except Exception as error:  # a fault of one plugin must not hide what the others answer
        return Support(f"asking it raised {type(error).__name__}: {error}")


def refused(name: str, checkpoint: Checkpoint, support: Support) -> InputError:
    """Return the error for a checkpoint that the backend ``name`` cannot load."""
    able = [other for other, answer in supports_of(checkpoint).items() if answer and other != name]
    able.sort(key=lambda other: other != LIBRARY)
    return InputError(
        f"the backend {name!r} cannot load this model: {support.reason}.",
        where=str(checkpoint.source),
        next_step=f"use backend={able[0]!r}." if able else "",
        argument="backend",
    )
