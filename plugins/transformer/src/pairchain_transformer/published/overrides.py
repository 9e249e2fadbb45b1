"""Applies the changes that classes of transformers 4.57 made to a ``tokenizer.json`` after reading it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tokenizers import Tokenizer, models, normalizers, processors

from pairchain_transformer.published.classes import FastClass
from pairchain_transformer.published.comparison import COMPONENTS, content_of

Tokens = Mapping[str, str]
Values = Mapping[str, Any]


# Overrides that need the ids of tokens; they change only the post-processor.
OF_TOKENS = frozenset({"bos_and_eos", "language_first", "language_last", "nllb_language", "seamless_language"})

_BERT_SETTINGS = {
    "lowercase": ("do_lower_case", True),
    "strip_accents": ("strip_accents", None),
    "handle_chinese_chars": ("tokenize_chinese_chars", True),
}


def apply(backend: Tokenizer, fast: FastClass, settings: Values, tokens: Tokens, id_of: Callable[[str], int]) -> None:
    """Change the components of ``backend``, which may be a skeleton, as 4.57 did for ``fast``.

    Args:
        settings: Values of the file and of the caller.
        tokens: The special tokens by name.
        id_of: Returns a token's id; raises a KeyError for an unknown token.
    """
    changes = _Changes(backend, {**fast.defaults, **settings}, tokens, id_of)
    changes.prefix_space()
    for name in fast.overrides:
        getattr(changes, name)()


def component_from(kind: str, value: Any) -> Any:
    """Build a component of the tokenizers library from its JSON; invalid JSON raises an Exception."""
    return getattr(skeleton({kind: value}), kind)


def skeleton(content: Mapping[str, Any]) -> Tokenizer:
    """Return a tokenizer with the components of a ``tokenizer.json`` and an empty vocabulary."""
    empty = content_of(Tokenizer(models.WordLevel({}, "")))
    return Tokenizer.from_str(json.dumps({**empty, **{part: content.get(part) for part in COMPONENTS}}))


def _state(component: Any) -> dict[str, Any]:
    return dict(json.loads(component.__getstate__()))


class _Changes:
    """The overrides that `FastClass` names, as methods."""

    def __init__(self, backend: Tokenizer, settings: Values, tokens: Tokens, id_of: Callable[[str], int]) -> None:
        self._backend, self._settings, self._tokens, self._id_of = backend, settings, tokens, id_of

    def prefix_space(self) -> None:
        """Set ``add_prefix_space`` of a pre-tokenizer that has this setting at its top level."""
        wanted = self._settings.get("add_prefix_space", False)
        if self._backend.pre_tokenizer is None:
            return
        state = _state(self._backend.pre_tokenizer)
        # 4.57 kept the file's value if the setting was not a boolean
        if state.get("add_prefix_space", wanted) != wanted and isinstance(wanted, bool):
            self._backend.pre_tokenizer = component_from("pre_tokenizer", {**state, "add_prefix_space": wanted})

    def nested_prefix_space(self) -> None:
        if self._settings.get("add_prefix_space", False) and self._backend.pre_tokenizer is not None:
            text = json.dumps(_state(self._backend.pre_tokenizer))
            changed = json.loads(text.replace('"add_prefix_space": false', '"add_prefix_space": true'))
            self._backend.pre_tokenizer = component_from("pre_tokenizer", changed)

    def bert_normalizer(self, keys: Collection[str] = tuple(_BERT_SETTINGS)) -> None:
        """Apply the settings to the file's normalizer, if it is BERT's."""
        if not isinstance(self._backend.normalizer, normalizers.BertNormalizer):
            return
        wanted = {key: self._settings.get(*_BERT_SETTINGS[key]) for key in keys}
        state = _state(self._backend.normalizer)
        if any(state[key] != value for key, value in wanted.items()):
            values = {key: value for key, value in {**state, **wanted}.items() if key != "type"}
            self._backend.normalizer = normalizers.BertNormalizer(**values)

    def bert_normalizer_but_chinese(self) -> None:
        self.bert_normalizer(("lowercase", "strip_accents"))

    def bos_and_eos(self) -> None:
        bos, eos = (
            self._tokens[f"{name}_token"] if self._settings.get(f"add_{name}_token", False) else None
            for name in ("bos", "eos")
        )
        parts = {text: [bos and f"{bos}:{i}", f"${text}:{i}", eos and f"{eos}:{i}"] for i, text in enumerate("AB")}
        self._backend.post_processor = processors.TemplateProcessing(
            single=list(filter(None, parts["A"])),
            pair=list(filter(None, [*parts["A"], *parts["B"]])),
            special_tokens=[(token, self._id_of(token)) for token in (bos, eos) if token],
        )

    def language_first(self) -> None:
        self._put_around([self._known(self._settings["src_lang"])], [self._tokens["eos_token"]])

    def language_last(self) -> None:
        self._put_around([], [self._tokens["eos_token"], self._known(self._settings["src_lang"])])

    def nllb_language(self) -> None:
        last = self._settings.get("legacy_behaviour", False)
        self.language_last() if last else self.language_first()

    def seamless_language(self) -> None:
        language = self._settings["src_lang"]
        code = self._known(language if "__" in language else f"__{language}__")
        self._put_around([code], [self._tokens["eos_token"]])

    def _put_around(self, before: list[str], after: list[str]) -> None:
        self._backend.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *after],
            pair=[*before, "$A", "$B", *after],
            special_tokens=[(token, self._id_of(token)) for token in (*before, *after)],
        )

    def _known(self, token: str) -> str:
        try:
            self._id_of(token)
        except KeyError:
            return self._tokens["unk_token"]
        return token
