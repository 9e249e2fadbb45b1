"""Tiny random checkpoints with the files and configurations of published rerankers, one function for each kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from compatibility import remote_code
from safetensors.torch import load_file, save_file
from tiny_models import GOLDEN, edited, save_tiny
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from pairchain import CrossEncoder
from pairchain.modules import Dense, LayerNorm, LogitScore, Pooling, Transformer

Save = Callable[[Path], Path]

# Qwen2's template shows every role, Qwen3's only those that it knows.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QUERY = "{{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}"
DOCUMENT = "{{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }}"
WORDS = "how many people live in berlin had a population x y yes no true false Query: Document: Relevant: ? z".split()


def classifier(kind: str, labels: int = 1, **config: Any) -> Save:
    """Return how to save a sequence classifier without files of sentence-transformers."""
    return lambda folder: Path(save_tiny(folder, kind, "ForSequenceClassification", num_labels=labels, **config))


def causal(kind: str, *, template: str | None = None, code: str = "", **config: Any) -> Save:
    """Return how to save a causal language model, with a chat template or code of its own."""

    def save(folder: Path) -> Path:
        save_tiny(folder, kind, "ForCausalLM")
        if template is not None:
            edited(folder, "tokenizer_config.json", chat_template=template)
        return with_code(folder, code, **config)

    return save


def golden(case: str) -> Save:
    """Return how to copy a model that sentence-transformers saved."""
    return lambda folder: Path(shutil.copytree(GOLDEN / case / "model", folder, dirs_exist_ok=True))


def with_code(folder: Path, code: str, **config: Any) -> Path:
    """Return ``folder`` after writing code, and keys of ``config.json``."""
    if code:
        (folder / "modeling.py").write_text(code)
    return edited(folder, "config.json", **config) if config else folder


def of_its_own(kind: str, head: str, code: str, *, renamed: dict[str, str] | None = None, **config: Any) -> Save:
    """Return how to save a checkpoint with code of its own, whose weights may have other names than the library's."""

    def save(folder: Path) -> Path:
        save_tiny(folder, kind, head, **({"num_labels": 1} if head == "ForSequenceClassification" else {}))
        if renamed:
            weights = load_file(folder / "model.safetensors")
            for before, after in renamed.items():
                weights = {name.replace(before, after): value for name, value in weights.items()}
            save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return with_code(folder, code, transformers_version="4.41.2", **config)

    return save


def chain(build: Callable[[Path], Sequence[torch.nn.Module]]) -> Save:
    """Return how to save a chain with ``modules.json``; ``build`` gets a folder for the checkpoint."""

    def save(folder: Path) -> Path:
        torch.manual_seed(0)
        model = CrossEncoder(modules=list(build(folder / "checkpoint")), device="cpu")
        model.save_pretrained(folder / "saved", create_model_card=False)
        return folder / "saved"

    return save


def ettin(folder: Path) -> list[torch.nn.Module]:
    """Return a ModernBERT encoder with a head of several modules."""
    transformer = Transformer(save_tiny(folder, "modernbert"))
    size = transformer.get_embedding_dimension()
    return [
        transformer,
        Pooling(size, pooling_mode="cls"),
        Dense(size, size, activation_function=torch.nn.GELU()),
        LayerNorm(size),
        Dense(size, 1, activation_function=None, module_output_name="scores"),
    ]


def answers(template: str, true: str, false: str | None = None) -> Callable[[Path], list[torch.nn.Module]]:
    """Return how to build a causal model that answers with a word after a prompt."""

    def build(folder: Path) -> list[torch.nn.Module]:
        place = str(folder) if (folder / "config.json").exists() else save_tiny(folder, "qwen3", "ForCausalLM")
        return answering(place, template, true, false)

    return build


def answering(
    folder: str | Path, template: str, true: str, false: str | None = None, task: str = "text-generation"
) -> list[torch.nn.Module]:
    """Return the chain that scores a checkpoint by the logits of one word, or of one against another."""
    transformer = Transformer(
        str(folder),
        transformer_task=task,
        processor_kwargs={"chat_template": template},
        # the tiny tokenizer is of another class than the model's
        tokenizer="as-published",
    )
    ids = [word and transformer.tokenizer.convert_tokens_to_ids(word) for word in (true, false)]
    return [transformer, LogitScore(*ids)]


def t5(folder: Path) -> Path:
    """Save an encoder-decoder with the pieces of T5's vocabulary that begin with ``▁``."""
    return encoder_decoder("T5")(folder)


def encoder_decoder(prefix: str) -> Save:
    """Return how to save a model with T5's classes, or with those of ``prefix`` that are like them."""
    return lambda folder: _saved_t5(folder, prefix)


def _saved_t5(folder: Path, prefix: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(set("".join(WORDS)))
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [*((f"▁{word}", -3.0) for word in WORDS), *((letter, -6.0) for letter in letters)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "extra_ids": 0}
    written = {"tokenizer_class": "T5Tokenizer", "model_max_length": 512, **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(written))
    # with the parts that the class has
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    special = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    config = getattr(transformers, f"{prefix}Config")(vocab_size=len(pieces) + 8, **sizes, **special)
    getattr(transformers, f"{prefix}ForConditionalGeneration")(config).save_pretrained(folder)
    return folder


_TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 32,
    "head_dim": 8,
    "vocab_size": 400,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
_ROTATED = {**_TEXT, "rope_scaling": {"mrope_section": [2, 1, 1], "rope_type": "default"}}
_SEEN = {"hidden_size": 16, "intermediate_size": 16, "depth": 1, "num_heads": 2}
# Prefix of the classes: the configurations of the parts that read texts and images.
_VISION: dict[str, dict[str, Any]] = {
    "Qwen2VL": {"text_config": _ROTATED, "vision_config": {**_SEEN, "embed_dim": 16}},
    "Qwen3VL": {
        "text_config": _ROTATED,
        "vision_config": {
            **_SEEN,
            "out_hidden_size": 16,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 16,
        },
    },
    "Mistral3": {
        "text_config": {"model_type": "mistral", **_TEXT},
        "vision_config": {
            "model_type": "pixtral",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "image_size": 28,
            "patch_size": 14,
        },
    },
}


def vision(prefix: str, code: str = "", **config: Any) -> Save:
    """Return how to save a model of texts and images, with a tokenizer that reads only its texts."""

    def save(folder: Path) -> Path:
        torch.manual_seed(0)
        settings = getattr(transformers, f"{prefix}Config")(**_VISION[prefix])
        getattr(transformers, f"{prefix}ForConditionalGeneration")(settings).save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(GOLDEN / "gpt2_causal_no_padside" / "model" / name, folder)
        return with_code(folder, code, **config)

    return save


def seeing(prefix: str, template: str) -> Callable[[Path], list[torch.nn.Module]]:
    """Return how to build the chain of a model of texts and images that answers yes or no."""
    return lambda folder: answering(vision(prefix)(folder), template, "yes", "no", task="any-to-any")


def own_module(save: Save, code: str) -> Save:
    """Return how to save a chain whose Transformer is a class beside it, as some models tag their code."""

    def saved(folder: Path) -> Path:
        place = save(folder)
        (place / "own.py").write_text(code)
        entries = json.loads((place / "modules.json").read_text())
        entries[0]["type"] = "own.OwnTransformer"
        (place / "modules.json").write_text(json.dumps(entries))
        return place

    return saved


# What the page's examples load from the Hub.
HUB: dict[str, Save] = {
    "castorini/monot5-base-msmarco": t5,
    "BAAI/bge-reranker-v2-gemma": causal("gemma"),
    "zeroentropy/zerank-1-small": causal(
        "qwen3", template=CHATML, code=remote_code.REPLACES_PREDICT, auto_map={"AutoConfig": "modeling.ScorerConfig"}
    ),
}
