"""The two protocols that authors implement: `Module`, one link of a chain, and `InputModule`, the first link.

Both are structural: any `torch.nn.Module` that has the methods counts. These classes add defaults for everything except
the computation itself.
"""

from __future__ import annotations

import inspect
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict, Unpack

import safetensors.torch
import torch
from torch import nn

from pairchain.chain.inside import modules_inside
from pairchain.chain.parts import Part
from pairchain.chain.threads import declares_safety
from pairchain.chain.weights import allocating_for, fill, read_weights, weights_file
from pairchain.code.admitted import code_of
from pairchain.errors import FormatError
from pairchain.files.json_files import read_json_object, unknown_keys, write_json
from pairchain.files.names import PICKLE_FILE, SAFETENSORS_FILE
from pairchain.format.incomplete import keys_missing
from pairchain.opening import open_source
from pairchain.registry.structure import missing_methods
from pairchain.text.escaping import on_one_line

Features = dict[str, Any]

# Modules in order, by name, as in torch's ``_modules``; ``named_children`` would list a repeated module only once.
NamedModules = Mapping[str, Any]


class HubOptions(TypedDict, total=False):
    """Keyword arguments of the methods that load files; `Module.load` explains them."""

    token: bool | str | None
    cache_folder: str | None
    revision: str | None
    local_files_only: bool


class Module(nn.Module, ABC):
    """One link of a chain: reads features, writes features, saves itself to a folder and loads itself from one.

    ``features`` is a dict that flows through the chain. The input module fills it, every module reads some features and
    adds others, and the last one leaves ``features["scores"]``, of shape (pairs,) or (pairs, labels).

    Attributes:
        config_keys: Names of the instance attributes that ``config.json`` holds and ``__init__`` takes.
        config_file_name: Name of that file.
        config_key_renames: Maps keys of files saved by earlier versions to today's keys.
        save_in_root: Whether, as the first module, it is saved in the model's root instead of a folder of its own.
        forward_kwargs: Keyword arguments of ``predict`` that reach its ``forward``.
        saves_weights: Whether its ``save`` writes weights, so that the default `load` reads them back.
        module_type: The type string under which it is saved without its code. None for the name that its distribution
            registers; if there is none, its file is saved too, and the type names that file.
        reads_saved_by: The oldest version of its plugin that reads what it saves, such as ``"1.5"``; the model records
            it, and an older version refuses to load the module. Empty if all versions read it.
        reads: The features it needs, checked when a chain is built; None if it does not declare them.
        writes: The features it adds, likewise.
        reads_part: Maps a feature to the only part of it that this module reads. The module that writes the feature may
            then write that part alone, as ``part.of(feature)``, so read the feature only if the part does not exist.
        num_labels: Scores it writes for each pair, if it writes ``scores`` and knows; else None.
        is_thread_safe: Whether several threads may call ``forward``, and the methods of an input module, at once;
            otherwise batches run one after the other, and threads take turns in methods that read inputs. It covers
            the methods of the class that sets it and those it inherits, but not methods that a subclass overrides.
        extra_config: Keys of its ``config.json`` that it does not know; they are saved again unchanged.
    """

    config_keys: Sequence[str] = ()
    config_file_name: str = "config.json"
    config_key_renames: dict[str, str] = {}
    save_in_root: bool = False
    saves_weights: bool = False
    forward_kwargs: set[str] = set()
    module_type: ClassVar[str | None] = None
    reads_saved_by: ClassVar[str] = ""
    is_thread_safe: ClassVar[bool] = False

    reads: frozenset[str] | None = None
    writes: frozenset[str] | None = None
    reads_part: Mapping[str, Part] = {}
    num_labels: int | None = None
    extra_config: Mapping[str, Any] = {}

    @classmethod
    def __subclasshook__(cls, candidate: type) -> bool:
        if cls is not Module:
            return NotImplemented  # type: ignore[no-any-return]
        return not missing_methods(candidate)

    @abstractmethod
    def forward(self, features: Features, **kwargs: Any) -> Features:
        """Return ``features`` with what this module writes added to it."""

    @abstractmethod
    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write everything that `load` needs into the existing folder ``output_path``.

        Args:
            output_path: The folder.
            safe_serialization: Whether weights go to safetensors; otherwise to a pickle.
        """

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Return the module saved in a folder of a local directory or Hub repository.

        Args:
            model_name_or_path: Directory, or repository as ``owner/name``.
            subfolder: The module's folder inside it.
            token: Hub token.
            cache_folder: Where downloads are kept.
            revision: Commit of the repository.
            local_files_only: Use only files that are downloaded already.
            **kwargs: Options for other modules; ignored.

        Raises:
            FormatError: Its configuration cannot be read, lacks an argument that ``__init__`` requires, or its weights
                do not fit.
        """
        hub = HubOptions(token=token, cache_folder=cache_folder, revision=revision, local_files_only=local_files_only)
        config = cls.load_config(model_name_or_path, subfolder, **hub)
        shown = _shown(model_name_or_path, subfolder, cls.config_file_name)
        if not cls.saves_weights:
            return cls.from_config(config, shown_as=shown)
        source = open_source(model_name_or_path, subfolder, **hub)
        # trusted custom code may allocate any amount
        limit = allocating_for(weights_file(source), shown_as=shown) if code_of(cls) is None else nullcontext()
        with limit:
            module = cls.from_config(config, shown_as=shown)
        cls.load_torch_weights(model_name_or_path, subfolder, model=module, **hub)
        return module

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shown_as: str) -> Self:
        """Return the module that ``config`` describes; keep keys that ``__init__`` does not take in `extra_config`.

        Args:
            config: Keyword arguments of ``__init__``.
            shown_as: The file they come from, for errors.

        Raises:
            MissingFileError: ``config`` is empty, and ``__init__`` requires an argument.
            FormatError: A required key is missing, or ``__init__`` refused a value.
        """
        # torch's own __init__ declares **kwargs but accepts none
        parameters = {} if cls.__init__ is nn.Module.__init__ else inspect.signature(cls).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        required = [p.name for p in parameters.values() if p.default is p.empty and p.kind not in variadic]
        if absent := [name for name in required if name not in config]:
            raise keys_missing(cls.__name__, absent, shown_as=shown_as, is_empty=not config)
        if takes_any:
            unknown = {key: value for key, value in config.items() if key not in parameters}
        else:
            unknown = unknown_keys(config, parameters, shown_as=shown_as)
        known = {key: value for key, value in config.items() if takes_any or key not in unknown}
        try:
            module = cls(**known)
        except (TypeError, ValueError, RuntimeError) as error:
            if code_of(cls) is not None:  # errors of custom code stay unchanged
                raise
            reason = str(error).partition("\n  ")[0]
            raise FormatError(f"{cls.__name__} cannot be built from {shown_as}: {reason}") from error
        module.extra_config = unknown
        return module

    @classmethod
    def load_config(
        cls, model_name_or_path: str, subfolder: str = "", config_filename: str | None = None, **hub: Unpack[HubOptions]
    ) -> dict[str, Any]:
        """Return the module's configuration with today's keys, or an empty dict if the file does not exist.

        Args:
            model_name_or_path, subfolder, **hub: As for `load`.
            config_filename: Name of the file; None for `config_file_name`.

        Raises:
            FormatError: The file does not hold a JSON object.
        """
        filename = config_filename or cls.config_file_name
        path = cls.load_file_path(model_name_or_path, filename, subfolder, **hub)
        if path is None:
            return {}
        config = read_json_object(Path(path), shown_as=_shown(model_name_or_path, subfolder, filename))
        for old, new in cls.config_key_renames.items():
            if old in config and new not in config:
                config[new] = config.pop(old)
        return config

    @staticmethod
    def load_file_path(
        model_name_or_path: str, filename: str, subfolder: str = "", **hub: Unpack[HubOptions]
    ) -> str | None:
        """Return the path of a local copy of one file, or None if the file does not exist; arguments as for `load`."""
        path = open_source(model_name_or_path, subfolder, **hub).file(filename)
        return None if path is None else str(path)

    @staticmethod
    def load_dir_path(model_name_or_path: str, subfolder: str = "", **hub: Unpack[HubOptions]) -> str | None:
        """Return the path of a local copy of the module's folder, or None without one; arguments as for `load`."""
        folder = open_source(model_name_or_path, subfolder, **hub).folder()
        return str(folder) if os.path.isdir(folder) else None

    @classmethod
    def load_torch_weights(
        cls, model_name_or_path: str, subfolder: str = "", *, model: Self | None = None, **hub: Unpack[HubOptions]
    ) -> Any:
        """Fill ``model`` with its saved weights and return it; without ``model``, return the weights as a state dict.

        Tensors arrive on the CPU. They come from ``model.safetensors``, else from ``pytorch_model.bin``.

        Args:
            model_name_or_path, subfolder, **hub: As for `load`.
            model: The module to fill.

        Raises:
            MissingFileError: Neither file exists.
            PickleRefusedError: Only the pickle exists, and the load in progress does not allow pickles.
            FormatError: The file is damaged, or its tensors do not fit ``model``.
        """
        source = open_source(model_name_or_path, subfolder, **hub)
        weights = read_weights(source)
        if model is None:
            return weights
        fill(model, weights, source)
        return model

    def get_config_dict(self) -> dict[str, Any]:
        """Return the content of ``config.json``: `extra_config`, then the attributes named in `config_keys`."""
        return {**self.extra_config, **{key: getattr(self, key) for key in self.config_keys}}

    def save_config(self, output_path: str, filename: str | None = None) -> None:
        """Write `get_config_dict` as JSON into the folder ``output_path``.

        Raises:
            FormatError: JSON cannot hold a value.
        """
        write_json(Path(output_path) / (filename or self.config_file_name), self.get_config_dict(), indent=4)

    def save_torch_weights(self, output_path: str, safe_serialization: bool = True) -> None:
        """Write the module's weights in their dtype into the folder ``output_path``."""
        if safe_serialization:
            safetensors.torch.save_model(self, str(Path(output_path) / SAFETENSORS_FILE))
        else:
            torch.save(self.state_dict(), Path(output_path) / PICKLE_FILE)

    @property
    def may_run_at_once(self) -> bool:
        """Whether several threads may run it on batches of one call: it is thread-safe, and no hook sees the batches.

        A module that runs others answers for them too.
        """
        return declares_safety(self, modules_inside(self))

    def on_model_ready(self, model: nn.Module) -> None:
        """Called once, when the chain of this module is complete: every module is loaded and on its device."""

    def __repr__(self) -> str:
        return on_one_line(f"{type(self).__name__}({self.get_config_dict()})")


class InputModule(Module):
    """The first link of a chain: turns pairs into features, then computes on them.

    Implement `preprocess`, ``forward`` and ``save``. Give the instance a ``tokenizer`` attribute if it has one.

    Attributes:
        modalities: The kinds of element that a pair may hold, such as ``"text"``; a combination is a sorted tuple. A
            module that takes media gets ``{"text": text}`` for a text that only looks like the path or URL of a medium.
        max_seq_length: The longest input in tokens, or None if there is no limit. ``CrossEncoder(…, max_length=n)``
            sets it if the class or its ``__init__`` has set it before.
    """

    save_in_root = True
    modalities: Sequence[str | tuple[str, ...]] = ["text"]
    max_seq_length: int | None = None

    @classmethod
    def __subclasshook__(cls, candidate: type) -> bool:
        if cls is not InputModule:
            return NotImplemented  # type: ignore[no-any-return]
        reads_inputs = callable(getattr(candidate, "preprocess", None)) or callable(
            getattr(candidate, "tokenize", None)
        )
        return reads_inputs and not missing_methods(candidate)

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> Features:
        """Return the features that ``forward`` reads, for a batch of pairs.

        Args:
            inputs: Pairs, as tuples of two.
            prompt: Text to put before each pair, or to use in the module's own way.
            **kwargs: Keyword arguments of ``predict`` that the signature names.
        """
        if type(self).tokenize is InputModule.tokenize:
            raise NotImplementedError(f"{type(self).__name__} implements neither preprocess nor tokenize.")
        return self.tokenize(with_prompt(inputs, prompt), **kwargs)

    def tokenize(self, texts: Sequence[Any], **kwargs: Any) -> Features:
        """Return what `preprocess` returns. Deprecated: implement and call `preprocess`."""
        if type(self).preprocess is InputModule.preprocess:
            raise NotImplementedError(f"{type(self).__name__} implements neither preprocess nor tokenize.")
        warnings.warn("tokenize is deprecated; use preprocess.", FutureWarning, stacklevel=2)
        return self.preprocess(texts, **kwargs)

    def save_tokenizer(self, output_path: str, **kwargs: Any) -> None:
        """Save the module's ``tokenizer``, if it has one, into the folder ``output_path``."""
        tokenizer: Any = getattr(self, "tokenizer", None)
        if hasattr(tokenizer, "save_pretrained"):
            tokenizer.save_pretrained(output_path, **kwargs)
        elif hasattr(tokenizer, "save"):
            # the tokenizers library saves to one file, not to a folder
            tokenizer.save(str(Path(output_path) / "tokenizer.json"))


def module_label(name: str, module: Any) -> str:
    """Return the name of a module for errors."""
    return f"module {name}, {type(module).__name__}"


def with_prompt(inputs: Sequence[Any], prompt: str | None) -> list[Any]:
    """Return ``inputs`` with ``prompt`` put before each text, or before the first text of each pair."""
    if not prompt:
        return list(inputs)
    return [
        prompt + element
        if isinstance(element, str)
        else (prompt + element[0], *element[1:])
        if isinstance(element, (tuple, list)) and element and isinstance(element[0], str)
        else element
        for element in inputs
    ]


def _shown(model_name_or_path: str, subfolder: str, filename: str) -> str:
    return "/".join(part for part in (str(model_name_or_path), subfolder, filename) if part)
