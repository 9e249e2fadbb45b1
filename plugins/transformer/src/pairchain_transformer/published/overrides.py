"""Changes that classes of transformers 4.57 made to a ``tokenizer.json`` after reading it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tokenizers import Tokenizer, normalizers, processors

from pairchain_transformer.published.classes import FastClass

Tokens = Mapping[str, str]
Settings = Mapping[str, Any]


# Overrides that need the ids of tokens, and change only the post-processor.
OF_TOKENS = frozenset({"bos_and_eos", "language_first", "language_last", "nllb_language", "seamless_language"})


def apply(backend: Tokenizer, fast: FastClass, settings: Settings, tokens: Tokens, id_of: Callable[[str], int]) -> None:
    """Change the components of ``backend`` as 4.57 did for ``fast``.

    Args:
        backend: The tokenizer from the file; a skeleton without vocabulary is enough.
        fast: The class.
        settings: Settings of the file and the caller.
        tokens: The special tokens by name.
        id_of: Returns a token's id.
    """
    values = {**fast.defaults, **settings}
    _prefix_space(backend, values)
    for name in fast.overrides:
        _OVERRIDES[name](backend, values, tokens, id_of)


def component_from(kind: str, value: Any) -> Any:
    """Return a component of the tokenizers library from its JSON, which raises an Exception if it is invalid."""
    return getattr(skeleton({kind: value}), kind)


def skeleton(content: Mapping[str, Any]) -> Tokenizer:
    """Return a tokenizer with the components of a ``tokenizer.json``, but without its vocabulary."""
    empty: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {}, "unk_token": ""},
    }
    kept = {key: content.get(key) for key in ("normalizer", "pre_tokenizer", "post_processor")}
    return Tokenizer.from_str(json.dumps({**empty, **kept}))


def _state(component: Any) -> dict[str, Any]:
    return dict(json.loads(component.__getstate__()))


def _prefix_space(backend: Tokenizer, settings: Settings) -> None:
    """Set ``add_prefix_space`` of a pre-tokenizer that has it at the top level."""
    wanted = settings.get("add_prefix_space", False)
    if backend.pre_tokenizer is None:
        return
    state = _state(backend.pre_tokenizer)
    # 4.57 kept the file's value if the setting was not a boolean
    if state.get("add_prefix_space", wanted) != wanted and isinstance(wanted, bool):
        backend.pre_tokenizer = component_from("pre_tokenizer", {**state, "add_prefix_space": wanted})


def _nested_prefix_space(backend: Tokenizer, settings: Settings, tokens: Tokens, id_of: Callable[[str], int]) -> None:
    if settings.get("add_prefix_space", False) and backend.pre_tokenizer is not None:
        text = json.dumps(_state(backend.pre_tokenizer))
        changed = json.loads(text.replace('"add_prefix_space": false', '"add_prefix_space": true'))
        backend.pre_tokenizer = component_from("pre_tokenizer", changed)


def _bert_normalizer(backend: Tokenizer, settings: Settings, tokens: Tokens, id_of: Callable[[str], int]) -> None:
    _set_bert(backend, settings, ("lowercase", "strip_accents", "handle_chinese_chars"))


def _bert_normalizer_but_chinese(
    backend: Tokenizer, settings: Settings, tokens: Tokens, id_of: Callable[[str], int]
) -> None:
    _set_bert(backend, settings, ("lowercase", "strip_accents"))


_BERT_SETTINGS = {
    "lowercase": ("do_lower_case", True),
    "strip_accents": ("strip_accents", None),
    "handle_chinese_chars": ("tokenize_chinese_chars", True),
}


def _set_bert(backend: Tokenizer, settings: Settings, keys: tuple[str, ...]) -> None:
    """Apply the settings to the file's normalizer, if it is BERT's."""
    if not isinstance(backend.normalizer, normalizers.BertNormalizer):
        return
    wanted = {key: settings.get(*_BERT_SETTINGS[key]) for key in keys}
    state = _state(backend.normalizer)
    if any(state[key] != value for key, value in wanted.items()):
        backend.normalizer = normalizers.BertNormalizer(**{k: v for k, v in {**state, **wanted}.items() if k != "type"})


def _bos_and_eos(backend: Tokenizer, settings: Settings, tokens: Tokens, id_of: Callable[[str], int]) -> None:
    bos, eos = (
        tokens[f"{name}_token"] if settings.get(f"add_{name}_token", False) else None for name in ("bos", "eos")
    )
    parts = {text: [bos and f"{bos}:{i}", f"${text}:{i}", eos and f"{eos}:{i}"] for i, text in enumerate("AB")}
    backend.post_processor = processors.TemplateProcessing(
        single=list(filter(None, parts["A"])),
        pair=list(filter(None, [*parts["A"], *parts["B"]])),
        special_tokens=[(token, id_of(token)) for token in (bos, eos) if token],
    )


def _around(backend: Tokenizer, before: list[str], after: list[str], id_of: Callable[[str], int]) -> None:
    backend.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[*before, "$A", "$B", *after],
        special_tokens=[(token, id_of(token)) for token in (*before, *after)],
    )


def _language_first(backend: Tokenizer, settings: Settings, tokens: Tokens, id_of: Callable[[str], int]) -> None:
    _around(backend, [_language(settings, "src_lang", tokens, id_of)], [tokens["eos_token"]], id_of)


def _language_last(backend: Tokenizer, settings: Settings, tokens: Tokens, id_of: Callable[[str], int]) -> None:
    _around(backend, [], [tokens["eos_token"], _language(settings, "src_lang", tokens, id_of)], id_of)


def _nllb_language(backend: Tokenizer, settings: Settings, tokens: Tokens, id_of: Callable[[str], int]) -> None:
    last = settings.get("legacy_behaviour", False)
    (_language_last if last else _language_first)(backend, settings, tokens, id_of)


def _seamless_language(backend: Tokenizer, settings: Settings, tokens: Tokens, id_of: Callable[[str], int]) -> None:
    language = settings["src_lang"]
    code = _known(language if "__" in language else f"__{language}__", tokens, id_of)
    _around(backend, [code], [tokens["eos_token"]], id_of)


def _language(settings: Settings, key: str, tokens: Tokens, id_of: Callable[[str], int]) -> str:
    return _known(settings[key], tokens, id_of)


def _known(token: str, tokens: Tokens, id_of: Callable[[str], int]) -> str:
    try:
        id_of(token)
    except KeyError:
        return tokens["unk_token"]
    return token


_OVERRIDES: dict[str, Callable[[Tokenizer, Settings, Tokens, Callable[[str], int]], None]] = {
    "bert_normalizer": _bert_normalizer,
    "bert_normalizer_but_chinese": _bert_normalizer_but_chinese,
    "bos_and_eos": _bos_and_eos,
    "language_first": _language_first,
    "language_last": _language_last,
    "nested_prefix_space": _nested_prefix_space,
    "nllb_language": _nllb_language,
    "seamless_language": _seamless_language,
}
