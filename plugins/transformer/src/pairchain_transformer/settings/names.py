"""Tables of settings whose effects were reviewed, for transformers up to 5.23.

A setting in none of these tables is unknown, and does not reach the library; see `filtering`.
"""

from __future__ import annotations

# Numbers, switches and choices among words. No class reads such a value as the name of a file, program, module or
# repository.
PLAIN = frozenset(
    """
    _valid_processor_keys actions_mean actions_std add_blank add_dummy_prefix add_generation_prompt
    add_prefix_space add_timestamps analysis_frame_duration audio_compression_rate audio_delay_seconds
    audio_downsample_rate audio_feat_stride audio_hop_length audio_kwargs audio_merge_size audio_sampling_rate
    audio_seq_length audio_silence_prefix_seconds audio_stream_bos_id audio_stream_eos_id
    audio_subsampling_factor audio_token_duration_s audio_tokens_per_second backend background_color
    bos_token_id cap_pixels_per_frame cell_trim_length center chunk_length chunk_length_s chunk_seconds
    chunk_size clean_text clean_up_tokenization_spaces
    clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output cls_token_box clusters
    codebook_crop_size codebook_do_center_crop codebook_do_map_pixels codebook_do_normalize codebook_do_rescale
    codebook_do_resize codebook_image_mean codebook_image_std codebook_resample codebook_rescale_factor
    codebook_size color compression_clip_val compression_factor constant_values continue_final_message crop_pct
    crop_size crop_to_patches data_format decoder_type default_audio_length default_to_square default_velocity
    delay_pattern delta_win_length dense_max_aspect dense_max_patches dense_max_scale dense_min_aspect
    disable_grouping dither dmel_max_value dmel_min_value do_affine_transform do_align_long_axis
    do_basic_tokenize do_center_crop do_ceptral_normalize do_clean_text do_color_quantize do_convert_annotations
    do_convert_rgb do_crop_margin do_flip_channel_order do_grayscale do_image_splitting do_lower_case
    do_lowercase do_lowercase_and_remove_accent do_normalize do_pad do_pan_and_scan do_reduce_labels do_rescale
    do_resize do_sample_frames do_split_image do_split_on_punc do_subword_tokenize do_thumbnail do_trim_tokens
    do_upper_case do_word_tokenize downsample_factor downsample_mode downsample_rate downsample_ratio
    draw_on_frames dynamic_hd encoded_length_kwargs encoder_patch_size end_on_pause ensure_multiple_of
    entity_token_1 entity_token_2 eos_token_id eps errors extra_ids fade_in_duration fade_out_duration
    feature_extractor_type feature_size fft_overdrive fft_window_size filter_length fine_route
    first_image_token_id fix_mistral_regex fmax fmin format fps frame_length frame_length_ms frame_shift
    frame_size frame_timestamp_format frames_after_eos frames_after_eos_short_text frequency_max frequency_min
    generation generation_mode global_log_mel_max high_res_image_mean high_res_image_std high_res_resample
    high_res_size hop_length hop_length_ms ignore_index image_area image_grid_pinpoints image_mean
    image_num_channels image_processor_type image_seq_len image_seq_length image_size image_std images_kwargs
    img_size include_top initial_shift input_data_format input_scale_factor input_size input_size_patches
    is_split_into_words keep_accents keep_aspect_ratio keypoint_heatmap_downscale_factor keypoint_heatmap_sigma
    lang_codes language legacy legacy_behaviour limit_side_len limit_type load_audio_backend
    load_audio_from_video logmel_floor_db mask_group_max_aspect_ratio mask_group_max_patches
    mask_group_min_aspect_ratio mask_group_min_patches mask_pad_size mask_size mask_token_sent max_audio_clip_s
    max_audio_len max_column_id max_crops max_depth max_duration max_entity_length max_fps max_frames
    max_frequency max_image_size max_image_tiles max_image_width max_input_chars_per_word max_len max_length
    max_length_s max_mention_length max_model_len max_new_tokens max_num_frames max_num_patches max_num_tiles
    max_patches max_pixels max_pixels_tolerance max_question_length max_row_id max_sent_length max_seq_length
    max_side max_side_limit max_slice_nums max_source_positions max_state_dim max_tiles max_width
    maximum_pad_value mean mel_filters_dtype mel_floor mel_max_frequency mel_min_frequency mel_norms merge_size
    min_energy_window_samples min_frames min_frequency min_image_size min_length min_num_patches min_patches
    min_pixels min_question_length min_size min_tiles mode model_in_channels model_input_names model_max_length
    model_type multi_page n_fft n_mels n_samples n_window nb_max_frames norm_mean norm_std normalization
    normalize normalize_audio normalize_factor normalize_max normalize_means normalize_min normalize_text
    normalize_vars num_bars num_chroma num_dmel_bins num_frames num_frames_lfr num_labels num_madeup_words
    num_mel_bins num_prompts num_text offset only_label_first_subword overflow_strategy overlap
    overlap_chunk_second overlap_margins pad_and_return_pixel_mask pad_end_length pad_mode pad_size
    pad_to_multiple_of pad_token_box pad_token_id pad_token_label pad_token_type_id pad_width padding
    padding_mode padding_side padding_strategy padding_value pan_and_scan_max_num_crops
    pan_and_scan_min_crop_size pan_and_scan_min_ratio_to_activate patch_expand_factor patch_size pause_duration
    per_bin_mean per_bin_stddev pixel_shuffle_ratio point_pad_value pooling_kernel_size pooling_ratio
    pooling_size position_id_per_seconds predict_timestamps preemphasis preemphasis_htk_flavor preserve_case
    processor_class projector_downsample_rate projector_window_size prompt_scale_to_meter protein_max_length
    ratio reasoning_effort reduce_labels reduce_len remove_space resample rescale rescale_factor
    rescale_image_frac rescale_image_max_upscaled_long_edge rescale_offset resize_short resize_to_max_canvas
    return_assistant_tokens_mask return_attention_mask return_codebook_pixels return_dict
    return_for_image_generation return_for_text_completion return_image_mask return_legacy_image_output
    return_length return_metadata return_mm_token_type_ids return_offsets_mapping return_row_col_info
    return_special_tokens_mask return_tensors return_text_replacement_offsets return_token_type_ids
    sampling_rate scale_resolution seconds_per_chunk sep_token_box separate_audio separate_vocabs
    short_text_max_words should_strip_spaces silence_floor_db size size_conversion size_divisibility
    size_divisor slice_mode small_image_upsize source_lang spaces_between_special_tokens spatial_factor
    spatial_merge_size split_by_punct split_image split_resolutions split_special_tokens src_lang stack_frames
    state_mean state_std std stem_indices streaming_mode stride stride_lfr strip_accents strip_column_names
    strip_handles subsampling_factor subword_tokenizer_type target_dB_FS target_h target_lang target_size
    target_w task task_seq_length temporal_patch_size text_kwargs text_max_length tgt_lang tile_size
    time_marker_every_seconds timestamp_segment_time tokenize tokenize_chinese_chars tokenizer_class
    tokenizer_padding tokenizer_truncation tokenizer_type top_db total_mask_patches total_pixels
    transformers_version trim_offsets trim_whitespace truncation truncation_mode truncation_side
    truncation_strategy unk_id update_answer_coordinates use_audio_in_video use_covering_area_grid
    use_default_system_prompt use_fast use_image_id use_square_size use_thumbnail use_token_compression
    video_maintain_aspect_ratio video_processor_type video_target_num_patches video_temporal_patch_dim
    videos_kwargs vision_aspect_ratio vision_feature_select_strategy vision_input_type vision_segment_max_frames
    vocab_size vocab_type win_function win_length window window_size window_size_multiplier
    """.split()
)

# Text of any kind for the model or for people, such as templates and labels; it names nothing. Settings that end in
# `TOKENS` are text too.
TEXT = frozenset(
    """
    added_tokens_decoder auto_map character_list chat_template custom_policies default_transcription_prompt
    entity_vocab grounded_generation_template id2label id2lang label2id lang2id langs language_codes metadata
    never_split policies policy_definitions post_processor_config prompt_dictionary query_prefix
    replace_word_delimiter_char response_schema response_template special_tokens_pattern streaming_modes suffix
    tags_dict token_type_ids_pattern tool_use_template visual_prompt_prefix word_labels wordpieces_prefix
    """.split()
)
TOKENS = ("_token", "_tokens")

# Names of files that a tokenizer reads its vocabulary from, or fonts that a processor draws with. Settings that end in
# `FILES` are names of files too.
FILE = frozenset("font merges source_spm target_spm vocab".split())
FILES = ("_file", "_files", "_path", "_dir", "_folder")

# Settings that the library sets itself or never reads. Published files contain them, often with paths on the author's
# machine.
DEAD = frozenset(
    """
    _commit_hash _from_auto _from_pipeline _name_or_path _processor_class added_tokens_file architectures
    chat_template_file device device_map dtype fast_tokenizer_files from_flax from_slow full_tokenizer_file
    init_inputs is_fast is_local local_files_only low_cpu_mem_usage name_or_path processor_config_file
    special_tokens_map_file tokenizer_config_file tokenizer_object torch_dtype verbose
    """.split()
)

# Arguments of ``from_pretrained`` itself, which only its caller may set.
LOADING = frozenset(
    """
    adapter_kwargs cache_dir code_revision force_download gguf_file mirror proxies resume_download revision
    subfolder token trust_remote_code use_auth_token
    """.split()
)

# Sizes of lists or matrices that a class builds → more than any model has.
COUNTS = {
    "extra_ids": 2**16,
    "num_madeup_words": 2**16,
    "n_fft": 2**16,
    "fft_window_size": 2**16,
    "frame_length": 2**20,
    "win_length": 2**20,
    "feature_size": 2**13,
    "num_mel_bins": 2**13,
    "n_mels": 2**13,
    "num_chroma": 2**13,
    "sampling_rate": 2**22,
}
MOST_TOKENS = 2**24

# Patterns for the names of classes that a file may choose.
CLASSES = {
    "tokenizer_class": r"\w*Tokenizer\w*|\w+Backend",
    "processor_class": r"\w*(Processor|Tokenizer|FeatureExtractor)\w*",
    "image_processor_type": r"\w*(ImageProcess|FeatureExtract)\w*",
    "feature_extractor_type": r"\w*(FeatureExtract|ImageProcess|Processor)\w*",
    "video_processor_type": r"\w*(Video|Image)Process\w*",
}
