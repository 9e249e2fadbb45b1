"""Every tokenizer class of transformers 4.57 that has a fast version, with the files a slow one is built from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from published import vocabularies

# What BERT's vocabularies begin with.
_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_END = ("<|endoftext|>",)


@dataclass(frozen=True)
class Family:
    """One class.

    Attributes:
        name: The class without ``Fast``.
        model_type: Of the configuration beside it, one that either library knows.
        vocabulary: ``wordpiece``, ``bytes``, ``words`` (BPE with ends of words), ``clip`` (that over bytes),
            ``unigram``, ``llama``, or ``json`` for a class that is only saved as ``tokenizer.json``.
        specials: What its vocabulary begins with.
        file: Name of the SentencePiece model.
        trainer: Options of SentencePiece's trainer.
        config: Its ``tokenizer_config.json``.
        options: Keys of that file that its constructor takes, with another value than the default.
    """

    name: str
    model_type: str
    vocabulary: str
    specials: tuple[str, ...] = ()
    file: str = ""
    trainer: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def slow_files(self) -> dict[str, str | bytes]:
        """Return the files of its vocabulary, by name; none for a class that needs ``tokenizer.json``."""
        if self.vocabulary == "wordpiece":
            return {"vocab.txt": vocabularies.wordpiece(self.specials)}
        if self.vocabulary in ("bytes", "words", "clip"):
            if self.vocabulary == "bytes":
                vocab, merges = vocabularies.bytes_bpe(self.specials)
            else:
                vocab, merges = vocabularies.suffix_bpe(self.specials, byte_level=self.vocabulary == "clip")
            return {"vocab.json": vocab, "merges.txt": merges}
        if self.vocabulary == "json":
            return {}
        kind = "bpe" if self.vocabulary == "llama" else "unigram"
        return {self.file: vocabularies.sentencepiece(kind, **self.trainer)}


def _wordpiece(name: str, model_type: str = "bert", specials: tuple[str, ...] = _BERT, **config: Any) -> Family:
    options = {"do_lower_case": False, "strip_accents": False, "tokenize_chinese_chars": False}
    return Family(name, model_type, "wordpiece", specials, config=config, options=options)


def _bytes(name: str, model_type: str, specials: tuple[str, ...] = _ROBERTA, **options: Any) -> Family:
    return Family(name, model_type, "bytes", specials, options={"add_prefix_space": True, **options})


_IDS = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
_ALBERT = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "user_defined_symbols": "[CLS],[SEP],[MASK]"}
_LLAMA = {"byte_fallback": True, "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1}
_GEMMA = {
    "byte_fallback": True,
    "pad_id": 0,
    "eos_id": 1,
    "bos_id": 2,
    "unk_id": 3,
    "pad_piece": "<pad>",
    "eos_piece": "<eos>",
    "bos_piece": "<bos>",
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "normalization_rule_name": "identity",
}
_FAIRSEQ = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1}
_XLNET = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": 5, "user_defined_symbols": "<cls>,<sep>,<mask>,<eod>,<eop>"}


def _unigram(name: str, model_type: str, file: str, trainer: dict[str, Any], **options: Any) -> Family:
    return Family(name, model_type, "unigram", file=file, trainer=trainer, options=options)


_SPIECE, _BPE = "spiece.model", "sentencepiece.bpe.model"
_ADDED = {"add_bos_token": False, "add_eos_token": True}

FAMILIES = [
    _wordpiece("BertTokenizer"),
    _wordpiece("ConvBertTokenizer", "convbert"),
    _wordpiece("DistilBertTokenizer", "distilbert"),
    _wordpiece("DPRQuestionEncoderTokenizer", "dpr"),
    _wordpiece("DPRContextEncoderTokenizer", "dpr"),
    _wordpiece("DPRReaderTokenizer", "dpr"),
    _wordpiece("ElectraTokenizer", "electra"),
    _wordpiece("FunnelTokenizer", "funnel", ("<pad>", "<unk>", "<cls>", "<sep>", "<mask>", "<s>", "</s>")),
    _wordpiece("LayoutLMTokenizer", "layoutlm"),
    _wordpiece("LayoutLMv2Tokenizer", "layoutlmv2"),
    _wordpiece("LxmertTokenizer", "lxmert"),
    _wordpiece("MobileBertTokenizer", "mobilebert"),
    _wordpiece("MPNetTokenizer", "mpnet", ("<s>", "[UNK]", "<pad>", "</s>", "<mask>")),
    _wordpiece("RealmTokenizer"),
    _wordpiece("RetriBertTokenizer"),
    _wordpiece("RoFormerTokenizer", "roformer"),
    _wordpiece("SplinterTokenizer", "splinter", (*_BERT, "[QUESTION]")),
    _wordpiece("SqueezeBertTokenizer", "squeezebert"),
    _bytes("BartTokenizer", "bart"),
    _bytes("BlenderbotTokenizer", "blenderbot"),
    _bytes("CodeGenTokenizer", "codegen", _END),
    _bytes("DebertaTokenizer", "deberta", ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]")),
    _bytes("GPT2Tokenizer", "gpt2", _END, add_bos_token=True),
    _bytes("LayoutLMv3Tokenizer", "layoutlmv3", add_prefix_space=False),
    _bytes("LEDTokenizer", "led"),
    _bytes("LongformerTokenizer", "longformer"),
    _bytes("MarkupLMTokenizer", "markuplm"),
    _bytes("MvpTokenizer", "mvp"),
    _bytes("Qwen2Tokenizer", "qwen2", _END),
    _bytes("RobertaTokenizer", "roberta"),
    _bytes("WhisperTokenizer", "whisper", _END),
    Family("CLIPTokenizer", "clip", "clip", ("<|startoftext|>", "<|endoftext|>")),
    Family("HerbertTokenizer", "bert", "words", ("<unk>", "<s>", "<pad>", "</s>", "<mask>")),
    Family("OpenAIGPTTokenizer", "openai-gpt", "words", ("<unk>",)),
    _unigram("AlbertTokenizer", "albert", _SPIECE, _ALBERT, do_lower_case=False, keep_accents=True, remove_space=False),
    _unigram("BarthezTokenizer", "mbart", _BPE, _FAIRSEQ),
    _unigram(
        "BigBirdTokenizer",
        "big_bird",
        _SPIECE,
        {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "user_defined_symbols": "[SEP],[MASK],[CLS]"},
    ),
    _unigram("CamembertTokenizer", "camembert", _BPE, _FAIRSEQ, add_prefix_space=False),
    _unigram("CpmTokenizer", "xlnet", _SPIECE, _XLNET),
    _unigram(
        "DebertaV2Tokenizer",
        "deberta-v2",
        "spm.model",
        {
            "pad_id": 0,
            "bos_id": 1,
            "eos_id": 2,
            "unk_id": 3,
            "bos_piece": "[CLS]",
            "eos_piece": "[SEP]",
            "pad_piece": "[PAD]",
            "unk_piece": "[UNK]",
        },
        do_lower_case=True,
        split_by_punct=True,
    ),
    _unigram("FNetTokenizer", "fnet", _SPIECE, _ALBERT, do_lower_case=True, keep_accents=False),
    _unigram("LayoutXLMTokenizer", "layoutlmv2", _BPE, _FAIRSEQ),
    _unigram("MBartTokenizer", "mbart", _BPE, _FAIRSEQ, src_lang="de_DE"),
    _unigram("MBart50Tokenizer", "mbart", _BPE, _FAIRSEQ, src_lang="de_DE"),
    _unigram("MT5Tokenizer", "mt5", _SPIECE, _IDS),
    _unigram("NllbTokenizer", "m2m_100", _BPE, _FAIRSEQ, src_lang="deu_Latn", legacy_behaviour=True),
    _unigram("PegasusTokenizer", "pegasus", _SPIECE, _IDS),
    _unigram("ReformerTokenizer", "reformer", _SPIECE, {"pad_id": -1, "bos_id": -1, "eos_id": 2, "unk_id": 0}),
    _unigram("RemBertTokenizer", "rembert", "sentencepiece.model", _ALBERT, do_lower_case=False, keep_accents=True),
    _unigram("SeamlessM4TTokenizer", "seamless_m4t", "sentencepiece.bpe.model", _FAIRSEQ, src_lang="deu"),
    _unigram("T5Tokenizer", "t5", _SPIECE, _IDS, add_prefix_space=False, legacy=False),
    _unigram("UdopTokenizer", "udop", _SPIECE, _IDS),
    _unigram("XGLMTokenizer", "xglm", _BPE, _FAIRSEQ),
    _unigram("XLMRobertaTokenizer", "xlm-roberta", _BPE, _FAIRSEQ, add_prefix_space=False),
    _unigram("XLNetTokenizer", "xlnet", _SPIECE, _XLNET, do_lower_case=True, keep_accents=True, remove_space=False),
    Family("CodeLlamaTokenizer", "llama", "llama", file="tokenizer.model", trainer=_LLAMA, options=_ADDED),
    Family("GemmaTokenizer", "gemma", "llama", file="tokenizer.model", trainer=_GEMMA, options=_ADDED),
    Family(
        "LlamaTokenizer",
        "llama",
        "llama",
        file="tokenizer.model",
        trainer=_LLAMA,
        options={**_ADDED, "legacy": False, "add_prefix_space": False},
    ),
    Family("BloomTokenizer", "bloom", "json", options={"add_prefix_space": True}),
    Family("CohereTokenizer", "cohere", "json", options={**_ADDED, "add_prefix_space": True}),
    Family(
        "GPTNeoXTokenizer",
        "gpt_neox",
        "json",
        options={"add_bos_token": True, "add_eos_token": True, "add_prefix_space": True},
    ),
    Family("NougatTokenizer", "vision-encoder-decoder", "json"),
    Family("PreTrainedTokenizer", "modernbert", "json", options={"add_prefix_space": True}),
    Family("ParakeetTokenizer", "parakeet_ctc", "json"),
]


def written_by_hand(family: Family) -> dict[str, Any]:
    """Return the files of a class that is never built from a vocabulary of its own."""
    specials = ("<unk>", "<s>", "</s>", "<pad>", "<|endoftext|>", "<UNK>", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>")
    vocab, merges = vocabularies.bytes_bpe(specials)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    digits = {"type": "Digits", "individual_digits": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    split = family.name in ("BloomTokenizer", "CohereTokenizer")
    file = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": token, **flags} for index, token in enumerate(specials)],
        "normalizer": {"type": "NFC"} if family.name == "CohereTokenizer" else None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [digits, {**level, "use_regex": True}],
        }
        if split
        else {**level, "use_regex": True},
        "post_processor": {**level, "use_regex": True},
        "decoder": {**level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": json.loads(vocab),
            "merges": merges.splitlines()[1:],
        },
    }
    return {"tokenizer.json": file, "tokenizer_config.json": {"pad_token": "<pad>"}}
