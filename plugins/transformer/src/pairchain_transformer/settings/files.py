"""Filters a model's settings files before the transformers library reads them, without importing the library."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

from pairchain import ForeignSettings, Setting, Source
from pairchain.authoring import check_inside, foreign_settings, nearest, read_json_object, write_json
from pairchain.errors import warn
from pairchain_transformer.files.adapters import audio_tokenizers
from pairchain_transformer.files.names import PROCESSOR_FILES, read_settings
from pairchain_transformer.settings import names
from pairchain_transformer.settings.filtering import (
    Filtered,
    check_covered_by_locks,
    filter_settings,
    reaching_setting,
    refuse_paths_out,
)
from pairchain_transformer.settings.reaching import class_of_model, reached, reached_by_configuration

TOKENIZER = "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
_PROCESSOR_CLASSES = {"AutoProcessor", "AutoImageProcessor", "AutoFeatureExtractor", "AutoVideoProcessor"}
_AUDIO_TOKENIZER = "audio_tokenizer_config.json"


@dataclass(frozen=True)
class ProcessingSettings:
    """The settings in the files of a tokenizer or processor that need attention.

    Attributes:
        foreign: The settings that reach other libraries, programs or repositories; None if there are none.
        left_out: The reason why a setting does not reach the library, by file and key; empty if no class reads it.
        vocabulary: Paths of the model's files, by the tokenizer's settings that name their former paths.
    """

    foreign: ForeignSettings | None = None
    left_out: Mapping[tuple[str, str], str] = field(default_factory=dict)
    vocabulary: Mapping[str, str] = field(default_factory=dict)

    @property
    def unknown(self) -> str:
        """A left-out setting that a class might read; empty if there is none."""
        return next((key for (_, key), why in self.left_out.items() if why), "")

    def warn(self) -> None:
        """Warn of left-out settings that a class might read."""
        for (file, key), why in self.left_out.items():
            warn_of_left_out(file, key, why)


def warn_of_left_out(file: str, key: str, why: str) -> None:
    """Warn that the setting ``key`` is left out, if there is a reason."""
    if why:
        near = nearest(key, names.PLAIN) if why.startswith("is unknown") else ""
        warn(f"{file} sets {key!r}, which {why}{near}; it is left out unless you pass it in processor_kwargs.")


def has_settings(source: Source) -> bool:
    """Return whether ``source`` has settings of a tokenizer or processor."""
    return any(
        source.file(name) is not None for name in (TOKENIZER, SPECIAL_TOKENS, *PROCESSOR_FILES, _AUDIO_TOKENIZER)
    )


def processing_settings(source: Source, given: Collection[str] = ()) -> ProcessingSettings:
    """Return the settings in the files of a tokenizer or processor in ``source``.

    Args:
        source: The place of the files.
        given: Keys that the caller sets instead.

    Raises:
        UnsafePathError: A setting leads out of the model, or names a file that locks do not cover.
        FormatError: A file is damaged.
    """
    audio_tokenizers(source)
    found = dict(_filtered(source, given))
    reaching = [setting for one in found.values() for setting in one.reaching]
    for key, value in read_settings(source, _AUDIO_TOKENIZER).items():
        if goes_to := reached(key, {key: value}):
            reaching.append(reaching_setting(_AUDIO_TOKENIZER, key, value, goes_to))
    values = read_settings(source, TOKENIZER)
    _check_versions(source, values)
    return ProcessingSettings(
        foreign_settings(source, reaching),
        {(f"{file} of {source.name}", key): why for file, one in found.items() for key, why in one.left_out.items()},
        {
            key: path
            for key, path in found.get(TOKENIZER, Filtered()).files.items()
            if values[key] != PureWindowsPath(values[key]).name
        },
    )


def configuration_settings(source: Source, given: Collection[str] = ()) -> ForeignSettings | None:
    """Return the settings of a configuration that reach other libraries, programs or repositories, or None.

    The arguments and errors are those of `processing_settings`.
    """
    found: list[Setting] = []
    # an adapter's base model is another model
    ignored = {*given, "base_model_name_or_path"}
    for file in ("config.json", "generation_config.json", "adapter_config.json"):
        values = {key: value for key, value in read_settings(source, file).items() if key not in ignored}
        refuse_paths_out(values, source, f"{file} of {source.name}", urls=False)
        if file == "config.json":
            found += [reaching_setting(file, *setting) for setting in reached_by_configuration(values)]
    return foreign_settings(source, found)


def remove_content_read_elsewhere(folder: str) -> None:
    """Remove content that the library read from outside the model from the processor's files in ``folder``.

    The next load reads it again.
    """
    for path in (Path(folder, name) for name in PROCESSOR_FILES):
        if path.is_file():
            values = read_json_object(path, shown_as=path.name)
            if (without := _without_metadata(values)) != values:
                write_json(path, without, indent=2, sort_keys=True)


def _without_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` without the content of the file that ``class_info_file`` names, at any depth."""
    return {
        key: _without_metadata(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if not (key == "metadata" and values.get("class_info_file"))
    }


def _filtered(source: Source, given: Collection[str]) -> Iterator[tuple[str, Filtered]]:
    config = read_settings(source, "config.json")
    usual = class_of_model(config.get("model_type"))
    named_code = config.get("auto_map")
    for file in (TOKENIZER, SPECIAL_TOKENS, *_tokenizers_in_folders(source), *PROCESSOR_FILES):
        if not (values := read_settings(source, file)):
            continue
        if file in PROCESSOR_FILES:
            classes = [str(values[key]) for key in names.CLASSES if values.get(key)] or [usual]
            auto_classes = _PROCESSOR_CLASSES
        else:
            # a tokenizer's file does not apply to the processor that the architecture usually has
            of_kind = usual if "Tokenizer" in usual else ""
            classes = [str(values.get("tokenizer_class") or config.get("tokenizer_class") or of_kind)]
            auto_classes = {"AutoTokenizer"}
        # the model's own code may have settings of any names
        is_own_code = bool(values.get("auto_map")) or (
            isinstance(named_code, Mapping) and not named_code.keys().isdisjoint(auto_classes)
        )
        yield file, filter_settings(values, source, file, classes, given=given, is_own_code=is_own_code)


def _tokenizers_in_folders(source: Source) -> list[str]:
    """Return the files of a processor's further tokenizers, in a local folder or a listed repository."""
    if source.is_local:
        folder = Path(source.name, source.subfolder)
        files = [path.relative_to(folder).as_posix() for path in folder.glob("*tokenizer/*.json")]
    else:
        files = [] if source.listing is None else list(source.files())
    return sorted(path for path in files if path.endswith((f"tokenizer/{TOKENIZER}", f"tokenizer/{SPECIAL_TOKENS}")))


def _check_versions(source: Source, values: Mapping[str, Any]) -> None:
    versions = values.get("fast_tokenizer_files")
    for name in versions if isinstance(versions, list) else ():
        shown = f"a fast tokenizer's file of {source.name}"
        check_inside(str(name), shown_as=shown)
        check_covered_by_locks(source, str(name), f"{shown} is {name!r}")
