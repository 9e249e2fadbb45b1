"""Tiny models of real architectures, random but always the same, with a real tokenizer; and changes to their files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

from pairchain import CrossEncoder

GOLDEN = Path(__file__).parents[1] / "golden"
PAIRS = [("how many people live in berlin ?", "berlin had a population"), ("x", "y yes no")]

# For each golden tokenizer: the ids that configurations want to know.
_WORDPIECE = {"vocab_size": 151, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3}
_BYTES = {"vocab_size": 400, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
_ROBERTA = {"vocab_size": 380, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}

_SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
_DECODER = {**_SIZE, **_BYTES, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 128}

_DEBERTA = {
    "max_position_embeddings": 64,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "type_vocab_size": 0,
}

_BART = {"layers": 1, "attention_heads": 2, "ffn_dim": 32}

# Architecture: prefix of its classes, whose tokenizer it takes, its configuration.
_KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("Bert", "bert_seqcls_1label", {**_SIZE, **_WORDPIECE, "max_position_embeddings": 64}),
    "roberta": ("Roberta", "roberta_seqcls", {**_SIZE, **_ROBERTA, "max_position_embeddings": 66}),
    "xlm-roberta": ("XLMRoberta", "roberta_seqcls", {**_SIZE, **_ROBERTA, "max_position_embeddings": 66}),
    "gte": ("Gte", "roberta_seqcls", {**_SIZE, **_ROBERTA, "max_position_embeddings": 66}),
    "deberta-v2": ("DebertaV2", "bert_seqcls_1label", {**_SIZE, **_WORDPIECE, **_DEBERTA}),
    "distilbert": (
        "DistilBert",
        "bert_seqcls_1label",
        {**_WORDPIECE, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 64},
    ),
    "modernbert": ("ModernBert", "modernbert_seqcls", {**_SIZE, **_WORDPIECE, "vocab_size": 158}),
    "electra": ("Electra", "bert_seqcls_1label", {**_SIZE, **_WORDPIECE, "embedding_size": 8}),
    "bart": (
        "Bart",
        "roberta_seqcls",
        {
            **_ROBERTA,
            "d_model": 16,
            **{f"{part}_{of}": size for part in ("encoder", "decoder") for of, size in _BART.items()},
            "max_position_embeddings": 66,
            "decoder_start_token_id": 2,
        },
    ),
    "gpt2": ("GPT2", "gpt2_causal_no_padside", {**_BYTES, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 128}),
    "qwen2": ("Qwen2", "gpt2_causal_no_padside", _DECODER),
    "qwen3": ("Qwen3", "gpt2_causal_no_padside", _DECODER),
    "llama": ("Llama", "gpt2_causal_no_padside", _DECODER),
    "mistral": ("Mistral", "gpt2_causal_no_padside", _DECODER),
    "gemma2": ("Gemma2", "gpt2_causal_no_padside", _DECODER),
    "gemma": ("Gemma", "gpt2_causal_no_padside", _DECODER),
    "mamba": ("Mamba", "gpt2_causal_no_padside", {**_BYTES, "hidden_size": 8, "num_hidden_layers": 1, "state_size": 4}),
}


def save_tiny(folder: Path, kind: str, head: str = "Model", *, dtype: torch.dtype | None = None, **config: Any) -> str:
    """Return the path of a checkpoint as the transformers library saves it: no file of sentence-transformers.

    Args:
        folder: Where it is saved; made if it is not there.
        kind: The architecture.
        head: The rest of the class's name, such as ``ForSequenceClassification``; GPT2 says ``LMHeadModel``.
        dtype: Of the weights; float32 if None.
        **config: Over the architecture's tiny configuration.
    """
    prefix, tokenizer, settings = _KINDS[kind]
    torch.manual_seed(0)
    model = getattr(transformers, prefix + head)(getattr(transformers, f"{prefix}Config")(**{**settings, **config}))
    model.to(dtype or torch.float32).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(GOLDEN / tokenizer / "model" / name, folder)
    return str(folder)


def edited(folder: Path, file: str = "sentence_bert_config.json", **changes: Any) -> Path:
    """Return ``folder`` after changing keys of one of its JSON files; None takes a key out."""
    config = {**json.loads((folder / file).read_text()), **changes}
    (folder / file).write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def load(folder: Path, **options: Any) -> CrossEncoder:
    """Return the model saved in ``folder``, on the CPU."""
    return CrossEncoder(folder, device="cpu", **options)


def scores(folder: Path, **options: Any) -> list[float]:
    """Return what the model saved in ``folder`` scores `PAIRS`."""
    values: list[float] = load(folder, **options).predict(PAIRS).tolist()
    return values
