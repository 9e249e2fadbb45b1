"""BERT (Devlin et al., 2019), and the encoders that differ from it in names, positions and heads."""

from __future__ import annotations

from functools import partial

from pairchain_packed.architecture import Architecture, Attention, Embedding, Head, Layer, Mlp, Norm
from pairchain_packed.families.entries import Entries, NotTakenError
from pairchain_packed.families.family import CLASSIFICATION, FEATURES, Family, Names, states
from pairchain_packed.families.layers import head_size

_NAMES: Names = {
    "embedding.tokens": "embeddings.word_embeddings",
    "embedding.positions": "embeddings.position_embeddings",
    "embedding.types": "embeddings.token_type_embeddings",
    "embedding.norm": "embeddings.LayerNorm",
    "embedding.project": "embeddings_project",
    "layers.*.attention.inputs": (
        "encoder.layer.*.attention.self.query",
        "encoder.layer.*.attention.self.key",
        "encoder.layer.*.attention.self.value",
    ),
    "layers.*.attention.output": "encoder.layer.*.attention.output.dense",
    "layers.*.attention_norm": "encoder.layer.*.attention.output.LayerNorm",
    "layers.*.mlp.inner": "encoder.layer.*.intermediate.dense",
    "layers.*.mlp.output": "encoder.layer.*.output.dense",
    "layers.*.mlp_norm": "encoder.layer.*.output.LayerNorm",
}
_DENSE_HEAD: Names = {"head.inner": "classifier.dense", "head.output": "classifier.out_proj"}

_POOLER: Names = {"head.pooler": "pooler.dense"}


def _read_bert(entries: Entries) -> Architecture:
    return _encoder(entries, size=entries.count("hidden_size", 768))


def _read_roberta(entries: Entries) -> Architecture:
    if (padding := entries.padding(1)) is None:
        raise NotTakenError("pad_token_id is null in config.json")
    return _encoder(entries, size=entries.count("hidden_size", 768), counts_from_padding=padding)


def _read_electra(entries: Entries) -> Architecture:
    entries.skip("summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout")
    size = entries.count("hidden_size", 256)
    return _encoder(entries, size, entries.count("embedding_size", 128), heads=4, inner=1024)


def _encoder(
    entries: Entries,
    size: int,
    embedding_size: int | None = None,
    *,
    heads: int = 12,
    inner: int = 3072,
    counts_from_padding: int | None = None,
) -> Architecture:
    norm = Norm("layer", entries.number("layer_norm_eps", 1e-12))
    return Architecture(
        size=size,
        embedding=Embedding(
            tokens=entries.count("vocab_size", 30522),
            size=embedding_size or size,
            positions=entries.count("max_position_embeddings", 512),
            types=entries.count("type_vocab_size", 2),
            norm=norm,
            counts_from_padding=counts_from_padding,
        ),
        attention=_attention(size, entries.count("num_attention_heads", heads)),
        mlp=Mlp(entries.count("intermediate_size", inner), entries.activation("hidden_act", "gelu"), False, True),
        norm=norm,
        norms="after",
        layers=(Layer(),) * entries.layers("num_hidden_layers", 12),
        has_final_norm=False,
    )


def _attention(size: int, heads: int) -> Attention:
    head = head_size(size, heads)
    return Attention(heads, heads, head, is_causal=False, has_bias=True, has_output_bias=True, scale=head**-0.5)


def _classifier(entries: Entries, activation: str) -> Head:
    return Head(reads="first", inner=activation, width=entries.labels)


def _states_beside_pooler(entries: Entries) -> Head:
    return Head(reads="all", has_pooler=True)


BERT = Family(
    types={"bert": "Bert"},
    base="bert",
    names=_NAMES,
    read=_read_bert,
    heads={
        FEATURES: (_states_beside_pooler, _POOLER),
        CLASSIFICATION: (
            partial(_classifier, activation="tanh"),
            {"head.inner": "bert.pooler.dense", "head.output": "classifier"},
        ),
    },
)

ROBERTA = Family(
    types={"roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert"},
    base="roberta",
    names=_NAMES,
    read=_read_roberta,
    heads={
        FEATURES: (_states_beside_pooler, _POOLER),
        CLASSIFICATION: (partial(_classifier, activation="tanh"), _DENSE_HEAD),
    },
)

ELECTRA = Family(
    types={"electra": "Electra"},
    base="electra",
    names=_NAMES,
    read=_read_electra,
    heads={FEATURES: (states, {}), CLASSIFICATION: (partial(_classifier, activation="gelu"), _DENSE_HEAD)},
)
