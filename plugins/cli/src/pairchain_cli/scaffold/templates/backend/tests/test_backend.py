"""Tests of the backend new-entry-name."""

from __future__ import annotations

from pathlib import Path

import torch
from pairchain.testing import BackendContract
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?"


def save_model(folder: Path) -> Path:
    """Save a small BERT that reads letters."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    ids = {token: number for number, token in enumerate([*special, *LETTERS])}
    sep, cls = ("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"])
    letters = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    letters.post_processor = processors.BertProcessing(sep, cls)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters,
        model_max_length=128,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(ids),
        num_labels=1,
        initializer_range=0.5,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


class TestNewTypeName(BackendContract):
    """It scores as the backend transformers does, up to rounding."""

    name = "new-entry-name"
    # bfloat16 has 8 bits of precision
    tolerance = 0.05

    def make_checkpoint(self, folder: Path) -> Path:
        return save_model(folder)
