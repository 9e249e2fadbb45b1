"""Filters settings during a load, when the transformers library passes them to a class.

`files` filters settings before the load, but only the library knows the class for certain. So this module filters them
again for that class, in this load only.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairchain import ForeignSettings, Source
from pairchain.authoring import foreign_settings, read_json_object, require_settings
from pairchain_transformer.libraries.replacements import Replacements
from pairchain_transformer.settings.files import SPECIAL_TOKENS, TOKENIZER, ProcessingSettings, warn_of_left_out
from pairchain_transformer.settings.filtering import Filtered, filter_settings

_PROCESSOR = "processor_config.json"


@dataclass(frozen=True)
class _Load:
    """A load of a tokenizer or processor; ``warned`` contains the settings that were already warned of."""

    source: Source
    given: Collection[str]
    may_be_trusted: bool
    warned: set[str]

    def filter(self, cls: type, values: Mapping[str, Any], file: str) -> Filtered:
        """Return the settings for ``cls``, or raise a TrustRequiredError if one needs trust."""
        is_own_code = not cls.__module__.startswith("transformers.")
        classes = [base.__name__ for base in cls.__mro__]
        found = filter_settings(values, self.source, file, classes, given=self.given, is_own_code=is_own_code)
        self.require(foreign_settings(self.source, found.reaching))
        for key, why in found.left_out.items():
            if (name := key.rpartition(".")[2]) not in self.warned:
                self.warned.add(name)
                warn_of_left_out(f"{file} of {self.source.name}", key, why)
        return found

    def filter_file(self, cls: type, path: str, file: str) -> Filtered:
        """Return the settings for ``cls`` in a local file of the model."""
        return self.filter(cls, read_json_object(Path(path), shown_as=f"{file} of {self.source.name}"), file)

    def require(self, found: ForeignSettings | None) -> None:
        """Raise a TrustRequiredError for settings that are not trusted."""
        if found is not None:
            require_settings(found, may_be_trusted=self.may_be_trusted)


@contextmanager
def filtering_settings(
    source: Source, given: Collection[str], settings: ProcessingSettings, *, may_be_trusted: bool
) -> Iterator[None]:
    """Inside the block, pass to tokenizers and processors only the settings that may reach them.

    Args:
        source, given, settings: The arguments and the result of `processing_settings`.
        may_be_trusted: Whether trust in the model extends to these settings.

    Raises:
        TrustRequiredError: A setting reaches another library, program or repository, and is not trusted.
    """
    load = _Load(source, given, may_be_trusted, {key.rpartition(".")[2] for _, key in settings.left_out})
    load.require(settings.foreign)
    settings.warn()
    with _REPLACEMENTS.during(load):
        yield


def _build_tokenizer(
    load: _Load,
    build: Callable[..., Any],
    cls: type,
    files: Mapping[str, Any],
    name: str,
    settings: Any,
    *args: Any,
    **kwargs: Any,
) -> Any:
    files = dict(files)
    if (path := files.pop("tokenizer_config_file", None)) is not None:
        found = load.filter_file(cls, path, TOKENIZER)
        # the library names a class's files by the class's own keys
        named = {key: file for key, file in found.files.items() if files.get(key) is None}
        settings = {key: value for key, value in found.passed.items() if key != "tokenizer_class"} | named
    with ExitStack() as stack:
        if (path := files.get("special_tokens_map_file")) is not None:
            found = load.filter_file(cls, path, SPECIAL_TOKENS)
            if found.left_out:
                kept = Path(stack.enter_context(tempfile.TemporaryDirectory()), SPECIAL_TOKENS)
                kept.write_text(json.dumps(found.passed), encoding="utf-8")
                files["special_tokens_map_file"] = str(kept)
        return build(cls, files, name, settings, *args, **kwargs)


def _build_part(load: _Load, build: Callable[..., Any], cls: type, values: dict[str, Any], **kwargs: Any) -> Any:
    found = load.filter(cls, values, f"the settings for {cls.__name__}")
    return build(cls, {**found.passed, **found.files}, **kwargs)


def _build_processor(
    load: _Load, build: Callable[..., Any], cls: type, parts: Any, values: dict[str, Any], **kwargs: Any
) -> Any:
    # the names of audio tokenizers' repositories were checked before the load
    tokenizer = {key: value for key, value in values.items() if key == "audio_tokenizer"}
    found = load.filter(cls, {key: value for key, value in values.items() if key not in tokenizer}, _PROCESSOR)
    return build(cls, parts, {**found.passed, **found.files, **tokenizer}, **kwargs)


def _build_parts(
    load: _Load, build: Callable[..., Any], cls: type, name: Any, values: Any = None, **kwargs: Any
) -> Any:
    if values:
        inner = {key: value for key, value in values.items() if isinstance(value, dict)}
        values = {**values, **load.filter(cls, inner, _PROCESSOR).passed}
    return build(cls, name, values, **kwargs)


_REPLACEMENTS: Replacements[_Load] = Replacements(
    {
        ("transformers.tokenization_utils_base", "PreTrainedTokenizerBase", "_from_pretrained"): _build_tokenizer,
        ("transformers.image_processing_base", "ImageProcessingMixin", "from_dict"): _build_part,
        ("transformers.feature_extraction_utils", "FeatureExtractionMixin", "from_dict"): _build_part,
        ("transformers.video_processing_utils", "BaseVideoProcessor", "from_dict"): _build_part,
        ("transformers.processing_utils", "ProcessorMixin", "from_args_and_dict"): _build_processor,
        ("transformers.processing_utils", "ProcessorMixin", "_get_arguments_from_pretrained"): _build_parts,
    }
)
