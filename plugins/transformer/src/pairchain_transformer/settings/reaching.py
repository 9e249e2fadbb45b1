"""Tables of settings that reach another library, program or repository, and of their harmless values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Rule:
    """A setting that reaches something.

    Attributes:
        goes_to: The library, program or repository that it reaches.
        is_harmless: Returns whether a value reaches nothing.
        default_of: Pattern for the names of classes that reach it if the setting is absent.
        is_idle: Returns whether other settings make this one ineffective.
    """

    goes_to: str
    is_harmless: Callable[[Any], bool] = lambda value: value in (None, "", False) or value == {}
    default_of: str = ""
    is_idle: Callable[[Mapping[str, Any]], bool] = lambda values: False


_SUDACHI = "the library sudachipy, which loads the plugins that its own settings name"
_JUMANPP = "the program jumanpp"
_MECAB = "the library MeCab"
_TESSERACT = "the program tesseract"
_PHONEMIZER = "the library phonemizer, which loads espeak or starts festival"
_REPOSITORY = "a file or a repository of its choice, which is read with your token"
_TIMM = "the library timm"


def _is_off(value: Any) -> bool:
    return value is False


def _is_known_dictionary(value: Any) -> bool:
    # the class maps these names to packages, and passes nothing else on
    is_choice = isinstance(value, Mapping) and value.keys() <= {"mecab_dic"}
    return not value or (is_choice and value["mecab_dic"] in ("ipadic", "unidic", "unidic_lite"))


def _is_sampling(value: Any) -> bool:
    known = {"enable_sampling", "nbest_size", "alpha"}
    return not value or (isinstance(value, Mapping) and value.keys() <= known and _is_numbers(value))


def _is_numbers(value: Any) -> bool:
    if isinstance(value, Mapping | list):
        return all(map(_is_numbers, value.values() if isinstance(value, Mapping) else value))
    return value is None or isinstance(value, int | float)


def _names_no_repository(value: Any) -> bool:
    return not isinstance(value, str) or not re.search(r"[/\\:]", value)


_PHONEMIZER_OPTION = _Rule(_PHONEMIZER, is_idle=lambda values: values.get("do_phonemize") is False)
_FONT = _Rule("a font of the repository ybelkada/fonts")
_OTHER_MODEL = _Rule("a model of another repository, which is loaded with your token")

_PROCESSING = {
    "word_tokenizer_type": _Rule(
        "a library or program of the file's choice that splits words",
        lambda value: value in (None, "basic", "mecab"),
    ),
    "sudachi_kwargs": _Rule(_SUDACHI),
    "jumanpp_kwargs": _Rule(_JUMANPP),
    "mecab_kwargs": _Rule(_MECAB, _is_known_dictionary),
    "mecab_dic": _Rule(_MECAB),
    "mecab_option": _Rule(_MECAB),
    "sp_model_kwargs": _Rule("the library sentencepiece", _is_sampling),
    "apply_ocr": _Rule(_TESSERACT, _is_off, r"LayoutLMv[23](ImageProcessor|FeatureExtractor)"),
    "tesseract_config": _Rule(_TESSERACT),
    "ocr_lang": _Rule(_TESSERACT),
    "do_phonemize": _Rule(_PHONEMIZER, _is_off, "Wav2Vec2Phoneme"),
    "phonemizer_backend": _PHONEMIZER_OPTION,
    "phonemizer_lang": _PHONEMIZER_OPTION,
    "phonemize": _Rule(_PHONEMIZER, _is_off, "VitsTokenizer"),
    "is_uroman": _Rule("the library uroman"),
    "class_info_file": _Rule(_REPOSITORY),
    "repo_path": _Rule(_REPOSITORY, is_idle=lambda values: not values.get("class_info_file")),
    "is_vqa": _FONT,
    "header_text": _FONT,
    "pretrained_cfg": _Rule(_TIMM),
    "architecture": _Rule(_TIMM),
    "audio_tokenizer": _OTHER_MODEL,
    "audio_tokenizer_name_or_path": _OTHER_MODEL,
    "speaker_embeddings": _Rule(_REPOSITORY),
    "decoder": _Rule("the library pyctcdecode"),
    "transform": _Rule("whatever it names"),
}
_PREFIXES = {
    "sudachi": _SUDACHI,
    "jumanpp": _JUMANPP,
    "mecab": _MECAB,
    "tesseract": _TESSERACT,
    "phonemizer": _PHONEMIZER,
}

# Classes that always reach something.
_CLASSES = {
    "Wav2Vec2ProcessorWithLM": "the libraries pyctcdecode and kenlm",
    "BarkProcessor": _REPOSITORY,
    "TimmWrapperImageProcessor": _TIMM,
}

# The library's default class for an architecture.
_CLASS_OF_MODEL = {
    "bark": "BarkProcessor",
    "layoutlmv2": "LayoutLMv2ImageProcessor",
    "layoutlmv3": "LayoutLMv3ImageProcessor",
    "layoutxlm": "LayoutLMv2ImageProcessor",
    "timm_wrapper": "TimmWrapperImageProcessor",
    "udop": "LayoutLMv3ImageProcessor",
    "vits": "VitsTokenizer",
    "wav2vec2_phoneme": "Wav2Vec2PhonemeCTCTokenizer",
}


def _is_experts_of_library(value: Any) -> bool:
    values = value.values() if isinstance(value, Mapping) else [value]
    return all(one in (None, "eager", "batched_mm", "grouped_mm") for one in values)


_EXPERTS = _Rule("compiled kernels of another repository", _is_experts_of_library)

_CONFIGURATION = {
    "experts_implementation": _EXPERTS,
    "_experts_implementation": _EXPERTS,
    "_experts_implementation_internal": _EXPERTS,
    "use_pretrained_backbone": _Rule("the weights of another repository"),
    "backbone": _Rule("a repository of its choice, which is read with your token", _names_no_repository),
    "backbone_kwargs": _Rule(_TIMM, _is_numbers),
    "pretrained_cfg": _Rule(_TIMM),
    "model_args": _Rule(_TIMM),
    "architecture": _Rule(_TIMM, _names_no_repository),
    "detectron2_config_args": _Rule("the library detectron2"),
    "model_type": _Rule(_TIMM, lambda value: value != "timm_wrapper"),
}


def reached(key: str, values: Mapping[str, Any]) -> str | None:
    """Return what the setting ``key`` reaches beyond the transformers library.

    An empty string means that only other values of this setting reach something; None, that no table lists it.
    """
    value = values[key]
    if (rule := _PROCESSING.get(key)) is not None:
        return "" if rule.is_harmless(value) or rule.is_idle(values) else rule.goes_to
    return next((goes_to for prefix, goes_to in _PREFIXES.items() if value and key.startswith(prefix)), None)


def reached_by_default(values: Mapping[str, Any], classes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each absent setting whose default in one of ``classes`` reaches something, and what it reaches.

    A class that always reaches something counts as such a setting.
    """
    names = list(classes)
    for key, rule in _PROCESSING.items():
        # null means absent
        if rule.default_of and values.get(key) is None and any(re.match(rule.default_of, name) for name in names):
            yield key, rule.goes_to
    for name in names:
        if (goes_to := _CLASSES.get(name.removesuffix("Fast"))) is not None:
            yield f"the class {name}", goes_to


def reached_by_configuration(values: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield each setting at any depth of a configuration that reaches something, its value, and what it reaches."""
    for key, value in values.items() if isinstance(values, Mapping) else ():
        rule = _CONFIGURATION.get(key)
        if rule is not None and not rule.is_harmless(value):
            yield key, value, rule.goes_to
        elif isinstance(value, Mapping):
            yield from reached_by_configuration(value)
        elif isinstance(value, list):
            yield from (found for part in value for found in reached_by_configuration(part))


def class_of_model(model_type: Any) -> str:
    """Return an architecture's default class if that class reaches something; otherwise an empty string."""
    return _CLASS_OF_MODEL.get(str(model_type), "")
