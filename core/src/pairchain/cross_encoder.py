"""CrossEncoder: loads a chain, scores pairs, ranks documents, saves the chain. The face of the library."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from pairchain import activation, hooks, saved_model, scoring, trust
from pairchain.activation import Activation
from pairchain.chain import ModuleChain
from pairchain.device import keep_in_float32, place
from pairchain.errors import ChainError, InputError, PairchainWarning
from pairchain.inputs import as_batch, as_documents
from pairchain.legacy import (
    INIT_NESTED,
    INIT_POSITIONAL,
    INIT_RENAMES,
    PREDICT_IGNORED,
    PREDICT_RENAMES,
    RANK_IGNORED,
    RANK_RENAMES,
    accepts_older_arguments,
)
from pairchain.load import LoadedModel, explain_embedding_model, load_model
from pairchain.modality import check_supported
from pairchain.prompts import choose, known
from pairchain.save import save_chain
from pairchain.saved_model import ModelConfig
from pairchain.source import Source, open_source


class CrossEncoder(ModuleChain):
    """A chain of modules that scores pairs.

    Args:
        model_name_or_path: Folder, or Hub repository as ``owner/name``; without an owner, ``cross-encoder/name``.
        modules: Modules to build a chain of instead of loading one, in order or by name.
        device: Where to compute, such as ``"cuda:1"``; None for the first accelerator, else the CPU.
        prompts: Prompt texts by name; they come before saved ones of the same name.
        default_prompt_name: Prompt used when none is asked for; ``""`` switches a saved one off.
        cache_folder: Where downloads are kept.
        trust_remote_code: Whether code that comes with the model may run.
        revision: Branch, tag, commit or ref such as ``refs/pr/11``; resolved once to a commit.
        local_files_only: Use only what was downloaded earlier.
        token: Hub token.
        subfolder: Folder of the directory or repository that the model is in.
        model_kwargs: Passed on to what loads weights, such as ``dtype`` or ``attn_implementation``.
        processor_kwargs: Passed on to what loads a tokenizer or processor.
        config_kwargs: Passed on to what loads a model configuration.
        model_card_data: Kept on the instance for whoever writes a model card.
        backend: What executes the model; only ``"torch"``.
        num_labels: Scores for each pair, for a new classification head.
        max_length: Longest input in tokens.
        activation_fn: Applied to the scores; None for the saved one, else Sigmoid for one label and Identity for more.
        keep_in_fp32_modules: Paths of `torch.nn.Linear` layers that compute in float32 whatever their dtype.
        module_classes: Classes by type string; they come before installed plugins.
        allow_pickle: Read weights from a pickle, through torch's restricted loader, where there is no safetensors file.

    Raises:
        InputError: Neither a name nor modules are given, or an argument makes no sense.
        SourceError: The model's files cannot be had.
        FormatError: The saved model is damaged or incomplete.
        ChainError: The modules make no chain that scores pairs.
        UnknownTypeError, PluginError, TrustRequiredError: A module's class cannot be had.
    """

    source: Source | None
    model_card_data: Any
    prompts: dict[str, str]
    default_prompt_name: str | None
    keep_in_fp32_modules: tuple[str, ...]

    @accepts_older_arguments(renamed=INIT_RENAMES, positional=INIT_POSITIONAL, nested=INIT_NESTED)
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        modules: Sequence[nn.Module] | Mapping[str, nn.Module] | None = None,
        device: str | torch.device | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        subfolder: str = "",
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: Any = None,
        backend: Literal["torch"] = "torch",
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Activation | None = None,
        keep_in_fp32_modules: Sequence[str] | None = None,
        module_classes: Mapping[str, type] | None = None,
        allow_pickle: bool = False,
    ) -> None:
        if backend != "torch":
            raise InputError(f"the backend {backend!r} is not available.", next_step="use backend='torch'.")
        for name, value in (("max_length", max_length), ("num_labels", num_labels)):
            if value is not None and (not isinstance(value, Integral) or isinstance(value, bool) or value <= 0):
                raise InputError(f"{name} must be a positive integer, got {value!r}.")
        if modules is not None:
            _warn_of_idle(
                model_name_or_path=model_name_or_path,
                revision=revision,
                subfolder=subfolder,
                model_kwargs=model_kwargs,
                processor_kwargs=processor_kwargs,
                config_kwargs=config_kwargs,
                module_classes=module_classes,
            )
            loaded = LoadedModel(modules)
        elif model_name_or_path is None:
            raise InputError("there is nothing to load.", next_step="pass a model's name or path, or modules=[…].")
        else:
            loaded = load_model(
                open_source(
                    model_name_or_path,
                    revision=revision,
                    token=token,
                    cache_folder=cache_folder,
                    local_files_only=local_files_only,
                    subfolder=subfolder,
                ),
                trust.Policy(trust_remote_code, allow_pickle),
                module_classes=module_classes or {},
                model_kwargs=model_kwargs or {},
                processor_kwargs=_with(processor_kwargs, "model_max_length", max_length),
                config_kwargs=_with(config_kwargs, "num_labels", num_labels),
                backend=backend,
            )
        try:
            super().__init__(loaded.modules, module_kwargs={entry.name: entry.kwargs for entry in loaded.entries})
        except ChainError as error:
            raise explain_embedding_model(loaded.config, error) from error

        settings = loaded.config or ModelConfig()
        self.source = loaded.source
        self.model_card_data = model_card_data
        self.prompts = {**settings.prompts, **(prompts or {})}
        # an empty name switches a saved default off
        self.default_prompt_name = (
            settings.default_prompt_name if default_prompt_name is None else default_prompt_name or None
        )
        self._requirements = settings.requirements
        self._extra_settings = settings.extra
        self._extra_entries = {entry.name: entry.extra for entry in loaded.entries}
        self._num_labels: int | None = None
        self.activation_fn = _saved_activation(self.source, settings) if activation_fn is None else activation_fn
        if self.default_prompt_name is not None:
            known(self.default_prompt_name, self.prompts, called="default prompt")
        self._check_num_labels(num_labels)
        if self.source is None and max_length is not None:
            self.max_seq_length = max_length
        place(self, device, has_device_map="device_map" in (model_kwargs or {}))
        kept = settings.keep_in_fp32_modules if keep_in_fp32_modules is None else tuple(keep_in_fp32_modules)
        self.keep_in_fp32_modules = keep_in_float32(self, kept)
        self.eval()
        # children, not links: a module in two places is told once
        for module in self.children():
            ready: Any = getattr(module, "on_model_ready", None)
            if ready is not None:
                ready(self)
        if self.source is not None:
            hooks.tell("pairchain_chain_loaded", chain=self)

    # -- scoring ------------------------------------------------------------------------------------------------------

    @accepts_older_arguments(renamed=PREDICT_RENAMES, ignored=PREDICT_IGNORED)
    @torch.inference_mode()
    def predict(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | torch.device | None = None,
        allow_non_finite: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return a score for each pair, in the order of ``inputs``.

        Args:
            inputs: One pair, or any iterable of pairs; a pair is a list or tuple of two.
            prompt_name: Name of a prompt in `prompts`.
            prompt: Prompt text; comes before ``prompt_name``, and ``""`` switches the default prompt off.
            batch_size: Most pairs that run together.
            show_progress_bar: None shows one on a terminal when the work takes longer than a second.
            activation_fn: Applied to the scores instead of the model's own.
            apply_softmax: Apply softmax over the labels, if there are several.
            convert_to_numpy: Return an array; otherwise a list of tensors.
            convert_to_tensor: Return one tensor, on the model's device; comes before ``convert_to_numpy``.
            device: Move the model there first.
            allow_non_finite: Return scores that are NaN or infinite instead of raising.
            **kwargs: Keyword arguments for the modules of the chain, such as ``processing_kwargs``.

        Returns:
            float32 of shape (pairs,) for one label, else (pairs, labels); for one pair passed on its own, shape () or
            (labels,).

        Raises:
            InputError: An input cannot be scored; the message says which and why.
            UnknownKeywordError: No module takes a keyword.
            NonFiniteScoresError: Scores are NaN or infinite.
        """
        if not isinstance(batch_size, Integral) or batch_size <= 0:
            raise InputError(f"batch_size must be a positive integer, got {batch_size!r}.")
        batch = as_batch(inputs)
        self.check_keywords(kwargs, beside=_parameters(self.predict))
        prompt = choose(self.prompts, self.default_prompt_name, prompt=prompt, name=prompt_name)
        if device is not None:
            self.to(device)
        check_supported(batch.items, getattr(self.input_module, "modalities", ["text"]))
        self.eval()
        scores = scoring.score(
            self,
            batch.items,
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            keywords=kwargs,
        )
        if batch.items:
            self._num_labels = scoring.labels_in(scores)
            scores = scoring.finish(
                scores,
                self.activation_fn if activation_fn is None else activation.checked(activation_fn),
                apply_softmax=bool(apply_softmax),
                allow_non_finite=allow_non_finite,
            )
        return scoring.as_output(scores, single=batch.single, to_numpy=convert_to_numpy, to_tensor=convert_to_tensor)

    @accepts_older_arguments(renamed=RANK_RENAMES, ignored=RANK_IGNORED)
    def rank(
        self,
        query: Any,
        documents: Iterable[Any],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        device: str | torch.device | None = None,
        allow_non_finite: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Return the documents from the best to the worst for ``query``.

        Args:
            query: What each document is paired with.
            documents: The documents; any iterable but a string.
            top_k: How many to return; None for all.
            return_documents: Add each document under ``"text"``.
            prompt_name, prompt, batch_size, show_progress_bar, activation_fn, device: As for `predict`.
            allow_non_finite, **kwargs: As for `predict`; NaN ranks last.

        Returns:
            A dict for each document with ``corpus_id``, its position in ``documents``, and ``score``, a float. Equal
            scores keep the order of ``documents``.

        Raises:
            InputError: The model gives a pair several scores, or as for `predict`.
        """
        texts = as_documents(documents)
        self.check_keywords(kwargs, beside=_parameters(self.rank))
        _refuse_several_labels(self.declared_num_labels())
        scores = self.predict(
            [(query, text) for text in texts],
            prompt_name=prompt_name,
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=activation_fn,
            device=device,
            allow_non_finite=allow_non_finite,
            **kwargs,
        )
        # a chain that does not say beforehand has said now
        _refuse_several_labels(self._num_labels if texts else None)
        ranking = [
            {"corpus_id": position, "score": float(scores[position])}
            for position in np.argsort(-scores, kind="stable").tolist()
        ][:top_k]
        if return_documents:
            for hit in ranking:
                hit["text"] = texts[hit["corpus_id"]]
        return ranking

    # -- what the model is --------------------------------------------------------------------------------------------

    @property
    def num_labels(self) -> int:
        """Scores for each pair: what the module that writes them says, else what it really wrote.

        A chain whose last module does not say is asked to score one short pair the first time.
        """
        declared = self.declared_num_labels()
        if declared is not None:
            return declared
        if self._num_labels is None:
            with torch.inference_mode():
                self._num_labels = scoring.labels_in(scoring.score_batch(self, [("query", "document")], None, {}))
        return self._num_labels

    @property
    def activation_fn(self) -> Activation:
        """What is applied to the scores: as given or saved, else Sigmoid for one label and Identity for more."""
        chosen: Activation | None = self.__dict__["_activation"]
        if chosen is not None:
            return chosen
        return nn.Sigmoid() if self.num_labels == 1 else nn.Identity()

    @activation_fn.setter
    def activation_fn(self, value: Activation | None) -> None:
        self.__dict__["_activation"] = None if value is None else activation.checked(value)

    def __setattr__(self, name: str, value: Any) -> None:
        # an activation is often an nn.Module, and nn.Module would make it a link of the chain
        if name == "activation_fn":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def model(self) -> Any:
        """The input module's model, or None if it has none."""
        return getattr(self.input_module, "model", None)

    @property
    def config(self) -> Any:
        """The input module's model configuration, or None if it has none."""
        return getattr(self.input_module, "config", None)

    @property
    def tokenizer(self) -> Any:
        """The input module's tokenizer, or None if it has none."""
        return getattr(self.input_module, "tokenizer", None)

    @property
    def processor(self) -> Any:
        """The input module's processor, or None if it has none."""
        return getattr(self.input_module, "processor", None)

    @property
    def max_seq_length(self) -> int | None:
        """The longest input in tokens, or None if there is no limit; can be set where the input module allows it."""
        length: int | None = getattr(self.input_module, "max_seq_length", None)
        return length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        self.input_module.max_seq_length = value

    @property
    def max_length(self) -> int | None:
        """`max_seq_length`, under the name it had before."""
        warnings.warn("max_length is called max_seq_length today.", FutureWarning, stacklevel=2)
        return self.max_seq_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        warnings.warn("max_length is called max_seq_length today.", FutureWarning, stacklevel=2)
        self.max_seq_length = value

    @property
    def default_activation_function(self) -> Activation:
        """`activation_fn`, under the name it had before."""
        warnings.warn("default_activation_function is called activation_fn today.", FutureWarning, stacklevel=2)
        return self.activation_fn

    # -- saving -------------------------------------------------------------------------------------------------------

    def save_pretrained(self, path: str | os.PathLike[str], *, safe_serialization: bool = True) -> None:
        """Save the chain to the folder ``path``, in the format of sentence-transformers' CrossEncoder.

        The files are written aside and take their place together: if saving fails, ``path`` is as it was. Files in
        ``path`` that are no part of a model stay; folders of modules are replaced whole.

        Args:
            path: The folder; made if it is not there.
            safe_serialization: Whether weights go to safetensors; otherwise to pickles.

        Raises:
            FormatError: Something in the chain cannot be written, such as an activation that is no torch class.
        """
        config = ModelConfig(
            prompts=self.prompts,
            default_prompt_name=self.default_prompt_name,
            keep_in_fp32_modules=self.keep_in_fp32_modules,
            requirements=self._requirements,
            extra=self._extra_settings,
            **saved_model.activation_settings(self.activation_fn),
        )
        save_chain(self, path, config, extra_entries=self._extra_entries, safe_serialization=safe_serialization)

    def save(self, path: str | os.PathLike[str], *, safe_serialization: bool = True) -> None:
        """Save the chain; see `save_pretrained`."""
        self.save_pretrained(path, safe_serialization=safe_serialization)

    def _check_num_labels(self, asked: int | None) -> None:
        written = self.declared_num_labels()
        if asked is not None and written is not None and asked != written:
            raise ChainError(f"num_labels={asked} was asked for, but this chain writes {written} for each pair.")


def _warn_of_idle(**arguments: Any) -> None:
    """Warn of arguments that say how to load, where modules are given and nothing is loaded."""
    if given := [name for name, value in arguments.items() if value]:
        warnings.warn(
            f"modules are given, so nothing is loaded and {', '.join(given)} has no effect.",
            PairchainWarning,
            stacklevel=4,
        )


def _refuse_several_labels(num_labels: int | None) -> None:
    if num_labels not in (None, 1):
        raise InputError(
            f"rank needs one score a pair, and this model gives {num_labels}.",
            next_step="use predict, and decide which of its scores to sort by.",
        )


def _parameters(method: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(method).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]


def _with(values: Mapping[str, Any] | None, key: str, value: Any) -> dict[str, Any]:
    """Return a copy of ``values``, with ``key`` set unless ``value`` is None."""
    return {**(values or {}), **({} if value is None else {key: value})}


def _saved_activation(source: Source | None, settings: ModelConfig) -> Activation | None:
    """Return the activation that a saved model names; None for the default, with a warning if it names another."""
    if source is None:
        return None
    path, arguments = settings.activation_fn, settings.activation_arguments
    if path is None:
        path = saved_model.read_legacy_activation(source)
    if path is None:
        return None
    if not activation.is_known(path):
        warnings.warn(
            f"{source} names the activation {path!r}, which is no torch activation and is not imported; the default is "
            "used instead. Pass activation_fn= to choose one.",
            PairchainWarning,
            stacklevel=4,
        )
        return None
    return activation.build(path, arguments, shown_as=f"activation_fn of {source.name}")
