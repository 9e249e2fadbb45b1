"""What neither library scores, how far it gets and why; and where the reference scores, but not what was saved."""

from __future__ import annotations

# What the tables were made with, and exact for. A newer transformers library has more architectures, and builds or
# scores others of them: there a difference from the tables is a warning.
MADE_WITH = {"transformers": "5.23.0", "sentence-transformers": "6.2.0"}
# Packages that were not there; with them, more could be built.
MADE_WITHOUT = ("detectron2", "timm", "torchaudio", "torchvision")


def _each(reason: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


_TIMM = "not built: needs the package timm"
_DETECTRON = "not built: needs the package detectron2"
_UNFOUND = "not built: it is registered, and the library does not find its class"
_CODES = "not built: the class is for codes of sound, and is not built from this configuration"
_ASSISTANT = "not built: shares the cache of the model that it assists"
_TABLES = "not scored: reads seven token types, of a table"
_PATCHES = "not scored: needs images beside the text"
_BOXES = "not scored: needs the place of each word on a page"
_NO_FIELD = "not scored: its output has no hidden states of the text, and it has no get_text_features"

# task → architecture → "no text", "not built" or "not scored", and why
UNREACHABLE: dict[str, dict[str, str]] = {
    "sequence-classification": {
        "layoutlmv2": _DETECTRON,
        "tapas": _TABLES,
    },
    "text-generation": {
        "gemma3n": _TIMM,
        **_each(_ASSISTANT, "gemma4_assistant gemma4_unified_assistant"),
        **_each(_CODES, "musicgen musicgen_melody"),
    },
    "feature-extraction": {
        **_each(_TIMM, "fast_vlm gemma3n pe_audio_video pe_video perception_lm"),
        "higgs_audio_v2_tokenizer": "not built: needs the package torchaudio",
        "layoutlmv2": _DETECTRON,
        **_each(_CODES, "musicgen musicgen_melody"),
        **_each(_UNFOUND, "evolla voxtral_realtime_text"),
        **_each(_BOXES, "bros udop"),
        **_each(
            _PATCHES,
            "grounding-dino idefics kosmos-2 layoutlmv3 mm-grounding-dino paligemma tvp vilt",
        ),
        **_each(
            _NO_FIELD,
            """
            bridgetower csm dpr emu3 fastspeech2_conformer fastspeech2_conformer_with_hifigan fuyu higgs_audio_v2
            hyperclovax_vision_v2 instructblip instructblipvideo llama4 lxmert pe_audio seamless_m4t seamless_m4t_v2
            vits
            """,
        ),
        "kyutai_speech_to_text": "not scored: reads codes of sound beside the text",
        "pi0": "not scored: needs the actions of a robot",
        "nllb-moe": "not scored: its decoder needs inputs of its own",
        "sam3_lite_text": "not scored: its text features are of tokens, and are said to be of texts",
        "tapas": _TABLES,
        "voxtral_realtime": "not scored: takes sounds",
        **_each(
            "no text: its forward has no input_ids",
            """
            aimv2_vision_model audio-spectrogram-transformer audioflamingo3_encoder autoformer bark beit bit
            blip_2_qformer canary chinese_clip_vision_model clip_vision_model cohere_asr cohere_compass_vision
            conditional_detr convnext convnextv2 cosmos3_edge_vision cvt d_fine dab-detr dac data2vec-audio
            data2vec-vision decision_transformer deformable_detr deimv2 deit depth_pro detr dinat dinov2
            dinov2_with_registers dinov3_convnext dinov3_vit donut-swin dpt edgetam edgetam_video edgetam_vision_model
            efficientloftr efficientnet encodec exaone4_5_vision focalnet fun_asr_nano_encoder gemma3n_audio
            gemma3n_vision gemma4_audio gemma4_vision glm4v_moe_vision glm4v_vision glm5_next_vision glm_image_vision
            glm_image_vqmodel glm_ocr_vision glmasr_encoder glpn granite_docling_vision granite_speech5_ctc
            granite_speech5_encoder hgnet_v2 hiera hubert hunyuan_vl_vision idefics3_vision ijepa informer
            inkling2_vision internvl_vision kimi_k25_vision lasr_ctc lasr_encoder levit lfm3_vl_vision lightglue
            lw_detr mask2former maskformer maskformer-swin mgp-str mimi mimi_decoder mimi_encoder minicpm_ocr_vision
            minicpmv4_7_vision mlcd mlcd_vision_model mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 moonshine
            moonshine_streaming moss_transcribe_diarize_audio muse_glimmer_assistant muse_glimmer_vision
            muse_spark_audio muse_spark_vision nemotron3_5_asr nemotron3_5_transcribe_asr_audio
            nemotron3_5_transcribe_audio nemotron3_5_transcribe_word_timestamp nemotron3_diarization
            nemotron3_diarization_audio nemotron_asr_streaming nemotron_asr_streaming_encoder neucodec omdet-turbo
            oneformer parakeet_ctc parakeet_encoder parakeet_rnnt parakeet_tdt patchtsmixer patchtst pe_audio_encoder
            pe_audio_video_encoder pe_video_encoder perceiver pixio pixtral pocket_tts_audio_tokenizer
            pocket_tts_audio_tokenizer_decoder pocket_tts_audio_tokenizer_encoder poolformer pp_doclayout_v3
            pp_doclayout_v4 pp_ocrv5_mobile_rec pp_ocrv5_server_rec pp_ocrv6_medium_det pp_ocrv6_small_det
            pp_ocrv6_small_rec pp_ocrv6_tiny_rec pvt pvt_v2 qianfan_ocr_vision qwen2_5_vl_vision qwen2_audio_encoder
            qwen3_5_moe_vision qwen3_5_vision qwen3_asr_encoder qwen3_vl_moe_vision qwen3_vl_vision qwen4_exp_vision
            radio regnet resnet rf_detr rt_detr rt_detr_v2 sam sam2 sam2_hiera_det_model sam2_video sam2_vision_model
            sam3_tracker sam3_tracker_video sam3_video sam3_vision_model sam3_vit_model sam_hq sam_hq_vision_model
            sam_vision_model sapiens2 segformer seggpt sew sew-d siglip2_vision_model siglip_vision_model
            smolvlm_vision speech_to_text speecht5 swiftformer swin swin2sr swinv2 table-transformer textnet
            time_series_transformer timesfm timesfm2_5 timesformer timm_backbone timm_wrapper tipsv2_vision_model
            unispeech unispeech-sat univnet uvdoc vibevoice_acoustic_tokenizer vibevoice_acoustic_tokenizer_decoder
            vibevoice_acoustic_tokenizer_encoder video_llama_3_vision videomae videoprism_vision_model vit vit_mae
            vit_msn vitdet vivit vjepa2 voxtral_encoder voxtral_realtime_encoder wav2vec2 wav2vec2-bert
            wav2vec2-conformer wavlm whisper xcodec xcodec2 yolos
            """,
        ),
    },
}

# Architecture → how the names of an encoder's weights begin → how they do in a whole model's checkpoint.
# Feature extraction with sentence-transformers loads the encoder alone, and finds none of its weights under the names
# that they have in the checkpoint: it scores with random ones.
_ENCODER = {"": "encoder."}
_SHARED_TOKENS = {"embed_tokens.": "shared.", **_ENCODER}
RANDOM_ENCODERS: dict[str, dict[str, str]] = {
    **dict.fromkeys(("blenderbot", "blenderbot-small", "m2m_100", "marian", "pegasus", "pegasus_x"), _SHARED_TOKENS),
    "prophetnet": {"word_embeddings.": "word_embeddings.", **_ENCODER},
    "t5gemma2": {"text_model.": "encoder.", **_ENCODER},
}

# Task → architectures whose scores do not depend on the texts, and why.
INSENSITIVE = {"sequence-classification": {"mra": "attends with a CUDA kernel only"}}
