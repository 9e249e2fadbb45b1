"""The fast tokenizer classes of transformers 4.57, with their additions and changes to ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Classes that only transformers 5 has, and a key that only transformers 5 writes.
_OF_FIVE = frozenset({"TokenizersBackend", "PythonBackend", "SentencePieceBackend", "MistralCommonBackend"})
_KEY_OF_FIVE = "backend"

_TYPES = ("input_ids", "token_type_ids", "attention_mask")
_PLAIN = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Special:
    """A special token of a class.

    Attributes:
        content: The token, unless the settings name another one; None if there is none.
        flags: Flags of the token; None if it remains a plain string.
    """

    content: str | None
    flags: Mapping[str, bool] | None = None


@dataclass(frozen=True)
class FastClass:
    """A fast tokenizer class.

    Attributes:
        name: Its name without ``Fast``.
        specials: Its special tokens, by attribute.
        overrides: Its changes to the file, as names of the overrides in `overrides`.
        defaults: Its defaults for absent settings.
        input_names: The features that it writes.
        padding_side: The side that it pads on.
        pad_type: The token type of padding.
        extra: The key in `specials` of the function that makes its further special tokens; empty for none.
        converter: The class, without ``Tokenizer``, whose converter builds it from vocabulary files; empty for its own.
        of_files: Special tokens that differ if it is built from vocabulary files.
    """

    name: str
    specials: Mapping[str, Special] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    input_names: tuple[str, ...] = _TYPES
    padding_side: str = "right"
    pad_type: int = 0
    extra: str = ""
    converter: str = ""
    of_files: Mapping[str, Special] = field(default_factory=dict)


_FLAGS = {"l": ("lstrip", True), "n": ("normalized", True), "N": ("normalized", False), "s": ("special", True)}


def _specials(text: str) -> dict[str, Special]:
    """Parse a line of tokens. ``mask=<mask>:lN`` has flags; ``:w`` marks a token object without flags."""
    found = {}
    for word in text.split():
        name, _, rest = word.partition("=")
        content, marked, letters = rest.partition(":")
        flags = dict(_FLAGS[letter] for letter in letters if letter in _FLAGS) if marked else None
        found[f"{name}_token"] = Special(content or None, flags)
    return found


_BERT = "unk=[UNK] sep=[SEP] pad=[PAD] cls=[CLS] mask=[MASK]"
_FAIRSEQ = "bos=<s> eos=</s> unk=<unk> sep=</s> pad=<pad> cls=<s>"
_ALBERT = "bos=[CLS] eos=[SEP] unk=<unk> sep=[SEP] pad=<pad> cls=[CLS]"
_XLNET = "bos=<s> eos=</s> unk=<unk> sep=<sep> pad=<pad> cls=<cls> mask=<mask>:l"
_MARKED = "bos=<s>:w eos=</s>:w unk=<unk>:w sep=</s>:w pad=<pad>:w cls=<s>:w mask=<mask>:l"
_END = "bos=<|endoftext|> eos=<|endoftext|> unk=<|endoftext|>"
_LLAMA = "bos=<s> eos=</s> unk=<unk>"
_ADDS_BOS = {"overrides": ("bos_and_eos",), "defaults": {"add_bos_token": True}, "padding_side": "left"}
_BERTS = "Bert ConvBert DPRContextEncoder DPRQuestionEncoder Electra LayoutLM Lxmert MobileBert Realm SqueezeBert"
_LIKE_BERT = {"overrides": ("bert_normalizer",), "converter": "Bert"}

# class | features | special tokens | other attributes
_ROWS: list[tuple[str, tuple[str, ...], str, dict[str, Any]]] = [
    ("Albert", _TYPES, f"{_ALBERT} mask=[MASK]:lN", {}),
    ("Bart", _PLAIN, f"{_FAIRSEQ} mask=<mask>:lns", {}),
    ("Barthez", _PLAIN, f"{_FAIRSEQ} mask=<mask>:l", {}),
    ("BigBird", _PLAIN, "bos=<s>:w eos=</s>:w unk=<unk>:w sep=[SEP]:w pad=<pad>:w cls=[CLS]:w mask=[MASK]:l", {}),
    ("Blenderbot", _PLAIN, f"{_FAIRSEQ} mask=<mask>:lN", {}),
    ("Bloom", _PLAIN, "bos=<s> eos=</s> unk=<unk> pad=<pad>", {"overrides": ("nested_prefix_space",)}),
    ("CLIP", _PLAIN, "bos=<|startoftext|> eos=<|endoftext|> unk=<|endoftext|> pad=<|endoftext|>", {}),
    ("Camembert", _PLAIN, f"{_FAIRSEQ} mask=<mask>:ls", {"extra": "camembert"}),
    ("CodeGen", _PLAIN, _END, {"converter": "GPT2"}),
    ("CodeLlama", _PLAIN, _LLAMA, {**_ADDS_BOS, "extra": "code"}),
    (
        "Cohere",
        _PLAIN,
        "bos=<BOS_TOKEN> eos=<|END_OF_TURN_TOKEN|> unk=<UNK>",
        {**_ADDS_BOS, "overrides": ("bos_and_eos", "nested_prefix_space")},
    ),
    ("Deberta", _TYPES, f"bos=[CLS] eos=[SEP] {_BERT}", {"of_files": _specials("mask=[MASK]:l")}),
    ("DebertaV2", _TYPES, f"bos=[CLS] eos=[SEP] {_BERT}", {}),
    (
        "FNet",
        ("input_ids", "token_type_ids"),
        "unk=<unk> sep=[SEP]:w pad=<pad> cls=[CLS]:w mask=[MASK]:l",
        {"of_files": _specials("sep=[SEP]:Ns cls=[CLS]:Ns mask=[MASK]:lNs")},
    ),
    (
        "Funnel",
        _TYPES,
        "bos=<s> eos=</s> unk=<unk> sep=<sep> pad=<pad> cls=<cls> mask=<mask>",
        {"overrides": ("bert_normalizer",)},
    ),
    ("GPT2", _PLAIN, _END, {}),
    ("GPTNeoX", _PLAIN, _END, {"overrides": ("bos_and_eos",)}),
    ("Gemma", _PLAIN, "bos=<bos> eos=<eos> unk=<unk> pad=<pad>", _ADDS_BOS),
    ("Herbert", _TYPES, "unk=<unk> sep=</s> pad=<pad> cls=<s> mask=<mask>", {}),
    ("LED", _PLAIN, f"{_FAIRSEQ} mask=<mask>:lns", {}),
    ("LayoutLMv2", _TYPES, _BERT, {"overrides": ("bert_normalizer_but_chinese",)}),
    (
        "LayoutLMv3",
        _PLAIN,
        f"{_FAIRSEQ} mask=<mask>",
        {"defaults": {"add_prefix_space": True}, "of_files": _specials(_MARKED)},
    ),
    ("LayoutXLM", _PLAIN, f"{_FAIRSEQ} mask=<mask>:l", {"converter": "XLMRoberta"}),
    ("Llama", _PLAIN, _LLAMA, _ADDS_BOS),
    ("Longformer", _PLAIN, f"{_FAIRSEQ} mask=<mask>:lN", {}),
    (
        "MBart50",
        _PLAIN,
        "eos=</s> unk=<unk> sep=</s> pad=<pad> cls=<s> mask=<mask>:l",
        {"overrides": ("language_first",), "extra": "mbart50", "defaults": {"src_lang": "en_XX"}},
    ),
    (
        "MBart",
        _PLAIN,
        f"{_FAIRSEQ} mask=<mask>:l",
        {"overrides": ("language_last",), "extra": "mbart", "defaults": {"src_lang": "en_XX"}},
    ),
    (
        "MPNet",
        _PLAIN,
        "bos=<s>:w eos=</s>:w unk=[UNK]:w sep=</s>:w pad=<pad>:w cls=<s>:w mask=<mask>:l",
        {"overrides": ("bert_normalizer_but_chinese",)},
    ),
    ("MT5", _PLAIN, "eos=</s> unk=<unk> pad=<pad>", {"extra": "t5", "converter": "T5"}),
    ("MarkupLM", _TYPES, _MARKED, {"converter": "Roberta"}),
    ("Mvp", _PLAIN, _MARKED, {}),
    (
        "Nllb",
        _PLAIN,
        f"{_FAIRSEQ} mask=<mask>:lns",
        {"overrides": ("nllb_language",), "extra": "nllb", "defaults": {"src_lang": "eng_Latn"}},
    ),
    ("Nougat", _PLAIN, "bos=<s> eos=</s> unk=<unk> pad=<pad>", {}),
    ("OpenAIGPT", _PLAIN, "unk=<unk>", {}),
    ("Parakeet", _TYPES, "", {}),
    ("Pegasus", _PLAIN, "eos=</s> unk=<unk> pad=<pad> mask=<mask_2>", {"extra": "pegasus"}),
    ("PreTrained", _TYPES, "", {}),
    ("Qwen2", _PLAIN, "bos=:Ns eos=<|endoftext|>:Ns unk=<|endoftext|>:Ns pad=<|endoftext|>:Ns", {}),
    ("Reformer", _PLAIN, "eos=</s> unk=<unk>", {}),
    ("RemBert", _TYPES, f"{_ALBERT} mask=[MASK]:l", {"of_files": _specials("unk=[UNK] pad=[PAD]")}),
    ("Roberta", _PLAIN, f"{_FAIRSEQ} mask=<mask>:lN", {}),
    (
        "SeamlessM4T",
        _PLAIN,
        _FAIRSEQ,
        {"overrides": ("seamless_language",), "defaults": {"src_lang": "eng", "tgt_lang": "fra"}},
    ),
    ("Splinter", _TYPES, _BERT, {"overrides": ("bert_normalizer_but_chinese",), "extra": "splinter"}),
    ("T5", _PLAIN, "eos=</s> unk=<unk> pad=<pad>", {"extra": "t5"}),
    ("Udop", _PLAIN, "eos=</s> unk=<unk> sep=</s> pad=<pad>", {}),
    ("Whisper", _PLAIN, "bos=<|endoftext|>:Ns eos=<|endoftext|>:Ns unk=<|endoftext|>:Ns", {}),
    ("XGLM", _PLAIN, _FAIRSEQ, {"extra": "xglm"}),
    ("XLMRoberta", _PLAIN, f"{_FAIRSEQ} mask=<mask>:l", {}),
    (
        "XLNet",
        _TYPES,
        _XLNET,
        {"extra": "xlnet", "padding_side": "left", "pad_type": 3, "of_files": _specials("mask=<mask>:lNs")},
    ),
    *((name, _TYPES, _BERT, _LIKE_BERT) for name in _BERTS.split()),
    *((name, _PLAIN, _BERT, _LIKE_BERT) for name in ("DPRReader", "DistilBert", "RetriBert")),
]

CLASSES = {
    f"{name}Tokenizer": FastClass(f"{name}Tokenizer", _specials(text), input_names=names, **rest)
    for name, names, text, rest in _ROWS
}

# For each architecture, the class that 4.57 used if no file named one.
_DEFAULTS = """
Albert: albert nystromformer yoso
Bart: bart
Barthez: barthez
Bert: align bark bert blip bros chinese_clip ernie git grounding-dino megatron-bert mm-grounding-dino nezha qdqbert tvp
 vilt visual_bert
BigBird: big_bird
Blenderbot: blenderbot
Bloom: bloom
CLIP: aimv2 clip clipseg groupvit omdet-turbo oneformer owlv2 owlvit xclip
Camembert: camembert
CodeGen: codegen phi
CodeLlama: code_llama
Cohere: aya_vision cohere cohere2
ConvBert: convbert
DPRQuestionEncoder: dpr
Deberta: deberta
DebertaV2: deberta-v2
DistilBert: distilbert
Electra: electra
FNet: fnet
Funnel: funnel
GPT2: blip-2 dbrx emu3 exaone4 flex_olmo gpt2 gpt_bigcode gpt_neo gptj instructblip instructblipvideo minimax olmo3 opt
 starcoder2
GPTNeoX: falcon_mamba gpt_neox mamba mamba2 mpt olmo olmo2 olmoe rwkv stablelm xlstm
Gemma: gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma shieldgemma2 siglip2 t5gemma
Herbert: herbert
LED: led
LayoutLM: layoutlm
LayoutLMv2: layoutlmv2
LayoutLMv3: layoutlmv3 lilt
LayoutXLM: layoutxlm
Llama: arcee aria chameleon colpali deepseek_v2 deepseek_v3 deepseek_vl deepseek_vl_hybrid diffllama ernie4_5
 ernie4_5_moe idefics idefics2 idefics3 jamba janus jetmoe llama llama4 llama4_text llava llava_next llava_next_video
 llava_onevision ministral mistral mistral3 mixtral mllama paligemma persimmon phi3 phimoe video_llava vipllava zamba
 zamba2
Longformer: longformer
Lxmert: lxmert
MBart50: mbart50
MBart: mbart
MPNet: mpnet
MT5: mt5
MobileBert: mobilebert
Mvp: mvp
Nllb: nllb nllb-moe
OpenAIGPT: openai-gpt
Pegasus: bigbird_pegasus pegasus pegasus_x
PreTrained: bitnet blt csm falcon glm glm4 glm4_moe glm4v glm4v_moe gpt_oss helium kosmos-2.5 modernbert moonshine
 moshi nemotron pixtral smollm3 voxtral
Qwen2: colqwen2 internvl qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_moe qwen3_next
 qwen3_omni_moe qwen3_vl qwen3_vl_moe
Realm: realm
Reformer: reformer
RemBert: rembert
RetriBert: retribert
Roberta: bridgetower clap data2vec-text ibert mega mra roberta roberta-prelayernorm
SeamlessM4T: seamless_m4t seamless_m4t_v2
Splinter: splinter
SqueezeBert: squeezebert
T5: longt5 musicgen musicgen_melody pix2struct switch_transformers t5 umt5
Udop: udop
Whisper: whisper
XGLM: xglm
XLMRoberta: kosmos-2 metaclip_2 xlm-roberta xlm-roberta-xl xmod
XLNet: xlnet
"""
_BY_ARCHITECTURE = {
    architecture: f"{name}Tokenizer"
    for name, _, architectures in (line.partition(":") for line in _DEFAULTS.replace("\n ", " ").strip().splitlines())
    for architecture in architectures.split()
}


def is_of_five(config: Mapping[str, Any]) -> bool:
    """Return whether transformers 5 wrote this ``tokenizer_config.json``; if so, ``tokenizer.json`` is complete."""
    return _KEY_OF_FIVE in config or config.get("tokenizer_class") in _OF_FIVE


def fast_class(named: str | None, architecture: str | None) -> FastClass | None:
    """Return the class that 4.57 used: the named one, or else the architecture's; None if it had no fast class."""
    name = named.removesuffix("Fast") if named else _BY_ARCHITECTURE.get(architecture or "")
    return CLASSES.get(name or "")
