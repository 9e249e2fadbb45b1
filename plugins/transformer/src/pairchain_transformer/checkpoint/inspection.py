"""Inspects a checkpoint's files before a load; imports neither torch nor the transformers library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pairchain import Source
from pairchain.authoring import adapted_model, checkpoint_code, pickle_refused, read_json_object
from pairchain.backends import Checkpoint, supports_of
from pairchain.errors import PairchainError, warn
from pairchain.facts import ADAPTED, AUDIO_TOKENIZER, SCORES, TOKENIZER, Facts
from pairchain_transformer.architectures import VOCABULARIES, WITHOUT_VOCABULARY
from pairchain_transformer.checkpoint import faults, saving
from pairchain_transformer.checkpoint.sizes import check_sizes
from pairchain_transformer.checkpoint.support import (
    class_names,
    needs_code,
    require_config,
    unsupported,
    was_classifier,
)
from pairchain_transformer.checkpoint.tasks import DEFAULT_TASK, FALSE_WORD, TASKS, TRUE_WORD, Task
from pairchain_transformer.checkpoint.weight_files import pickle_of
from pairchain_transformer.files.adapters import adapter_base, audio_tokenizers, check_adapter, tokenizer_place
from pairchain_transformer.files.counts import check_counts
from pairchain_transformer.files.names import CHOOSES_WEIGHTS, PROCESSOR_FILES, TOKENIZER_FILES, read_settings
from pairchain_transformer.libraries.messages import is_of_bad_file
from pairchain_transformer.published.classes import fast_class, is_of_five
from pairchain_transformer.settings.files import configuration_settings, processing_settings


def saved_facts(source: Source) -> Facts:
    """Return the facts in the files of a saved Transformer."""
    try:
        settings, _ = saving.read_config(source)
    except PairchainError as error:
        return Facts(faults=[error])
    task = TASKS[settings.get("transformer_task", DEFAULT_TASK)]
    written = {settings["module_output_name"], "input_ids", "attention_mask", "modality"}
    return _Inspection(source, task, settings).facts(frozenset(written))


def checkpoint_facts(source: Source, *, is_causal: bool) -> Facts:
    """Return the facts in a checkpoint's files about the default chain for it."""
    task = TASKS["text-generation" if is_causal else "sequence-classification"]
    return _Inspection(source, task, {}, compares_words=is_causal).facts(frozenset({SCORES}))


class _Inspection:
    def __init__(
        self, source: Source, task: Task, settings: Mapping[str, Any], *, compares_words: bool = False
    ) -> None:
        self._source = source
        self._task = task
        self._settings = settings
        self._compares_words = compares_words
        self._config_kwargs: Mapping[str, Any] = settings.get("config_kwargs", {})
        self._model_kwargs: Mapping[str, Any] = settings.get("model_kwargs", {})
        self._faults: list[PairchainError] = []

    def facts(self, writes: frozenset[str]) -> Facts:
        source, attempt = self._source, self._attempt
        base = attempt(adapter_base, source)
        attempt(check_adapter, source)
        place = source if base is None else attempt(adapted_model, source)
        config: dict[str, Any] = {} if self._faults else attempt(require_config, place) or {}
        runs_code = bool(config) and needs_code(config, self._task)
        if runs_code:
            attempt(checkpoint_code, source)
        else:
            self._faults += unsupported(source, config, self._task)
        self._check_weights(config, is_adapter=base is not None)
        elsewhere = {} if base is None else {ADAPTED: base}
        if (tokenizer := self._settings.get("tokenizer_name_or_path")) not in (None, source.name):
            elsewhere[TOKENIZER] = tokenizer
        elif config:
            if (tokenizer_source := attempt(tokenizer_place, source) or source) is not source:
                elsewhere[TOKENIZER] = tokenizer_source.name
            attempt(_check_tokenizer, tokenizer_source, config)
            attempt(_warn_of_replaced, tokenizer_source, self._settings)
            if self._compares_words:
                attempt(_check_words, tokenizer_source)
        if audio := attempt(audio_tokenizers, source):
            elsewhere[AUDIO_TOKENIZER] = ", ".join(audio)
        foreign = self._foreign(place or source, reads_tokenizer=TOKENIZER not in elsewhere)
        labels = 1 if self._compares_words else self._labels(config) if SCORES in writes and config else None
        checkpoint = Checkpoint(
            source,
            self._task.name,
            {**config, **self._config_kwargs},
            self._model_kwargs,
            config_kwargs=self._config_kwargs,
        )
        supports = supports_of(checkpoint)
        return Facts(
            reads=frozenset(),
            writes=writes,
            labels=labels,
            summary=_summary(config),
            elsewhere=elsewhere,
            runs_code=runs_code,
            faults=self._faults,
            settings=foreign,
            backends={name: support.reason for name, support in supports.items()},
            backend_loads={name: support.loads for name, support in supports.items() if support.loads},
        )

    def _attempt(self, read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except PairchainError as error:
            self._faults.append(error)
            return None

    def _check_weights(self, config: Mapping[str, Any], *, is_adapter: bool) -> None:
        if CHOOSES_WEIGHTS & self._model_kwargs.keys():
            return
        if name := self._attempt(pickle_of, self._source):
            self._faults.append(pickle_refused(self._source, name))
        if config and not is_adapter and not self._faults:
            self._attempt(check_counts, dict(config), f"config.json of {self._source.name}")
            self._attempt(check_sizes, self._source, {**config, **self._config_kwargs})

    def _foreign(self, place: Source, *, reads_tokenizer: bool) -> list[Any]:
        given = self._settings.get("processor_kwargs", {})
        processing = self._attempt(processing_settings, self._source, given) if reads_tokenizer else None
        if processing is not None:
            processing.warn()
        configuration = self._attempt(configuration_settings, place, {})
        return [found for found in (processing and processing.foreign, configuration) if found is not None]

    def _labels(self, config: Mapping[str, Any]) -> int | None:
        """Return the head's number of scores; a checkpoint that was never a classifier gets a head for one."""
        if self._task.name != "sequence-classification":
            return None
        if not was_classifier(config.get("architectures")) and "num_labels" not in self._config_kwargs:
            return 1
        values = {**config, **self._config_kwargs}
        named = values.get("id2label")
        number = values.get("num_labels", len(named) if isinstance(named, dict) else 2)
        return number if isinstance(number, int) else None


def _summary(config: Mapping[str, Any]) -> str:
    names, kind = class_names(config.get("architectures")), config.get("model_type")
    return f"{', '.join(names)} ({kind})" if names else str(kind or "")


def _check_tokenizer(source: Source, config: Mapping[str, Any]) -> None:
    enough = (*PROCESSOR_FILES, *TOKENIZER_FILES, *VOCABULARIES)
    if str(config.get("model_type")) in WITHOUT_VOCABULARY or any(map(source.has, enough)):
        return
    if not read_settings(source, "tokenizer_config.json").get("auto_map"):
        raise faults.no_vocabulary(source, TOKENIZER_FILES)


def _warn_of_replaced(source: Source, settings: Mapping[str, Any]) -> None:
    """Warn of tokenizer parts that the installed library replaces, if ``tokenizer.json`` is already downloaded."""
    if source.cached("tokenizer.json") is None or is_of_five(read_settings(source, "tokenizer_config.json")):
        return
    # these import the tokenizers library, which only older files need
    from pairchain_transformer.published.library import replaced
    from pairchain_transformer.published.saved import read_saved

    try:
        saved = read_saved(source, settings.get("processor_kwargs", {}))
        fast = fast_class(saved.class_name, saved.architecture)
        found = [] if fast is None else replaced(saved, fast)
    except PairchainError:
        raise
    except BaseException as error:
        if not is_of_bad_file(error):
            raise
        # the load itself will fail or warn
        return
    if found:
        warn(
            f"transformers 5 replaces the {' and the '.join(found)} of this model's tokenizer. Pairchain uses the "
            "tokenizer as it was published; with tokenizer='library' it tokenizes as sentence-transformers does, and "
            "scores differ."
        )


def _check_words(source: Source) -> None:
    """Check that the vocabulary has the two words of a causal score, if ``tokenizer.json`` is already downloaded."""
    if (path := source.cached("tokenizer.json")) is None:
        return
    values = read_json_object(path, shown_as=f"tokenizer.json of {source.name}")
    model, added = values.get("model"), values.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict):
        return
    tokens = [token.get("content") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    words = [*vocabulary, *tokens]
    if absent := [word for word in (TRUE_WORD, FALSE_WORD) if word not in words]:
        raise faults.no_token(absent[0])
