"""What makes a configuration tiny: a size for every field that sets one, and what single architectures need besides."""

from __future__ import annotations

from typing import Any


def _each(value: Any, names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), value)


# Fields of configurations, wherever they are; tokens are those of the tokenizer that every model gets.
SIZES: dict[str, Any] = {
    **_each(
        151,
        """
        vocab_size vocab_size_per_layer_input text_vocab_size t2u_vocab_size char_vocab_size unit_hifi_gan_vocab_size
        """,
    ),
    "blank_token_id": 150,
    "pad_token_id": 0,
    **_each(2, "bos_token_id cls_token_id"),
    **_each(3, "eos_token_id sep_token_id"),
    "initializer_range": 0.2,
    **_each(
        32,
        """
        hidden_size d_model n_embd dim emb_dim embed_dim embedding_size embedding_dim encoder_hidden_size
        decoder_hidden_size hidden_sizes projection_dim out_hidden_size output_dim output_hidden_size text_hidden_size
        projector_hidden_size d_embed word_embed_proj_dim width pooler_output_size lru_width text_embed_dim
        hidden_size_global image_size vision_hidden_size adapter_input_size adapter_out_dim audio_hidden_size
        projector_input_dim projector_output_dim vision_output_dim condition_dim base_channels upsample_groups
        cross_hidden_size backbone_hidden_size unit_embed_dim lang_embed_dim spkr_embed_dim
        t2u_variance_predictor_embed_dim duration_predictor_channels energy_predictor_channels
        pitch_predictor_channels speech_decoder_postnet_units upsample_initial_channel max_img_size
        """,
    ),
    **_each(
        64,
        """
        intermediate_size d_ff hidden_dim n_inner ffn_dim encoder_ffn_dim decoder_ffn_dim mlp_dim moe_intermediate_size
        shared_expert_intermediate_size shared_intermediate_size d_inner ffn_hidden_size
        moe_shared_expert_intermediate_size intermediate_size_mlp ff_dim dense_intermediate_size
        speech_encoder_intermediate_size t2u_encoder_ffn_dim t2u_decoder_ffn_dim encoder_linear_units
        decoder_linear_units
        """,
    ),
    **_each(
        2,
        """
        num_hidden_layers num_layers n_layer n_layers encoder_layers decoder_layers num_decoder_layers
        num_encoder_layers depth encoder_num_hidden_layers decoder_num_hidden_layers num_key_value_heads num_kv_heads
        encoder_num_key_value_heads decoder_num_key_value_heads linear_num_key_heads type_vocab_size
        num_experts_per_tok moe_topk
        """,
    ),
    **_each(
        4,
        """
        num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads
        encoder_num_attention_heads decoder_num_attention_heads num_encoder_attention_heads
        num_decoder_attention_heads index_n_heads num_experts num_local_experts n_routed_experts moe_num_experts
        linear_num_value_heads linear_num_heads cross_num_attention_heads cross_num_key_value_heads num_filters
        """,
    ),
    **_each(
        8,
        """
        head_dim d_kv d_head qk_rope_head_dim qk_nope_head_dim v_head_dim rotary_dim state_size mamba_d_state
        linear_key_head_dim linear_value_head_dim linear_head_dim mamba_d_head mamba_n_heads patch_size
        cross_head_dim visual_prompt_size
        """,
    ),
    **_each(
        16,
        """
        q_lora_rank kv_lora_rank index_head_dim index_topk sliding_window local_attention
        hidden_size_per_layer_input mamba_chunk_size chunk_size
        """,
    ),
    **_each(
        128,
        "max_position_embeddings n_positions context_length max_source_positions max_target_positions codebook_size",
    ),
    **_each(
        1,
        """
        n_group topk_group n_shared_experts num_shared_experts first_k_dense_replace moe_num_shared_experts
        num_nextn_predict_layers num_mtp_layers depths
        """,
    ),
}

# Those that are given a size even where a configuration leaves it open.
SIZES_IF_NONE = frozenset(
    """
    head_dim num_key_value_heads num_experts_per_tok n_group topk_group n_routed_experts n_shared_experts
    vocab_size pad_token_id bos_token_id eos_token_id
    """.split()
)

TASK_SETTINGS: dict[str, dict[str, Any]] = {
    "sequence-classification": {"num_labels": 1},
    # models that can also encode say here that they generate
    "text-generation": {"is_decoder": True},
}

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_MROPE = {"rope_parameters": {**_ROPE, "mrope_section": [2, 1, 1]}}
_HYBRID = ["linear_attention", "hybrid"]

# model_type, of a whole or of a part, or the class of one that has none → settings in place of the sizes
SETTINGS: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "mamba2": {"num_heads": 8, "n_groups": 1},
    "zamba": {
        "layers_block_type": 2 * _HYBRID,
        "num_hidden_layers": 4,
        "attention_head_dim": 16,
        "attention_hidden_size": 64,
        "mamba_dt_rank": 8,
    },
    "zamba2": {
        "layers_block_type": _HYBRID,
        "mamba_headdim": 8,
        "attention_head_dim": 16,
        "attention_hidden_size": 64,
        "hybrid_layer_ids": [1],
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 16},
    "perceiver": {"d_latents": 32, "num_latents": 8, "num_self_attends_per_block": 1},
    "reformer": {"axial_pos_embds_dim": [16, 16], "axial_pos_shape": [8, 16], "hash_seed": 0, "attention_head_size": 8},
    "roc_bert": {"pronunciation_embed_dim": 16, "shape_embed_dim": 16, "shape_vocab_size": 10},
    "lilt": {"hidden_size": 48},
    "layoutlmv3": {"coordinate_size": 5, "shape_size": 6},
    "xmod": {"default_language": "en_XX"},
    "blt": {"encoder_hash_byte_group_vocab": 100},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "gemma3n_text": {"num_kv_shared_layers": 0, "activation_sparsity_pattern": [0.0, 0.5], "intermediate_size": 64},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "falcon_h1": {"mamba_d_ssm": 64},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 64, "hidden_size": 32},
    },
    "dots3_note_text": {"per_layer_config": {}},
    "neomme": {"head_dim": 16},
    "glm5_next_text": {"qk_rope_head_dim": 0},
    "diffusion_gemma_text": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 32},
    "align_vision_model": {
        **_each([16], "in_channels out_channels"),
        **_each([1], "strides num_block_repeats expand_ratios"),
        "kernel_sizes": [3],
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
    },
    "clvp_encoder": {"hidden_size": 128},
    "clvp_decoder": {"hidden_size": 128},
    "FunAsrNanoAdaptorConfig": {"intermediate_size": 8},
    "granite4_vision": {
        "deepstack_layer_map": [[0, 0], [1, 1]],
        "spatial_target_layers": [0, 1],
        "downsample_rate": "1/2",
    },
    "clip_vision_model": {"hidden_size": 64},
    "kyutai_speech_to_text": {"audio_pad_token_id": 150},
    "chameleon": {"vocabulary_map": {"<image>": 5}},
    "emu3": {"vocabulary_map": {"<image>": 5}},
    "qwen2_5_omni_thinker": {"vision_start_token_id": 5},
    "qwen3_omni_moe_thinker": {"vision_start_token_id": 5},
    "molmo2_adapter": {"vision_feature_layer": [0, 1]},
    "muse_spark_audio": {"num_hidden_layers": 4},
    "deepseek_ocr2_text": {"mlp_layer_types": ["dense", "sparse"]},
    "step3p5": {"sliding_window": 16},
    "glm4v_moe_text": {"head_dim": 16, **_MROPE},
    "ernie4_5_vl_moe_text": {"rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2]}},
    "dots3_note_vision_encoder": {"mlp_layer_types": ["dense", "sparse"], "adapter_in_dim": 32},
    "t5gemma2_text": {"dropout_rate": 0.0},
    "bridgetower": {"hidden_size": 64},
    "bridgetower_vision_model": {"hidden_size": 64},
    "bridgetower_text_model": {"hidden_size": 64},
    "zaya": {"num_experts_per_tok": 1},
    "funnel": {"block_sizes": [1, 1], "block_repeats": [1, 1]},
    **dict.fromkeys(
        """
        glm4v_text glm_image_text paddleocr_vl_text glm_ocr_text qwen2_vl_text qwen2_5_vl_text cosmos3_edge_text
        hunyuan_vl_text glmga_text qwen2_5_omni_text
        """.split(),
        _MROPE,
    ),
}


def _wide(hidden: int, heads: int, inner: int, key_values: int = 0, head: int = 0) -> dict[str, int]:
    sizes = {"hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": inner}
    return {**sizes, "num_key_value_heads": key_values, "head_dim": head} if key_values else sizes


# model_type → the widths of models that people use, with two layers of them
WIDE: dict[str, dict[str, int]] = {
    **{kind: _wide(768, 12, 3072) for kind in ("bert", "camembert", "roberta", "xlm-roberta", "electra")},
    "distilbert": {"dim": 768, "n_heads": 12, "hidden_dim": 3072},
    "modernbert": _wide(768, 12, 1152),
    "qwen2": _wide(896, 14, 4864, key_values=2, head=64),
    "qwen3": _wide(1024, 16, 3072, key_values=8, head=128),
    **{kind: _wide(1024, 16, 2816, key_values=4, head=64) for kind in ("llama", "mistral")},
    **{kind: _wide(1024, 4, 4096, key_values=1, head=256) for kind in ("gemma", "gemma2", "gemma3_text")},
}
