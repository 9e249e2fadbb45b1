"""Implements pairchain's hooks: the default chain for a checkpoint, inspection, and the guard of a load."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pairchain import hookimpl
from pairchain.authoring import MESSAGE, read_json_object, require_settings
from pairchain.errors import warn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from torch import nn

    from pairchain import Source
    from pairchain.facts import Facts
    from pairchain.hooks import ChainRequest


@hookimpl(trylast=True)
def pairchain_default_chain(request: ChainRequest) -> list[nn.Module] | None:
    """Return the modules for a checkpoint: a classifier, or the log-odds of yes and no for a causal model.

    Raises:
        ChainError: The tokenizer of a causal model lacks the token yes or no; or it is an encoder-decoder language
            model, whose files do not say which words its decoder answers with.
        UnknownTypeError: LogitScore, which a causal model needs, is not installed.
    """
    from pairchain_transformer import Transformer
    from pairchain_transformer.checkpoint.faults import unknown_answer
    from pairchain_transformer.checkpoint.tasks import FALSE_WORD, TRUE_WORD

    if (is_causal := _is_causal(request.source)) is None:
        return None
    options: dict[str, Any] = {**request.keywords(), "model_name_or_path": request.source.name}
    # someone who asks for labels wants to train a head
    if "num_labels" not in options["config_kwargs"] and (name := _answering_decoder(request.source)):
        raise unknown_answer(request.source, name)
    if request.tokenizer is not None:
        options["tokenizer"] = request.tokenizer
    if not is_causal:
        transformer = Transformer(**options, transformer_task="sequence-classification")
        style = transformer.modality_config.get(MESSAGE, {}).get("format")
        # a template that loses a side may come from the base model; then training joined pairs as text
        if style and "chat_template" not in request.processor_kwargs and _loses_a_side(transformer, style):
            del transformer.modality_config[MESSAGE]
        return [transformer]
    logit_score = request.resolve("LogitScore")
    transformer = Transformer(**options, transformer_task="text-generation")
    _warn_of_guess(request.source, transformer)
    ids = {word: _token_id(transformer, word) for word in (TRUE_WORD, FALSE_WORD)}
    return [transformer, logit_score(true_token_id=ids[TRUE_WORD], false_token_id=ids[FALSE_WORD])]


@hookimpl
def pairchain_guard_load(source: Source, given: Mapping[str, Any]) -> AbstractContextManager[None] | None:
    """Return a block that filters the model's settings for the transformers library; None without such settings."""
    from pairchain_transformer.files.names import read_settings
    from pairchain_transformer.settings.files import configuration_settings, has_settings, processing_settings

    if "model_type" in read_settings(source, "config.json") and (found := configuration_settings(source)) is not None:
        require_settings(found)
    if not has_settings(source):
        return None
    from pairchain_transformer.settings.during_load import filtering_settings

    return filtering_settings(source, given, processing_settings(source, given), may_be_trusted=True)


@hookimpl
def pairchain_inspect_module(source: Source) -> Facts:
    """Return the facts in the files of a saved Transformer."""
    from pairchain_transformer.checkpoint.inspection import saved_facts
    from pairchain_transformer.checkpoint.saving import CONFIG_FILES

    return replace(saved_facts(source), config_file=next(filter(source.has, CONFIG_FILES), ""))


@hookimpl
def pairchain_inspect_checkpoint(source: Source) -> Facts | None:
    """Return the facts in a checkpoint's files about the default chain for it; None without a checkpoint."""
    from pairchain_transformer.checkpoint.faults import unknown_answer
    from pairchain_transformer.checkpoint.inspection import checkpoint_facts

    if (is_causal := _is_causal(source)) is None:
        return None
    facts = checkpoint_facts(source, is_causal=is_causal)
    name = _answering_decoder(source)
    return replace(facts, faults=[*facts.faults, unknown_answer(source, name)]) if name else facts


@hookimpl
def pairchain_chain_loaded(chain: nn.Module) -> None:
    """Tell the Transformers of a chain, such as those in a Router, whether all its modules skip padding."""
    if "pairchain_transformer.transformer" not in sys.modules:
        return
    # inspection imports this file, and needs no torch
    from pairchain.authoring import modules_inside
    from pairchain_transformer import Transformer

    for module in modules_inside(chain):
        if isinstance(module, Transformer):
            module.on_model_ready(chain)


def _is_causal(source: Source) -> bool | None:
    """Return whether a checkpoint or adapter is a causal model; None if ``source`` is neither."""
    for name in ("config.json", "adapter_config.json"):
        if (path := source.file(name)) is not None:
            config = read_json_object(path, shown_as=f"{name} of {source.name}")
            return _first_class(config).endswith("ForCausalLM") or config.get("task_type") == "CAUSAL_LM"
    return None


def _answering_decoder(source: Source) -> str:
    """Return the class of a checkpoint that is an encoder-decoder language model, such as MonoT5; empty if it is not.

    Its decoder answers about what the encoder reads; the classifier that the library makes of it is not in its weights.
    """
    from pairchain_transformer.checkpoint.support import is_encoder_decoder_model
    from pairchain_transformer.files.names import read_settings

    config = read_settings(source, "config.json")
    return _first_class(config) if is_encoder_decoder_model(config) else ""


def _first_class(config: Mapping[str, Any]) -> str:
    architectures = config.get("architectures")
    return str(architectures[0]) if isinstance(architectures, list) and architectures else ""


def _warn_of_guess(source: Source, transformer: Any) -> None:
    """Warn that the files of a causal model do not say how it scores pairs, unless its chat template is for pairs."""
    from pairchain_transformer.checkpoint.tasks import FALSE_WORD, TRUE_WORD
    from pairchain_transformer.files.names import read_settings
    from pairchain_transformer.inputs.messages import SIDES

    template = str(getattr(transformer.reader, "chat_template", None) or "")
    if all(role in template for role in SIDES):
        return
    prompt = "its chat template, which is not made for pairs" if template else "the pair, joined as its tokenizer does"
    code = ", ".join(sorted(set(map(str, (read_settings(source, "config.json").get("auto_map") or {}).values()))))
    warn(
        f"{source} is a causal language model without modules.json, so its files do not say how it scores: the score "
        f"is the log-odds of {TRUE_WORD!r} against {FALSE_WORD!r} after {prompt}. Scores of a model that was trained "
        "with another prompt or other words mean nothing; build its chain from its model card: CrossEncoder(modules=["
        "Transformer(…), LogitScore(…)])." + (f" Its own code ({code}) has no part in the score." if code else "")
    )


def _loses_a_side(transformer: Any, style: str) -> bool:
    from pairchain_transformer.inputs.templates import why_no_pair
    from pairchain_transformer.quick.unknown import NeedsLibraryError

    try:
        return bool(why_no_pair(transformer.reader, style, {}))
    except NeedsLibraryError:
        return bool(why_no_pair(transformer.processor, style, {}))


def _token_id(transformer: Any, word: str) -> int:
    from pairchain_transformer.checkpoint.faults import no_token

    tokenizer = transformer.reader
    found = tokenizer.convert_tokens_to_ids(word)
    # a tokenizer may return the unknown token for both words, and every score would be zero
    if found is None or found == tokenizer.unk_token_id:
        raise no_token(word)
    return int(found)
