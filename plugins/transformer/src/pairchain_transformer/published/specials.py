"""Collects a tokenizer's special tokens from files, arguments and classes, as transformers 4.57 did."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from tokenizers import AddedToken

from pairchain_transformer.published.classes import FastClass
from pairchain_transformer.published.saved import NAMED, Saved

Token = str | AddedToken


def named_tokens(fast: FastClass, saved: Saved) -> dict[str, Token]:
    """Return the tokens with a name, such as ``mask_token``, by name."""
    found = {}
    for name in NAMED:
        default = fast.specials.get(name)
        value = saved.settings.get(name, default.content if default else None)
        if isinstance(value, str) and default is not None and default.flags is not None:
            value = AddedToken(value, **default.flags)
        if isinstance(value, (str, AddedToken)) and str(value):
            found[name] = value
    return found


def _further_tokens(fast: FastClass, saved: Saved) -> list[Token]:
    """Return the special tokens without a name."""
    given = saved.settings.get("additional_special_tokens")
    tokens = list(given) if isinstance(given, (list, tuple)) else None
    if fast.extra:
        tokens = _EXTRA[fast.extra](tokens, saved.settings)
    return [token for token in tokens or () if isinstance(token, (str, AddedToken))]


def to_add(
    present: Collection[AddedToken], fast: FastClass, saved: Saved, named: Mapping[str, Token]
) -> list[AddedToken]:
    """Return the tokens that 4.57 added to those ``present`` in ``tokenizer.json``, in order."""
    known = {repr(token) for token in present}
    # PegasusTokenizer ignored the added tokens in the settings
    decoder = {} if fast.extra == "pegasus" else saved.decoder
    tokens: list[Token] = [token for _, token in sorted(decoder.items()) if repr(token) not in known]
    contents = {token.content for token in present} | {str(token) for token in tokens}
    by_content: dict[str, Token] = {}
    for token in (*named.values(), *_further_tokens(fast, saved)):
        by_content.setdefault(str(token), token)
    specials = by_content.values()
    # 4.57 looked up only plain strings among the present tokens; token objects were added again, with their flags
    tokens += [
        token for token in specials if not (str(token) in contents if isinstance(token, str) else token in tokens)
    ]
    before = {token.content: token for token in present}
    added = [_added(token, before.get(str(token)), is_special=str(token) in by_content) for token in tokens]
    return [token for token in added if repr(token) not in known]


def explicit(token: Token) -> Token:
    """Return ``token`` with all its flags made explicit."""
    return token if isinstance(token, str) else AddedToken(**token.__getstate__())


def _added(token: Token, before: AddedToken | None, *, is_special: bool) -> AddedToken:
    if isinstance(token, str):
        token = AddedToken(token, special=is_special)
    elif is_special:
        token.special = True
    if before is None:
        return token
    state = token.__getstate__()
    # the older tokenizers library kept a token's normalization from when it was first added
    state["normalized"] = before.normalized and (before.special or state["normalized"])
    return AddedToken(**state)


def _camembert(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    return ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"] if tokens is None else tokens


def _code(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    parts = {"prefix_token": "▁<PRE>", "middle_token": "▁<MID>", "suffix_token": "▁<SUF>", "eot_token": "▁<EOT>"}
    return [*(tokens or ()), *(settings.get(name, token) for name, token in parts.items())]


def _languages(architecture: str) -> list[str]:
    module = import_module(f"transformers.models.{architecture}.tokenization_{architecture}")
    return list(module.FAIRSEQ_LANGUAGE_CODES)


def _joined(first: Sequence[Token], more: Iterable[Token]) -> list[Token]:
    return [*first, *(token for token in more if token not in first)]


def _mbart(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    return _joined(_languages("mbart"), tokens or ())


def _mbart50(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    return _joined(tokens or (), _languages("mbart50"))


def _nllb(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    return [*_languages("nllb")] if tokens is None else tokens


def _pegasus(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    sentence, offset = settings.get("mask_token_sent", "<mask_1>"), settings.get("offset", 103)
    first = [] if sentence is None else [sentence]
    if tokens is None:
        return [*first, *(f"<unk_{index}>" for index in range(2, offset))]
    known = tokens if sentence in tokens else [*first, *tokens]
    return [*known, *(f"<unk_{index}>" for index in range(len(known), offset - 1))]


def _splinter(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    return [settings.get("question_token", "[QUESTION]")]


def _t5(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    has_own = any("<extra_id_" in str(token) for token in tokens or ())
    own = [] if has_own else [f"<extra_id_{index}>" for index in range(settings.get("extra_ids", 100))]
    return [*(tokens or ()), *own]


def _xglm(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    return _joined(tokens or (), [f"<madeupword{index}>" for index in range(7)])


def _xlnet(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    return ["<eop>", "<eod>"] if tokens is None else tokens


_EXTRA: dict[str, Callable[[list[Token] | None, Mapping[str, Any]], list[Token]]] = {
    "camembert": _camembert,
    "code": _code,
    "mbart": _mbart,
    "mbart50": _mbart50,
    "nllb": _nllb,
    "pegasus": _pegasus,
    "splinter": _splinter,
    "t5": _t5,
    "xglm": _xglm,
    "xlnet": _xlnet,
}
