"""How a Transformer was saved and called before: old names to today's."""

from __future__ import annotations

# The name of the configuration file was that of the architecture once; the first that is there wins.
CONFIG_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)

RENAMED_ARGUMENTS = {
    "model_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "config_args": "config_kwargs",
    "cache_dir": "cache_folder",
}

# Saves from before 5.4 say nothing of their task when it is this one.
DEFAULT_TASK = "feature-extraction"

MODALITIES = frozenset({"text", "image", "audio", "video", "message"})
