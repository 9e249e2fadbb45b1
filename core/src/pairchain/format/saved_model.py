"""The format of a saved model: ``modules.json``, ``config_sentence_transformers.json`` and a folder for each module.

It is the format of sentence-transformers' CrossEncoder. pairchain's own settings are in keys which that library
ignores, so that each library loads what the other saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from pairchain.errors import FormatError, warn
from pairchain.files.json_files import read_json, read_json_object, unknown_keys, write_json
from pairchain.files.names import CHECKPOINT_FILE, CONFIG_FILE, MODULES_FILE
from pairchain.files.paths import check_inside
from pairchain.files.source import Source
from pairchain.files.staging import INTERRUPTED
from pairchain.registry.metadata import installed_version
from pairchain.text.escaping import on_one_line, short_repr

MODEL_TYPE = "CrossEncoder"

# The first version of sentence-transformers that reads what this version writes.
FORMAT_VERSION = "5.4.0"

# More than any chain has. Each takes time to look up, and a file could list millions.
MOST_MODULES = 1_000

_MOST_UNMET = 20
_LONGEST_REASON = 200


# What a save records about the provider of a module.
_RECORDED = ("distribution", "version", "reads_saved_by", "code_revision")


@dataclass(frozen=True)
class ModuleEntry:
    """One entry of ``modules.json``.

    Attributes:
        name: The module's name in the chain.
        path: Its folder, relative to the model's; empty for the root.
        type: Its type string.
        kwargs: The keyword arguments of ``predict`` that reach its ``forward``.
        distribution: The distribution that provided it when the model was saved, if the save recorded one.
        version: The version of that distribution.
        code_revision: The revision of the other repository that has its code; a commit if pairchain saved it.
        reads_saved_by: The oldest version of the distribution that reads what was saved; empty for any.
        extra: Unknown keys, which are saved again.
    """

    name: str
    path: str
    type: str
    kwargs: tuple[str, ...] = ()
    distribution: str = ""
    version: str = ""
    code_revision: str = ""
    reads_saved_by: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self, idx: int) -> dict[str, Any]:
        """Return the entry as ``modules.json`` has it, without empty optional keys."""
        required = {"idx": idx, "name": self.name, "path": self.path, "type": self.type}
        optional = {key: getattr(self, key) for key in ("kwargs", *_RECORDED)}
        return {**required, **{key: value for key, value in optional.items() if value}, **self.extra}


@dataclass(frozen=True)
class ModelConfig:
    """The settings in ``config_sentence_transformers.json``.

    Attributes:
        model_type: The class that saved it; ``CrossEncoder`` for a model that scores pairs.
        prompts: The prompts by name.
        default_prompt_name: The name of the prompt for calls that choose none.
        activation_fn: The dotted path of the activation's class, or None for the default.
        activation_arguments: Its constructor arguments that differ from the defaults.
        keep_in_fp32_modules: The paths of linear layers that compute in float32.
        requirements: The packages that the model needs, by name: a version specifier, or one with a reason.
        is_ours: Whether pairchain wrote the file.
        extra: Unknown keys, which are saved again.
    """

    model_type: str = MODEL_TYPE
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    activation_fn: str | None = None
    activation_arguments: Mapping[str, Any] = field(default_factory=dict)
    keep_in_fp32_modules: tuple[str, ...] = ()
    requirements: Mapping[str, Any] = field(default_factory=dict)
    is_ours: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as the file has them, without empty optional keys."""
        optional = {key: getattr(self, key) for key in ("activation_arguments", "keep_in_fp32_modules", "requirements")}
        return {
            **self.extra,
            "model_type": self.model_type,
            "__version__": _versions(),
            "prompts": dict(self.prompts),
            "default_prompt_name": self.default_prompt_name,
            "activation_fn": self.activation_fn,
            **{key: value for key, value in optional.items() if value},
        }


_ENTRY_KEYS = {"idx", *(field.name for field in fields(ModuleEntry))} - {"extra"}
# the last key is written for embedding models, and has no effect on a model that scores pairs
_CONFIG_KEYS = {*(field.name for field in fields(ModelConfig)), "__version__", "similarity_fn_name"} - {
    "is_ours",
    "extra",
}


def read_entries(source: Source) -> tuple[ModuleEntry, ...] | None:
    """Return the entries of ``modules.json`` in chain order, or None if the source has no such file."""
    path = source.file(MODULES_FILE)
    if path is None:
        return None
    shown = f"{MODULES_FILE} of {source.name}"
    values = read_json(path, shown_as=shown)
    if isinstance(values, dict) and INTERRUPTED in values:
        raise FormatError(
            f"the model in {source.name} is incomplete: {values[INTERRUPTED]}.",
            where=str(path),
            next_step="save the model here again, or move those files back.",
        )
    if not isinstance(values, list) or not values:
        raise FormatError(f"{shown} must be a list of modules, got {short_repr(values)}.", where=str(path))
    if len(values) > MOST_MODULES:
        raise FormatError(f"{shown} lists {len(values):,} modules, more than {MOST_MODULES:,}.", where=str(path))
    entries = tuple(_read_entry(value, f"{shown}, entry {position}") for position, value in enumerate(values))
    name, most = Counter(entry.name for entry in entries).most_common(1)[0]
    if most > 1:
        named = f"{shown} has {'two' if most == 2 else most} modules named {name!r}."
        raise FormatError(named, where=str(path), next_step="give each module its own name.")
    numbers = [value["idx"] for value in values if isinstance(value.get("idx"), int)]
    if numbers != sorted(numbers):
        warn(f"{shown} numbers its modules {', '.join(map(str, numbers))}; only their order in the list counts.")
    return entries


def read_config(source: Source) -> ModelConfig | None:
    """Return the settings in ``config_sentence_transformers.json``, or None if the source has no such file."""
    path = source.file(CONFIG_FILE)
    if path is None:
        return None
    shown = f"{CONFIG_FILE} of {source.name}"
    values = read_json_object(path, shown_as=shown)
    extra = unknown_keys(values, _CONFIG_KEYS, shown_as=shown)
    prompts = _typed(values, "prompts", dict, shown) or {}
    if wrong := [name for name, text in prompts.items() if not isinstance(text, str)]:
        raise FormatError(f"{shown}: the prompt {wrong[0]!r} is {short_repr(prompts[wrong[0]])}, not a string.")
    kept = _typed(values, "keep_in_fp32_modules", list, shown) or []
    if not all(isinstance(name, str) for name in kept):
        raise FormatError(f"{shown}: 'keep_in_fp32_modules' must be a list of paths, got {short_repr(kept)}.")
    return ModelConfig(
        # files from before 5.4 have no model_type, and only embedding models had such a file then
        model_type=_typed(values, "model_type", str, shown) or "SentenceTransformer",
        prompts=prompts,
        default_prompt_name=_typed(values, "default_prompt_name", str, shown),
        activation_fn=_typed(values, "activation_fn", str, shown),
        activation_arguments=_typed(values, "activation_arguments", dict, shown) or {},
        keep_in_fp32_modules=tuple(kept),
        requirements=_typed(values, "requirements", dict, shown) or {},
        is_ours="pairchain" in versions if isinstance(versions := values.get("__version__"), dict) else False,
        extra=extra,
    )


def read_legacy_activation(source: Source) -> str | None:
    """Return the dotted path of the activation that an older CrossEncoder saved in ``config.json``, or None."""
    path = source.file(CHECKPOINT_FILE)
    if path is None:
        return None
    values = read_json_object(path, shown_as=f"{CHECKPOINT_FILE} of {source.name}")
    own = values.get("sentence_transformers")
    newest = own.get("activation_fn") if isinstance(own, dict) else None
    found = newest if isinstance(newest, str) else values.get("sbert_ce_default_activation_function")
    return found if isinstance(found, str) else None


def check_requirements(config: ModelConfig, *, shown_as: str) -> None:
    """Raise a `FormatError` that names each requirement of the model that the installed packages do not meet."""
    unmet = []
    for package, wanted in config.requirements.items():
        said = wanted if isinstance(wanted, dict) else {"specifier": wanted}
        try:
            requirement = Requirement(f"{package} {said.get('specifier') or ''}")
        except (InvalidRequirement, RecursionError) as error:
            raise FormatError(
                f"{shown_as}: the requirement {short_repr(package)}: {short_repr(wanted)} is not well-formed: "
                f"{str(error)[:300]}"
            ) from error
        installed = installed_version(requirement.name)
        if installed is None or not requirement.specifier.contains(installed, prereleases=True):
            why = f"; {on_one_line(str(said['reason']), _LONGEST_REASON)}" if said.get("reason") else ""
            unmet.append(f"{on_one_line(str(requirement), _LONGEST_REASON)} ({installed or 'not installed'}{why})")
    if unmet:
        more = f", and {len(unmet) - _MOST_UNMET} more" if len(unmet) > _MOST_UNMET else ""
        raise FormatError(
            f"{shown_as} requires {', '.join(unmet[:_MOST_UNMET])}{more}.",
            next_step="install these packages, then load again. The names come from the model's files: look at each "
            "package that you do not know, at https://pypi.org, before you install it.",
        )


def write_entries(folder: Path, entries: tuple[ModuleEntry, ...]) -> None:
    write_json(folder / MODULES_FILE, [entry.to_json(idx) for idx, entry in enumerate(entries)], indent=2)


def write_config(folder: Path, config: ModelConfig) -> None:
    write_json(folder / CONFIG_FILE, config.to_json(), indent=2, sort_keys=True)


def _read_entry(value: Any, shown: str) -> ModuleEntry:
    if not isinstance(value, dict):
        raise FormatError(f"{shown} is {short_repr(value)}, not an object.")
    for key in ("name", "path", "type"):
        if not isinstance(value.get(key), str):
            found = f"is {short_repr(value[key])}, not a string" if key in value else "is missing"
            raise FormatError(f"{shown}: {key!r} {found}.", next_step="save or fetch the model again.")
    if not value["name"] or "." in value["name"]:
        raise FormatError(f"{shown}: the name {value['name']!r} is empty or has a dot, which a module's name must not.")
    kwargs = _typed(value, "kwargs", list, shown) or []
    recorded = {key: _typed(value, key, str, shown) or "" for key in _RECORDED}
    if not all(isinstance(name, str) for name in kwargs):
        raise FormatError(f"{shown}: 'kwargs' must be a list of names, got {short_repr(kwargs)}.")
    return ModuleEntry(
        name=value["name"],
        path=check_inside(value["path"], shown_as=f"{shown}: the path").strip("/"),
        type=value["type"],
        kwargs=tuple(kwargs),
        extra=unknown_keys(value, _ENTRY_KEYS, shown_as=shown),
        **recorded,
    )


def _typed(values: Mapping[str, Any], key: str, kind: type, shown: str) -> Any:
    value = values.get(key)
    if value is not None and not isinstance(value, kind):
        raise FormatError(f"{shown}: {key!r} is {short_repr(value)}, not a {kind.__name__}.")
    return value


def _versions() -> dict[str, str]:
    versions = {"sentence_transformers": FORMAT_VERSION}
    for key, distribution in (("pairchain", "pairchain-core"), ("transformers", "transformers"), ("pytorch", "torch")):
        if (version := installed_version(distribution)) is not None:
            versions[key] = version
    return versions
