"""Tables of the differences between architectures; no other code names an architecture."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain.authoring import Modality


@dataclass(frozen=True)
class Encoder:
    """The encoder of an encoder-decoder architecture.

    Attributes:
        path: Module and class in the transformers library.
        keys: Patterns in the names of a checkpoint's weights, and their replacements; None if the class renames them
            itself.
        part: The encoder's part of the configuration; None for the configuration itself.
        settings: Values to set in the configuration when the encoder is loaded alone.
    """

    path: str
    keys: Mapping[str, str] | None = None
    part: str | None = None
    settings: tuple[tuple[str, object], ...] = ()

    def load_class(self) -> Any:
        """Import the class."""
        module, _, name = f"transformers.{self.path}".rpartition(".")
        return getattr(importlib.import_module(module), name)


_INSIDE = {r"^(model\.)?encoder\.": ""}
_INSIDE_WITH_SHARED_TOKENS = {**_INSIDE, r"^(model\.)?shared\.": "embed_tokens."}
_INSIDE_PROPHETNET = {r"^(prophetnet\.)?encoder\.": "", r"^(prophetnet\.)?word_embeddings\.": "word_embeddings."}

# model_type → the encoder that feature extraction loads without the decoder
ENCODERS = {
    "blenderbot": Encoder("models.blenderbot.modeling_blenderbot.BlenderbotEncoder", _INSIDE_WITH_SHARED_TOKENS),
    "blenderbot-small": Encoder(
        "models.blenderbot_small.modeling_blenderbot_small.BlenderbotSmallEncoder", _INSIDE_WITH_SHARED_TOKENS
    ),
    "longt5": Encoder("LongT5EncoderModel"),
    "m2m_100": Encoder("models.m2m_100.modeling_m2m_100.M2M100Encoder", _INSIDE_WITH_SHARED_TOKENS),
    "marian": Encoder("models.marian.modeling_marian.MarianEncoder", _INSIDE_WITH_SHARED_TOKENS),
    "moonshine": Encoder("models.moonshine.modeling_moonshine.MoonshineEncoder", _INSIDE),
    "mt5": Encoder("MT5EncoderModel"),
    "pegasus": Encoder("models.pegasus.modeling_pegasus.PegasusEncoder", _INSIDE_WITH_SHARED_TOKENS),
    "pegasus_x": Encoder("models.pegasus_x.modeling_pegasus_x.PegasusXEncoder", _INSIDE_WITH_SHARED_TOKENS),
    "prophetnet": Encoder("ProphetNetEncoder", _INSIDE_PROPHETNET),
    "switch_transformers": Encoder("SwitchTransformersEncoderModel"),
    "t5": Encoder("T5EncoderModel"),
    "t5gemma": Encoder("T5GemmaEncoderModel", settings=(("is_encoder_decoder", False),)),
    "t5gemma2": Encoder("models.t5gemma2.modeling_t5gemma2.T5Gemma2Encoder", _INSIDE, part="encoder"),
    "t5gemma2_text": Encoder("models.t5gemma2.modeling_t5gemma2.T5Gemma2Encoder"),
    "udop": Encoder("UdopEncoderModel"),
    "umt5": Encoder("UMT5EncoderModel"),
    "whisper": Encoder("models.whisper.modeling_whisper.WhisperEncoder", _INSIDE),
}

# Class → weights that it computes itself, which a checkpoint may lack.
COMPUTED = {"MarianEncoder": {"embed_positions.weight"}}


@dataclass(frozen=True)
class Call:
    """The method to call for a modality, and the field of its output; None for the pooled field, if there is one."""

    method: str
    output: str | None


@dataclass(frozen=True)
class Calls:
    """How to call an architecture whose processor suggests the wrong modalities or methods."""

    modalities: dict[Modality, Call]
    module_output_name: str


_IMAGE_TEXT: Modality = ("image", "text")
_AUDIO_TEXT: Modality = ("audio", "text")
_HIDDEN = Call("forward", "last_hidden_state")
_LOGITS = Call("forward", "logits")


def _tokens(*modalities: Modality, call: Call = _HIDDEN) -> Calls:
    return Calls(dict.fromkeys(modalities, call), "token_embeddings")


def _causal(*modalities: Modality) -> Calls:
    return Calls(dict.fromkeys(modalities, _LOGITS), "causal_logits")


def _methods(output_name: str, output: str | None, **methods: str) -> Calls:
    return Calls({modality: Call(method, output) for modality, method in methods.items()}, output_name)


_SPEECH = """
    hubert moonshine sew sew-d unispeech unispeech-sat voxtral_realtime wav2vec2 wav2vec2-conformer wavlm whisper
""".split()

# (task, model_type) → the modalities and the methods to call
EXCEPTIONS: dict[tuple[str, str], Calls] = {
    # speech encoders take no text; their processor has a tokenizer for transcripts
    **{("feature-extraction", name): _tokens("audio", _AUDIO_TEXT) for name in _SPEECH},
    ("fill-mask", "wav2vec2"): _tokens("audio", call=_LOGITS),
    # image and text only together
    ("feature-extraction", "grounding-dino"): _tokens(_IMAGE_TEXT),
    ("feature-extraction", "kosmos-2"): _tokens(_IMAGE_TEXT),
    ("feature-extraction", "paligemma"): _tokens(_IMAGE_TEXT),
    ("feature-extraction", "vilt"): _tokens(_IMAGE_TEXT),
    ("any-to-any", "blip"): _causal(_IMAGE_TEXT),
    ("any-to-any", "blip-2"): _causal(_IMAGE_TEXT),
    ("any-to-any", "kosmos-2"): _causal(_IMAGE_TEXT),
    ("any-to-any", "paligemma"): _causal(_IMAGE_TEXT),
    # both together, or one of them alone
    ("feature-extraction", "git"): _tokens("text", _IMAGE_TEXT),
    ("feature-extraction", "visual_bert"): _tokens("text", _IMAGE_TEXT),
    ("feature-extraction", "layoutlmv3"): _tokens("image", _IMAGE_TEXT),
    ("feature-extraction", "idefics"): _tokens("text", "image", _IMAGE_TEXT),
    ("text-generation", "git"): _causal("text", _IMAGE_TEXT),
    ("any-to-any", "git"): _causal("text", _IMAGE_TEXT),
    ("any-to-any", "voxtral_realtime"): _causal("audio", _AUDIO_TEXT),
    # the decoder alone
    ("text-generation", "whisper"): _causal("text"),
    # a method of its own for each modality
    ("feature-extraction", "blip"): Calls(
        {
            "text": Call("get_text_features", None),
            "image": Call("get_image_features", None),
            _IMAGE_TEXT: Call("get_multimodal_features", None),
        },
        "sentence_embedding",
    ),
    ("feature-extraction", "blip-2"): _methods(
        "token_embeddings", "last_hidden_state", text="get_text_features", image="get_image_features"
    ),
    ("feature-extraction", "sam3"): _methods(
        "token_embeddings", "last_hidden_state", text="get_text_features", image="get_vision_features"
    ),
    ("feature-extraction", "flava"): _methods(
        "token_embeddings", None, text="get_text_features", image="get_image_features"
    ),
}

# Architectures whose audio must be padded to the length they were trained on.
FIXED_LENGTH_AUDIO = frozenset({"whisper"})

# Processors that take all settings in one group instead of one group per modality.
WITHOUT_GROUPS = frozenset({"CLIPSegProcessor", "Sam3Processor", "WhisperProcessor"})

# Processors that refuse a batch without images; their tokenizer renders it instead.
WITH_IMAGES_ONLY = frozenset({"PaliGemmaProcessor"})

# Tokenizers that use a program or a library that is not thread-safe.
ONE_AT_A_TIME = frozenset({"BertJapaneseTokenizer", "FlaubertTokenizer", "Wav2Vec2PhonemeCTCTokenizer", "XLMTokenizer"})

# Vocabulary files that only some tokenizer classes read.
VOCABULARIES = """
    vocab.txt vocab.json merges.txt spiece.model sentencepiece.bpe.model sentencepiece.model bpe.codes vocab.bpe
    source.spm target.spm dict.txt qwen.tiktoken prophetnet.tokenizer entity_vocab.json spm.model bpe.model
""".split()
# Architectures whose tokenizers read characters or bytes.
WITHOUT_VOCABULARY = frozenset({"byt5", "canine", "perceiver"})

# Architectures that number positions from the padding token's id + 1, so that the first positions are never used.
POSITIONS_AFTER_PADDING = frozenset(
    """
    camembert data2vec-text esm ibert layoutlmv3 lilt longformer luke markuplm mpnet prophetnet roberta
    roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod
    """.split()
)

# Names that configurations have for one size; the first name present counts.
VOCABULARY_SIZE = ("vocab_size",)
WIDTH = ("hidden_size", "d_model", "n_embd", "dim", "emb_dim")
EMBEDDING_SIZE = ("embedding_size", *WIDTH)
INNER_SIZE = ("intermediate_size", "d_ff", "ffn_dim", "hidden_dim", "encoder_ffn_dim", "n_inner")
LAYERS = ("num_hidden_groups", "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")
POSITIONS = ("max_position_embeddings", "n_positions")
# The size of the last hidden state; a list holds one for each stage.
OUTPUT_SIZE = ("hidden_size", "neck_hidden_sizes", "hidden_sizes", "embed_dims", "hidden_dim")
