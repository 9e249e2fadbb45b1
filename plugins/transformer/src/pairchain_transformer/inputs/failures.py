"""What it is due to if a tokenizer or processor raises: one input, all of them together, the settings, or itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from pairchain.errors import InputError, PairchainError, PreprocessingError, collected_warnings
from pairchain_transformer.inputs.messages import is_text_only
from pairchain_transformer.inputs.processing import DEFAULTS, Settings
from pairchain_transformer.inputs.templates import skeleton
from pairchain_transformer.libraries.messages import Said, in_a_line
from pairchain_transformer.libraries.packages import missing_package

# Of inputs that may all be refused, so many tell enough.
_MOST_TRIED = 4

# Makes features of inputs by settings.
Process = Callable[[Sequence[Any], Settings], dict[str, Any]]


def explained(process: Process, items: Sequence[Any], settings: Settings) -> dict[str, Any]:
    """Return what ``process`` makes of ``items`` by ``settings``.

    Raises:
        InputError: It cannot process one of them, which the error names; all of them together; or anything at all by
            these settings.
        PreprocessingError: It fails for a reason that lies in none of these.
        PluginError: It needs a package that is not installed.
    """
    try:
        return process(items, settings)
    except (PairchainError, Warning, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # theirs have no common base
        if isinstance(error, ImportError) or Said.PACKAGE_IS_MISSING.by(error):
            raise missing_package(error) from error
        # each attempt may warn of what was warned of already
        with collected_warnings():
            explanation = _explanation(error, process, items, settings)
        raise explanation from error


def _explanation(error: Exception, process: Process, items: Sequence[Any], settings: Settings) -> PairchainError:
    reason = f"{type(error).__name__}: {in_a_line(error, 300)}"
    first = next((place for place, item in enumerate(items) if not _works(process, [item], settings)), None)
    if first is None:
        return _of_all(reason, works_now=_works(process, items, settings), count=len(items))
    if _holds_half_a_character(items[first]):
        return InputError(
            "holds half of a character, as text does that was decoded with errors='surrogateescape'.",
            next_step="decode it with errors='replace'.",
            index=first,
        )
    plain = _plain(items[first])
    if plain is not None and not _works(process, [plain], settings):
        return _of_none(reason, works_by_default=_works(process, [plain], DEFAULTS))
    others = items[1:_MOST_TRIED]
    if plain is None and not first and others and not any(_works(process, [item], settings) for item in others):
        return InputError(
            f"none of the first {1 + len(others)} inputs can be processed: {reason}",
            next_step="check processing_kwargs, and what the inputs have in common.",
        )
    return InputError(
        f"it cannot be processed: {reason}", next_step="check what it is, and processing_kwargs.", index=first
    )


def _of_all(reason: str, *, works_now: bool, count: int) -> PairchainError:
    """Return the error for inputs of which each can be processed alone."""
    if works_now:
        return PreprocessingError(
            f"processing {count} inputs failed, and worked when it was tried again, so the inputs are not to blame: "
            f"{reason}",
            next_step="look for what else happened at that moment, such as another thread that changed the model's "
            "tokenizer or processor.",
        )
    return InputError(
        f"{count} inputs cannot be processed together, although each can be alone: {reason}",
        next_step="check padding and truncation in processing_kwargs; together, inputs must get one length or size.",
    )


def _of_none(reason: str, *, works_by_default: bool) -> PairchainError:
    """Return the error for a processor that cannot even process a plain text by the settings."""
    if works_by_default:
        return InputError(
            f"nothing can be processed by these settings, not even a plain text: {reason}",
            next_step="check processing_kwargs and the other settings of this call.",
        )
    return PreprocessingError(
        f"the model's tokenizer or processor cannot even process a plain text; the inputs are not to blame: {reason}",
        next_step="check what was changed about it since it was loaded, and its code if that came with the model.",
    )


def _works(process: Process, items: Sequence[Any], settings: Settings) -> bool:
    try:
        process(items, settings)
    except Exception:  # as above
        return False
    return True


def _plain(item: Any) -> Any:
    """Return an input of the same form that any processor can process; None if that cannot be known."""
    if isinstance(item, str):
        return "a"
    if isinstance(item, tuple) and all(isinstance(side, str) for side in item):
        return tuple("a" for _ in item)
    if isinstance(item, list) and all(isinstance(side, str) for side in item):
        return ["a" for _ in item]
    is_chat = isinstance(item, list) and all(isinstance(message, Mapping) and "role" in message for message in item)
    return skeleton(item, "a") if is_chat and is_text_only(item) else None


def _holds_half_a_character(item: Any) -> bool:
    if isinstance(item, Mapping):
        return any(map(_holds_half_a_character, item.values()))
    if isinstance(item, (list, tuple)):
        return any(map(_holds_half_a_character, item))
    return isinstance(item, str) and any("\ud800" <= letter <= "\udfff" for letter in item)
