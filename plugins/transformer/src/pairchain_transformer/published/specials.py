"""Collects a tokenizer's special tokens from files, arguments and classes, as transformers 4.57 did."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from typing import Any

from tokenizers import AddedToken

from pairchain_transformer.published.classes import FastClass
from pairchain_transformer.published.saved import Saved

Token = str | AddedToken

# In the order of adding.
NAMED = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


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


def further_tokens(fast: FastClass, saved: Saved) -> list[Token]:
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
    specials = _distinct([*named.values(), *further_tokens(fast, saved)])
    # 4.57 looked up only plain strings among the present tokens; token objects were added again, with their flags
    tokens += [
        token for token in specials if not (str(token) in contents if isinstance(token, str) else token in tokens)
    ]
    special = {str(token) for token in specials}
    before = {token.content: token for token in present}
    added = [_added(token, before.get(str(token)), is_special=str(token) in special) for token in tokens]
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


def _distinct(tokens: Sequence[Token]) -> list[Token]:
    found: dict[str, Token] = {}
    for token in tokens:
        found.setdefault(str(token), token)
    return list(found.values())


def _camembert(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    return ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"] if tokens is None else tokens


def _code(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    parts = {"prefix_token": "▁<PRE>", "middle_token": "▁<MID>", "suffix_token": "▁<SUF>", "eot_token": "▁<EOT>"}
    return [*(tokens or ()), *(settings.get(name, token) for name, token in parts.items())]


def _languages(architecture: str) -> list[str]:
    module = import_module(f"transformers.models.{architecture}.tokenization_{architecture}")
    return list(module.FAIRSEQ_LANGUAGE_CODES)


def _mbart(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    codes = _languages("mbart")
    return [*codes, *(token for token in tokens or () if token not in codes)]


def _mbart50(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    present = list(tokens or ())
    return [*present, *(code for code in _languages("mbart50") if code not in present)]


def _nllb(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    return list(_languages("nllb")) if tokens is None else tokens


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
    own = [f"<extra_id_{index}>" for index in range(settings.get("extra_ids", 100))]
    if tokens is None:
        return list(own)
    return tokens if any("<extra_id_" in str(token) for token in tokens) else [*tokens, *own]


def _xglm(tokens: list[Token] | None, settings: Mapping[str, Any]) -> list[Token]:
    present = list(tokens or ())
    return [*present, *(word for word in (f"<madeupword{index}>" for index in range(7)) if word not in present)]


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
