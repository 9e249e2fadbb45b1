"""Judges a model's settings files before the transformers library reads them, without importing the library."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

from pairchain import ForeignSettings, Setting, Source
from pairchain.authoring import check_inside, foreign_settings, nearest, read_json_object
from pairchain.errors import warn
from pairchain_transformer.files.adapters import audio_tokenizers
from pairchain_transformer.files.names import PROCESSOR_FILES, read_settings
from pairchain_transformer.settings import names
from pairchain_transformer.settings.judging import Judgement, check_counts_in_lock, judge, refuse_paths_out, short
from pairchain_transformer.settings.reaching import class_of_model, reached_by_configuration

TOKENIZER = "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
_PROCESSOR_CLASSES = ("AutoProcessor", "AutoImageProcessor", "AutoFeatureExtractor", "AutoVideoProcessor")
_AUDIO_TOKENIZER = "audio_tokenizer_config.json"
_CONFIGURATIONS = ("config.json", "generation_config.json", "adapter_config.json")


@dataclass(frozen=True)
class Settings:
    """The verdict on the settings files of a model.

    Attributes:
        foreign: The settings that reach other libraries, programs or repositories; None if there are none.
        left_out: The reason why a setting does not reach the library, by file and key; empty if no class reads it.
        vocabulary: Paths of the model's files, by the tokenizer's settings that name their former paths.
    """

    foreign: ForeignSettings | None = None
    left_out: Mapping[tuple[str, str], str] = field(default_factory=dict)
    vocabulary: Mapping[str, str] = field(default_factory=dict)

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


def processing_settings(source: Source, given: Collection[str] = ()) -> Settings:
    """Return the verdict on the files of a tokenizer or processor in ``source``.

    Args:
        source: The place of the files.
        given: Keys that the caller sets instead.

    Raises:
        UnsafePathError: A setting leads out of the model, or names a file that locks do not cover.
        FormatError: A file is damaged.
    """
    audio_tokenizers(source)
    config = read_settings(source, "config.json")
    judged = dict(_judged(source, config, given))
    values = read_settings(source, TOKENIZER)
    _check_versions(source, values)
    reaching = [setting for one in judged.values() for setting in one.reaching]
    reaching += _audio_tokenizer(source)
    return Settings(
        foreign_settings(source, reaching),
        {(f"{file} of {source.name}", key): why for file, one in judged.items() for key, why in one.left_out.items()},
        {
            key: path
            for key, path in (judged[TOKENIZER].files if TOKENIZER in judged else {}).items()
            if values[key] != PureWindowsPath(values[key]).name
        },
    )


def configuration_settings(source: Source, given: Mapping[str, Any] | None = None) -> ForeignSettings | None:
    """Return the settings of a configuration that reach other libraries, programs or repositories, or None.

    Args:
        source: The checkpoint.
        given: Keys that the caller sets instead.

    Raises:
        UnsafePathError: A setting leads out of the model.
        FormatError: A file is damaged.
    """
    found: list[Setting] = []
    for file in _CONFIGURATIONS:
        values = {key: value for key, value in read_settings(source, file).items() if key not in (given or {})}
        of_base = {"base_model_name_or_path": None}
        refuse_paths_out({**values, **of_base}, source, f"{file} of {source.name}", urls=False)
        if file == "config.json":
            reaching = reached_by_configuration(values)
            found += [Setting(file, f"{key} = {short(value)}", goes_to, key) for key, value, goes_to in reaching]
    return foreign_settings(source, found)


def _judged(source: Source, config: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, Judgement]]:
    usual = class_of_model(config.get("model_type"))
    for file in (TOKENIZER, SPECIAL_TOKENS, *_tokenizers_in_folders(source)):
        if values := read_settings(source, file):
            # a tokenizer's file does not apply to the processor that the architecture usually has
            of_kind = usual if "Tokenizer" in usual else ""
            classes = [str(values.get("tokenizer_class") or config.get("tokenizer_class") or of_kind)]
            own_code = _names_code(values, config, ("AutoTokenizer",))
            yield file, judge(values, source, file, classes, given=given, is_own_code=own_code)
    for file in PROCESSOR_FILES:
        if values := read_settings(source, file):
            named = [values.get(key) for key in names.CLASSES]
            classes = [str(name) for name in named if name] or [usual]
            own_code = _names_code(values, config, _PROCESSOR_CLASSES)
            yield file, judge(values, source, file, classes, given=given, is_own_code=own_code)


def _tokenizers_in_folders(source: Source) -> list[str]:
    """Return the files of a processor's further tokenizers, in a local folder or a listed repository."""
    if not source.is_local and source.listing is None:
        return []
    folder = Path(source.name, source.subfolder)
    found = folder.glob("*tokenizer/*.json") if source.is_local else ()
    files = [path.relative_to(folder).as_posix() for path in found] if source.is_local else source.files()
    return sorted(path for path in files if path.endswith((f"tokenizer/{TOKENIZER}", f"tokenizer/{SPECIAL_TOKENS}")))


def _names_code(values: Mapping[str, Any], config: Mapping[str, Any], classes: Collection[str]) -> bool:
    """Return whether the file's class is the model's own code, whose settings may have any names."""
    named = config.get("auto_map")
    return bool(values.get("auto_map")) or (isinstance(named, Mapping) and not named.keys().isdisjoint(classes))


def _audio_tokenizer(source: Source) -> Iterator[Setting]:
    for key, value in read_settings(source, _AUDIO_TOKENIZER).items():
        if key == "audio_tokenizer_name_or_path":
            goes_to = "a model of another repository, which is loaded with your token"
            yield Setting(_AUDIO_TOKENIZER, f"{key} = {short(value)}", goes_to, key)


def _check_versions(source: Source, values: Mapping[str, Any]) -> None:
    versions = values.get("fast_tokenizer_files")
    for name in versions if isinstance(versions, list) else ():
        shown = f"a fast tokenizer's file of {source.name}"
        check_inside(str(name), shown_as=shown)
        check_counts_in_lock(source, str(name), f"{shown} is {name!r}")


def read_file(path: str, source: Source) -> dict[str, Any]:
    """Return the settings in a local file of the model."""
    return read_json_object(Path(path), shown_as=f"{Path(path).name} of {source.name}")
