"""Decoders of Llama's form (Touvron et al., 2023): Llama, Mistral, Qwen 2 and 3, and Gemma 1 to 3."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pairchain_packed.architecture import Architecture, Attention, Embedding, Head, Layer, Mlp, Norm, Rotary
from pairchain_packed.families.entries import Entries, NotTakenError
from pairchain_packed.families.family import CLASSIFICATION, FEATURES, GENERATION, Family, Names, states
from pairchain_packed.families.layers import FULL, SLIDING, head_size, layer_kinds, rotary_of

_NAMES: Names = {
    "embedding.tokens": "embed_tokens",
    "layers.*.attention.inputs": (
        "layers.*.self_attn.q_proj",
        "layers.*.self_attn.k_proj",
        "layers.*.self_attn.v_proj",
    ),
    "layers.*.attention.output": "layers.*.self_attn.o_proj",
    "layers.*.attention.query_norm": "layers.*.self_attn.q_norm",
    "layers.*.attention.key_norm": "layers.*.self_attn.k_norm",
    "layers.*.attention_norm": "layers.*.input_layernorm",
    "layers.*.mlp.inner": ("layers.*.mlp.gate_proj", "layers.*.mlp.up_proj"),
    "layers.*.mlp.output": "layers.*.mlp.down_proj",
    "layers.*.mlp_norm": "layers.*.post_attention_layernorm",
    "norm": "norm",
}
_NAMES_BETWEEN: Names = {
    **_NAMES,
    "layers.*.attention_output_norm": "layers.*.post_attention_layernorm",
    "layers.*.mlp_norm": "layers.*.pre_feedforward_layernorm",
    "layers.*.mlp_output_norm": "layers.*.post_feedforward_layernorm",
}


@dataclass(frozen=True)
class _Defaults:
    """The values of entries that a configuration leaves out."""

    tokens: int
    size: int
    inner: int
    layers: int
    heads: int
    key_heads: int | None = None
    head_size: int | None = None
    is_tied: bool = False


def _decoder(
    entries: Entries,
    defaults: _Defaults,
    rotary: Rotary,
    *,
    has_bias: bool,
    has_output_bias: bool,
    has_mlp_bias: bool = False,
    has_head_norm: bool = False,
    padding: int | None = None,
) -> Architecture:
    entries.skip("max_position_embeddings")
    size, heads = entries.count("hidden_size", defaults.size), entries.count("num_attention_heads", defaults.heads)
    head = entries.count_or_null("head_dim", defaults.head_size) or head_size(size, heads)
    key_heads = entries.count_or_null("num_key_value_heads", defaults.key_heads) or heads
    if head % 2 or heads % key_heads:
        raise NotTakenError(f"config.json has {heads} heads of {head} elements for {key_heads} keys")
    norm = Norm("rms", entries.number("rms_norm_eps", 1e-6))
    return Architecture(
        size=size,
        embedding=Embedding(tokens=entries.count("vocab_size", defaults.tokens), size=size),
        attention=Attention(
            heads,
            key_heads,
            head,
            is_causal=True,
            has_bias=has_bias,
            has_output_bias=has_output_bias,
            scale=head**-0.5,
            head_norm=norm if has_head_norm else None,
        ),
        mlp=Mlp(
            entries.count("intermediate_size", defaults.inner),
            entries.activation("hidden_act", "silu"),
            is_gated=True,
            has_bias=has_mlp_bias,
        ),
        norm=norm,
        norms="before",
        layers=(Layer(rotary=rotary),) * entries.layers("num_hidden_layers", defaults.layers),
        has_final_norm=True,
        padding=entries.padding(padding),
    )


def _with_windows(plan: Architecture, kinds: Sequence[str], window: int | None) -> Architecture:
    """Return the plan with a window for the layers of the kind ``SLIDING``, which see ``window`` tokens."""
    layers = (
        replace(layer, window=window - 1 if window is not None and kind == SLIDING else None)
        for layer, kind in zip(plan.layers, kinds, strict=True)
    )
    return replace(plan, layers=tuple(layers))


_LLAMA = _Defaults(tokens=32000, size=4096, inner=11008, layers=32, heads=32)
_MISTRAL = replace(_LLAMA, inner=14336, key_heads=8)
_QWEN = _Defaults(tokens=151936, size=4096, inner=22016, layers=32, heads=32, key_heads=32)
_GEMMA = _Defaults(256000, 3072, 24576, layers=28, heads=16, key_heads=16, head_size=256, is_tied=True)
_GEMMA_2 = _Defaults(256000, 2304, 9216, layers=26, heads=8, key_heads=4, head_size=256, is_tied=True)
_GEMMA_3 = replace(_GEMMA_2, tokens=262208)


def _rotary(entries: Entries) -> Rotary:
    return rotary_of(entries, "rope_theta", 10_000.0)


def _read_llama(entries: Entries) -> Architecture:
    has_bias = entries.flag("attention_bias", False)
    return _decoder(
        entries,
        _LLAMA,
        _rotary(entries),
        has_bias=has_bias,
        has_output_bias=has_bias,
        has_mlp_bias=entries.flag("mlp_bias", False),
    )


def _read_mistral(entries: Entries) -> Architecture:
    plan = _decoder(entries, _MISTRAL, _rotary(entries), has_bias=False, has_output_bias=False)
    return _with_windows(plan, [SLIDING] * len(plan.layers), entries.count_or_null("sliding_window", 4096))


def _read_qwen_2(entries: Entries) -> Architecture:
    return _qwen_windows(entries, _decoder(entries, _QWEN, _rotary(entries), has_bias=True, has_output_bias=False))


def _read_qwen_3(entries: Entries) -> Architecture:
    has_bias = entries.flag("attention_bias", False)
    defaults = replace(_QWEN, head_size=128)
    plan = _decoder(
        entries, defaults, _rotary(entries), has_bias=has_bias, has_output_bias=has_bias, has_head_norm=True
    )
    return _qwen_windows(entries, plan)


def _qwen_windows(entries: Entries, plan: Architecture) -> Architecture:
    slides = entries.flag("use_sliding_window", False)
    window = entries.count_or_null("sliding_window", 4096) if slides else None
    entries.skip("sliding_window")
    first = entries.get("max_window_layers", 28)
    kinds = layer_kinds(
        entries, len(plan.layers), lambda number: SLIDING if window is not None and number >= first else FULL
    )
    return _with_windows(plan, kinds, window)


def _gemma(entries: Entries, defaults: _Defaults, rotary: Rotary, activation: str) -> Architecture:
    """Return what the three Gemmas share: scaled embeddings and centred norms."""
    has_bias = entries.flag("attention_bias", False)
    named = entries.activation(activation, "gelu_pytorch_tanh")
    # the library reads the exact GELU of a Gemma 1 as the approximate one, which it was trained with
    if named == "gelu" and activation == "hidden_act":
        named = "gelu_pytorch_tanh"
    entries.skip("hidden_act", "hidden_activation")
    plan = _decoder(entries, defaults, rotary, has_bias=has_bias, has_output_bias=has_bias, padding=0)
    return replace(
        plan,
        embedding=replace(plan.embedding, scale=math.sqrt(plan.size)),
        mlp=replace(plan.mlp, activation=named),
        norm=replace(plan.norm, is_centred=True),
    )


def _read_gemma(entries: Entries) -> Architecture:
    return _gemma(entries, _GEMMA, _rotary(entries), "hidden_act")


def _read_gemma_2(entries: Entries) -> Architecture:
    plan = _gemma(entries, _GEMMA_2, _rotary(entries), "hidden_activation")
    plan = replace(
        plan,
        norms="both",
        attention=replace(
            plan.attention,
            scale=entries.number("query_pre_attn_scalar", 256) ** -0.5,
            cap=entries.cap("attn_logit_softcapping", 50.0),
        ),
    )
    kinds = layer_kinds(entries, len(plan.layers), lambda number: FULL if number % 2 else SLIDING)
    return _with_windows(plan, kinds, entries.count("sliding_window", 4096))


def _read_gemma_3(entries: Entries) -> Architecture:
    entries.skip("attn_logit_softcapping")
    turns = {
        FULL: rotary_of(entries, "rope_theta", 1_000_000.0, FULL),
        SLIDING: rotary_of(entries, "rope_local_base_freq", 10_000.0, SLIDING),
    }
    plan = _gemma(entries, _GEMMA_3, turns[FULL], "hidden_activation")
    every = entries.count("sliding_window_pattern", entries.count("_sliding_window_pattern", 6))
    kinds = layer_kinds(entries, len(plan.layers), lambda number: SLIDING if (number + 1) % every else FULL)
    plan = replace(
        plan,
        norms="both",
        attention=replace(
            plan.attention,
            scale=entries.number("query_pre_attn_scalar", 256) ** -0.5,
            head_norm=plan.norm,
        ),
        layers=tuple(Layer(rotary=turns[kind]) for kind in kinds),
    )
    return _with_windows(plan, kinds, entries.count("sliding_window", 4096))


def _classifier(entries: Entries) -> Head:
    entries.skip("final_logit_softcapping")
    return Head(reads="last", width=entries.labels, has_bias=False)


def _states(entries: Entries) -> Head:
    entries.skip("final_logit_softcapping")
    return states(entries)


def _family(
    kind: str,
    stem: str,
    read: Callable[[Entries], Architecture],
    defaults: _Defaults,
    names: Names = _NAMES,
    cap: float | None = None,
    *,
    reads_cap: bool = False,
) -> Family:
    def language_model(entries: Entries) -> Head:
        return Head(
            reads="last",
            width=entries.count("vocab_size", defaults.tokens),
            has_bias=False,
            is_tied=entries.flag("tie_word_embeddings", defaults.is_tied),
            # the library ignores it in the other models, so it would be a mistake to follow it
            cap=entries.cap("final_logit_softcapping", cap) if reads_cap else None,
        )

    return Family(
        types={kind: stem},
        base="model",
        names=names,
        read=read,
        heads={
            FEATURES: (_states, {}),
            CLASSIFICATION: (_classifier, {"head.output": "score"}),
            GENERATION: (language_model, {"head.output": "lm_head"}),
        },
    )


DECODERS = (
    _family("llama", "Llama", _read_llama, _LLAMA),
    _family("mistral", "Mistral", _read_mistral, _MISTRAL),
    _family("qwen2", "Qwen2", _read_qwen_2, _QWEN),
    _family("qwen3", "Qwen3", _read_qwen_3, _QWEN),
    _family("gemma", "Gemma", _read_gemma, _GEMMA),
    _family("gemma2", "Gemma2", _read_gemma_2, _GEMMA_2, _NAMES_BETWEEN, cap=30.0, reads_cap=True),
    _family("gemma3_text", "Gemma3Text", _read_gemma_3, _GEMMA_3, _NAMES_BETWEEN, reads_cap=True),
)
