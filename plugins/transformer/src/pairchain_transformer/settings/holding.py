"""Filters settings during a load, when the transformers library passes them to a class.

`files` judges settings before the load, but only the library knows the class for certain. So this module judges them
again for that class. The filters are in place during a load, and affect only that load.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.image_processing_base import ImageProcessingMixin
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.video_processing_utils import BaseVideoProcessor

from pairchain import ForeignSettings, Source
from pairchain.authoring import foreign_settings, require_settings
from pairchain_transformer.libraries.stand_ins import StandIns
from pairchain_transformer.settings.files import SPECIAL_TOKENS, TOKENIZER, Settings, read_file, warn_of_left_out
from pairchain_transformer.settings.judging import Judgement, judge


@dataclass(frozen=True)
class _Load:
    """A load of a tokenizer or processor; ``told`` contains the settings that were already warned of."""

    source: Source
    given: Collection[str]
    may_be_trusted: bool
    told: set[str] = field(default_factory=set)

    def judge(self, cls: type, values: Mapping[str, Any], file: str) -> Judgement:
        """Return the judgement on settings for ``cls``, or raise a TrustRequiredError if one needs trust."""
        is_own_code = not cls.__module__.startswith("transformers.")
        classes = [base.__name__ for base in cls.__mro__]
        found = judge(values, self.source, file, classes, given=self.given, is_own_code=is_own_code)
        _require(foreign_settings(self.source, found.reaching), self.may_be_trusted)
        for key, why in found.left_out.items():
            if (name := key.rpartition(".")[2]) not in self.told:
                self.told.add(name)
                warn_of_left_out(f"{file} of {self.source.name}", key, why)
        return found


_current: ContextVar[_Load | None] = ContextVar("pairchain_transformer_settings", default=None)


def _require(found: ForeignSettings | None, may_be_trusted: bool) -> None:
    if found is not None:
        require_settings(found, may_be_trusted=may_be_trusted)


@contextmanager
def holding(source: Source, given: Collection[str], settings: Settings, *, may_be_trusted: bool) -> Iterator[None]:
    """Inside the block, pass to tokenizers and processors only the settings that `judge` lets pass.

    Args:
        source: The model.
        given: Keys that the caller sets.
        settings: The verdict on the model's files.
        may_be_trusted: Whether trust in the model extends to these settings.

    Raises:
        TrustRequiredError: A setting reaches another library, program or repository, and is not trusted.
    """
    _require(settings.foreign, may_be_trusted)
    settings.warn()
    told = {key.rpartition(".")[2] for _, key in settings.left_out}
    token = _current.set(_Load(source, given, may_be_trusted, told))
    try:
        with _STAND_INS.in_place():
            yield
    finally:
        _current.reset(token)


def _tokenizer(original: Any) -> Callable[..., Any]:
    """Return the replacement for the method that builds a tokenizer from its settings."""

    def _from_pretrained(
        cls: type, files: dict[str, Any], name: str, settings: Any, *inputs: Any, **kwargs: Any
    ) -> Any:
        make = original.__get__(None, cls)
        if (load := _current.get()) is None:
            return make(files, name, settings, *inputs, **kwargs)
        files = dict(files)
        if (path := files.pop("tokenizer_config_file", None)) is not None:
            found = load.judge(cls, read_file(path, load.source), TOKENIZER)
            # the library names a class's files by the class's own keys
            named = {key: file for key, file in found.files.items() if files.get(key) is None}
            settings = {key: value for key, value in found.passed.items() if key != "tokenizer_class"} | named
        with ExitStack() as stack:
            if (path := files.get("special_tokens_map_file")) is not None:
                found = load.judge(cls, values := read_file(path, load.source), SPECIAL_TOKENS)
                if found.passed != values:
                    files["special_tokens_map_file"] = _written(stack, found.passed)
            return make(files, name, settings, *inputs, **kwargs)

    return _from_pretrained


def _written(stack: ExitStack, values: Mapping[str, Any]) -> str:
    path = Path(stack.enter_context(tempfile.TemporaryDirectory()), SPECIAL_TOKENS)
    path.write_text(json.dumps(values), encoding="utf-8")
    return str(path)


def _part(original: Any) -> Callable[..., Any]:
    """Return the replacement for the method that builds a part of a processor from its settings."""

    def from_dict(cls: type, values: dict[str, Any], **kwargs: Any) -> Any:
        if (load := _current.get()) is not None:
            found = load.judge(cls, values, f"the settings for {cls.__name__}")
            values = {**found.passed, **found.files}
        return original.__get__(None, cls)(values, **kwargs)

    return from_dict


def _processor(original: Any) -> Callable[..., Any]:
    """Return the replacement for the method that builds a processor from its parts and settings."""

    def from_args_and_dict(cls: type, parts: Any, values: dict[str, Any], **kwargs: Any) -> Any:
        if (load := _current.get()) is not None:
            tokenizer = {key: value for key, value in values.items() if key == "audio_tokenizer"}
            found = load.judge(cls, {key: value for key, value in values.items() if key not in tokenizer}, _PROCESSOR)
            values = {**found.passed, **found.files, **tokenizer}
        return original.__get__(None, cls)(parts, values, **kwargs)

    return from_args_and_dict


def _parts(original: Any) -> Callable[..., Any]:
    """Return the replacement for the method that builds a processor's parts, some from the processor's settings."""

    def _get_arguments_from_pretrained(cls: type, name: Any, values: Any = None, **kwargs: Any) -> Any:
        if values and (load := _current.get()) is not None:
            inner = {key: value for key, value in values.items() if isinstance(value, dict)}
            values = {**values, **load.judge(cls, inner, _PROCESSOR).passed}
        return original.__get__(None, cls)(name, values, **kwargs)

    return _get_arguments_from_pretrained


_PROCESSOR = "processor_config.json"

# if a package that a class needs is not installed, the library's class is an empty placeholder
_STAND_INS = StandIns(
    *(
        (cls, name, make)
        for cls, name, make in (
            (PreTrainedTokenizerBase, "_from_pretrained", _tokenizer),
            (ImageProcessingMixin, "from_dict", _part),
            (FeatureExtractionMixin, "from_dict", _part),
            (BaseVideoProcessor, "from_dict", _part),
            (ProcessorMixin, "from_args_and_dict", _processor),
            (ProcessorMixin, "_get_arguments_from_pretrained", _parts),
        )
        if name in vars(cls)
    )
)
