"""ModernBERT (Warner et al., 2024): an encoder with rotary positions, gated networks, and mostly local attention."""

from __future__ import annotations

from pairchain_packed.architecture import Architecture, Attention, Embedding, Head, Layer, Mlp, Norm
from pairchain_packed.families.entries import Entries
from pairchain_packed.families.family import CLASSIFICATION, FEATURES, Family, states
from pairchain_packed.families.layers import FULL, SLIDING, head_size, layer_kinds, rotary_of

_THETAS = {FULL: ("global_rope_theta", 160_000.0), SLIDING: ("local_rope_theta", 10_000.0)}


def _norm(entries: Entries) -> Norm:
    return Norm("layer", entries.number("norm_eps", 1e-5), has_bias=entries.flag("norm_bias", False))


def _read(entries: Entries) -> Architecture:
    entries.skip("decoder_bias", "deterministic_flash_attn", "sparse_prediction", "sparse_pred_ignore_index")
    entries.skip("reference_compile", "repad_logits_with_grad", "max_position_embeddings", "layer_norm_eps")
    size, heads = entries.count("hidden_size", 768), entries.count("num_attention_heads", 12)
    every = entries.count("global_attn_every_n_layers", 3)
    kinds = layer_kinds(
        entries, entries.layers("num_hidden_layers", 22), lambda number: SLIDING if number % every else FULL
    )
    window = entries.count("local_attention", 128) // 2
    has_bias = entries.flag("attention_bias", False)
    norm, head = _norm(entries), head_size(size, heads)
    return Architecture(
        size=size,
        embedding=Embedding(tokens=entries.count("vocab_size", 50368), size=size, norm=norm),
        attention=Attention(heads, heads, head, False, has_bias, has_bias, scale=head**-0.5),
        mlp=Mlp(
            entries.count("intermediate_size", 1152),
            entries.activation("hidden_activation", "gelu"),
            is_gated=True,
            has_bias=entries.flag("mlp_bias", False),
        ),
        norm=norm,
        norms="before",
        layers=tuple(
            Layer(window if kind == SLIDING else None, rotary_of(entries, *_THETAS[kind], kind), norm_first=number > 0)
            for number, kind in enumerate(kinds)
        ),
        has_final_norm=True,
    )


def _classifier(entries: Entries) -> Head:
    pooling = entries.choice("classifier_pooling", "cls", ("cls", "mean"))
    return Head(
        reads="first" if pooling == "cls" else "mean",
        inner=entries.activation("classifier_activation", "gelu"),
        norm=_norm(entries),
        width=entries.labels,
        has_inner_bias=entries.flag("classifier_bias", False),
    )


def _states(entries: Entries) -> Head:
    entries.skip("classifier_pooling", "classifier_activation", "classifier_bias")
    return states(entries)


MODERNBERT = Family(
    types={"modernbert": "ModernBert"},
    base="model",
    names={
        "embedding.tokens": "embeddings.tok_embeddings",
        "embedding.norm": "embeddings.norm",
        "layers.*.attention.inputs": "layers.*.attn.Wqkv",
        "layers.*.attention.output": "layers.*.attn.Wo",
        "layers.*.attention_norm": "layers.*.attn_norm",
        "layers.*.mlp.inner": "layers.*.mlp.Wi",
        "layers.*.mlp.output": "layers.*.mlp.Wo",
        "layers.*.mlp_norm": "layers.*.mlp_norm",
        "norm": "final_norm",
    },
    read=_read,
    heads={
        FEATURES: (_states, {}),
        CLASSIFICATION: (
            _classifier,
            {"head.inner": "head.dense", "head.norm": "head.norm", "head.output": "classifier"},
        ),
    },
)
