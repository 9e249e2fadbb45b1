"""The two protocols that authors implement: `Module`, one link of a chain, and `InputModule`, the first link.

Both are structural: any `torch.nn.Module` with the methods counts, whatever it subclasses. Subclassing ours brings
defaults for everything but the computation itself.
"""

from __future__ import annotations

import inspect
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Self

import safetensors.torch
import torch
from torch import nn

from pairchain.chain.allocation import allocating_for
from pairchain.chain.parts import Part
from pairchain.chain.weights import PICKLE_FILE, SAFETENSORS_FILE, fill, read_weights, weights_file
from pairchain.code.admitted import code_of
from pairchain.errors import (
    FormatError,
    MissingFileError,
)
from pairchain.files.json_files import read_json_object, warn_unknown_key, write_json
from pairchain.opening import source_of_module
from pairchain.registry.structure import missing_methods
from pairchain.text.escaping import on_one_line

Features = dict[str, Any]


class Module(nn.Module, ABC):
    """One link of a chain: reads features, writes features, saves itself to a folder and loads itself from one.

    ``features`` is a dict that flows through the chain. The input module fills it; every module takes what it reads
    and adds what it writes; the chain's last word is ``features["scores"]``, of shape (pairs,) or (pairs, labels).

    Attributes:
        config_keys: Names of the instance attributes that ``config.json`` holds, and ``__init__`` takes.
        config_file_name: Name of that file.
        config_key_renames: Old key to today's key, for files saved by earlier versions.
        save_in_root: Whether, as the first module, it is saved in the model's root instead of a folder of its own.
        forward_kwargs: Keyword arguments of ``predict`` that reach its ``forward``.
        saves_weights: Whether its ``save`` writes weights, so that the default `load` reads them back.
        module_type: The type string under which it is saved, without its code; None for the name its distribution
            announces, or for that of its file, which is saved along.
        reads: Features it needs, checked when a chain is built; None when it does not say.
        writes: Features it adds, likewise.
        reads_part: Of features that it reads, the only part that it reads. What writes such a feature may write that
            part alone, under ``part.of(feature)``; it is there instead of the feature, or the feature is.
        num_labels: Scores it writes for each pair, if it writes ``scores`` and knows; else None.
        extra_config: Keys of its ``config.json`` that it does not know; they are saved again as they were.
    """

    config_keys: list[str] = []
    config_file_name: str = "config.json"
    config_key_renames: dict[str, str] = {}
    save_in_root: bool = False
    saves_weights: bool = False
    forward_kwargs: set[str] = set()
    module_type: ClassVar[str | None] = None

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
        """Write everything that `load` needs into the folder ``output_path``, which exists.

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
            local_files_only: Use only what was downloaded earlier.
            **kwargs: What the caller of the whole model passed for other modules; ignored here.

        Raises:
            FormatError: Its configuration cannot be read, lacks what ``__init__`` requires, or its weights do not fit.
        """
        where = (subfolder, token, cache_folder, revision, local_files_only)
        config = cls.load_config(model_name_or_path, subfolder, None, *where[1:])
        shown = _shown(model_name_or_path, subfolder, cls.config_file_name)
        if not cls.saves_weights:
            return cls.from_config(config, shown_as=shown)
        source = source_of_module(model_name_or_path, *where)
        # code of the model that somebody trusts may take what it likes
        limit = allocating_for(weights_file(source), shown_as=shown) if code_of(cls) is None else nullcontext()
        with limit:
            module = cls.from_config(config, shown_as=shown)
        cls.load_torch_weights(model_name_or_path, *where, model=module)
        return module

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shown_as: str) -> Self:
        """Return the module that ``config`` describes, keeping keys that ``__init__`` does not take.

        Args:
            config: Keyword arguments of ``__init__``.
            shown_as: Where they were read, for errors.

        Raises:
            MissingFileError: Nothing was read, and ``__init__`` requires something.
            FormatError: A required key is missing, or ``__init__`` refused a value.
        """
        # a class without __init__ of its own has torch's, which names no keyword and takes none
        parameters = {} if cls.__init__ is nn.Module.__init__ else inspect.signature(cls).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        required = [name for name, parameter in parameters.items() if _is_required(parameter)]
        if absent := [name for name in required if name not in config]:
            if not config:
                raise MissingFileError(
                    f"{cls.__name__} needs {', '.join(absent)}, and its {cls.config_file_name} is missing or empty.",
                    where=shown_as,
                    next_step="save or fetch the model again; it is incomplete.",
                )
            raise FormatError(f"{cls.__name__} needs {', '.join(absent)}, which {shown_as} does not hold.")
        unknown = {key: value for key, value in config.items() if key not in parameters}
        if unknown and not takes_any:
            for key in unknown:
                warn_unknown_key(key, parameters, shown_as=shown_as)
        known = {key: value for key, value in config.items() if key in parameters or takes_any}
        try:
            module = cls(**known)
        except (TypeError, ValueError, RuntimeError) as error:
            if code_of(cls) is not None:  # what code of a model raises reaches its user as it is
                raise
            reason = str(error).partition("\n  ")[0]
            raise FormatError(f"{cls.__name__} cannot be built from {shown_as}: {reason}") from error
        module.extra_config = unknown
        return module

    @classmethod
    def load_config(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        config_filename: str | None = None,
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> dict[str, Any]:
        """Return the module's configuration with today's keys, or an empty dict if it has no such file.

        Args:
            config_filename: Name of the file; None for `config_file_name`. The others are as for `load`.

        Raises:
            FormatError: The file does not hold a JSON object.
        """
        filename = config_filename or cls.config_file_name
        path = cls.load_file_path(
            model_name_or_path, filename, subfolder, token, cache_folder, revision, local_files_only
        )
        if path is None:
            return {}
        config = read_json_object(Path(path), shown_as=_shown(model_name_or_path, subfolder, filename))
        for old, new in cls.config_key_renames.items():
            if old in config and new not in config:
                config[new] = config.pop(old)
        return config

    @staticmethod
    def load_file_path(
        model_name_or_path: str,
        filename: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> str | None:
        """Return the path of a local copy of one file, or None if there is no such file; arguments as for `load`."""
        source = source_of_module(model_name_or_path, subfolder, token, cache_folder, revision, local_files_only)
        path = source.file(filename)
        return None if path is None else str(path)

    @staticmethod
    def load_dir_path(
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> str | None:
        """Return the path of a local copy of the module's folder, or None if there is none; arguments as for `load`."""
        source = source_of_module(model_name_or_path, subfolder, token, cache_folder, revision, local_files_only)
        folder = source.folder()
        return str(folder) if os.path.isdir(folder) else None

    @classmethod
    def load_torch_weights(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        model: Self | None = None,
    ) -> Any:
        """Return ``model`` with its saved weights in it, or the weights as a state dict when ``model`` is None.

        Tensors arrive on the CPU. Weights are read from ``model.safetensors``, else from ``pytorch_model.bin``.

        Raises:
            MissingFileError: Neither file is there.
            PickleRefusedError: Only the pickle is there, and the load in progress does not allow one.
            FormatError: The file is damaged, or its tensors do not fit ``model``.
        """
        source = source_of_module(model_name_or_path, subfolder, token, cache_folder, revision, local_files_only)
        weights = read_weights(source)
        if model is None:
            return weights
        fill(model, weights, source)
        return model

    def get_config_dict(self) -> dict[str, Any]:
        """Return what ``config.json`` holds: the attributes named in `config_keys`, after keys nobody knew on load."""
        return {**self.extra_config, **{key: getattr(self, key) for key in self.config_keys}}

    def save_config(self, output_path: str, filename: str | None = None) -> None:
        """Write `get_config_dict` as JSON into the folder ``output_path``.

        Raises:
            FormatError: A value is nothing JSON can say.
        """
        write_json(Path(output_path) / (filename or self.config_file_name), self.get_config_dict(), indent=4)

    def save_torch_weights(self, output_path: str, safe_serialization: bool = True) -> None:
        """Write the module's weights, in the dtype they have, into the folder ``output_path``."""
        if safe_serialization:
            safetensors.torch.save_model(self, str(Path(output_path) / SAFETENSORS_FILE))
        else:
            torch.save(self.state_dict(), Path(output_path) / PICKLE_FILE)

    def on_model_ready(self, model: nn.Module) -> None:
        """Called once the chain this module is part of stands, with every module loaded and placed."""

    def __repr__(self) -> str:
        return on_one_line(f"{type(self).__name__}({self.get_config_dict()})")


class InputModule(Module):
    """The first link of a chain: turns pairs into features, then computes on them.

    Implement `preprocess`, ``forward`` and ``save``. Give the instance a ``tokenizer`` attribute if it has one.

    Attributes:
        is_thread_safe: Whether several threads may call the methods that read inputs at once; without it, they take
            turns. It counts for the methods of the class that sets it and those it inherits, not for those that a
            subclass overrides.
    """

    save_in_root = True
    is_thread_safe: ClassVar[bool] = False

    @classmethod
    def __subclasshook__(cls, candidate: type) -> bool:
        if cls is not InputModule:
            return NotImplemented  # type: ignore[no-any-return]
        reads_inputs = callable(getattr(candidate, "preprocess", None)) or callable(
            getattr(candidate, "tokenize", None)
        )
        return reads_inputs and not missing_methods(candidate)

    @property
    def modalities(self) -> list[str | tuple[str, ...]]:
        """What the elements of a pair may be, such as ``"text"``; a combination is a sorted tuple.

        A module that takes media gets ``{"text": text}`` for a text that looks like the name of a medium, and is none.
        """
        return ["text"]

    @property
    def max_seq_length(self) -> int | None:
        """The longest input in tokens, or None if there is no limit."""
        return None

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> Features:
        """Return the features that ``forward`` reads, for a batch of pairs.

        Args:
            inputs: Pairs, as tuples of two.
            prompt: Text to put before each pair, or whatever the module makes of it.
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


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_KEYWORD,
        parameter.VAR_POSITIONAL,
    )


def _shown(model_name_or_path: str, subfolder: str, filename: str) -> str:
    return "/".join(part for part in (str(model_name_or_path), subfolder, filename) if part)
