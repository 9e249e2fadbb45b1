"""What the files of a checkpoint tell before it is loaded; neither torch nor the transformers library is imported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pairchain import Source
from pairchain.authoring import adapted_model, checkpoint_code, read_json_object
from pairchain.errors import (
    ChainError,
    FormatError,
    MissingFileError,
    PairchainError,
    PickleRefusedError,
    warn,
)
from pairchain.facts import ADAPTED, AUDIO_TOKENIZER, SCORES, TOKENIZER, Facts
from pairchain_transformer.checkpoint import files, saving
from pairchain_transformer.checkpoint.sizes import check_sizes
from pairchain_transformer.checkpoint.tasks import TASKS, Task
from pairchain_transformer.published.classes import fast_class, is_of_five
from pairchain_transformer.settings.files import configuration_settings, processing_settings

# What tokenizers keep their vocabulary in, besides the files that are not made for one class of them.
_VOCABULARIES = """
    vocab.txt vocab.json merges.txt spiece.model sentencepiece.bpe.model sentencepiece.model bpe.codes vocab.bpe
    source.spm target.spm dict.txt qwen.tiktoken prophetnet.tokenizer entity_vocab.json spm.model bpe.model
""".split()
# Their tokenizers read characters or bytes.
_WITHOUT_VOCABULARY = frozenset({"byt5", "canine", "perceiver"})


def saved_facts(source: Source) -> Facts:
    """Return what the files of a saved Transformer tell."""
    try:
        settings, _ = saving.read_config(source)
    except PairchainError as error:
        return Facts(faults=[error])
    task = TASKS[settings.get("transformer_task", saving.DEFAULT_TASK)]
    written = {settings["module_output_name"], "input_ids", "attention_mask", "modality"}
    return _facts(source, task, frozenset(written), settings)


def checkpoint_facts(source: Source, *, is_causal: bool) -> Facts:
    """Return what the files of a checkpoint tell of the chain that it makes by itself."""
    task = TASKS["text-generation" if is_causal else "sequence-classification"]
    return _facts(source, task, frozenset({SCORES}), {}, scores_words=is_causal)


def _facts(
    source: Source, task: Task, writes: frozenset[str], settings: Mapping[str, Any], *, scores_words: bool = False
) -> Facts:
    faults: list[PairchainError] = []

    def attempt(read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except PairchainError as error:
            faults.append(error)
            return None

    base = attempt(files.adapter_base, source)
    attempt(files.check_adapter, source)
    place = source if base is None else attempt(adapted_model, source)
    config = {} if faults else attempt(_config, place) or {}
    needs_code = bool(config) and _needs_code(config, task)
    if needs_code:
        attempt(checkpoint_code, source)
    elif config:
        faults += _unsupported(source, config, task)
    if not files.CHOOSES_WEIGHTS & settings.get("model_kwargs", {}).keys():
        attempt(_check_weights, source)
        if base is None and config and not faults:
            attempt(_check_counts, source, config)
            attempt(check_sizes, source, {**config, **settings.get("config_kwargs", {})})
    elsewhere = {} if base is None else {ADAPTED: base}
    if (tokenizer := settings.get("tokenizer_name_or_path")) not in (None, source.name):
        elsewhere[TOKENIZER] = tokenizer
    elif base is None and config:
        attempt(_check_tokenizer, source, config)
        attempt(_tell_replaced, source, settings)
    given = settings.get("processor_kwargs", {})
    processing = None if TOKENIZER in elsewhere else attempt(processing_settings, source, given)
    if processing is not None:
        processing.warn()
    place = source if base is None else place
    configuration = attempt(configuration_settings, place or source, {})
    foreign = [found for found in (processing and processing.foreign, configuration) if found is not None]
    if audio := attempt(files.audio_tokenizers, source):
        elsewhere[AUDIO_TOKENIZER] = ", ".join(audio)
    if scores_words:
        attempt(_check_words, source)
    return Facts(
        frozenset(),
        writes,
        1 if scores_words else _labels(config, task, settings) if SCORES in writes and config else None,
        _summary(config),
        elsewhere,
        needs_code,
        faults,
        foreign,
    )


def _config(source: Source) -> dict[str, Any]:
    path = source.require("config.json", because="It says which architecture the weights are for.")
    return read_json_object(path, shown_as=f"config.json of {source.name}")


def _summary(config: Mapping[str, Any]) -> str:
    names, kind = _architectures(config), config.get("model_type")
    return f"{', '.join(names)} ({kind})" if names else str(kind or "")


def _architectures(config: Mapping[str, Any]) -> list[str]:
    names = config.get("architectures")
    return [str(name) for name in names] if isinstance(names, list) else []


def _labels(config: Mapping[str, Any], task: Task, settings: Mapping[str, Any]) -> int | None:
    """Return how many scores the checkpoint's head gives; one that was never a classifier gets a head for one."""
    if task.name != "sequence-classification":
        return None
    values = {**config, **settings.get("config_kwargs", {})}
    was_classifier = any(name.endswith("ForSequenceClassification") for name in _architectures(config))
    if not was_classifier and "num_labels" not in settings.get("config_kwargs", {}):
        return 1
    named = values.get("id2label")
    number = values.get("num_labels", len(named) if isinstance(named, dict) else 2)
    return number if isinstance(number, int) else None


def _needs_code(config: Mapping[str, Any], task: Task) -> bool:
    """Return whether the checkpoint needs classes that its ``auto_map`` names, for the library has none for it."""
    named = config.get("auto_map")
    kind = config.get("model_type")
    if not isinstance(named, dict) or not isinstance(kind, str) or not _known("AutoConfig"):
        return False
    if "AutoConfig" in named and kind not in _known("AutoConfig"):
        return True
    known = _known(task.auto_class)
    return task.auto_class in named and bool(known) and kind not in known


def _unsupported(source: Source, config: Mapping[str, Any], task: Task) -> Iterator[PairchainError]:
    kind = config.get("model_type")
    if "model_type" not in config or not (known := _known("AutoConfig")):
        return
    if not isinstance(kind, str) or kind not in known:
        yield FormatError(
            f"the installed transformers knows no architecture {kind!r}.",
            where=f"config.json of {source}",
            next_step="pip install --upgrade transformers, if it is a new one.",
        )
    elif task.name in ("sequence-classification", "text-generation", "fill-mask"):
        supported = _known(task.auto_class)
        if supported and kind not in supported:
            yield FormatError(
                f"the model cannot be loaded with {task.auto_class}: the installed transformers has none for {kind!r}.",
                where=str(source),
                next_step="choose another transformer_task.",
            )


@cache
def _known(auto_class: str) -> frozenset[str]:
    """Return the architectures for which the installed library has a class, as its text tells; none if it does not."""
    library = find_spec("transformers")
    folders = library.submodule_search_locations if library else None
    if not folders or not auto_class:
        return frozenset()
    folder = Path(folders[0], "models", "auto")
    if auto_class == "AutoConfig":
        text = _text(folder / "auto_mappings.py") + _text(folder / "configuration_auto.py")
        return frozenset(re.findall(r'"(?![A-Z_]+")([\w.-]+)"\s*[,:]\s*"\w+Config"', text))
    text = _text(folder / "modeling_auto.py")
    table = re.search(rf"class {auto_class}\(.*?_model_mapping = (\w+)", text, re.DOTALL)
    names = table and re.search(rf"^{table[1]}_NAMES = OrderedDict\(\n(.*?)^\)", text, re.DOTALL | re.MULTILINE)
    return frozenset(re.findall(r'\(\s*"([\w.-]+)"', names[1])) if names else frozenset()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _check_weights(source: Source) -> None:
    if any(source.has(name) for name in (*files.SAFETENSORS, files.SAFETENSORS_INDEX)):
        return
    for name in files.PICKLES:
        if source.has(name):
            raise PickleRefusedError(
                f"the weights are a pickle, {source.path_of(name)}, and reading a pickle can run code.",
                next_step="pass allow_pickle=True to read it through torch's restricted loader.",
            )
    raise MissingFileError(
        "there are no weights: no model.safetensors.",
        where=str(source),
        next_step="save or fetch the model again; it is incomplete.",
    )


def _check_counts(source: Source, config: Mapping[str, Any]) -> None:
    files.check_counts(dict(config), shown_as=f"config.json of {source.name}")


def _check_tokenizer(source: Source, config: Mapping[str, Any]) -> None:
    enough = (*files.PROCESSOR_FILES, *files.TOKENIZER_FILES, *_VOCABULARIES)
    if str(config.get("model_type")) in _WITHOUT_VOCABULARY or any(map(source.has, enough)):
        return
    path = source.file("tokenizer_config.json")
    if path is not None and read_json_object(path, shown_as=f"tokenizer_config.json of {source.name}").get("auto_map"):
        return
    raise MissingFileError(
        f"the tokenizer's vocabulary is missing: there is none of {', '.join(files.TOKENIZER_FILES)}.",
        where=str(source),
        next_step="save or fetch the model again; without its vocabulary every score would be wrong.",
    )


def _tell_replaced(source: Source, settings: Mapping[str, Any]) -> None:
    """Warn of parts of the tokenizer that the installed library replaces, if its files are at hand."""
    if source.cached("tokenizer.json") is None:
        return
    if is_of_five(files.read_settings(source, "tokenizer_config.json")):
        return
    # they import the tokenizers library, and only older files need that
    from pairchain_transformer.published.library import replaced
    from pairchain_transformer.published.saved import is_of_bad_file, read_saved

    try:
        saved = read_saved(source, settings.get("processor_kwargs", {}))
        fast = fast_class(saved.class_name, saved.architecture)
        found = [] if fast is None else replaced(saved, fast)
    except PairchainError:
        raise
    except BaseException as error:
        if not is_of_bad_file(error):
            raise
        # that the load fails, or warns, is all that can be known of such files
        return
    if found:
        warn(
            f"transformers 5 replaces the {' and the '.join(found)} of this model's tokenizer. Pairchain uses the "
            "tokenizer as it was published; with tokenizer='library' it tokenizes as sentence-transformers does, and "
            "scores differ."
        )


def _check_words(source: Source) -> None:
    """Check that the vocabulary has the words of which a causal model's scores are made, if it is at hand."""
    from pairchain_transformer.hooks import FALSE_WORD, TRUE_WORD

    path = source.cached("tokenizer.json")
    if path is None:
        return
    values = read_json_object(path, shown_as=f"tokenizer.json of {source.name}")
    model, added = values.get("model"), values.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict):
        return
    tokens = [token.get("content") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    words = [*vocabulary, *tokens]
    if absent := [word for word in (TRUE_WORD, FALSE_WORD) if word not in words]:
        raise ChainError(
            f"this causal model's vocabulary has no token {absent[0]!r}, of which its score would be made.",
            next_step="choose the tokens: CrossEncoder(modules=[Transformer(…, transformer_task='text-generation'), "
            "LogitScore(true_token_id=…, false_token_id=…)]).",
        )
