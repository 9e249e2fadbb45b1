"""The parts that the transformers library gives a tokenizer of each class that the quick reader reads.

For these classes, `parts` states the whole of a ``tokenizer.json`` that affects tokens, so that a comparison with the
published one shows whether the library would change anything. Tests compare it with the library itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pairchain_transformer.published.library import told_parts

_TYPES = ("input_ids", "token_type_ids", "attention_mask")
_PLAIN = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Class:
    """A class of the library.

    Attributes:
        architectures: The values of ``model_type`` for which the library takes this class where a file names it.
        input_names: The features that it writes.
        defaults: The tokens that it has without settings.
        model: Returns the model that it builds of the file's; None if it keeps the file's.
        post_processor: Returns the post-processor that it builds; None if it keeps the file's.
        padding_side: The side that it pads on.
        is_for_pieces: Whether the library takes it only where a file names it and splits words as SentencePiece does.
        further: Further special tokens that it has if the settings name none.
    """

    architectures: frozenset[str]
    input_names: tuple[str, ...]
    defaults: Mapping[str, str]
    model: Callable[[Mapping[str, Any], Mapping[str, str]], dict[str, Any]]
    post_processor: Callable[[Mapping[str, str], Callable[[str], int]], dict[str, Any]] | None = None
    padding_side: str = "right"
    is_for_pieces: bool = False
    further: tuple[str, ...] = ()


def parts(
    name: str, content: Mapping[str, Any], settings: Mapping[str, Any], named: Mapping[str, str], id_of: Any
) -> dict[str, Any]:
    """Return the parts of a ``tokenizer.json`` that the class ``name`` builds from the file's ``content``.

    Args:
        settings: The values of ``tokenizer_config.json``.
        named: The special tokens by name.
        id_of: Returns a token's id.
    """
    row = CLASSES[name]
    normalizer, pre_tokenizer = told_parts(name, settings, content)
    last = content.get("post_processor") if row.post_processor is None else row.post_processor(named, id_of)
    return {
        **content,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": last,
        "model": row.model(content["model"], named),
    }


def _word_pieces(model: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "WordPiece", "vocab": model["vocab"], "unk_token": named["unk_token"]}


def _byte_pairs(model: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "BPE", "vocab": model["vocab"], "merges": model["merges"]}


def _unigrams(model: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "Unigram", "vocab": model["vocab"], "unk_id": 3}


def _pieces_with_unknown(model: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    pieces = [piece for piece, _ in model["vocab"]]
    return {"type": "Unigram", "vocab": model["vocab"], "unk_id": pieces.index(named["unk_token"])}


def _bytes_behind(model: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    return {**_byte_pairs(model, named), "fuse_unk": True, "byte_fallback": True}


def _bytes_behind_unknown(model: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    return {**_bytes_behind(model, named), "unk_token": named["unk_token"]}


def _pair(kind: str) -> Callable[[Mapping[str, str], Callable[[str], int]], dict[str, Any]]:
    def build(named: Mapping[str, str], id_of: Callable[[str], int]) -> dict[str, Any]:
        ends = {name: [named[f"{name}_token"], id_of(named[f"{name}_token"])] for name in ("sep", "cls")}
        return {"type": kind, **ends}

    return build


def _fairseq(named: Mapping[str, str], id_of: Callable[[str], int]) -> dict[str, Any]:
    # the same template as RoBERTa's, with other names for the tokens
    first, last = named["bos_token"], named["eos_token"]
    return {"type": "RobertaProcessing", "cls": [first, id_of(first)], "sep": [last, id_of(last)]}


_BERT = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
_FAIRSEQ = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_END = "<|endoftext|>"
_BERTS = frozenset({"bert", "distilbert", "electra", "ernie", "layoutlm"})

CLASSES = {
    "BertTokenizer": Class(_BERTS, _TYPES, _BERT, _word_pieces, _pair("BertProcessing")),
    "DistilBertTokenizer": Class(_BERTS, _PLAIN, _BERT, _word_pieces, _pair("BertProcessing")),
    "ElectraTokenizer": Class(_BERTS, _TYPES, _BERT, _word_pieces, _pair("BertProcessing")),
    "RobertaTokenizer": Class(frozenset({"roberta"}), _PLAIN, _FAIRSEQ, _byte_pairs, _pair("RobertaProcessing")),
    "XLMRobertaTokenizer": Class(frozenset({"xlm-roberta"}), _PLAIN, _FAIRSEQ, _unigrams, _fairseq),
    "CamembertTokenizer": Class(
        frozenset({"camembert"}),
        _PLAIN,
        _FAIRSEQ,
        _pieces_with_unknown,
        _fairseq,
        further=("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"),
    ),
    "MPNetTokenizer": Class(
        frozenset({"mpnet"}), _PLAIN, {**_FAIRSEQ, "unk_token": "[UNK]"}, _word_pieces, _pair("RobertaProcessing")
    ),
    "DebertaV2Tokenizer": Class(
        frozenset({"deberta-v2"}),
        ("input_ids", "attention_mask", "token_type_ids"),
        {**_BERT, "bos_token": "[CLS]", "eos_token": "[SEP]"},
        _pieces_with_unknown,
        _pair("BertProcessing"),
    ),
    "GemmaTokenizer": Class(
        frozenset({"gemma", "gemma2", "gemma3_text"}),
        _PLAIN,
        {
            "unk_token": "<unk>",
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "mask_token": "<mask>",
        },
        _bytes_behind_unknown,
        padding_side="left",
        is_for_pieces=True,
    ),
    "LlamaTokenizer": Class(
        frozenset({"llama"}),
        _PLAIN,
        {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
        _bytes_behind,
        padding_side="left",
        is_for_pieces=True,
    ),
    "Qwen2Tokenizer": Class(
        frozenset({"qwen2", "qwen3"}),
        _PLAIN,
        {"unk_token": _END, "eos_token": _END, "pad_token": _END},
        _byte_pairs,
    ),
}
# Keeps tokenizer.json as it is, for every architecture.
GENERIC = frozenset({"TokenizersBackend", "PreTrainedTokenizer"})
