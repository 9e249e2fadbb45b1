"""DistilBERT (Sanh et al., 2019): BERT with half the layers, and without token types."""

from __future__ import annotations

from pairchain_packed.architecture import Architecture, Attention, Embedding, Head, Layer, Mlp, Norm
from pairchain_packed.families.entries import Entries
from pairchain_packed.families.family import CLASSIFICATION, FEATURES, Family, states
from pairchain_packed.families.layers import head_size


def _read(entries: Entries) -> Architecture:
    entries.choice("sinusoidal_pos_embds", False, (False,))
    size, heads = entries.count("dim", 768), entries.count("n_heads", 12)
    head, norm = head_size(size, heads), Norm("layer", 1e-12)
    return Architecture(
        size=size,
        embedding=Embedding(
            tokens=entries.count("vocab_size", 30522),
            size=size,
            positions=entries.count("max_position_embeddings", 512),
            norm=norm,
        ),
        attention=Attention(heads, heads, head, False, True, True, scale=head**-0.5),
        mlp=Mlp(entries.count("hidden_dim", 3072), entries.activation("activation", "gelu"), False, True),
        norm=norm,
        norms="after",
        layers=(Layer(),) * entries.layers("n_layers", 6),
        has_final_norm=False,
    )


def _classifier(entries: Entries) -> Head:
    return Head(reads="first", inner="relu", width=entries.labels)


DISTILBERT = Family(
    types={"distilbert": "DistilBert"},
    base="distilbert",
    names={
        "embedding.tokens": "embeddings.word_embeddings",
        "embedding.positions": "embeddings.position_embeddings",
        "embedding.norm": "embeddings.LayerNorm",
        "layers.*.attention.inputs": (
            "transformer.layer.*.attention.q_lin",
            "transformer.layer.*.attention.k_lin",
            "transformer.layer.*.attention.v_lin",
        ),
        "layers.*.attention.output": "transformer.layer.*.attention.out_lin",
        "layers.*.attention_norm": "transformer.layer.*.sa_layer_norm",
        "layers.*.mlp.inner": "transformer.layer.*.ffn.lin1",
        "layers.*.mlp.output": "transformer.layer.*.ffn.lin2",
        "layers.*.mlp_norm": "transformer.layer.*.output_layer_norm",
    },
    read=_read,
    heads={
        FEATURES: (states, {}),
        CLASSIFICATION: (_classifier, {"head.inner": "pre_classifier", "head.output": "classifier"}),
    },
)
