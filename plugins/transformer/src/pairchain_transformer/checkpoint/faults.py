"""Errors that both a load and inspection can find, each worded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pairchain import Source
from pairchain.authoring import code_that_raised, installed_version
from pairchain.errors import ChainError, FormatError, MissingFileError
from pairchain_transformer.files.names import read_settings
from pairchain_transformer.libraries.messages import in_a_line


def no_vocabulary(source: Source, names: Iterable[str]) -> MissingFileError:
    """Return the error for a tokenizer that has none of the files ``names``."""
    return MissingFileError(
        f"the tokenizer's vocabulary is missing: the model has none of {', '.join(names)}.",
        where=str(source),
        next_step="save or fetch the model again; without its vocabulary every score would be wrong.",
    )


def no_token(word: str) -> ChainError:
    """Return the error for a causal model whose vocabulary lacks a word that its score is computed from."""
    return ChainError(
        f"the vocabulary of this causal model has no token {word!r}, which its score would be computed from.",
        next_step="choose the tokens: CrossEncoder(modules=[Transformer(…, transformer_task='text-generation'), "
        "LogitScore(true_token_id=…, false_token_id=…)]).",
    )


def unknown_answer(source: Source, name: str) -> ChainError:
    """Return the error for an encoder-decoder language model of the class ``name`` that comes as weights alone.

    Its vocabulary has the words true and false whether or not it was trained to answer with them.
    """
    return ChainError(
        f"{name} is an encoder-decoder language model. Rerankers of this kind, such as MonoT5, compare two words that "
        "their decoder may begin with; the files do not say which, nor how a pair is put to the model. A classifier "
        "made of it would have a random head.",
        where=str(source),
        next_step="build the chain from its model card: CrossEncoder(modules=[Transformer(…, "
        "transformer_task='text2text-generation', processor_kwargs={'chat_template': …}), LogitScore(true_token_id=…, "
        "false_token_id=…)]). To train a classifier from it, pass num_labels.",
    )


def code_failed(source: Source, error: Exception) -> FormatError | None:
    """Return the error for code of the model that ``error`` came from; None if it came from elsewhere."""
    if (code := code_that_raised(error)) is None:
        return None
    installed = installed_version("transformers") or ""
    saved = read_settings(source, "config.json").get("transformers_version")
    is_older = isinstance(saved, str) and saved.partition(".")[0] != installed.partition(".")[0]
    written = f" The model was saved with transformers {saved}." if is_older else ""
    return FormatError(
        f"the model's own code ({code}) does not run with transformers {installed}: {type(error).__name__}: "
        f"{in_a_line(error)}.{written}",
        where=str(source),
        next_step="look for a revision of the model with newer code, or for a plugin with a module for it; or score it "
        "in an environment of its own, with the transformers version and library that its model card names.",
    )


def no_class_for_task(source: Source, auto_class: str, reason: str, *, is_known: bool = True) -> FormatError:
    """Return the error for a model that ``auto_class`` does not load; another class may, if the model ``is_known``."""
    what = f"the model cannot be loaded with {auto_class}: {reason}"
    settings = read_settings(source, "config.json")
    named, architectures = settings.get("auto_map"), settings.get("architectures")
    if isinstance(named, dict) and "AutoModel" in named and auto_class not in named:
        return FormatError(
            f"{what.rstrip('.')}. Its own code ({named['AutoModel']}) is not such a class, and scores in a way of its "
            "own.",
            where=str(source),
            next_step="score it as its model card says, with transformers.AutoModel and the method of its code; or "
            "write a module for it.",
        )
    if auto_class == "AutoModelForSequenceClassification" and "ForConditionalGeneration" in str(architectures):
        return FormatError(
            what,
            where=str(source),
            next_step="build the chain that it was trained for: CrossEncoder(modules=[Transformer(…, "
            "transformer_task='any-to-any'), LogitScore(true_token_id=…, false_token_id=…)]).",
        )
    return FormatError(what, where=str(source), next_step="choose another transformer_task." if is_known else "")


def other_sizes(source: Source, unfit: Sequence[tuple[str, Any, Any]]) -> FormatError:
    """Return the error for weights whose sizes differ from the configuration's: names, saved and wanted shapes."""
    shown = ", ".join(f"{name} is {tuple(saved)}, not {tuple(wanted)}" for name, saved, wanted in unfit[:4])
    more = f" and {len(unfit) - 4} more" if len(unfit) > 4 else ""
    return FormatError(
        f"the weights do not have the sizes that the configuration asks for: {shown}{more}.",
        where=str(source),
        next_step="leave out num_labels, or whatever else you changed; to get random weights in their place, pass "
        "model_kwargs={'ignore_mismatched_sizes': True}.",
    )


def other_model(shown: str, where: str) -> FormatError:
    """Return the error for a configuration and weights of different models."""
    return FormatError(
        f"the configuration and the weights do not belong together: {shown}",
        where=where,
        next_step="fetch config.json and the weights again; the library has defaults for sizes that are absent.",
    )
