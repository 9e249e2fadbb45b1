"""Every exception and warning that pairchain raises on purpose: what went wrong, where, and what to do next.

    PairchainError
    ├─ InputError                   (ValueError)
    ├─ PreprocessingError           (RuntimeError)
    ├─ UnknownKeywordError          (TypeError)
    ├─ UnknownAttributeError        (AttributeError)
    ├─ ChainError                   (ValueError)
    │  └─ RandomWeightsError
    ├─ NonFiniteScoresError         (ArithmeticError)
    ├─ WorkerError                  (RuntimeError)
    ├─ FormatError                  (ValueError)
    │  ├─ MissingFileError
    │  ├─ UnsafePathError
    │  └─ PickleRefusedError
    ├─ SourceError                  (OSError)
    │  ├─ SourceNotFoundError
    │  ├─ RevisionNotFoundError
    │  └─ AccessDeniedError
    ├─ SaveError                    (OSError)
    │  └─ FolderBusyError           (TimeoutError)
    ├─ MissingPackageError          (ImportError)
    ├─ UnknownNameError             (LookupError)
    │  └─ UnknownTypeError
    ├─ TrustRequiredError           (PermissionError)
    ├─ LockError
    └─ PluginError
       ├─ PluginImportError         (ImportError)
       ├─ PluginConflictError
       ├─ PluginVersionError
       └─ LibraryConflictError
    PairchainWarning                (UserWarning)
    └─ OutOfMemoryWarning

Handle an error by its class and attributes; the wording of messages changes between versions.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pairchain.text.escaping import readable, set_off


class PairchainError(Exception):
    """The base of all pairchain errors.

    Attributes:
        what: What was expected and what was found, in one or two sentences.
        where: The file, key, distribution or module at fault; empty when ``what`` says so.
        next_step: What you can do about it; empty when there is nothing.
        argument: The keyword argument at fault, such as ``batch_size``, or the one that would allow what was refused,
            such as ``allow_pickle``; empty if there is none.
        saved_by: For a saved module, the version of the plugin that saved it, and how to get that; empty if the same
            version is installed.
    """

    argument: str = ""
    saved_by: str = ""

    def __init__(self, what: str, *, where: str = "", next_step: str = "", argument: str = "") -> None:
        self.what, self.where, self.next_step = (set_off(readable(text)) for text in (what, where, next_step))
        if argument:
            self.argument = argument
        more = {"where: ": self.where, "next:  ": self.next_step}
        super().__init__("\n".join([self.what, *(f"  {label}{text}" for label, text in more.items() if text)]))

    def advise(self, saved_by: str) -> None:
        """Set `saved_by`, and add it to the message, unless it is empty or set already."""
        if saved_by and not self.saved_by:
            self.saved_by = saved_by
            next_step = f"{saved_by}; or {self.next_step}" if self.next_step else saved_by
            PairchainError.__init__(self, self.what, where=self.where, next_step=next_step)

    def __reduce__(self) -> tuple[Any, ...]:
        # an error of a worker process reaches its caller with all its attributes
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(cls: type[PairchainError], args: tuple[Any, ...], state: dict[str, Any]) -> PairchainError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class PairchainWarning(UserWarning):
    """Something works, but perhaps not as you expect.

    Attributes:
        argument: The keyword argument that decides about it, such as ``tokenizer``; empty if there is none.
        saved_by: As for `PairchainError`.
    """

    argument: str = ""
    saved_by: str = ""


class OutOfMemoryWarning(PairchainWarning):
    """A batch did not fit into the device's memory, so the rest runs in smaller batches."""

    argument = "tokens_per_batch"


# Collects the warnings of this thread; None shows them.
_collected: ContextVar[list[PairchainWarning] | None] = ContextVar("pairchain_collected_warnings", default=None)


@contextmanager
def collected_warnings() -> Iterator[list[PairchainWarning]]:
    """Collect this thread's warnings in the list that is yielded, instead of showing them, until the block ends.

    ``warnings.catch_warnings`` would change what every other thread shows, perhaps for good.
    """
    collected: list[PairchainWarning] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


# What `advising` adds to warnings.
_saved_by: ContextVar[str] = ContextVar("pairchain_saved_by", default="")


@contextmanager
def advising(saved_by: str) -> Iterator[None]:
    """Set ``saved_by`` of the errors and warnings in the block, unless they have one; see `PairchainError`."""
    token = _saved_by.set(saved_by)
    try:
        yield
    except PairchainError as error:
        error.advise(saved_by)
        raise
    finally:
        _saved_by.reset(token)


def current_advice() -> str:
    """Return what the innermost `advising` sets."""
    return _saved_by.get()


def warn(message: str, category: type[PairchainWarning] = PairchainWarning, *, argument: str = "") -> None:
    """Warn with ``message`` at the line that called into pairchain or one of its plugins, however deep the stack is."""
    saved_by = current_advice()
    warning = category(set_off(readable(f"{message} ({saved_by})" if saved_by else message)))
    warning.saved_by = saved_by
    if argument:
        warning.argument = argument
    warn_again(warning)


def warn_again(warning: PairchainWarning) -> None:
    """Show a warning that another thread collected, or collect it in turn; see `warn`."""
    if (collected := _collected.get()) is not None:
        collected.append(warning)
    else:
        show_at_caller(warning)


def show_at_caller(warning: Warning) -> None:
    """Show a warning at the line that called into pairchain or one of its plugins, however deep the stack is."""
    caller = frame = sys._getframe()
    while (outer := frame.f_back) is not None:
        if str(frame.f_globals.get("__name__")).startswith("pairchain"):
            caller = outer
        frame = outer
    # torch calls a module's forward and its property setters
    while caller.f_globals.get("__name__") == "torch.nn.modules.module" and caller.f_back is not None:
        caller = caller.f_back
    warnings.warn_explicit(
        warning,
        type(warning),
        caller.f_code.co_filename,
        caller.f_lineno,
        module=caller.f_globals.get("__name__"),
        registry=caller.f_globals.setdefault("__warningregistry__", {}),
    )


# A message that starts with one of these, such as "is None", has the input as its subject.
_VERBS = ("is ", "has ", "holds ")


class InputError(PairchainError, ValueError):
    """An input or an argument cannot be used.

    Attributes:
        index: The position of the input at fault, or None. An input module counts within its batch; the caller of
            ``predict`` gets the position among all inputs.
        element: The element of that pair at fault, 0 or 1, or None.
        fault: What is wrong with the input, without its position.
    """

    index: int | None = None
    element: int | None = None

    def __init__(self, what: str, *, index: int | None = None, element: int | None = None, **more: str) -> None:
        super().__init__(what, **more)
        self.fault = self.what
        if index is not None:
            self.place(index, element)

    def place(self, index: int, element: int | None = None) -> None:
        """Set the position of the input at fault, in the attributes and in the message.

        Args:
            index: The position of the input.
            element: The element of the pair; None keeps the one that is set.
        """
        self.index = index
        self.element = self.element if element is None else element
        named = f"input {index}" if self.element is None else f"input {index}, element {self.element}"
        joint = " " if self.fault.startswith(_VERBS) else ": "
        PairchainError.__init__(self, f"{named}{joint}{self.fault}", where=self.where, next_step=self.next_step)


class PreprocessingError(PairchainError, RuntimeError):
    """Inputs could not be turned into features, and no single input is at fault."""


class UnknownKeywordError(PairchainError, TypeError):
    """A keyword argument is not known."""


class UnknownAttributeError(PairchainError, AttributeError):
    """A model has no such attribute or method, though those of other libraries have; ``next_step`` names another."""


class ChainError(PairchainError, ValueError):
    """The modules do not make a chain that scores pairs."""


class RandomWeightsError(ChainError):
    """Scores would depend on weights that the model's files lack, and that are therefore random.

    Attributes:
        weights: Their names.
    """

    argument = "allow_random_head"

    def __init__(self, what: str, *, weights: tuple[str, ...], **more: str) -> None:
        super().__init__(what, **more)
        self.weights = weights


class NonFiniteScoresError(PairchainError, ArithmeticError):
    """The chain returned scores that are NaN or infinite.

    Attributes:
        indices: The positions of the inputs that got them.
    """

    argument = "allow_non_finite"

    def __init__(self, what: str, *, indices: tuple[int, ...], **more: str) -> None:
        super().__init__(what, **more)
        self.indices = indices


class WorkerError(PairchainError, RuntimeError):
    """A worker process could not start, or died."""


class FormatError(PairchainError, ValueError):
    """A saved model, or something to be saved, does not follow the format."""


class MissingFileError(FormatError):
    """A saved model lacks a file that it needs."""


class UnsafePathError(FormatError):
    """A path inside a saved model leaves the model's folder.

    Attributes:
        links: If links lead out, the target of each by its path in the folder; else empty.
    """

    def __init__(self, what: str, *, links: Mapping[str, str] | None = None, **more: str) -> None:
        super().__init__(what, **more)
        self.links = dict(links or {})


class PickleRefusedError(FormatError):
    """Weights come as a pickle, which can run code when it is read, and you did not allow that."""

    argument = "allow_pickle"


class SaveError(PairchainError, OSError):
    """A file or folder cannot be written, for example because the disk is full. Existing files are unchanged.

    Attributes:
        place: The file or folder.
        errno: The system's error number, such as `errno.ENOSPC`, or None.
        free: The free bytes on that disk, or None if they are unknown.
    """

    def __init__(
        self, what: str, *, place: str, errno: int | None = None, free: int | None = None, **more: str
    ) -> None:
        super().__init__(what, **more)
        self.place, self.errno, self.free = place, errno, free


class FolderBusyError(SaveError, TimeoutError):
    """Another save to this folder did not finish while this one waited.

    Attributes:
        holder: The process that saves, or None if it is unknown.
        waited: The seconds that this save waited.
    """

    def __init__(self, place: str, *, holder: int | None, waited: float) -> None:
        by = "another save" if holder is None else f"a save of process {holder}"
        super().__init__(
            f"cannot save to {place!r}: {by} has been swapping files there for over {waited:.0f} seconds. "
            "What this save would have replaced is unchanged.",
            place=place,
            next_step="check whether that process has stopped, end it if so, and save again.",
        )
        self.holder, self.waited = holder, waited


class SourceError(PairchainError, OSError):
    """A model's files cannot be read or downloaded."""


class SourceNotFoundError(SourceError):
    """The folder or repository does not exist."""


class RevisionNotFoundError(SourceError):
    """The repository has no such branch, tag or commit."""

    argument = "revision"


class AccessDeniedError(SourceError):
    """The repository is private or gated, and your token does not open it."""


class MissingPackageError(PairchainError, ImportError):
    """An optional package that this needs is not installed."""


class UnknownNameError(PairchainError, LookupError):
    """No installed plugin provides this module type, command or backend.

    Attributes:
        claimed: The distribution that provides it according to the model's files, if pairchain does not know that
            distribution; else empty.
    """

    def __init__(self, what: str, *, claimed: str = "", **more: str) -> None:
        super().__init__(what, **more)
        self.claimed = claimed


class UnknownTypeError(UnknownNameError):
    """No installed plugin provides a module of this type."""


class TrustRequiredError(PairchainError, PermissionError):
    """Loading would run code that came with a model, and you did not allow that.

    Attributes:
        approvals: What to pass as ``trust_remote_code`` to allow exactly that.
    """

    def __init__(self, what: str, *, approvals: tuple[str, ...] = (), **more: str) -> None:
        super().__init__(what, **more)
        self.approvals = approvals


class LockError(PairchainError):
    """A model differs from its lock.

    Attributes:
        mismatches: The differences, a line each.
    """

    def __init__(self, what: str, *, mismatches: tuple[str, ...] = (), **more: str) -> None:
        super().__init__(what, **more)
        self.mismatches = mismatches


class PluginError(PairchainError):
    """The base of errors about installed plugins.

    Attributes:
        distribution: The name of the distribution.
        version: Its version.
        entry_point: The entry point, as ``name = value``.
    """

    def __init__(
        self, what: str, *, distribution: str = "", version: str = "", entry_point: str = "", **more: str
    ) -> None:
        named = " ".join(filter(None, (distribution, version)))
        where = ", ".join(filter(None, (named, f"entry point {entry_point}" if entry_point else "")))
        super().__init__(what, where=where, **more)
        self.distribution, self.version, self.entry_point = distribution, version, entry_point


class PluginImportError(PluginError, ImportError):
    """A plugin failed to import."""


class PluginConflictError(PluginError):
    """Two distributions register one name, or one registers a name that is reserved for another."""


class PluginVersionError(PluginError):
    """A plugin needs another version of pairchain-core, or a saved module a newer version of its plugin."""


class LibraryConflictError(PluginError):
    """Two installed libraries that a plugin uses do not work together.

    Attributes:
        conflicts: The unmet requirements, a sentence each.
    """

    def __init__(self, what: str, *, conflicts: tuple[str, ...], **more: str) -> None:
        super().__init__(what, **more)
        self.conflicts = conflicts
