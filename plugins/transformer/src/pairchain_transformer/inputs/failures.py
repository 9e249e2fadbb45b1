"""Finds out why a tokenizer or processor failed: an input, the batch, the settings, or the processor itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from pairchain.errors import InputError, PairchainError, PreprocessingError, collected_warnings
from pairchain_transformer.inputs.messages import is_text_only
from pairchain_transformer.inputs.processing import DEFAULTS, Settings
from pairchain_transformer.inputs.templates import skeleton
from pairchain_transformer.libraries.messages import PACKAGE_IS_MISSING, in_a_line
from pairchain_transformer.libraries.packages import missing_package

# How many inputs to try in order to tell whether all of them fail.
_MOST_TRIED = 4

# Turns inputs into features according to settings.
Process = Callable[[Sequence[Any], Settings], dict[str, Any]]


def explained(process: Process, items: Sequence[Any], settings: Settings) -> dict[str, Any]:
    """Return the result of ``process``, or raise an error that names the cause of its failure.

    Raises:
        InputError: The cause is one input, which the error names; all inputs together; or the settings.
        PreprocessingError: The cause is none of these.
        PluginError: ``process`` needs a package that is not installed.
    """
    try:
        return process(items, settings)
    except (PairchainError, Warning, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # errors of processors have no common base
        if isinstance(error, ImportError) or PACKAGE_IS_MISSING in str(error):
            raise missing_package(error) from error
        # each attempt may repeat a warning
        with collected_warnings():
            explanation = _explanation(error, process, items, settings)
        raise explanation from error


def _explanation(error: Exception, process: Process, items: Sequence[Any], settings: Settings) -> PairchainError:
    def works(some: Sequence[Any], by: Settings = settings) -> bool:
        try:
            process(some, by)
        except Exception:  # as above
            return False
        return True

    reason = f"{type(error).__name__}: {in_a_line(error, 300)}"
    first = next((place for place, item in enumerate(items) if not works([item])), None)
    if first is None:
        return _of_all(reason, works_now=works(items), count=len(items))
    if _has_unpaired_surrogate(items[first]):
        return InputError(
            "has an unpaired surrogate (invalid Unicode), as text decoded with errors='surrogateescape' may.",
            next_step="decode it with errors='replace'.",
            index=first,
        )
    plain = _plain(items[first])
    if plain is not None and not works([plain]):
        return _of_none(reason, works_by_default=works([plain], DEFAULTS))
    others = items[1:_MOST_TRIED]
    if plain is None and not first and others and not any(works([item]) for item in others):
        return InputError(
            f"none of the first {1 + len(others)} inputs can be processed: {reason}",
            next_step="check processing_kwargs, and what the inputs have in common.",
        )
    return InputError(
        f"the model's tokenizer or processor fails on it: {reason}",
        next_step="check what it is, and processing_kwargs.",
        index=first,
    )


def _of_all(reason: str, *, works_now: bool, count: int) -> PairchainError:
    """Return the error for inputs that fail together although each works alone."""
    if works_now:
        return PreprocessingError(
            f"processing {count} inputs failed, but a second attempt worked, so the inputs are not at fault: {reason}",
            next_step="check what else happened at that moment: another thread may have changed the model's tokenizer "
            "or processor.",
        )
    return InputError(
        f"{count} inputs cannot be processed together, although each can be processed alone: {reason}",
        next_step="check padding and truncation in processing_kwargs; a batch needs one length or size.",
    )


def _of_none(reason: str, *, works_by_default: bool) -> PairchainError:
    """Return the error for a processor that fails even on plain text."""
    if works_by_default:
        return InputError(
            f"nothing can be processed with these settings, not even a plain text: {reason}",
            next_step="check processing_kwargs and the other settings of this call.",
        )
    return PreprocessingError(
        f"the model's tokenizer or processor fails even on a plain text, so the inputs are not at fault: {reason}",
        next_step="check how it was changed after loading, and its code if that came with the model.",
    )


def _plain(item: Any) -> Any:
    """Return a simple text input of the same form; None for media."""
    if isinstance(item, str):
        return "a"
    if not isinstance(item, (list, tuple)):
        return None
    if all(isinstance(side, str) for side in item):
        return type(item)("a" for _ in item)
    is_chat = all(isinstance(message, Mapping) and "role" in message for message in item)
    return skeleton(list(item), "a") if is_chat and is_text_only(list(item)) else None


def _has_unpaired_surrogate(item: Any) -> bool:
    if isinstance(item, Mapping):
        item = list(item.values())
    if isinstance(item, (list, tuple)):
        return any(map(_has_unpaired_surrogate, item))
    return isinstance(item, str) and any("\ud800" <= letter <= "\udfff" for letter in item)
