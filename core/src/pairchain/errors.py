"""Every exception pairchain raises on purpose: what went wrong, where, and what to do next."""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any


class PairchainError(Exception):
    """The base of all pairchain errors.

    Args:
        what: What was asked and what was found instead, in one or two sentences.
        where: The file, key, distribution or module it concerns; empty when ``what`` already says so.
        next_step: What the reader can do about it; empty when nothing can be done.
        argument: The keyword argument that it concerns, such as ``batch_size``, or that would allow what it refuses,
            such as ``allow_pickle``; empty if there is none.
    """

    argument: str = ""

    def __init__(self, what: str, *, where: str = "", next_step: str = "", argument: str = "") -> None:
        what, where, next_step = (set_off(readable(text)) for text in (what, where, next_step))
        lines = [what]
        if where:
            lines.append(f"  where: {where}")
        if next_step:
            lines.append(f"  next:  {next_step}")
        super().__init__("\n".join(lines))
        self.what = what
        self.where = where
        self.next_step = next_step
        if argument:
            self.argument = argument

    def __reduce__(self) -> tuple[Any, ...]:
        # what a worker process raises reaches its caller with all that it says
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(cls: type[PairchainError], args: tuple[Any, ...], state: dict[str, Any]) -> PairchainError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class PairchainWarning(UserWarning):
    """Something that works, but perhaps not as you expect.

    Attributes:
        argument: The keyword argument that decides about it, such as ``tokenizer``; empty if there is none.
    """

    argument: str = ""


class OutOfMemoryWarning(PairchainWarning):
    """A batch did not fit into the device's memory, so the rest runs in smaller batches."""

    argument = "tokens_per_batch"


# What collects the warnings of this thread; None shows them.
_collected: ContextVar[list[PairchainWarning] | None] = ContextVar("pairchain_collected_warnings", default=None)


@contextmanager
def collected_warnings() -> Iterator[list[PairchainWarning]]:
    """Yield a list that gets what `warn` is told in this thread until the block ends; none of it is shown.

    ``warnings.catch_warnings`` would change what every other thread shows, perhaps for good.
    """
    collected: list[PairchainWarning] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


def warn(message: str, category: type[PairchainWarning] = PairchainWarning, *, argument: str = "") -> None:
    """Warn of ``message`` at the line that called into pairchain or one of its plugins, from however deep inside."""
    warning = category(set_off(readable(message)))
    if argument:
        warning.argument = argument
    if (collected := _collected.get()) is not None:
        collected.append(warning)
        return
    frame: FrameType | None = sys._getframe()
    caller = frame
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("pairchain"):
            caller = frame.f_back or frame
        frame = frame.f_back
    assert caller is not None
    warnings.warn_explicit(
        warning,
        category,
        caller.f_code.co_filename,
        caller.f_lineno,
        module=caller.f_globals.get("__name__"),
        registry=caller.f_globals.setdefault("__warningregistry__", {}),
    )


# What starts with one of these, such as "is None", is said of the input itself.
_VERBS = ("is ", "has ", "holds ")


class InputError(PairchainError, ValueError):
    """What was passed in cannot be scored, or cannot be understood.

    Attributes:
        index: Which input it is about, if it is about one. An input module counts in its batch; by the time the error
            reaches the caller of ``predict``, it counts in all that was passed in.
        element: Which element of that pair, 0 or 1, if it is about one.
        fault: What is wrong with the input, without its position.
    """

    index: int | None
    element: int | None

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        next_step: str = "",
        argument: str = "",
        index: int | None = None,
        element: int | None = None,
    ) -> None:
        super().__init__(what, where=where, next_step=next_step, argument=argument)
        self.index = self.element = None
        self.fault = self.what
        if index is not None:
            self.place(index, element)

    def place(self, index: int, element: int | None = None) -> None:
        """Say which input the error is about, instead of what it said of that before.

        Args:
            index: The input.
            element: Which element of the pair; None for what was known of that.
        """
        self.index = index
        self.element = self.element if element is None else element
        named = f"input {index}" if self.element is None else f"input {index}, element {self.element}"
        joint = " " if self.fault.startswith(_VERBS) else ": "
        PairchainError.__init__(self, f"{named}{joint}{self.fault}", where=self.where, next_step=self.next_step)


class PreprocessingError(PairchainError, RuntimeError):
    """Inputs could not be turned into features, and no input is to blame."""


class UnknownKeywordError(PairchainError, TypeError):
    """A keyword argument that nobody takes."""


class ChainError(PairchainError, ValueError):
    """The modules do not make a chain that scores pairs."""


class RandomWeightsError(ChainError):
    """Weights that a score depends on are random: the model's files hold none for them, and nobody trained them.

    Attributes:
        weights: Their names.
    """

    argument = "allow_random_head"

    def __init__(self, what: str, *, weights: tuple[str, ...], next_step: str = "") -> None:
        super().__init__(what, next_step=next_step)
        self.weights = weights


class NonFiniteScoresError(PairchainError, ArithmeticError):
    """The chain wrote scores that are not numbers, or infinite.

    Attributes:
        indices: Positions of the pairs concerned, in the order they were passed in.
    """

    argument = "allow_non_finite"

    def __init__(self, what: str, *, indices: tuple[int, ...], next_step: str = "") -> None:
        super().__init__(what, next_step=next_step)
        self.indices = indices


class WorkerError(PairchainError, RuntimeError):
    """A worker process could not start, or died."""


class FormatError(PairchainError, ValueError):
    """A saved model, or something to be saved, does not follow the format."""


class SaveError(PairchainError, OSError):
    """A file or folder cannot be written: the disk is full, or read-only, or you may not write there.

    What was there before is unchanged.

    Attributes:
        place: The file or folder that was to be written.
        errno: The system's number for the reason, such as `errno.ENOSPC`; None if there is none.
        free: The bytes that are free on that disk, or None if that cannot be told.
    """

    def __init__(
        self, what: str, *, place: str, errno: int | None = None, free: int | None = None, next_step: str = ""
    ) -> None:
        super().__init__(what, next_step=next_step)
        self.place = place
        self.errno = errno
        self.free = free


class FolderBusyError(SaveError, TimeoutError):
    """Another save swaps the files of this folder, and did not end while this one waited.

    Attributes:
        holder: The process that has the folder, or None if that cannot be told.
        waited: The seconds that this save waited.
    """

    def __init__(self, place: str, *, holder: int | None, waited: float) -> None:
        by = "another save" if holder is None else f"a save of process {holder}"
        super().__init__(
            f"cannot save to {place!r}: {by} has been swapping files there for over {waited:.0f} seconds. "
            "What this save would have replaced is unchanged.",
            place=place,
            next_step="see whether that process has stopped, end it if so, and save again.",
        )
        self.holder = holder
        self.waited = waited


class MissingFileError(FormatError):
    """A file that the saved model needs is not there."""


class UnsafePathError(FormatError):
    """A path inside a saved model leaves the model's folder."""


class PickleRefusedError(FormatError):
    """Weights come as a pickle, which can run code when it is read; you did not allow that."""

    argument = "allow_pickle"


class SourceError(PairchainError, OSError):
    """A model's files cannot be had."""


class SourceNotFoundError(SourceError):
    """There is no such folder or repository."""


class RevisionNotFoundError(SourceError):
    """The repository has no such branch, tag or commit."""

    argument = "revision"


class AccessDeniedError(SourceError):
    """The repository is private or gated, and the token does not open it."""


class MissingPackageError(PairchainError, ImportError):
    """A package that this needs, and that is not always needed, is not installed."""


class UnknownNameError(PairchainError, LookupError):
    """No installed plugin provides this type, command or backend.

    Attributes:
        claimed: The distribution that the model's files claim to provide it, which pairchain does not know; or empty.
    """

    def __init__(self, what: str, *, where: str = "", next_step: str = "", claimed: str = "") -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.claimed = claimed


class UnknownTypeError(UnknownNameError):
    """No installed plugin provides a module of this type."""


class TrustRequiredError(PairchainError, PermissionError):
    """Loading would run code that came with a model, and nobody allowed that.

    Attributes:
        approvals: What to pass as ``trust_remote_code`` to allow just that.
    """

    def __init__(self, what: str, *, where: str = "", next_step: str = "", approvals: tuple[str, ...] = ()) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.approvals = approvals


class LockError(PairchainError):
    """A model is not what was locked.

    Attributes:
        mismatches: Every difference, a line each.
    """

    def __init__(self, what: str, *, where: str = "", next_step: str = "", mismatches: tuple[str, ...] = ()) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.mismatches = mismatches


class PluginError(PairchainError):
    """The base of errors about installed plugins.

    Attributes:
        distribution: Name of the distribution concerned.
        version: Its version.
        entry_point: The entry point as ``name = value``.
    """

    def __init__(
        self,
        what: str,
        *,
        distribution: str = "",
        version: str = "",
        entry_point: str = "",
        next_step: str = "",
    ) -> None:
        where = " ".join(part for part in (distribution, version) if part)
        if entry_point:
            where = f"{where}, entry point {entry_point}" if where else f"entry point {entry_point}"
        super().__init__(what, where=where, next_step=next_step)
        self.distribution = distribution
        self.version = version
        self.entry_point = entry_point


class PluginImportError(PluginError, ImportError):
    """An installed plugin failed while being imported."""


class PluginConflictError(PluginError):
    """Two distributions claim one name, or one claims a name reserved for another."""


class LibraryConflictError(PluginError):
    """Two installed libraries that a plugin uses do not fit each other.

    Attributes:
        conflicts: What needs what, and what is installed instead, a sentence each.
    """

    def __init__(self, what: str, *, distribution: str, next_step: str, conflicts: tuple[str, ...]) -> None:
        super().__init__(what, distribution=distribution, next_step=next_step)
        self.conflicts = conflicts


class PluginVersionError(PluginError):
    """A plugin was built for another version of the core."""


def harmless(text: str) -> str:
    """Return ``text``, of which a model may have written parts, with what a terminal would obey written out."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in text
    )


# A model's files can hold names and values of many megabytes. A person reads neither a longer line nor more lines.
MOST_OF_LINE = 1_000
MOST_OF_TEXT = 8_000
MOST_LINES = 60


def readable(text: str) -> str:
    """Return ``text``, of which a model may have written parts, harmless and no longer than a person reads."""
    # shortened before as well: to write out many megabytes takes many seconds
    return shortened_text(harmless(shortened_text(text)))


# How a line of an error begins that this library wrote, or the command does.
_OURS = re.compile(r"\s*(where|next|error|warning):|\S")


def set_off(text: str) -> str:
    """Return ``text`` with a mark before lines that look like ours, where another library or a model wrote them."""
    first, *more = text.split("\n")
    return "\n".join([first, *(f"  | {line}" if _OURS.match(line) else line for line in more)])


def shortened_text(text: str) -> str:
    """Return ``text`` with long lines cut in the middle, and with no more lines than a person reads."""
    if len(text) <= MOST_OF_LINE:
        return text
    lines = text.split("\n")
    kept: list[str] = []
    room = MOST_OF_TEXT
    for line in lines[:MOST_LINES]:
        line = shortened(line)
        room -= len(line)
        if room < 0:
            break
        kept.append(line)
    left = len(lines) - len(kept)
    return "\n".join([*kept, f"  … and {left:,} more lines"] if left else kept)


# A value in a sentence: in quotes, or without a space.
_VALUE = re.compile(r"'[^'\n]{250,}'|\"[^\"\n]{250,}\"|\S{250,}")
_LONGEST_VALUE = 250


def shortened(text: str, most: int = MOST_OF_LINE) -> str:
    """Return ``text``, or if it is longer than ``most``, the beginning and end of it, with how much is between them.

    Of a sentence with long values, each value is shortened first, so that the words around them stay.
    """
    if len(text) <= most:
        return text
    if most > _LONGEST_VALUE:
        text = _VALUE.sub(lambda found: _cut(found[0], _LONGEST_VALUE), text)
    return _cut(text, most)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    # with room for the words between them
    end = most // 4
    begin = max(0, most - end - 40)
    return f"{text[:begin]}… {len(text) - begin - end:,} characters …{text[-end:]}"


_LONGEST_NAME = 200


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the candidate closest to ``name``, or an empty string."""
    if len(name) > _LONGEST_NAME:
        return ""
    names = {candidate for candidate in candidates if len(candidate) <= _LONGEST_NAME}
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
