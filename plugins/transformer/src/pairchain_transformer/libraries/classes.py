"""Recognizes objects of the transformers library without importing it: without the import, there are none."""

from __future__ import annotations

import sys
from typing import Any

_TOKENIZER = ("transformers.tokenization_utils_base", "PreTrainedTokenizerBase")
_PROCESSOR = ("transformers.processing_utils", "ProcessorMixin")
_CONFIGURATION = ("transformers.configuration_utils", "PretrainedConfig")
_TRUNCATION = ("transformers.tokenization_utils_base", "TruncationStrategy")


def is_instance(value: Any, module: str, name: str) -> bool:
    """Return whether ``value`` is an instance of the class ``name`` of ``module``, which need not be imported."""
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(value, cls)


def is_tokenizer(value: Any) -> bool:
    """Return whether ``value`` is one of the library's tokenizers."""
    return is_instance(value, *_TOKENIZER)


def is_processor(value: Any) -> bool:
    """Return whether ``value`` is one of the library's processors of more than text."""
    return is_instance(value, *_PROCESSOR)


def is_configuration(value: Any) -> bool:
    """Return whether ``value`` is one of the library's configurations."""
    return is_instance(value, *_CONFIGURATION)


def is_truncation(value: Any) -> bool:
    """Return whether ``value`` is one of the library's names for a way to cut inputs."""
    return is_instance(value, *_TRUNCATION)
