"""The names of a model's files, and the part that each plays when a model is saved, loaded, hashed or published."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

# The chain, and its settings.
MODULES_FILE = "modules.json"
CONFIG_FILE = "config_sentence_transformers.json"

# A checkpoint of the transformers library, or an adapter of one.
CHECKPOINT_FILE = "config.json"
ADAPTER_CONFIG_FILE = "adapter_config.json"
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
# Files that can name code under the key "auto_map".
AUTO_MAP_FILES = (CHECKPOINT_FILE, "tokenizer_config.json", *PROCESSOR_FILES)

SAFETENSORS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
ADAPTER_FILE = "adapter_model.safetensors"
PICKLE_FILE = "pytorch_model.bin"
_PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json")

# Files that decide how a saved model loads. A save replaces them as a set: one left over from an older model (a chat
# template, a weight shard) would silently change the scores of the new one.
_MODEL_FILES = (
    *(MODULES_FILE, CONFIG_FILE, CHECKPOINT_FILE, ADAPTER_CONFIG_FILE, *PROCESSOR_FILES),
    *("generation_config.json", "sentence_*_config.json", "router_config.json"),
    *("model*.safetensors", INDEX_FILE, "adapter_model.*", *_PICKLES),
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece*.model"),
    *("chat_template.jinja", "chat_template.json", "additional_chat_templates"),
)

# Files that no load reads: documents in the root, files of git and of the Hub library, and compiled Python. A file that
# a module might read, such as an image, is not among them.
_TEXTS = (
    *("readme.md", "license", "license.txt", "license.md", "notice", "notice.txt", "notice.md"),
    *(".gitattributes", ".gitignore", "*.lock.json"),
)
_UNREAD_FOLDERS = (".git/", ".cache/huggingface/")
_UNREAD_ANYWHERE = ("__pycache__", ".DS_Store")

# Weights for other runtimes, and files that training left behind. A lock includes them if they exist, but pairchain
# does not read them, so a copy may leave them out, and they need not be fetched.
_FOR_OTHERS = (
    *("*.onnx", "*.onnx_data", "onnx/*", "openvino/*", "coreml/*", "*.msgpack", "*.h5", "*.ot", "*.tflite", "*.gguf"),
    *("optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state*.pth", "training_args.bin"),
)


def belongs_to_model(name: str) -> bool:
    """Return whether a file of this name, in a model's root, decides how the model loads."""
    return _matches(name, _MODEL_FILES)


def is_read_by_loads(path: str, homes: Collection[str]) -> bool:
    """Return whether loading may read the file at ``path``; every file in a module's folder counts.

    Args:
        path: Relative to the model's root.
        homes: The folders of its modules.
    """
    if _is_in(path, homes):
        return True
    *folders, name = path.split("/")
    if path.startswith(_UNREAD_FOLDERS) or any(part in _UNREAD_ANYWHERE for part in (*folders, name)):
        return False
    return bool(folders) or not _matches(name.lower(), _TEXTS)


def is_for_other_libraries(path: str, files: Collection[str], homes: Collection[str]) -> bool:
    """Return whether pairchain never reads the file at ``path``, one of ``files``; see `is_read_by_loads`."""
    file = PurePosixPath(path)
    if _matches(file.name, _PICKLES):
        return any(str(file.with_name(name)) in files for name in (SAFETENSORS_FILE, INDEX_FILE))
    return _matches(path, _FOR_OTHERS) and file.suffix != ".py" and not _is_in(path, homes)


def _is_in(path: str, homes: Collection[str]) -> bool:
    return any(home and path.startswith(f"{home}/") for home in homes)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
