"""Transformer: a model of the transformers library as the first link of a chain."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pairchain import Encoded, Part, Untrained
from pairchain.authoring import (
    TEXT,
    Limits,
    accepts_older_arguments,
    declares_safety,
    is_watched,
    kept_for_the_call,
    note,
    open_source,
    shortened,
    unknown_keys,
    write_json,
)
from pairchain.backends import DEFAULT, Request
from pairchain.errors import InputError
from pairchain_transformer.build import build, with_modalities
from pairchain_transformer.checkpoint import keywords, modalities, positions, saving
from pairchain_transformer.checkpoint.configuration import embedding_dimension
from pairchain_transformer.checkpoint.modalities import ModalityConfig
from pairchain_transformer.checkpoint.saving import RENAMED_ARGUMENTS
from pairchain_transformer.checkpoint.tasks import DEFAULT_TASK, task_named
from pairchain_transformer.execution import encoding
from pairchain_transformer.held import HoldsModel
from pairchain_transformer.inputs import processing
from pairchain_transformer.inputs.preprocessing import Preprocessor, Processing
from pairchain_transformer.published.choosing import save_class
from pairchain_transformer.quick.tokenizer import QuickTokenizer
from pairchain_transformer.quick.unknown import NeedsLibraryError
from pairchain_transformer.settings.files import remove_content_read_elsewhere

if TYPE_CHECKING:
    pass


class Transformer(HoldsModel):
    """Runs a model of the transformers library on pairs of texts, images, audio and video, and on conversations.

    The checkpoint determines the inputs that it takes; see `modalities`. A model with a chat template reads every pair
    through it, as a message with the role ``query`` and a message with the role ``document``. A model without one reads
    pairs of texts as its tokenizer joins them, and other inputs one at a time. Format: sentence-transformers
    ``base.modules.Transformer``.

    Args:
        model_name_or_path: Folder, or Hub repository as ``owner/name``.
        transformer_task: ``"sequence-classification"`` writes ``scores``; ``"text-generation"``, and ``"any-to-any"``
            for models of several modalities, write ``causal_logits``; so does ``"text2text-generation"`` for an
            encoder-decoder, such as T5, at the one position of the decoder's first token. ``"feature-extraction"``,
            ``"fill-mask"``, and ``"retrieval"`` for classes named …ForRetrieval, write ``token_embeddings``. A model
            of two towers, such as CLIP, writes ``sentence_embedding``.
        revision: Branch, tag, commit or ref; resolved once to a commit.
        token: Hub token.
        cache_folder: Folder for downloads.
        local_files_only: Use only earlier downloads.
        allow_links: Follow links in a folder that lead out of it.
        subfolder: Folder of the model inside the folder or repository.
        trust_remote_code: Whether code that comes with the checkpoint may run.
        model_kwargs: Arguments of the model's ``from_pretrained``: ``dtype``, ``attn_implementation``, ``device_map``.
        processor_kwargs: Arguments of the tokenizer's or processor's ``from_pretrained``.
        config_kwargs: Arguments of the configuration's ``from_pretrained``.
        processing_kwargs: Settings for processing inputs, in groups ``common``, ``text``, ``image``, ``audio``,
            ``video`` and ``chat_template``, such as ``{"text": {"max_length": 256}}``.
        modality_config: For each modality, the model's method and the field of its output; None to infer them.
        module_output_name: The feature that it writes; None for the task's.
        unpad_inputs: Kept and saved for other readers of the format.
        max_seq_length: Longest input in tokens; None for the limit of tokenizer and model. A model with a table of
            positions reads no more than it has; a longer length in its own files is lowered with a warning.
        do_lower_case: Whether text is lowercased first.
        tokenizer_name_or_path: Folder or repository of the tokenizer, if not the model's.
        tokenizer: Which tokenizer to use if the installed transformers library replaces parts of the saved one:
            ``"as-published"``, the author's, or ``"library"``, which sentence-transformers uses. None for the author's,
            with a warning if they differ.
        backend: Name of the installed backend that loads and runs the model; see `pairchain.backends`. ``"auto"`` takes
            the fastest that gives the same scores; ``"torch"`` is another name for ``"transformers"``.

    Raises:
        InputError: An argument is invalid, or the backend does not support the model.
        UnknownNameError: No installed plugin provides the backend.
        SourceError: The files cannot be read or downloaded.
        FormatError: The files are damaged or incomplete.
    """

    config_file_name = "sentence_bert_config.json"
    config_keys = ["transformer_task", "modality_config", "module_output_name"]
    module_type = "sentence_transformers.base.modules.transformer.Transformer"
    takes_auto_backend = True
    is_thread_safe = True

    @accepts_older_arguments(renamed=RENAMED_ARGUMENTS)
    def __init__(
        self,
        model_name_or_path: str,
        *,
        transformer_task: str = DEFAULT_TASK,
        revision: str | None = None,
        token: bool | str | None = None,
        cache_folder: str | None = None,
        local_files_only: bool = False,
        allow_links: bool = False,
        subfolder: str = "",
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        processing_kwargs: Mapping[str, Any] | None = None,
        modality_config: Mapping[str | tuple[str, ...], dict[str, Any]] | None = None,
        module_output_name: str | None = None,
        unpad_inputs: bool | None = None,
        max_seq_length: int | None = None,
        do_lower_case: bool = False,
        tokenizer_name_or_path: str | None = None,
        tokenizer: str | None = None,
        backend: str = DEFAULT,
    ) -> None:
        super().__init__()
        where = {
            "subfolder": subfolder,
            "token": token,
            "cache_folder": cache_folder,
            "revision": revision,
            "local_files_only": local_files_only,
            "allow_links": allow_links,
            "trust_remote_code": trust_remote_code,
        }
        given = {"model_kwargs": model_kwargs, "processor_kwargs": processor_kwargs, "config_kwargs": config_kwargs}
        where, groups = keywords.out_of_groups(where, {name: group or {} for name, group in given.items()})
        self.has_device_map = groups["model_kwargs"].get("device_map") is not None
        self.task = task_named(transformer_task)
        self.transformer_task = transformer_task
        built = build(
            model_name_or_path,
            self.task,
            where,
            groups,
            backend=backend,
            max_seq_length=max_seq_length,
            do_lower_case=do_lower_case,
            tokenizer_name_or_path=tokenizer_name_or_path,
            tokenizer=tokenizer,
        )
        self._hold(built)
        self.do_lower_case = do_lower_case
        self.processing_kwargs = processing.with_checked_lengths(processing_kwargs or {}, built.model)
        unknown_keys(self.processing_kwargs, processing.PROCESSING_KEYS, shown_as="processing_kwargs")
        self.unpad_inputs = unpad_inputs
        built, known, self.module_output_name = with_modalities(built, self.task, modality_config, module_output_name)
        self._preprocessor = Preprocessor(built.processor, known, built.source_name)

    def preprocess(
        self,
        inputs: Sequence[Any],
        prompt: str | None = None,
        processing_kwargs: Mapping[str, Any] | None = None,
        max_length: int | None = None,
        truncation: str | bool | None = None,
        allow_urls: bool = True,
        allow_private_urls: bool = False,
        allow_paths: bool = True,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the features of a batch: tensors of shape (inputs, positions), and those of media.

        Args:
            inputs: Pairs, conversations, or elements of pairs on their own.
            prompt: Put before the first text of a pair, or used as the system message of a chat template.
            processing_kwargs: Settings for this call; each key overrides that of the instance.
            max_length: Longest input in tokens for this call; a ``max_length`` in ``processing_kwargs`` overrides it.
            truncation: How longer inputs are cut; ``"document"`` cuts only the second side. With False, an input that
                is longer than the model's positions is refused.
            allow_urls: Whether to fetch media that inputs name by URL, for a model that takes such media.
            allow_private_urls: Whether such a URL may lead to a private, link-local or loopback address, or go through
                a proxy that the environment names.
            allow_paths: Whether to open media that inputs name by path.

        Raises:
            InputError: The model does not take an input, or the settings do not fit it.
        """
        limits = Limits(allow_urls=allow_urls, allow_private_urls=allow_private_urls, allow_paths=allow_paths)

        def read(how: Processing) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
            settings = how.settings(processing_kwargs, max_length, truncation)
            model, execution = self._running()
            needed = execution.needs_padding_token(model)
            with how.preprocessor() as preprocessor:
                features = encoding.features_of(
                    preprocessor, inputs, prompt, settings, limits, needs_padding_token=needed
                )
            return features, settings

        try:
            features, settings = read(self._processing())
        except NeedsLibraryError as needed:
            note(f"the transformers library reads the inputs: {needed}")
            features, settings = read(self._library_processing())
        processing.check_mask(features, pads_left=self.task.generates)
        positions.check_fits(features, self._runs)
        if self.task.generates:
            features["logits_to_keep"] = processing.logits_to_keep(settings)
        return features

    def encode(
        self,
        inputs: Sequence[Any],
        prompt: str | None = None,
        parts: Mapping[str, Part] | None = None,
        **kwargs: Any,
    ) -> list[Encoded] | None:
        """Return each input's features without padding, or None if they depend on the batch.

        Args:
            inputs, prompt, **kwargs: As for `preprocess`.
            parts: For a feature that it writes, the only part that is read.

        Raises:
            InputError: As for `preprocess`.
        """
        own = type(self).preprocess is Transformer.preprocess
        settings = self._processing().settings(**kwargs) if own else {}
        if not own or self._preprocessor.takes_media or not encoding.can_be_undone(settings):
            return None
        known = Request("forward", (), self.module_output_name, tokenizer=self._reads)
        model, execution = self._running()
        if execution.batches_matter(model, known, None):
            return None
        rows = encoding.rows_of(lambda some: self.preprocess(some, prompt, **kwargs), inputs)
        if not rows:
            return None
        request = self._request(rows[0].shared.get("modality", TEXT), parts)
        model, execution = self._running()
        if execution.batches_matter(model, request, rows):
            return None
        prefixes = execution.prefixes(model, request, rows)
        return [encoding.encoded(row, prefix) for row, prefix in zip(rows, prefixes, strict=True)]

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        """Return the features of encoded inputs, padded to the longest, as `preprocess` returns them for inputs."""
        return encoding.join(items, self._processing().pads)

    @property
    def batch_key(self) -> Callable[..., Hashable] | None:
        """Returns a key for an input; inputs with equal keys can be preprocessed together. None if all inputs can."""
        return self._preprocessor.batch_key if self._preprocessor.takes_videos_in_pairs else None

    def forward(
        self, features: dict[str, Any], parts: Mapping[str, Part] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return ``features`` with the model's output under ``module_output_name``.

        Its shape is (pairs, labels) for classification, else (pairs, positions, size), and (pairs, columns) for a part;
        its dtype is the model's.

        Args:
            features: The features that `preprocess` returned.
            parts: For a feature that it writes, the only part that is read; it may write just that part.
            **kwargs: Arguments of the model.
        """
        prefix = features.pop("prefix", None)
        request = replace(self._request(features.get("modality", TEXT), parts), prefix=prefix, keywords=kwargs)
        model, execution = self._running_for(features, request)
        for name, reason in self.backend_reasons.items():
            note(f"not by the backend {name}: {reason}")
        features.update(execution.run(model, features, request))
        return features

    @property
    def offers_parts(self) -> frozenset[str]:
        """Features that it can write in part; empty if a subclass or a hook may read more than the part."""
        return frozenset({self.module_output_name} if self._may_leave_out else ())

    @property
    def may_run_at_once(self) -> bool:
        """Whether several threads may run it on batches of one call; the backend decides it for the model."""
        model, execution = self._running()
        return declares_safety(self, [self]) and execution.is_thread_safe(model)

    @property
    def _may_leave_out(self) -> bool:
        return type(self).forward is _FORWARD and not is_watched(self)

    def _request(self, modality: str | tuple[str, ...], parts: Mapping[str, Part] | None) -> Request:
        entry = self._preprocessor.entry(modality)
        field = entry["method_output_name"]
        return Request(
            method=entry["method"],
            path=[field] if isinstance(field, str) else list(field or ()),
            feature=self.module_output_name,
            part=(parts or {}).get(self.module_output_name),
            generates=self.task.generates,
            may_leave_out=self._may_leave_out
            and entry["method"] == "forward"
            and field in ("logits", "last_hidden_state")
            and not getattr(self._runs.config, "output_hidden_states", False),
            tokenizer=self._reads,
        )

    @property
    def untrained(self) -> Untrained | None:
        """The weights that the checkpoint lacks and that are still random; None if there are none."""
        model, execution = self._running()
        return execution.untrained(model)

    @property
    def writes(self) -> frozenset[str] | None:  # type: ignore[override]
        """Features it adds; None for a subclass with its own forward."""
        if type(self).forward is not Transformer.forward:
            return None
        return frozenset({self.module_output_name, "input_ids", "attention_mask", "modality"})

    @property
    def num_labels(self) -> int | None:  # type: ignore[override]
        """Scores per pair, if it writes ``scores``."""
        return self._runs.config.num_labels if self.module_output_name == "scores" else None

    @property
    def modality_config(self) -> ModalityConfig:
        """For each modality, the model's method to call and the field of its output; can be set."""
        return self._preprocessor.modality_config

    @modality_config.setter
    def modality_config(self, value: Mapping[str | tuple[str, ...], dict[str, Any]]) -> None:
        own = self._preprocessor
        self._preprocessor = Preprocessor(own.processor, modalities.checked(value), own.model)

    @property
    def modalities(self) -> list[str | tuple[str, ...]]:  # type: ignore[override]
        """The modalities that the elements of a pair may have."""
        return list(self.modality_config)

    @property
    def max_seq_length(self) -> int | None:
        """Longest input in tokens; longer inputs are cut. None for a model without tokenizer and positions."""
        text = self._runs.config.get_text_config()
        positions: int | None = getattr(text, "max_position_embeddings", None)
        return positions if self._reads is None else self._reads.model_max_length

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        own = self._preprocessor
        if self._reads is None:
            raise InputError("max_seq_length counts tokens, but this model has no tokenizer.")
        longest = positions.checked_length(value, "max_seq_length", self._runs)
        if not isinstance(own.processor, QuickTokenizer):
            self._reads.model_max_length = longest
            return
        assert self._deferred is not None
        self._deferred.longest = longest
        self._preprocessor = own.with_own(own.processor.limited_to(longest))

    def get_embedding_dimension(self) -> int:
        """Return the size of a token's embedding."""
        return embedding_dimension(
            self._runs.config,
            pooled=self.module_output_name == "sentence_embedding",
            projected=self.transformer_task == "retrieval",
        )

    def get_config_dict(self) -> dict[str, Any]:
        """Return the content of ``sentence_bert_config.json``."""
        config = super().get_config_dict()
        config["modality_config"] = saving.modality_config_as_saved(self.modality_config)
        optional = {"processing_kwargs": self.processing_kwargs or None, "unpad_inputs": self.unpad_inputs}
        return config | {name: value for name, value in optional.items() if value is not None}

    def save_config(self, output_path: str, filename: str | None = None) -> None:
        """Write the configuration; see `Module.save_config`."""
        # a BertTokenizer does not keep the normalizer that lowercases
        config = self.get_config_dict() | ({"do_lower_case": True} if self.do_lower_case else {})
        write_json(Path(output_path) / (filename or self.config_file_name), config, indent=4)

    @classmethod
    def load_config(cls, model_name_or_path: str, subfolder: str = "", *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of a saved Transformer; see `Module.load_config`."""
        kwargs.pop("config_filename", None)
        return saving.read_config(open_source(model_name_or_path, subfolder=subfolder, **kwargs))[0]

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        tokenizer: str | None = None,
        backend: str = DEFAULT,
        **kwargs: Any,
    ) -> Self:
        """Return the Transformer saved in a folder or repository; these arguments override the saved ones."""
        where: dict[str, Any] = {
            "subfolder": subfolder,
            "token": token,
            "cache_folder": cache_folder,
            "revision": revision,
            "local_files_only": local_files_only,
        }
        source = open_source(model_name_or_path, **where)
        given = {"model_kwargs": model_kwargs, "processor_kwargs": processor_kwargs, "config_kwargs": config_kwargs}
        where["trust_remote_code"] = trust_remote_code
        arguments, unknown = keywords.arguments_for_load(cls, source, where, given, tokenizer)
        module = cls(model_name_or_path, backend=backend, **arguments)
        module.extra_config = unknown
        return module

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write model, tokenizer and configuration; the weights are always safetensors."""
        model, execution = self._running()
        if not self._is_given_over and self._deferred is not None:
            # the backend goes on running the model
            self._deferred.save(model, output_path)
        else:
            execution.save(model, output_path)
        self.processor.save_pretrained(output_path)
        remove_content_read_elsewhere(output_path)
        save_class(self.tokenizer, output_path)
        self.save_config(output_path)

    def _processing(self) -> Processing:
        """Return the settings and processor for preprocessing; during a call, those at the beginning of the call."""
        return kept_for_the_call(self, lambda: Processing(self._preprocessor, self.processing_kwargs, self._runs))

    def _library_processing(self) -> Processing:
        """Return the same as `_processing`, with the library's processor."""

        def make() -> Processing:
            assert self.processor is not None
            return Processing(self._preprocessor, self.processing_kwargs, self._runs)

        return kept_for_the_call(self, make, key="library")

    @property
    def _architecture(self) -> str:
        named = getattr(self._runs.config, "architectures", None)
        return type(self._runs).__name__ if self._is_given_over or not named else str(named[0])

    def __repr__(self) -> str:
        shown = dict(self.get_config_dict(), architecture=self._architecture)
        return shortened(f"{type(self).__name__}({shown})")


# the original method, in case the class is patched
_FORWARD = Transformer.forward
